# SPDX-License-Identifier: GPL-2.0
"""Each prefix of the series compiles and links: with everything on, and with our options off.

A prefix is the base with the first patches of the series. One source tree goes through all of them. At each, the objects
are compiled that the files of this patch concern; all others are as at the prefix before. Then everything that
vmlinux would be linked from is linked, without relocating anything: what a later patch defines is missing there.
What no patch touches is taken from whole builds: of the series for "debug", of the base for "off".
"""

import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

from . import boot, build, guest, kbuild, model, report, series
from .base import ensure_base
from .common import BUILD, LOGS, PACKAGES, ROOT, TEST_PACKAGES, HarnessError, need, say, tail
from .report import entry

TREE = BUILD / "prefix"
# Of which configuration, which tree and object directory have what the series does not touch. Without our options
# the configuration "release" of the base is "off".
WHOLE = {"debug": ("src", "o-debug"), "off": ("base", "o-release")}
SCRIPT = "arch/x86/kernel/vmlinux.lds"
# Who is concerned by these is no object: kbuild makes them anew before it compiles anything.
PREPARED = {"include/asm-generic/vmlinux.lds.h": "the linker script", "arch/x86/kernel/asm-offsets.c": "make prepare"}
# What only another kernel has is compiled with that, where the series ends.
ELSEWHERE = {"mm/kasan/report.c": "kasan"}


def code(paths):
    return [path for path in paths if path.endswith((".c", ".S", ".h"))]


def undefined(path):
    """The symbols that an object refers to and does not define."""
    proc = subprocess.run(["nm", "-u", path.name], cwd=path.parent, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if proc.returncode:
        raise HarnessError(f"nm {path}: {proc.stderr.strip()}")
    return {line.split()[-1] for line in proc.stdout.splitlines() if line.strip()}


class Prefix:
    """One configuration of the tree that goes through the prefixes."""

    def __init__(self, config, base):
        tree, objdir = WHOLE[config]
        self.config, self.base = config, base
        self.whole = BUILD / tree / objdir
        if not (self.whole / "vmlinux.o").exists():
            raise HarnessError(f"{self.whole} has no vmlinux.o: that kernel has to be built first")
        self.members = kbuild.archive_members(self.whole)
        self.objects = kbuild.Objects(self.whole, [*self.members, *kbuild.module_members(self.whole)])
        self.resolved = undefined(self.whole / "vmlinux.o")
        self.objdir = TREE / f"o-{config}"
        self.compiled = set()
        self.options = {}

    def changed_options(self):
        """What stands in kbuild's files for the options that are not as at the prefix before."""
        now = build.parse((build.configure(self.config, TREE) / ".config").read_text())
        before, self.options = self.options, now
        return sorted(f"include/config/{name.removeprefix('CONFIG_')}" for name in before.keys() | now.keys()
                      if before.get(name) != now.get(name))

    def wanted(self, paths):
        """The objects to compile when @paths have changed.

        What a header that all include lacks, all lack: one object of mm/, of kernel/ and so on is enough to see it.
        """
        chosen = self.objects.affected(paths, depth=1)
        # What the prefix itself has compiled may include what the whole build does not.
        if self.compiled:
            here = kbuild.Objects(self.objdir, self.compiled)
            chosen |= {name for path in paths for name in here.users_of(path)}
        return sorted(name for name in chosen if (TREE / self.source(name)).exists())

    def source(self, name):
        return self.objects.sources[name]

    def compile(self, names, log):
        build.build(self.config, TREE, [*names, SCRIPT], log=log)
        self.compiled |= set(names)

    def present(self, touched):
        """The paths of what this prefix links. @touched: the files that the series adds or edits."""
        listed, paths = {}, []
        for name in self.members:
            source = self.objects.sources.get(name, "")
            if source in touched and not (self.base / source).exists():
                # One of ours: part of the kernel if the Makefile of this prefix says so.
                folder = name.rpartition("/")[0]
                if folder not in listed:
                    listed[folder] = kbuild.listed(TREE, self.objdir, folder)
                if name not in listed[folder]:
                    continue
                if name not in self.compiled:
                    raise HarnessError(f"{name} is part of this kernel, but {source} was not compiled; is it there at all?")
            paths.append(self.objdir / name if name in self.compiled else self.whole / name)
        return paths

    def link(self, touched, log):
        """"", or what is missing when everything is linked."""
        target, response = self.objdir / "kas-linked.o", self.objdir / "kas-linked.list"
        response.write_text("".join(f"{path}\n" for path in self.present(touched)))
        proc = subprocess.run(["ld", "-m", "elf_x86_64", "-r", "-o", str(target), f"@{response}"], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        with open(log, "a", errors="replace") as out:
            out.write(proc.stdout)
        if proc.returncode:
            return f"does not link: {(proc.stdout.strip() or 'ld says nothing').splitlines()[0]}"
        missing = undefined(target)
        # What the linker script and kallsyms define, as long as the script of this prefix does.
        script = set(re.findall(r"\w+", (self.objdir / SCRIPT).read_text()))
        late = set(re.findall(r"\w+", (self.whole / SCRIPT).read_text())) - script
        missing -= script | (self.resolved - late)
        target.unlink()
        return f"refers to what nothing defines: {', '.join(sorted(missing)[:5])}" if missing else ""


def judge(prefix, slug, paths, touched, first):
    """"" or the reason why the prefix that ends with @slug, which changes @paths, is wrong in this configuration."""
    log = LOGS / f"prefix-{slug or 'base'}-{prefix.config}.log"
    try:
        if first:
            prefix.changed_options()
        names = prefix.wanted(sorted(touched) if first else [*paths, *prefix.changed_options()])
        prefix.compile(names, log)
        problem = prefix.link(touched, log)
    except HarnessError as err:
        problem = f"does not compile: {str(err).splitlines()[0]}"
    return f"{problem}; log: {log.relative_to(ROOT)}" if problem else ""


def uncompiled(prefixes, touched):
    """The source files of the series that no build compiles: nothing is proven about them."""
    return sorted(path for path in code(touched) if path not in (*PREPARED, *ELSEWHERE) and
                  not any(prefix.objects.users_of(path) for prefix in prefixes))


def prefix_entries(until=None):
    """One entry per prefix and configuration; the base, where it begins, is one as well.

    @until: the time.monotonic() from which on no other begins; those that are left are skipped.
    """
    base = ensure_base()
    stored = model.load()
    steps = model.compose(stored, base)
    touched = set(model.overlay(steps))
    prefixes = [Prefix(config, base) for config in WHOLE]
    entries = [entry("debug", "none", "series", "prefix:files", "fail" if missing else "pass",
                     missing and f"no build compiles {', '.join(missing)}")
               for missing in [uncompiled(prefixes, touched)]]
    with ThreadPoolExecutor(len(prefixes)) as pool:
        for count, slug in enumerate(["", *(patch.slug for patch in stored.patches)]):
            if until is not None and time.monotonic() > until:
                entries += [entry(prefix.config, "none", "series", f"prefix:{slug or 'base'}", "skip",
                                  "make test has no time left for it on this machine; the next run has what is compiled by now")
                            for prefix in prefixes]
                continue
            series.patched_tree(TREE, upto=slug)
            paths = code(steps[count - 1]) if count else []
            problems = pool.map(lambda prefix: judge(prefix, slug, paths, touched, not count), prefixes)
            for prefix, problem in zip(prefixes, list(problems)):
                item = entry(prefix.config, "none", "series", f"prefix:{slug or 'base'}", "fail" if problem else "pass", problem)
                if problem:
                    item["tail"] = tail(LOGS / f"prefix-{slug or 'base'}-{prefix.config}.log", 12)
                entries.append(item)
    return entries


def boot_entries(slugs):
    """Build each prefix whole, boot it, and let it write its own text: an hour or two for all of them."""
    entries = []
    for slug in slugs:
        series.patched_tree(TREE, upto=slug)
        scenario = boot.Scenario(f"prefix-{slug or 'base'}", smp=2, run=["poke:1"], needs=[])
        try:
            objdir = build.build("debug", TREE, ("bzImage",), log=LOGS / f"{scenario.name}-build.log")
            _, found = boot.run_boot(scenario, objdir, guest.plain_initramfs())
        except HarnessError as err:
            found = [entry(scenario.name, "tcg", "series", "boot", "fail", str(err).splitlines()[0])]
        say(f"  {scenario.name}: {report.closing_line(found)}")
        entries += found
    return entries


def cmd_prefixes(args):
    """make prefixes [ONLY=SLUG]: those of "make test" compile and link what a patch concerns; this boots them."""
    need({**PACKAGES, **TEST_PACKAGES})
    slugs = ["", *(patch.slug for patch in model.load().patches)]
    only = " ".join(args)
    if only and only not in slugs:
        raise HarnessError(f"the series has no patch {only}")
    with report.Run(f"prefixes-{only}" if only else "prefixes") as run:
        run.add(boot_entries([only] if only else slugs))
        run.write()
        report.show_failures(run.entries)
        say(report.closing_line(run.entries))
        return 1 if report.count(run.entries)["fail"] else 0
