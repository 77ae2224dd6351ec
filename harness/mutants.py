# SPDX-License-Identifier: GPL-2.0
"""Breaks the kernel on purpose, one defect at a time: each must turn the test red that it names, and no other.

A mutant is a file harness/mutants/NAME.diff against the composed tree, with a header:
    Why: what the defect is and why it matters
    Red: SCENARIO SUITE.CASE[, SUITE.CASE]   these cases (of a KUnit suite or a step of the guest) must
                                             fail, not merely the build or the boot
    Red: SCENARIO splat REGEX                or: the log must hold a report that matches
    Red: build REGEX                         or: the compiler must refuse it with such a message
    Red: entry REGEX                         or: the checks of entry code and CR3 must say that
    Says: REGEX                              what each of these cases says when it fails: the expectation, by its file or text.
                                             For what guards flushes, barriers and permissions, where a case can fail in many ways
    Also: SUITE.CASE[, SUITE.CASE]           these fail as well (globs); all other cases that ran must pass
    Maybe: SUITE.CASE[, SUITE.CASE]          these may fail as well, by chance
    Then: dies                               the kernel does not come to its end, and cases are missing for that. If it dies in
                                             the named case, Says: is what the kernel reports
    Quick: yes                               it runs in make test as well, if that has time left

A kernel in which nothing works turns everything red. So the unmutated kernel is booted as well, once for all mutants of
one machine and filter: this is the control, and has to be green.

Two mutants at a time, each in a tree of its own, are patched, built and booted: most of a build after a small change is the
link, which keeps one processor busy, and so does a boot.
"""

import fnmatch
import queue
import re
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from . import boot, build, cr3, diff, entryset, guest, judge, report, series, transit
from .base import ensure_base, locked
from .common import BUILD, LOGS, ROOT, HarnessError, Stopped, replace_file, run, say, stopped
from .report import entry

FOLDER = ROOT / "harness" / "mutants"
SOURCE = BUILD / "src"
TREES = build.MUTANT_TREES
# In QEMU; a mutant may hang after the case has failed.
TIMEOUT = 300
# What is judged without a boot.
UNBOOTED = ("build", "entry")


@dataclass
class Mutant:
    name: str
    path: object
    why: str = ""
    scenario: str = ""      # or one of UNBOOTED
    cases: list = field(default_factory=list)
    regex: str = ""
    says: str = ""
    also: list = field(default_factory=list)
    maybe: list = field(default_factory=list)
    dies: bool = False
    quick: bool = False


def commas(text):
    return [word.strip() for word in text.split(",") if word.strip()]


def load(path):
    """Read the header of one mutant."""
    mutant = Mutant(path.stem, path)
    where = f"harness/mutants/{path.name}"
    for line in path.read_text().splitlines():
        if line.startswith(("--- ", "diff ")):
            break
        key, _, value = line.partition(":")
        value = value.strip()
        if key == "Why":
            mutant.why = value
        elif key == "Quick":
            mutant.quick = value == "yes"
        elif key == "Says":
            mutant.says = value
        elif key == "Also":
            mutant.also = commas(value)
        elif key == "Maybe":
            mutant.maybe = commas(value)
        elif key == "Then":
            mutant.dies = value == "dies"
        elif key == "Red":
            words = value.split(None, 2)
            mutant.scenario = words[0] if words else ""
            if mutant.scenario in UNBOOTED:
                mutant.regex = value[len(mutant.scenario):].strip()
            elif len(words) == 3 and words[1] == "splat":
                mutant.regex = words[2]
            else:
                mutant.cases = commas(value[len(mutant.scenario):])
        elif line.strip():
            raise HarnessError(f"{where}: no such line in a header: {line}")
    if not mutant.why or not mutant.scenario or not (mutant.cases or mutant.regex):
        raise HarnessError(f"{where}: the header needs Why: and Red: (see harness/mutants.py)")
    if not mutant.cases and mutant.says or mutant.scenario in UNBOOTED and (mutant.also or mutant.maybe or mutant.dies):
        raise HarnessError(f"{where}: Says: is for cases, Also:, Maybe: and Then: are for what is booted")
    return mutant


def mutants(quick=False, only=()):
    found = [load(path) for path in sorted(FOLDER.glob("*.diff"))]
    if only:
        unknown = sorted(set(only) - {mutant.name for mutant in found})
        found = [mutant for mutant in found if mutant.name in only]
        if unknown:
            raise HarnessError(f"no such mutant: {', '.join(unknown)}")
    return [mutant for mutant in found if mutant.quick or not quick]


def scenario_for(mutant):
    """The named scenario, reduced to what can turn red; but with all suites where reports are provoked, whose order is known."""
    scenario = boot.load(mutant.scenario)
    suites = {case.partition(".")[0] for case in mutant.cases}
    if mutant.cases:
        scenario.run = [step for step in scenario.run if step.partition(":")[0] in suites]
        if {"rerun", "kmemleak"} & suites:
            pass    # only what has been known at boot can be run again, and only what was left can be lost
        elif suites == {step.partition(":")[0] for step in scenario.run}:
            scenario.kunit = ""
        elif len(suites) == 1 and not scenario.oopses:
            scenario.kunit = suites.pop()
    scenario.expect = []
    if scenario.emulator == "tcg":
        scenario.timeout = min(scenario.timeout, TIMEOUT)
    return scenario


def filter_of(scenario):
    """The name of a control: what its boot differs in from that of another one."""
    return f"{scenario.name}:{'+'.join([*scenario.kunit.split(), *scenario.run])}"


def config_of(mutant):
    return "debug" if mutant.scenario in UNBOOTED else boot.load(mutant.scenario).build


@dataclass
class Seen:
    """What came out of a boot."""
    cases: dict             # {"suite.case" as KUnit has it: entry of the report}
    other: list             # entries of the report that are no cases of the guest
    ended: bool             # by itself
    splats: list
    where: str              # the log


def full_name(item):
    """"suite.case" of an entry of the report, which may call the suite by a shorter name."""
    suite, _, case = item["case"].partition(".")
    if case and judge.report_name(suite, case) == (item["suite"], item["case"]):
        return item["case"]
    return f"{item['suite']}.{item['case']}"


def observe(scenario, objdir, initrd, tag):
    """Boot a kernel, mutated or not."""
    started = boot.Boot(scenario, objdir, initrd, tag, panic_on_warn=False)
    boot.wait(started)
    entries, text = judge.judge(started), started.log.read_text(errors="replace")
    other = [item for item in entries if item["suite"] == "selftests" and
             (item["case"] == "boot" or item["case"].startswith("expected:"))]
    return Seen({full_name(item): item for item in entries if item not in other}, other,
                started.ended == "exit" and "reboot: Power down" in text, judge.find_splats(text),
                f"log: {started.log.relative_to(ROOT)}")


def control_problem(seen, wanted):
    """"" when the unmutated kernel is green, and passes the cases @wanted that have to fail without that."""
    bad = [f"{item['case']}: {item['why']}" for item in [*seen.other, *seen.cases.values()] if item["status"] == "fail"]
    for case in wanted:
        status = seen.cases[case]["status"] if case in seen.cases else "missing"
        if status not in ("pass", "fail"):
            bad.append(f"{case} is {status}")
    return f"the unmutated kernel is not green: {'; '.join(bad)}; {seen.where}" if bad else ""


def verdict(mutant, seen, control):
    """"" when what the mutant names turned red, as it says, and nothing else did; else what happened instead."""
    wrong, used = [], set()
    if mutant.regex:
        if any(re.search(mutant.regex, line) for line in control.splats):
            wrong.append("the unmutated kernel has that report as well")
        elif not any(re.search(mutant.regex, line) for line in seen.splats):
            wrong.append("survives: no such report")
    first_lost = next((case for case in control.cases if case not in seen.cases), "")
    for case in mutant.cases:
        item = seen.cases.get(case, {"status": "missing"})
        if case == first_lost and mutant.dies and mutant.says:
            # The kernel has died of it.
            if not any(re.search(mutant.says, line) for line in seen.splats):
                wrong.append(f"{case}: the kernel dies of something else: {'; '.join(seen.splats[:1]) or 'nothing'}")
        elif item["status"] != "fail":
            wrong.append(f"survives: {case} is {item['status']}")
        elif not re.search(mutant.says, item["why"]):
            wrong.append(f"{case} fails for another reason: {item['why']}")
    lost = []
    for case, item in control.cases.items():
        if case in mutant.cases or item["status"] != "pass":
            continue
        if case not in seen.cases:
            lost.append(case)
        elif seen.cases[case]["status"] != "pass":
            globs = [glob for glob in [*mutant.also, *mutant.maybe] if fnmatch.fnmatchcase(case, glob)]
            used.update(globs)
            if not globs:
                wrong.append(f"{case} is {seen.cases[case]['status']} as well: {seen.cases[case]['why']}")
    idle = [glob for glob in mutant.also if glob not in used]
    if idle:
        wrong.append(f"Also: names what does not fail: {', '.join(idle)}")
    died = bool(lost) or not seen.ended
    if died and not mutant.dies:
        wrong.append(f"dies: {len(lost)} cases are missing" + (f", first {lost[0]}" if lost else ""))
    elif mutant.dies and not died:
        wrong.append("Then: says that the kernel dies, and it does not")
    return f"{'; '.join(wrong)}; {seen.where}" if wrong else ""


def try_entry(mutant, objdir):
    """Is it found in the machine code?"""
    objdirs = {"debug": objdir}
    entries = cr3.cr3_entries(objdirs) + entryset.entry_set_entries(objdirs) + transit.transit_entries(objdirs)
    found = [item["why"] for item in entries if item["status"] == "fail"]
    if any(re.search(mutant.regex, why) for why in found):
        return ""
    return f"the checks of entry code find only: {'; '.join(found) or 'nothing'}"


def objects_for(config, tree):
    """Give @tree the objects of build/src as that is now: only what a mutant touches is compiled, and what depends on that."""
    target = tree / f"o-{config}"
    built, copied = SOURCE / target.name / ".harness-built", target / ".harness-copied"
    if built.exists() and copied.exists() and copied.read_bytes() == built.read_bytes():
        return
    # Unmutated, and with the times that the files have in build/src: else make would take them for changed. Those that are
    # there already would keep their times.
    if tree.exists():
        shutil.rmtree(tree)
    series.patched_tree(tree, like=SOURCE)
    copy = target.with_name(f"{target.name}.copy")
    with locked(BUILD / f"lock-{SOURCE.name}-{config}"):
        run(["cp", "-a", "--reflink=auto", SOURCE / target.name, copy], log=LOGS / f"copy-{tree.name}-{config}.log",
            what=f"copy objects to {tree.name}")
    # The makefiles of objtool know the tree by its path. A new objtool would make every object anew.
    for path in (copy / "tools").rglob("*.cmd"):
        text = path.read_text()
        if f"{SOURCE}/" in text:
            replace_file(path, text.replace(f"{SOURCE}/", f"{tree}/"))
    (copy / ".harness-built").rename(copy / copied.name)
    copy.rename(target)


def written(path):
    """When a file was written; 0 if there is none."""
    return path.stat().st_mtime_ns if path.exists() else 0


def try_mutant(mutant, tree, initrds=None, control=None):
    """Build one mutant in @tree and look at it; "" when it turned red as it should, else what happened instead."""
    config = config_of(mutant)
    objects_for(config, tree)
    kernel, whose = (tree / f"o-{config}" / name for name in ("vmlinux", ".harness-mutant"))
    before = written(kernel)
    series.patched_tree(tree, extra=[mutant.path])
    log = LOGS / f"mutant-{mutant.name}-build.log"
    try:
        objdir = build.build(config, tree, ("bzImage",), log=log)
    except HarnessError as err:
        if mutant.scenario == "build" and re.search(mutant.regex, log.read_text(errors="replace")):
            return ""
        return f"does not build: {str(err).splitlines()[0]}; log: {log.relative_to(ROOT)}"
    if mutant.scenario == "build":
        return "the compiler accepts it"
    again = whose.exists() and whose.read_bytes() == mutant.path.read_bytes()
    if before and written(kernel) == before and not again:
        return "make has linked no new kernel, so this one is another mutant's"
    whose.write_bytes(mutant.path.read_bytes())
    if mutant.scenario == "entry":
        return try_entry(mutant, objdir)
    seen = observe(scenario_for(mutant), objdir, initrds[mutant.scenario], f"-mutant-{mutant.name}")
    return verdict(mutant, seen, control.result())


class TooLate(Exception):
    """There is no time left to begin with this one."""


def outcome(problem_of):
    """The status of what @problem_of says, and what it says."""
    try:
        problem = problem_of()
    except TooLate as err:
        return "skip", str(err)
    return ("fail" if problem else "pass"), problem


class Pipeline:
    """Two at a time: controls first, then mutants, those of one configuration and of the same files together."""

    def __init__(self, chosen, until=None):
        """@until: the time.monotonic() from which on no other boot or build begins."""
        self.mutants = sorted(chosen, key=self.order)
        self.until = until
        self.controls = {}          # {filter: (scenario, cases that must pass)}
        for mutant in self.mutants:
            if mutant.scenario not in UNBOOTED:
                scenario = scenario_for(mutant)
                self.controls.setdefault(filter_of(scenario), (scenario, []))[1].extend(mutant.cases)
        self.free = queue.SimpleQueue()
        for tree in TREES:
            self.free.put(tree)

    @staticmethod
    def order(mutant):
        slow = mutant.scenario.startswith("bochs")
        return config_of(mutant), not slow, [item.path for item in diff.parse(mutant.path.read_bytes())], mutant.name

    def prepare(self):
        """The unmutated kernels, and the initramfs of each scenario. Where KUnit is all that runs, it needs no modules."""
        ensure_base()
        series.patched_tree(SOURCE)
        self.objdirs = {config: build.build(config, SOURCE, ("bzImage", "modules"))
                        for config in dict.fromkeys(map(config_of, self.mutants))}
        self.initrds = {}
        for scenario, _ in self.controls.values():
            objdir, whole = self.objdirs[scenario.build], boot.load(scenario.name)
            if scenario.run:
                self.initrds[scenario.name] = guest.initramfs(scenario.build, SOURCE, objdir, whole)
            else:
                self.initrds.setdefault(scenario.name, guest.plain_initramfs(SOURCE, objdir, whole))

    def begin(self):
        if stopped():
            raise Stopped(stopped())
        if self.until is not None and time.monotonic() > self.until:
            raise TooLate("make test has no time left for it on this machine; make mutants tries them all")

    def control(self, name):
        self.begin()
        scenario, _ = self.controls[name]
        tag = "-control-" + re.sub(r"[^\w.-]+", "-", name)
        return observe(scenario, self.objdirs[scenario.build], self.initrds[scenario.name], tag)

    def mutant(self, mutant, control):
        tree = self.free.get()
        try:
            self.begin()
            return try_mutant(mutant, tree, self.initrds, control)
        except HarnessError as err:
            return str(err)
        finally:
            self.free.put(tree)

    def entries(self):
        self.prepare()
        entries = []
        pool = ThreadPoolExecutor(len(TREES))
        try:
            controls = {name: pool.submit(self.control, name) for name in self.controls}
            jobs = [pool.submit(self.mutant, mutant, None if mutant.scenario in UNBOOTED else
                                controls[filter_of(scenario_for(mutant))]) for mutant in self.mutants]
            for name, job in controls.items():
                scenario, wanted = self.controls[name]
                status, problem = outcome(lambda: control_problem(job.result(), dict.fromkeys(wanted)))
                entries.append(entry(scenario.name, scenario.emulator, "mutants", f"control:{name}", status, problem))
                say(f"  control {name}: {problem or 'green'}")
            for mutant, job in zip(self.mutants, jobs):
                status, problem = outcome(job.result)
                entries.append(entry(mutant.scenario, "none", "mutants", mutant.name, status, problem))
                say(f"  mutant {mutant.name}: {problem or 'turned red: ' + (', '.join(mutant.cases) or mutant.regex)}")
        finally:
            pool.shutdown(cancel_futures=True)
        return entries


def mutant_entries(quick=False, only=(), until=None):
    """One entry for each mutant and each control; skipped where it could not begin before @until."""
    chosen = mutants(quick, only)
    return Pipeline(chosen, until).entries() if chosen else []


def cmd_mutants(args):
    """make mutants [ONLY="name..."]"""
    entries = mutant_entries(only=" ".join(args).split())
    if not entries:
        say("there is no mutant in harness/mutants")
    report.show_failures(entries)
    say(report.closing_line(entries))
    return 1 if any(item["status"] == "fail" for item in entries) else 0
