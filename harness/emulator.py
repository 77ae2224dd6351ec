# SPDX-License-Identifier: GPL-2.0
"""The Bochs that the harness runs: built once into the cache, from the tarball of Debian's source package and bochs/*.diff.

Debian's own program has Bochs' debugger built in, which looks at each instruction and each access to memory:
without it a boot takes a third of the time. base/BOCHS names the package, its version and the hash of the tarball.

CACHE/bochs holds the tarball, the lists of packages of the suite that it is in, and KEY/bochs for each KEY of
all that the program is made from.
"""

import functools
import hashlib
import os
import shutil
from pathlib import Path

from .base import apt_update, locked, read_pin, sha256
from .common import CACHE, JOBS, LOGS, ROOT, HarnessError, need, no_network, replace_file, run

PACKAGES = {"g++": "g++", "make": "make", "ccache": "ccache", "xz": "xz-utils", "tar": "tar", "patch": "patch"}
FOLDER = CACHE / "bochs"
# What we change of it: diffs, in the order of their names, and files of its folder cpu/.
CHANGES = ROOT / "harness" / "bochs"
PIN = ("package", "version", "suite", "tarball", "tarball-sha256")

CONFIGURE = (
    "--enable-smp", "--enable-x86-64", "--enable-cpu-level=6", "--enable-pci", "--enable-monitor-mwait",
    # What the processors of the scenarios have; corei7_skylake_x is not there without AVX-512.
    "--enable-vmx=2", "--enable-svm", "--enable-avx", "--enable-evex", "--enable-protection-keys", "--enable-cet",
    # Debug registers that stop the guest.
    "--enable-x86-debugger",
    "--enable-all-optimizations",
    # A timer's signal handler that writes to the log: if it interrupts a write to the log, the emulator waits for ever.
    "--disable-show-ips",
    # No display, and so none that listens.
    "--with-nogui", "--disable-docbook",
)
FLAGS = {"CC": "ccache gcc", "CXX": "ccache g++", "CFLAGS": "-O2 -w", "CXXFLAGS": "-O2 -fomit-frame-pointer -w"}


class Unavailable(HarnessError):
    """There is no source to build it from: what needs it is skipped, for this reason."""


def pin():
    return read_pin(name="BOCHS", keys=PIN)


def _archive():
    """Where this machine's apt has Debian's packages from. It knows whose they are when it has lists of them."""
    for prepare in (lambda: None, apt_update):
        prepare()
        rows = run(["apt-get", "indextargets", "--format", "$(LABEL) $(REPO_URI)", "Created-By: Packages"], check=False).splitlines()
        found = [row.split()[1] for row in rows if row.startswith("Debian ") and len(row.split()) == 2]
        if found:
            return found[0]
    raise Unavailable("apt names no archive of Debian's packages to fetch the source of Bochs from; "
                      "run 'apt-get update', or set KAS_BOCHS_TARBALL to the file")


def _download(pinned, target):
    """Fetch the tarball of a suite that this machine's apt knows nothing of, with lists of its own."""
    sources = FOLDER / "sources.list"
    replace_file(sources, f"deb-src {_archive()} {pinned['suite']} main\n")
    for name in ("lists/partial", "archives/partial"):
        (FOLDER / name).mkdir(parents=True, exist_ok=True)
    apt = ["apt-get", *(f"-o{option}" for option in (
        f"Dir::Etc::sourcelist={sources}", "Dir::Etc::sourceparts=-", f"Dir::State::lists={FOLDER / 'lists'}",
        f"Dir::Cache={FOLDER}", "APT::Sandbox::User="))]
    log = LOGS / "bochs-download.log"
    try:
        run([*apt, "update"], log=LOGS / "bochs-lists.log", what="lists of source packages", check=False)
        run([*apt, "source", "--download-only", "--tar-only", f"{pinned['package']}={pinned['version']}"], cwd=FOLDER,
            log=log, what=f"downloading {pinned['package']} {pinned['version']}")
    except HarnessError as err:
        no = "set KAS_BOCHS_TARBALL to a file of it"
        try:
            no_network(LOGS / "bochs-lists.log", f"fetch the source of Bochs; {no}")
            no_network(log, f"fetch the source of Bochs; {no}")
        except HarnessError as why:
            raise Unavailable(str(why)) from None
        raise Unavailable(f"{pinned['tarball']} can't be had; {no}\n{err}") from None
    if not target.exists():
        raise Unavailable(f"apt-get has fetched no {target.name}; log: {log}")


def source():
    """The tarball that base/BOCHS names."""
    pinned = pin()
    given = os.environ.get("KAS_BOCHS_TARBALL")
    target = Path(given) if given else FOLDER / pinned["tarball"]
    if given and not target.is_file():
        raise HarnessError(f"KAS_BOCHS_TARBALL: there is no file {target}")
    if not target.exists():
        _download(pinned, target)
    if (have := sha256(target)) != pinned["tarball-sha256"]:
        raise HarnessError(f"{target} has the sha256 {have},\n"
                           f"  base/BOCHS says {pinned['tarball-sha256']}: remove the file and try again")
    return target


def changes():
    return sorted([*CHANGES.glob("*.diff"), *CHANGES.glob("cpu/*")])


def _key():
    compiler = run(["g++", "--version"]).splitlines()[0]
    made_from = (pin(), CONFIGURE, FLAGS, compiler, [path.read_bytes() for path in changes()])
    return hashlib.sha256(repr(made_from).encode()).hexdigest()[:16]


def _build(target):
    work = target.parent.with_suffix(".build")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    run(["tar", "-x", "--strip-components=1", "--no-same-owner", "-C", work, "-f", source()],
        log=LOGS / "bochs-unpack.log", what="unpacking Bochs")
    for path in changes():
        if path.suffix != ".diff":
            shutil.copy(path, work / "cpu")
            continue
        run(["patch", "-p1", "--fuzz=0", "--batch", "-i", path], cwd=work, log=LOGS / f"bochs-{path.stem}.log",
            what=f"patching Bochs with {path.name}")
    env = {**FLAGS, "CCACHE_DIR": str(CACHE / "ccache"), "CCACHE_NOHASHDIR": "1", "CCACHE_BASEDIR": str(work), "CCACHE_MAXSIZE": "5G"}
    run(["./configure", *CONFIGURE], cwd=work, env=env, log=LOGS / "bochs-configure.log", what="configuring Bochs")
    run(["make", f"-j{JOBS}", "bochs"], cwd=work, env=env, log=LOGS / "bochs-build.log", what="build Bochs")
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(work / "bochs", target)
    shutil.rmtree(work)


def _target():
    return FOLDER / _key() / "bochs"


def is_there():
    """Whether program() has nothing to build."""
    return bool(shutil.which("g++")) and _target().exists()


@functools.lru_cache(None)
def _made():
    """The path of the emulator, or why it can't be had: it is asked for by each scenario, and fetched once."""
    need(PACKAGES)
    target = _target()
    try:
        with locked(FOLDER / "lock"):
            if not target.exists():
                _build(target)
    except Unavailable as err:
        return err
    return target


def program():
    """The path of the emulator, built if need be."""
    made = _made()
    if isinstance(made, Unavailable):
        raise made
    return made


def version():
    """What the report says of it."""
    pinned = pin()
    return f"Bochs {pinned['version']} with {', '.join(path.name for path in changes())}"
