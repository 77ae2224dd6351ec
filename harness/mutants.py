# SPDX-License-Identifier: GPL-2.0
"""Breaks the kernel on purpose, one defect at a time: each must turn the test red that it names.

A mutant is a file harness/mutants/NAME.diff against the composed tree, with a header:
    Why: what the defect is and why it matters
    Red: SCENARIO SUITE.CASE[, SUITE.CASE]   these cases (of a KUnit suite or a step of the guest) must
                                             fail, not merely the build or the boot
    Red: SCENARIO splat REGEX                or: the log must hold a report that matches
    Red: build REGEX                         or: the compiler must refuse it with such a message
    Red: entry REGEX                         or: the checks of entry code and CR3 must say that
    Quick: yes                               it runs in make test as well
"""

import re
from dataclasses import dataclass, field

from . import boot, build, cr3, entryset, guest, judge, report, series
from .common import BUILD, LOGS, ROOT, HarnessError, say
from .report import entry

FOLDER = ROOT / "harness" / "mutants"
TREE = BUILD / "mutant"
# In QEMU; a mutant may hang after the case has failed.
TIMEOUT = 150


@dataclass
class Mutant:
    name: str
    path: object
    why: str = ""
    scenario: str = ""      # or "build", or "entry"
    cases: list = field(default_factory=list)
    regex: str = ""
    quick: bool = False


def load(path):
    """Read the header of one mutant."""
    mutant = Mutant(path.stem, path)
    for line in path.read_text().splitlines():
        if line.startswith(("--- ", "diff ")):
            break
        key, _, value = line.partition(":")
        value = value.strip()
        if key == "Why":
            mutant.why = value
        elif key == "Quick":
            mutant.quick = value == "yes"
        elif key == "Red":
            words = value.split(None, 2)
            mutant.scenario = words[0] if words else ""
            if mutant.scenario in ("build", "entry"):
                mutant.regex = value[len(mutant.scenario):].strip()
            elif len(words) == 3 and words[1] == "splat":
                mutant.regex = words[2]
            else:
                mutant.cases = [case.strip() for case in value[len(mutant.scenario):].split(",") if case.strip()]
    if not mutant.why or not mutant.scenario or not (mutant.cases or mutant.regex):
        raise HarnessError(f"harness/mutants/{path.name}: the header needs Why: and Red: (see harness/mutants.py)")
    return mutant


def mutants(quick=False, only=None):
    found = [load(path) for path in sorted(FOLDER.glob("*.diff"))]
    if only:
        found = [mutant for mutant in found if mutant.name == only]
        if not found:
            raise HarnessError(f"no such mutant: {only}")
    return [mutant for mutant in found if mutant.quick or not quick]


def scenario_for(mutant):
    """The named scenario, reduced to what can turn red."""
    scenario = boot.load(mutant.scenario)
    suites = {case.partition(".")[0] for case in mutant.cases}
    if mutant.cases:
        scenario.run = [step for step in scenario.run if step.partition(":")[0] in suites]
        if len(scenario.run) == len(suites):
            scenario.kunit = ""
        elif len(suites) == 1:
            scenario.kunit = suites.pop()
    scenario.expect = []
    if scenario.emulator == "tcg":
        scenario.timeout = min(scenario.timeout, TIMEOUT)
    return scenario


def try_entry(mutant, objdir):
    """Is it found in the machine code?"""
    entries = cr3.cr3_entries({"debug": objdir}) + entryset.entry_set_entries({"debug": objdir})
    found = [item["why"] for item in entries if item["status"] == "fail"]
    if any(re.search(mutant.regex, why) for why in found):
        return ""
    return f"the checks of entry code find only: {'; '.join(found) or 'nothing'}"


def try_mutant(mutant):
    """Build and boot one mutant; returns "" when the right test turned red, else what happened instead."""
    series.patched_tree(TREE, extra=[mutant.path])
    log = LOGS / f"mutant-{mutant.name}-build.log"
    config = "debug" if mutant.scenario in ("build", "entry") else boot.load(mutant.scenario).build
    try:
        objdir = build.build(config, TREE, ("bzImage",), log=log)
    except HarnessError as err:
        if mutant.scenario == "build" and re.search(mutant.regex, log.read_text(errors="replace")):
            return ""
        return f"does not build: {str(err).splitlines()[0]}; log: {log.relative_to(ROOT)}"
    if mutant.scenario == "build":
        return "the compiler accepts it"
    if mutant.scenario == "entry":
        return try_entry(mutant, objdir)
    scenario = scenario_for(mutant)
    initrd = guest.plain_initramfs()
    run = boot.Boot(scenario, objdir, initrd, f"-mutant-{mutant.name}", panic_on_warn=False)
    boot.wait(run)
    entries = judge.judge(run)
    where = f"log: {run.log.relative_to(ROOT)}"
    if mutant.regex:
        found = judge.find_splats(run.log.read_text(errors="replace"))
        return "" if any(re.search(mutant.regex, line) for line in found) else f"no such report; {where}"
    status = {(item["suite"], item["case"]): item["status"] for item in entries}
    wrong = []
    for case in mutant.cases:
        suite, _, name = case.partition(".")
        found = status.get(judge.report_name(suite, name), "missing")
        if found != "fail":
            wrong.append(f"{case} is {found}")
    return f"survives: {', '.join(wrong)}; {where}" if wrong else ""


def mutant_entries(quick=False, only=None):
    entries = []
    for mutant in mutants(quick, only):
        problem = try_mutant(mutant)
        entries.append(entry(mutant.scenario, "none", "mutants", mutant.name, "fail" if problem else "pass", problem))
        red = ", ".join(mutant.cases) or mutant.regex
        say(f"  mutant {mutant.name}: {problem or 'turned red: ' + red}")
    return entries


def cmd_mutants(args):
    """make mutants [ONLY=name]"""
    entries = mutant_entries(only=args[0] if args and args[0] else None)
    if not entries:
        say("there is no mutant in harness/mutants")
    report.show_failures(entries)
    say(report.closing_line(entries))
    return 1 if any(item["status"] == "fail" for item in entries) else 0
