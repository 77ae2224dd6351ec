# SPDX-License-Identifier: GPL-2.0
"""Each prefix of the series, and of each of its parts alone, compiles and links: with everything on, and with our options off.

A prefix is the base with the first patches of the series, or of a part and those that it needs. One source tree goes through
all of them. At each, the objects are compiled that the files concern which have changed; all others are as at the prefix
before. Then everything that vmlinux would be linked from is linked, without relocating anything: what a later patch defines,
or a part that is left out, is missing there. What no patch touches is taken from whole builds: of the series for "debug", of
the base for "off".
"""

import dataclasses
import os
import re
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

from . import boot, build, expected, guest, kbuild, model, report, series
from .base import ensure_base
from .common import BUILD, LOGS, PACKAGES, ROOT, TEST_PACKAGES, HarnessError, need, say, tail
from .judge import judge as judge_boot
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
# The scenario whose machine a part is tested on, and its suites.
PART_SUITES = {
    "fixes": ("tcg-poke", ""),
    "pg_table": ("tcg-pg-table", "pg_table*"),
    "temp_mm": ("tcg-4cpu", "temp_mm*"),
    "prmem": ("tcg-4cpu", "temp_mm* prmem*"),
    "ima": ("tcg-ima-kunit", "ima_*"),
    "asi": ("tcg-asi", "asi* pg_table*"),
}


def code(paths):
    return [path for path in paths if path.endswith((".c", ".S", ".h")) and not path.startswith(model.PROGRAMS)]


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


def judge(prefix, name, paths, touched, first):
    """"" or the reason why the prefix @name, where @paths have changed, is wrong in this configuration."""
    log = LOGS / f"prefix-{name}-{prefix.config}.log"
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


def states(stored, base):
    """[(name, parts, patch, files)] of the prefixes in the order in which the tree goes through them: those of @parts up to
    @patch, where @files differ from the one before. First those of the whole series, then those of each part with what it
    needs that are none of another one that was before."""
    result, gone, before = [("base", list(stored.parts), "", [])], [], {}
    for part in ["", *stored.parts]:
        names = [*stored.parts[part], part] if part else list(stored.parts)
        patches, steps = model.compose_parts(stored, base, names)
        slugs = [patch.slug for patch in patches]
        known = max((len(os.path.commonprefix([slugs, other])) for other in gone), default=0)
        gone.append(slugs)
        for count in range(known, len(slugs)):
            now = model.overlay(steps[:count + 1])
            changed = sorted(path for path in before.keys() | now.keys() if before.get(path) != now.get(path))
            result.append((f"{part}-alone:{slugs[count]}" if part else slugs[count], names, slugs[count], changed))
            before = now
    return result


def prefix_entries(until=None):
    """One entry per prefix and configuration; the base, where it begins, is one as well.

    @until: the time.monotonic() from which on no other begins; those that are left are skipped.
    """
    base = ensure_base()
    stored = model.load()
    touched = set(model.overlay(model.compose(stored, base)))
    prefixes = [Prefix(config, base) for config in WHOLE]
    entries = [entry("debug", "none", "series", "prefix:files", "fail" if missing else "pass",
                     missing and f"no build compiles {', '.join(missing)}")
               for missing in [uncompiled(prefixes, touched)]]
    with ThreadPoolExecutor(len(prefixes)) as pool:
        for name, parts, slug, changed in states(stored, base):
            if until is not None and time.monotonic() > until:
                entries += [entry(prefix.config, "none", "series", f"prefix:{name}", "skip",
                                  "make test has no time left for it on this machine; the next run has what is compiled by now")
                            for prefix in prefixes]
                continue
            series.patched_tree(TREE, upto=slug, parts=parts)
            problems = pool.map(lambda prefix: judge(prefix, name, code(changed), touched, not slug), prefixes)
            for prefix, problem in zip(prefixes, list(problems)):
                item = entry(prefix.config, "none", "series", f"prefix:{name}", "fail" if problem else "pass", problem)
                if problem:
                    item["tail"] = tail(LOGS / f"prefix-{name}-{prefix.config}.log", 12)
                entries.append(item)
    return entries


def _boot(scenario, listed=None, tag=""):
    """Build the kernel of TREE whole, boot it, and judge what comes of it."""
    try:
        objdir = build.build("debug", TREE, ("bzImage",), log=LOGS / f"{scenario.name}{tag}-build.log")
        booted = boot.Boot(scenario, objdir, guest.plain_initramfs(), tag)
        boot.wait(booted)
        found = judge_boot(booted, listed)
    except HarnessError as err:
        found = [entry(scenario.name, "tcg", "series", "boot", "fail", str(err).splitlines()[0])]
    say(f"  {scenario.name}{tag}: {report.closing_line(found)}")
    return found


def boot_prefix(slug):
    """Let it write its own text."""
    series.patched_tree(TREE, upto=slug)
    return _boot(boot.Scenario(f"prefix-{slug or 'base'}", smp=2, run=["poke:1"], needs=[]))


def suites_without(stored, base, names):
    """The KUnit suites of the series that are not there with the parts @names alone."""
    def suites(parts):
        texts = model.overlay(model.compose_parts(stored, base, parts)[1])
        return {name for path, text in texts.items() if path.endswith(".c")
                for name in re.findall(r'^\t\.name = "(\w+)",$', text.data.decode(errors="replace"), re.M)}
    return suites(list(stored.parts)) - suites(names)


def boot_part(part):
    """A part, and nothing but what it needs, passes its suites, as one of the scenarios has the machine for it."""
    stored, base = model.load(), ensure_base()
    names = [*stored.parts[part], part]
    name, globs = PART_SUITES[part]
    absent = suites_without(stored, base, names)
    listed = {key: cases for key, cases in expected.load().items() if key.partition(" ")[2] not in absent}
    series.patched_tree(TREE, parts=names)
    scenario = dataclasses.replace(boot.load(name), kunit=globs, run=["poke:1"], needs=[], expect=[])
    found = _boot(scenario, listed, f"-{part}-alone")
    return [{**item, "scenario": f"{part}-alone"} for item in found]


def cmd_prefixes(args):
    """make prefixes [ONLY=PATCH or PART]: those of "make test" compile and link what a patch concerns; this boots them."""
    need({**PACKAGES, **TEST_PACKAGES})
    stored = model.load()
    slugs = ["", *(patch.slug for patch in stored.patches)]
    only = " ".join(args)
    if only and only not in (*slugs, *stored.parts):
        raise HarnessError(f"the series has no patch {only}, and no part of that name")
    with report.Run(f"prefixes-{only}" if only else "prefixes") as run:
        for slug in slugs:
            if only in ("", slug):
                run.add(boot_prefix(slug))
        for part in stored.parts:
            if only in ("", part):
                run.add(boot_part(part))
        run.write()
        report.show_failures(run.entries)
        say(report.closing_line(run.entries))
        return 1 if report.count(run.entries)["fail"] else 0
