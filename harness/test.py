# SPDX-License-Identifier: GPL-2.0
"""make test: every proof there is, in one report.

The kernels are built one after the other, and then the boots run two at a time while nothing builds: each of both
keeps all processors busy (it was measured: 1 % idle), so that nothing is gained by doing them at once.
"""

import multiprocessing
import os
import signal
import time

from . import boot, broken, build, check, cr3, debian, emulator, entryset, identity, ima, kunit, mutants, prefixes, report, series, spin, tlb, transit, warn
from .base import ensure_base
from .common import BUILD, CACHE, CHECK_PACKAGES, JOBS, LOGS, PACKAGES, ROOT, TEST_PACKAGES, HarnessError, explain, need, say

# Seconds that make test takes at most, about. From nothing, on the slowest machines that were seen, compiling alone takes
# that long. What does not fit is skipped, with that reason, and the run says that it is not complete; the next one has it,
# since there is more in the compiler's cache.
LIMIT = 60 * 60
# Seconds that a stage takes there that has never been run with this cache.
COLD = 20 * 60
# Seconds of two stages if the cache knows the objects.
COMPILERS, KUNIT = 60, 180
# Kernels that are built, and boot, only when the others have.
LATE = ("kasan",)


class Stages:
    """Runs the stages, keeps what they report and how long they took."""

    def __init__(self, run):
        self.report = run
        self.entries = run.entries
        self.times = []
        self.begin = time.monotonic()

    def run(self, name, function, *args):
        """One stage. A stage that breaks is a failure of its own; the others still run."""
        say(f"== {name}")
        begin, counts = time.monotonic(), report.guarded(report.ccache_counts)
        try:
            found = function(*args) or []
        except (HarnessError, OSError) as err:
            why = explain(err) if isinstance(err, OSError) else str(err)
            if not why:
                raise
            found = [report.entry("harness", "none", "series", name.replace(" ", "-"), "fail", why)]
        counts = report.since(counts, report.guarded(report.ccache_counts))
        self.times.append((name, time.monotonic() - begin, counts if isinstance(counts, dict) else {"hits": 0, "misses": 0}))
        self.entries += found
        report.show_failures(found)
        return not any(item["status"] == "fail" and item["scenario"] == "harness" for item in found)

    def until(self):
        """The time.monotonic() at which make test should have ended."""
        return self.begin + LIMIT

    def like(self, name):
        """The seconds that stage @name has taken, as an estimate for another."""
        return sum(seconds for known, seconds, _ in self.times if known == name)

    def if_time(self, name, seconds, function, *args):
        """A stage that takes about @seconds if its objects are in the cache, skipped if it would not fit."""
        left = self.until() - time.monotonic()
        mark = CACHE / "stages" / name.replace(" ", "-")
        seconds = seconds if mark.exists() else max(seconds, COLD)
        if seconds <= left:
            done = self.run(name, function, *args)
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.touch()
            return done
        why = f"no time left: it would take some {seconds / 60:.0f} minutes, and {max(left, 0) / 60:.0f} of {LIMIT // 60} are left; " \
            "the next run has what is compiled by now"
        return self.run(name, lambda: [report.entry("harness", "none", "series", name.replace(" ", "-"), "skip", why)])

    def finish(self):
        """The budget, the report and the closing line; the exit status."""
        self.report.write()
        say()
        say("time of the stages, and of how many compilations the cache knew the result:")
        total = ("total", sum(seconds for _, seconds, _ in self.times),
                 {key: sum(counts[key] for _, _, counts in self.times) for key in ("hits", "misses")})
        for name, seconds, counts in [*self.times, total]:
            compilations = counts["hits"] + counts["misses"]
            say(f"  {name:<24} {int(seconds // 60):3d} min {int(seconds % 60):02d} s" +
                (f"  {counts['hits']:5d} of {compilations:5d}" if compilations else ""))
        skips = [item for item in self.entries if item["status"] == "skip"]
        for item in skips:
            say(f"skipped: {item['scenario']} {item['suite']}.{item['case']}: {item['why']}")
        late = {item["case"].partition(":")[0] for item in skips if "no time left" in item["why"]}
        if late:
            say(f"not complete, there was no time left for: {', '.join(sorted(late))}; another make test goes on from here")
        say(f"report: {self.report.path.relative_to(ROOT)}, logs: {LOGS.relative_to(ROOT)}/")
        say(report.closing_line(self.entries))
        return 1 if report.count(self.entries)["fail"] or not self.entries else 0


def tree_entries():
    """Compose the patched tree."""
    series.patched_tree(BUILD / "src")
    return []


def build_config(config):
    """Build one configuration of the patched tree, with modules."""
    build.build(config, BUILD / "src", ("bzImage", "modules"))
    return [report.entry(config, "none", "series", f"build:{config}", "pass")]


def late_entries(config, scenarios):
    """A kernel, and all that boot it."""
    return build_config(config) + boot_all(scenarios)


def build_base():
    """The base, as the release kernel: for what is compared with it."""
    build.build("release", series.patched_tree(BUILD / "base", upto=""), ("bzImage", "modules"))
    return [report.entry("base", "none", "series", "build:release", "pass")]


def entry_entries():
    """What the machine code of built kernels says about CR3 and about the entry code."""
    tree = series.patched_tree(BUILD / "src")
    objdirs = {config: build.build(config, tree, ("bzImage", "modules")) for config in ("debug", "release")}
    # Python uses one processor a process, and this takes minutes. The end of the with block kills what still runs.
    with multiprocessing.Pool(JOBS, signal.signal, (signal.SIGTERM, signal.SIG_DFL)) as pool:
        parts = [pool.apply_async(function, (objdirs,)) for function in
                 (entryset.entry_set_entries, transit.transit_entries, cr3.cr3_entries)]
        return [item for part in parts for item in part.get()]


# If more fail, it is no bad luck, and the time is short.
BOOT_AGAIN = 3
# Stages that ONLY may name, beside scenarios.
STAGES = {"entry": entry_entries, "models": spin.model_entries, "broken": broken.broken_entries, "ima": ima.ima_entries,
          "tlb": tlb.tlb_entries, "compilers": warn.compiler_entries, "kunit": kunit.kunit_entries}


def boot_all(scenarios):
    """Boot every scenario whose kernel is there; one without a kernel fails."""
    jobs, entries = [], []
    # Those that may take longest begin: else one of them would end alone.
    for scenario in sorted(scenarios, key=lambda s: (-s.timeout, s.name)):
        try:
            if scenario.emulator == "bochs":
                emulator.program()
            jobs.append((scenario, *boot.prepare(scenario)))
        except emulator.Unavailable as err:
            entries.append(report.entry(scenario.name, scenario.emulator, "selftests", "boot", "skip",
                                        "no emulator: " + str(err).splitlines()[0]))
        except HarnessError as err:
            entries.append(report.entry(scenario.name, scenario.emulator, "selftests", "boot", "fail",
                                        "no kernel: " + str(err).splitlines()[0]))

    def finished(run, found):
        numbers = report.count(found)
        say(f"  {run.scenario.name:<20} {run.seconds:4.0f} s  {report.closing_line(found)}"
            f"{'   FAILED' if numbers['fail'] else ''}")

    return entries + boot.run_boots(jobs, finished=finished, again=BOOT_AGAIN)


def only_one(name, stages):
    """make test ONLY=name"""
    if name in STAGES:
        stages.run(name, STAGES[name])
        return stages.finish()
    scenario = boot.load(name)
    # What does not compose would be tested as it was the last time.
    if not stages.run("tree", tree_entries):
        return stages.finish()
    if scenario.userland and not stages.run("userland", lambda: debian.packages() and []):
        return stages.finish()
    if not scenario.base:
        stages.run(f"build {scenario.build}", build_config, scenario.build)
    stages.run(f"boot {name}", boot_all, [scenario])
    return stages.finish()


def cmd_test(args):
    only = " ".join(args) or os.environ.get("ONLY", "")
    with report.Run(only) as run:
        need({**PACKAGES, **TEST_PACKAGES, **CHECK_PACKAGES})
        return only_one(only, Stages(run)) if only else everything(Stages(run))


def everything(stages):
    """make test"""
    scenarios = [scenario for scenario in map(boot.load, boot.names()) if scenario.extra != "yes"]
    # An error here leaves nothing to test.
    if not stages.run("base", lambda: ensure_base() and []):
        return stages.finish()
    stages.run("check", check.check_entries)
    stages.run("models", spin.model_entries)
    if not stages.run("tree", tree_entries):
        return stages.finish()
    first, late = ([scenario for scenario in scenarios if (scenario.build in LATE) == is_late] for is_late in (False, True))
    for config in dict.fromkeys([*(scenario.build for scenario in first), "release"]):
        stages.run(f"build {config}", build_config, config)
    stages.run("build base release", build_base)
    stages.run("entry", entry_entries)
    stages.run("tlb", tlb.tlb_entries)
    stages.run("boots", boot_all, first)
    stages.run("broken guests", broken.broken_entries)
    stages.run("ima", ima.ima_entries)
    stages.run("warnings", warn.warning_entries)
    # It compiles most of the base's objects once more.
    stages.if_time("identity", stages.like("build base release"), identity.identity_entries)
    for config in dict.fromkeys(scenario.build for scenario in late):
        # Its scenarios are boots as well.
        share = stages.like("boots") / max(len(first), 1)
        booting = [scenario for scenario in late if scenario.build == config]
        stages.if_time(f"{config} kernel", stages.like("build debug") + share * len(booting), late_entries, config, booting)
    stages.run("prefixes", prefixes.prefix_entries, stages.until())
    stages.run("quick mutants", mutants.mutant_entries, True, (), stages.until())
    stages.if_time("compilers", COMPILERS, warn.compiler_entries)
    stages.if_time("kunit", KUNIT, kunit.kunit_entries)
    return stages.finish()


def only_those(name, first=None):
    """Whole scenarios that are no part of make test: all whose name begins with @name."""
    need({**PACKAGES, **TEST_PACKAGES})
    scenarios = [boot.load(scenario) for scenario in boot.names() if scenario.startswith(f"{name}-")]
    with report.Run(name) as run:
        stages = Stages(run)
        if first:
            stages.run(name, first)
        if not stages.run("tree", tree_entries):
            return stages.finish()
        for config in dict.fromkeys(scenario.build for scenario in scenarios):
            stages.run(f"build {config}", build_config, config)
        stages.run("boots", boot_all, scenarios)
        return stages.finish()


def cmd_soak(_args):
    """make soak: the scenarios that only take longer than those of make test"""
    return only_those("soak")


def cmd_tlb(_args):
    """make tlb: what the emulator's TLB keeps, and each use of a stale translation by the kernel; or KERNEL=, any kernel"""
    if os.environ.get("KERNEL"):
        return tlb.any_kernel()
    return only_those("tlb", tlb.tlb_entries)
