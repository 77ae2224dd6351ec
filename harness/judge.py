# SPDX-License-Identifier: GPL-2.0
"""Judges what came out of a boot: the cases in its logs, what is missing there, and what must not be there."""

import functools
import importlib
import os
import re
import sys
import threading
from pathlib import Path

from . import expected, stale
from .base import ensure_base
from .common import LOGS, ROOT, HarnessError, tail
from .expected import Group
from .report import entry

SCENARIOS = ROOT / "harness" / "scenarios"
# What the report calls a suite, by the KUnit suite or the guest's step, or by its first word; all others
# are "selftests".
SUITES = {
    "temp_mm": "temp_mm", "temp_mm_x86": "temp_mm", "splat_temp_mm": "temp_mm",
    "pg_table": "pg_table", "prmem": "prmem", "ima": "ima", "asi": "asi", "demo": "demo",
    "lkdtm": "prmem", "splat_prmem": "prmem", "splat_asi_event": "asi", "splat_asi": "asi",
    "memory_asi": "asi", "memory_pg_table": "pg_table", "memory_prmem": "prmem",
}
PARSING = threading.Lock()
TIMESTAMP = re.compile(r"^\[ *\d+\.\d+\] ")
HEADER_ENDS = re.compile(r"# Subtest:|1\.\.\d|(not )?ok ")
# The harness and the kernel write down the command line, which has the names of all that is looked for.
COMMAND_LINE = re.compile(r"^\$ |^(\[ *\d+\.\d+\] )?((Kernel c|C)ommand line:|Unknown kernel command line parameters)")


def shown(path):
    """How a message calls a file."""
    return os.path.relpath(path, ROOT)


def check_regex(regex, where):
    """A rule that matches nothing at all matches each line: whoever wrote it meant something else."""
    try:
        if not regex.strip() or re.search(regex, ""):
            raise HarnessError(f"{where}: matches each line: {regex!r}")
    except re.error as err:
        raise HarnessError(f"{where}: {err}: {regex!r}") from err
    return regex


def counted(rule):
    """(number, regex) of a line of expect_splat: "3 x BUG: here" for so many lines of a log; without a number, None, for some."""
    match = re.fullmatch(r"(\d+) x (.*)", rule)
    return (int(match[1]), match[2]) if match else (None, rule)


def splat_rules():
    """([deny regexes], [allow regexes]); an allow line without a reason is an error."""
    lines = {name: [line for line in (SCENARIOS / f"splats.{name}").read_text().splitlines() if line and line[0] != "#"]
             for name in ("deny", "allow")}
    if not lines["deny"]:
        raise HarnessError("harness/scenarios/splats.deny is empty: no splat could be found")
    deny = [check_regex(line, "harness/scenarios/splats.deny") for line in lines["deny"]]
    allow = []
    for line in lines["allow"]:
        regex, _, reason = line.partition(" ## ")
        if not reason.strip():
            raise HarnessError(f"harness/scenarios/splats.allow: no reason given for: {line}")
        allow.append(check_regex(regex, "harness/scenarios/splats.allow"))
    return deny, allow


def kernel_lines(text):
    """The lines of a console that say more than what the command line was."""
    return [line for line in text.splitlines() if not COMMAND_LINE.search(line)]


def find_splats(text, allowed=()):
    """The lines of a log that must not be there. @allowed are regexes of reports that were provoked."""
    deny, allow = splat_rules()
    deny = [re.compile(regex) for regex in deny]
    allow = [re.compile(regex) for regex in [*allow, *allowed]]
    found = []
    for line in kernel_lines(text):
        # Names of test cases may speak of what they provoke; their verdict is parsed.
        if re.match(r"\s*((ok|not ok) \d+ |# )", TIMESTAMP.sub("", line)):
            continue
        if any(regex.search(line) for regex in deny) and not any(regex.search(line) for regex in allow):
            found.append(line.strip())
    return found


def find_oopses(text):
    """["what in which function"] of each oops, in their order: "Oops: 0003 in lkdtm_WRITE_RO"."""
    found, what = [], ""
    for line in kernel_lines(text):
        match = re.search(r"\bOops: (.*?) \[#\d+\]", line)
        if match:
            what = match[1]
            found.append(f"{what} in (nobody)")
        match = re.search(r"\bRIP: \w+:(\S+?)(\+|$)", line)
        if match and what:
            found[-1], what = f"{what} in {match[1]}", ""
    return found


def other_oopses(found, wanted):
    """"" if these are the oopses that were provoked, one by one, else where they part."""
    for number in range(max(len(found), len(wanted))):
        one, other = (which[number] if number < len(which) else "none" for which in (found, wanted))
        if one != other:
            return f"{len(found)} oopses, and {len(wanted)} were provoked; the first that differs, {number + 1}, is {one}, not {other}"
    return ""


@functools.cache
def kunit_parser():
    """The parser of the kernel's own kunit.py."""
    folder = str(ensure_base() / "tools/testing/kunit")
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    sys.path.insert(0, folder)
    try:
        module = importlib.import_module("kunit_parser")
    finally:
        sys.path.remove(folder)
        sys.dont_write_bytecode = before
    parse_result = module.parse_test_result

    def parse_test_result(lines, test, number):
        """It keeps of a skip that there was one; keep the reason as well."""
        match = module.TEST_RESULT_SKIP.match(lines.peek())
        test.reason = match[5].strip() if match else ""
        return parse_result(lines, test, number)

    module.parse_test_result = parse_test_result
    return module


def leaves(test, path=()):
    """(path of names, Test) of each case below @test."""
    for sub in test.subtests:
        if sub.subtests:
            yield from leaves(sub, (*path, sub.name))
        else:
            yield (*path, sub.name), sub


def whole_headers(lines):
    """@lines without what stands between "KTAP version" and the name or the plan that belongs right behind it.

    kunit.py takes a header apart that another line of the kernel has come into, as from the calibration of a clock.
    """
    kept, header = [], False
    for line in lines:
        text = TIMESTAMP.sub("", line).strip()
        if text.startswith("KTAP version"):
            header = True
        elif header and HEADER_ENDS.match(text):
            header = False
        elif header:
            continue
        kept.append(line)
    return kept


def parse_ktap(path, label):
    """([Group], [what is wrong with the KTAP itself]) as the kernel's own kunit.py sees the log."""
    told = LOGS / f"{label}.kunit"
    told.parent.mkdir(parents=True, exist_ok=True)
    # The parser has one place for what it says, and mutants are judged by two threads.
    with PARSING, open(told, "w", encoding="utf-8") as out:
        parser = kunit_parser()
        parser.stdout = type(parser.stdout)(out)
        try:
            main = parser.parse_run_tests(whole_headers(path.read_text(errors="backslashreplace").splitlines()))
        except ValueError as err:
            return [], [f"kunit.py cannot read {shown(path)}: {err}"]
    if not main.subtests:
        return [], [f"no test case in {shown(path)}"]
    groups, wrong = [], []
    for suite in main.subtests:
        cases = list(leaves(suite))
        if not cases:
            # What is left of a suite that broke off, or a line of a verdict and nothing else.
            wrong.append(f"suite {suite.name or '(none)'} in {shown(path)}: {suite.status.name.lower()}")
            continue
        group = Group(suite.name)
        for names, test in cases:
            if not all(names):
                # What is left of a case that broke off: one of the errors below.
                continue
            status = {"SUCCESS": "pass", "SKIPPED": "skip"}.get(test.status.name, "fail")
            why = test.reason if status == "skip" else ""
            if status == "fail":
                why = " | ".join(line.strip() for line in test.log[-8:] if line.strip()) or test.status.name.lower()
            group.cases.append((".".join(names), status, why))
        groups.append(group)
        # What ends a suite, as an exit status, may go wrong when all cases are over.
        if suite.status.name not in ("SUCCESS", "SKIPPED") and all(status != "fail" for _, status, _ in group.cases):
            wrong.append(f"suite {suite.name} in {shown(path)} failed, though none of its cases did")
    # Where a suite has no plan, kunit.py finds the same error again and again.
    wrong = list(dict.fromkeys(wrong))
    if main.counts.errors:
        wrong.append(f"kunit.py finds {main.counts.errors} error(s) in {shown(path)}: see {shown(told)}")
    return groups, wrong


def report_name(suite, case):
    """(suite, case) in the report for a case of the guest."""
    # What is run again is of the suite that its cases are named after.
    named = case.partition("_test_")[0] if suite == "rerun" else suite
    known = SUITES.get(named) or SUITES.get(named.partition("_")[0], "selftests")
    return known, case if known == suite else f"{suite}.{case}"


def case_entries(scenario, groups, log):
    """Entries of the cases that were found in one log."""
    entries = []
    for group in groups:
        for case, status, why in group.cases:
            if status == "skip" and not why:
                status, why = "fail", "skipped without a reason"
            elif status == "fail":
                why += f"; log: {shown(log)}"
            entries.append(entry(scenario.name, scenario.emulator, *report_name(group.name, case), status, why))
    return entries


def read_logs(scenario, log, results, label):
    """(suites of KUnit, steps of the guest, what is wrong) in the two logs of a boot."""
    text = log.read_text(errors="replace")
    suites, steps, wrong = [], [], []
    if "reboot: Power down" not in text:
        wrong.append("did not reach power off")
    if scenario.kunit:
        suites, found = parse_ktap(log, label)
        wrong += found
    if scenario.run:
        steps, found = parse_ktap(results, f"{label}-steps")
        wrong += found
        if "# end of results" not in results.read_text(errors="replace"):
            wrong.append("the results of the guest are cut off")
    return suites, steps, wrong


def read_groups(scenario, log, results, label):
    """(suites, steps, "" or why the logs are not good for the list of cases)"""
    if not log.exists() or scenario.run and not results.exists():
        return None, None, "no log"
    suites, steps, wrong = read_logs(scenario, log, results, label)
    if not wrong and [group.name for group in steps] != [step.partition(":")[0] for step in scenario.run]:
        wrong = ["the log is of other steps"]
    return suites, steps, "; ".join(wrong)


def judge(boot, listed=None):
    """All report entries of a boot that is over."""
    scenario, text = boot.scenario, boot.log.read_text(errors="replace")
    problems = []
    said = kernel_lines(text)
    if boot.ended == "timeout":
        problems.append(f"no end after {scenario.timeout} s")
    elif boot.ended != "exit":
        problems.append(f"emulator ended with {boot.ended}" + (f": {said[-1].strip()}" if boot.ended.startswith("exit") and said else ""))
    if not any(TIMESTAMP.match(line) for line in said):
        problems.append("the kernel has printed nothing: either it did not start, or it has no driver for the serial console")
    if boot.trouble:
        problems.append(boot.trouble)
    provoked = [counted(rule) for rule in scenario.expect_splat]
    splats = find_splats(text, [*(regex for _, regex in provoked), *scenario.allow_splat])
    if splats:
        problems.append(f"{len(splats)} line(s) of trouble, first: {splats[0]}")
    if scenario.tlb == "report":
        found = stale.stale(Path(f"{boot.log}.bochs"), boot.objdir / "System.map")
        if found:
            problems.append(f"{len(found)} use(s) of stale translations, first: {found[0]}")
    other = other_oopses(find_oopses(text), scenario.oopses)
    if other:
        problems.append(other)
    for number, regex in [*((None, regex) for regex in scenario.expect), *provoked]:
        lines = sum(bool(re.search(regex, line)) for line in said)
        if not lines:
            problems.append(f"not in the log: {regex}")
        elif number not in (None, lines):
            problems.append(f"{lines} line(s) of the log, not {number}, match: {regex}")
    suites, steps, wrong = read_logs(scenario, boot.log, boot.results, f"boot-{boot.label}")
    problems += wrong
    different, missing = expected.differences(scenario, suites, steps, listed)
    if problems and missing:
        # They are missing because of what is said already.
        problems.append(f"{len(missing)} case(s) did not run, first: {missing[0]}")
    else:
        different += [(case, "did not run") for case in missing]
    why = "; ".join(problems) + f"; log: {shown(boot.log)}" if problems else ""
    entries = [entry(scenario.name, scenario.emulator, "selftests", "boot", "fail" if problems else "pass", why)]
    entries[0]["seconds"] = boot.seconds
    if problems:
        entries[0]["tail"] = tail(boot.log, 12)
    entries += case_entries(scenario, suites, boot.log) + case_entries(scenario, steps, boot.results)
    return entries + [entry(scenario.name, scenario.emulator, "selftests", f"expected:{case}", "fail",
                            f"{what}; if that is meant: make expected") for case, what in different]
