# SPDX-License-Identifier: GPL-2.0
"""Builds the guest's programs and modules, and packs them into an initramfs."""

import hashlib
import re
import shutil
import stat
from pathlib import Path

from . import build
from .base import ensure_base, locked
from .common import BUILD, LOGS, ROOT, HarnessError, replace_file, run

SOURCES = ROOT / "harness" / "guest"
PROGRAMS = BUILD / "guest"
MODULES = SOURCES / "mod"
# Those of the series that the guest runs as well.
SELFTESTS = ROOT / "tools" / "testing" / "selftests"
INCLUDES = [SELFTESTS / "temp_mm", SELFTESTS / "asi"]
# A program has of them what it uses.
LIBRARIES = ["-lcrypto"]
BUSYBOX = "/bin/busybox"
# What the tests of a folder of tools/testing/selftests are linked with.
SELFTEST_HELPERS = {"mm": ("vm_util.c", "thp_settings.c")}
APPLETS = ("sh ls cat echo grep dmesg mount ps top sleep mkdir rm cp mv ln head tail wc sort sed awk "
           "insmod rmmod lsmod od hexdump kill vi less find uname free date stty setsid poweroff true false "
           "basename cut seq").split()


def programs():
    """Compile each guest/NAME.c, and each test of the series, into a static program that only needs the kernel."""
    PROGRAMS.mkdir(parents=True, exist_ok=True)
    command = ["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-static", "-pthread"]
    common = "\0".join([*command, *LIBRARIES, run(["gcc", "--version"])])
    headers = [kselftest_header(), *sorted(SOURCES.glob("*.h")), *sorted(SELFTESTS.glob("*/*.h"))]
    common = [common.encode(), *(path.read_bytes() for path in headers)]
    command += include_flags()
    return [compiled(source, command, common) for source in sources()]


def include_flags():
    # The tests include ../kselftest.h, which is no file of the series; beside it there is a folder of this name.
    return [f"-I{folder}" for folder in [*INCLUDES, kselftest_header().with_suffix("")]]


def sources():
    """Each has another name, by which scenarios know it."""
    found = sorted([*SOURCES.glob("*.c"), *SELFTESTS.glob("*/*.c")], key=lambda path: path.stem)
    for one, two in zip(found, found[1:]):
        if one.stem == two.stem:
            raise HarnessError(f"{one} and {two} would be one program in the guest: give one of them another name")
    return found


def kselftest_header():
    return ensure_base() / "tools/testing/selftests/kselftest.h"


def compiled(source, command, common):
    """The program of one source. The key beside it is of all that went into it: no time stamp is believed."""
    target, stamp = PROGRAMS / source.stem, PROGRAMS / f"{source.stem}.key"
    key = hashlib.sha256()
    for part in [*common, source.read_bytes()]:
        key.update(hashlib.sha256(part).digest())
    key = key.hexdigest()
    if not target.exists() or not stamp.exists() or stamp.read_text() != key:
        # What a compiler that is killed leaves behind has no key.
        stamp.unlink(missing_ok=True)
        run([*command, "-o", target, source, *LIBRARIES], log=LOGS / f"guest-{source.stem}.log", what=f"compile {source.parent.name}/{source.name}")
        replace_file(stamp, key)
    return target


def external_modules(config, tree):
    """Build harness/guest/mod against the kernel of @config; returns the .ko files."""
    if not (MODULES / "Kbuild").exists():
        return []
    # kbuild writes beside the sources, so it gets a copy of them for each configuration.
    where = BUILD / f"mod-{tree.name}-{config}"
    with locked(BUILD / f"lock-{tree.name}-{config}"):
        return _external_modules(config, tree, where)


def _external_modules(config, tree, where):
    where.mkdir(parents=True, exist_ok=True)
    names = {path.name for path in MODULES.iterdir() if path.is_file()}
    for path in sorted(MODULES.iterdir()):
        if path.is_file():
            target = where / path.name
            if not target.exists() or target.read_bytes() != path.read_bytes():
                replace_file(target, path.read_bytes())
    for old in [*where.glob("*.c"), *where.glob("*.ko")]:
        if old.name not in names and old.with_suffix(".c").name not in names and not old.name.endswith(".mod.c"):
            old.unlink()
    for header in SOURCES.glob("*.h"):
        target = where / header.name
        if not target.exists() or target.read_bytes() != header.read_bytes():
            replace_file(target, header.read_bytes())
    build.run_make(config, tree, f"M={where}", "modules", what=f"modules {tree.name} {config}",
                   log=LOGS / f"mod-{tree.name}-{config}.log")
    return sorted(where.glob("*.ko"))


def in_tree_modules(objdir):
    """The few modules of the kernel itself that a scenario loads."""
    return sorted([*objdir.glob("lib/*.ko"), *objdir.glob("samples/*/*.ko")])


def with_libraries(program):
    """[(name in the archive, file)] of a program of this machine and the shared libraries that it needs."""
    path = shutil.which(program)
    if not path:
        raise HarnessError(f"{program} is missing, which a scenario wants in the guest")
    libraries = re.findall(r"(/\S+) \(0x", run(["ldd", path]))
    return [(f"bin/{program}", path), *((library.lstrip("/"), library) for library in libraries)]


def named(scenario):
    """The programs that the steps of a scenario name, and the first process; without a scenario all."""
    if not scenario:
        return programs()
    words = {"init", *re.findall(r"\w+", " ".join(scenario.run))}
    return [program for program in programs() if program.stem in words]


def selftest(name, tree):
    """Compile one of the kernel's own tests into a static program."""
    where = tree / "tools/testing/selftests"
    source = where / f"{name}.c"
    if not source.exists():
        raise HarnessError(f"{tree.name} has no selftest {name}")
    command = ["gcc", "-O2", "-w", "-static", "-pthread", "-no-pie", "-D_GNU_SOURCE", f"-I{tree}/tools/include/uapi", f"-I{where}",
               f"-I{source.parent}"]
    helpers = [source.parent / helper for helper in SELFTEST_HELPERS.get(source.parent.name, ())]
    target = PROGRAMS / f"selftest-{source.parent.name}-{source.stem}"
    PROGRAMS.mkdir(parents=True, exist_ok=True)
    run([*command, "-o", target, source, *helpers], log=LOGS / f"{target.name}.log", what=f"compile selftest {name}")
    return target


def wanted(scenario, tree):
    """[(name in the archive, file)] of what only this scenario needs, but for /boot."""
    found = {name: tree / name for name in scenario.files}
    found.update({f"selftests/{name}": selftest(name, tree) for name in scenario.selftests})
    for program in scenario.programs:
        found.update(with_libraries(program))
    return sorted(found.items())


class Cpio:
    """A newc archive, the format of an initramfs, with fixed times and numbers."""

    def __init__(self):
        self.data = bytearray()
        self.inode = 0
        self.names = set()

    def add(self, name, mode, body=b""):
        self.inode += 1
        self.names.add(name)
        encoded = name.encode() + b"\0"
        fields = [self.inode, mode, 0, 0, 1, 0, len(body), 0, 0, 0, 0, len(encoded), 0]
        self.data += b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
        self.data += b"\0" * (-len(self.data) % 4) + body
        self.data += b"\0" * (-len(self.data) % 4)

    def directory(self, name):
        """A folder, with those that it is in, unless it is there."""
        for folder in [*reversed(Path(name).parents), Path(name)]:
            if str(folder) not in (".", *self.names):
                self.add(str(folder), stat.S_IFDIR | 0o755)

    def file(self, name, path, mode=0o755):
        self.directory(Path(name).parent)
        self.add(name, stat.S_IFREG | mode, Path(path).read_bytes())

    def link(self, name, target):
        if name not in self.names:
            self.add(name, stat.S_IFLNK | 0o777, target.encode())

    def finish(self):
        self.inode = -1
        self.add("TRAILER!!!", 0)
        return bytes(self.data)


def initramfs(config, tree, objdir, scenario=None):
    """Pack init, programs, busybox and modules for the kernel of @config; returns the file."""
    return _initramfs(f"{tree.name}-{config}", [*in_tree_modules(objdir), *external_modules(config, tree)],
                      tree, objdir, scenario)


def plain_initramfs(tree=None, objdir=None, scenario=None):
    """The same without modules, which fits every kernel; @tree and @objdir are for what @scenario adds."""
    return _initramfs("plain", [], tree, objdir, scenario)


def _initramfs(name, modules, tree, objdir, scenario):
    more = wanted(scenario, tree) if scenario else []
    if scenario:
        name += f"-{scenario.name}"
    if scenario and scenario.kexec == "yes":
        # What the second kernel gets has no /boot: it starts no third.
        inner = _pack(f"{name}-inner", modules, named(scenario), more)
        more = [*more, ("boot/bzImage", objdir / "arch/x86/boot/bzImage"), ("boot/initramfs", inner)]
    return _pack(name, modules, named(scenario), more)


def _pack(name, modules, chosen, more=()):
    if not Path(BUSYBOX).exists():
        raise HarnessError(f"{BUSYBOX} is missing: apt-get install busybox-static")
    archive = Cpio()
    for folder in ("bin", "dev", "proc", "sys", "tmp", "lib", "lib/modules"):
        archive.directory(folder)
    archive.file("bin/busybox", BUSYBOX)
    for path, file in more:
        archive.file(path, file)
    for applet in APPLETS:
        archive.link(f"bin/{applet}", "busybox")
    for program in chosen:
        archive.file("init" if program.name == "init" else f"bin/{program.name}", program)
    for module in modules:
        archive.file(f"lib/modules/{module.name}", module, 0o644)
    target = PROGRAMS / f"initramfs-{name}.cpio"
    data = archive.finish()
    if not target.exists() or target.read_bytes() != data:
        replace_file(target, data)
    return target
