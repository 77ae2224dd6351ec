# SPDX-License-Identifier: GPL-2.0
"""Which cases run on which machine, and which of them are skipped there: harness/scenarios/expected.

The list is exact in both directions. A suite of KUnit or a step of the guest stands there once, with its
cases; that it runs on a machine follows from the scenario. A case passes wherever it runs, unless a line
below it says where it is skipped, with the very reason:

    suite NAME
        CASE
            skip MACHINE...: REASON     MACHINE is a scenario, or SCENARIO/rerun where the step rerun runs it
            nowhere: REASON             it passes on no machine of make test, and why that can't be helped

"make expected" writes it anew from the logs of the boots; what comes and goes is for the developer to review.
"""

import fnmatch
import itertools
import re
from collections import Counter
from dataclasses import dataclass, field

from . import model
from .common import LOGS, ROOT, HarnessError, natural, replace_file, say

LIST = ROOT / "harness" / "scenarios" / "expected"


@dataclass
class Case:
    """What is known of one case, beside that it is there."""
    skips: dict = field(default_factory=dict)       # machine: reason
    nowhere: str = ""


@dataclass
class Group:
    """What one log has of a suite of KUnit or of a step of the guest."""
    name: str
    cases: list = field(default_factory=list)       # of (name, "pass" or "fail" or "skip", why)


def one_glob(globs):
    """A glob that matches all that one of @globs does. The kernel takes only one, and knows no alternative.

    Of several it has the characters at each place that all have, so it can match more than they do together.
    """
    if len(globs) < 2:
        return "".join(globs)
    literal = [re.match(r"[^*?[]*", glob)[0] for glob in globs]
    places = (sorted(set(chars)) for chars in zip(*literal))
    return "".join(chars[0] if len(chars) == 1 else f"[{''.join(chars)}]" for chars in places) + "*"


def parse(text):
    """{"suite NAME" or "step NAME": {case: Case}}"""
    listed, cases, case = {}, None, None
    for number, line in enumerate(text.splitlines(), 1):
        body = line.strip()
        if not body or body[0] == "#":
            continue
        depth = len(line) - len(line.lstrip())
        if depth == 0 and body.split()[0] in ("suite", "step") and body not in listed:
            cases, case = listed.setdefault(body, {}), None
            continue
        if depth == 4 and cases is not None and body not in cases:
            case = cases.setdefault(body, Case())
            continue
        what, _, reason = body.partition(": ")
        if depth == 8 and case and reason and what == "nowhere" and not case.nowhere:
            case.nowhere = reason
            continue
        machines = what.split()[1:]
        if depth == 8 and case and reason and what.startswith("skip ") and machines and not case.skips.keys() & machines:
            case.skips.update({machine: reason for machine in machines})
            continue
        raise HarnessError(f"harness/scenarios/{LIST.name}:{number}: wrong, or there twice: {body}")
    return listed


def form(listed):
    """The text of the list, the same whatever order things were found in."""
    lines = ["# Which cases run, and where they are skipped: see harness/expected.py. Written by 'make expected'."]
    for key in sorted(listed, key=natural):
        lines += ["", key]
        for name in sorted(listed[key], key=natural):
            case = listed[key][name]
            lines.append(f"    {name}")
            by_reason = {}
            for machine, reason in case.skips.items():
                by_reason.setdefault(reason, []).append(machine)
            lines += [f"        skip {' '.join(sorted(by_reason[reason]))}: {reason}" for reason in sorted(by_reason)]
            if case.nowhere:
                lines.append(f"        nowhere: {case.nowhere}")
    return "\n".join(lines) + "\n"


def load():
    return parse(LIST.read_text()) if LIST.exists() else {}


def step_key(scenario, step):
    """(key, machine) of a step: numbers only say how long it takes, all else that it is another one."""
    name, *words = step.split(":")
    if name == "machine":
        return "step machine", scenario.name        # the same cases, whatever has to be there
    if name == "rerun":
        return "suite " + ":".join(words), f"{scenario.name}/rerun"
    return "step " + ":".join([name, *(word for word in words if not word.isdigit())]), scenario.name


def wanted(scenario, listed):
    """[(key, machine, name in the log)] of all that runs in @scenario."""
    glob = one_glob(scenario.kunit.split())
    suites = [key.partition(" ")[2] for key in listed if key.startswith("suite ")]
    found = [(f"suite {suite}", scenario.name, suite) for suite in suites if fnmatch.fnmatchcase(suite, glob)]
    return found + [(*step_key(scenario, step), step.partition(":")[0]) for step in scenario.run]


def pair(scenario, listed, suites, steps):
    """[(key, machine, name, found)]: each group that runs or should, with the cases that the logs have of it."""
    pairs, left = [], list(suites)
    want = wanted(scenario, listed)
    for key, machine, name in want[:len(want) - len(scenario.run)]:
        pairs.append((key, machine, name, [case for group in left if group.name == name for case in group.cases]))
        left = [group for group in left if group.name != name]
    pairs += [(f"suite {group.name}", scenario.name, group.name, group.cases) for group in left]
    # Steps run in the order of the scenario, and one of a name may be there several times.
    for plan, group in itertools.zip_longest(want[len(want) - len(scenario.run):], steps):
        same = plan and group and plan[2] == group.name
        if plan:
            pairs.append((*plan, group.cases if same else []))
        if group and not same:
            pairs.append((f"step {group.name}, which is not of the scenario", scenario.name, group.name, group.cases))
    return pairs


def differences(scenario, suites, steps, listed=None):
    """([(case, what is wrong)], [cases that did not run]) of one boot."""
    listed = load() if listed is None else listed
    wrong, missing = [], []
    for key, machine, name, found in pair(scenario, listed, suites, steps):
        cases = listed.get(key, {})
        for case, times in Counter(case for case, _, _ in found).items():
            if times > 1:
                wrong.append((f"{name}.{case}", f"is there {times} times"))
        for case, status, why in found:
            reason = cases[case].skips.get(machine) if case in cases else None
            if case not in cases:
                wrong.append((f"{name}.{case}", "is new"))
            elif status == "skip" and reason is None:
                wrong.append((f"{name}.{case}", f"must pass here, and is skipped: {why}"))
            elif status == "skip" and why != reason:
                wrong.append((f"{name}.{case}", f"is skipped for another reason: {why}, not: {reason}"))
            elif status == "pass" and reason is not None:
                wrong.append((f"{name}.{case}", f"passes, and should be skipped: {reason}"))
        missing += [f"{name}.{case}" for case in cases if case not in {case for case, _, _ in found}]
        if not cases and not found:
            missing.append(f"{name}.(any case)")
    return wrong, missing


def cases_of(text):
    """{suite: [case]} that a C file has for KUnit."""
    arrays = {name: re.findall(r"\bKUNIT_CASE\w*\((\w+)", body)
              for name, body in re.findall(r"struct kunit_case (\w+)\[\] = {(.*?)\n};", text, re.S)}
    found = {}
    for body in re.findall(r"struct kunit_suite \w+ = {(.*?)\n};", text, re.S):
        name, array = re.search(r'\.name = "([^"]*)"', body), re.search(r"\.test_cases = (\w+)", body)
        found[name[1]] = arrays[array[1]]
    return found


def unlisted(listed):
    """The cases of KUnit in our files that the list does not know, though they may never have run."""
    found = []
    for path in sorted(path for folder in model.KERNEL_FOLDERS for path in (ROOT / folder).rglob("*.c")):
        for suite, cases in cases_of(path.read_text()).items():
            # With parameters there are several of one name.
            known = {name.partition(".")[0] for name in listed.get(f"suite {suite}", {})}
            found += [f"{suite}.{case}: is in {path.relative_to(ROOT)}, but not in the list" for case in cases if case not in known]
    return found


def problems(listed, scenarios):
    """What is wrong with the list itself: each case passes on one of @scenarios that is no extra, or says why not."""
    runs = {key: set() for key in listed}       # the machines of each group
    found = []
    for scenario in scenarios:
        for key, machine, _ in wanted(scenario, listed):
            if key in listed:
                runs[key].add((machine, scenario.extra))
            else:
                found.append(f"{scenario.name} runs {key}, of which no case is listed")
        for glob in scenario.kunit.split():
            if not any(fnmatch.fnmatchcase(key, f"suite {glob}") for key in listed):
                found.append(f"{scenario.name} runs suites {glob}, and none is listed")
    for key, cases in listed.items():
        name = key.partition(" ")[2]
        if not cases:
            found.append(f"{key}: has no case")
        for case, known in cases.items():
            for machine in sorted(known.skips.keys() - {machine for machine, _ in runs[key]}):
                found.append(f"{name}.{case}: does not run on {machine}")
            passes = any(machine not in known.skips and extra != "yes" for machine, extra in runs[key])
            if not passes and not known.nowhere:
                found.append(f"{name}.{case}: passes on no machine of make test, and no reason is given (nowhere: ...)")
            if passes and known.nowhere:
                found.append(f"{name}.{case}: passes, though the list says it can't: {known.nowhere}")
    return found


def update(listed, boots):
    """The list as the logs have it. @boots: [(scenario, suites or None without a good log, steps, time of the log)]

    Which cases there are, the newest log of each group says; what is skipped on a machine, its own log.
    """
    newest, skips, planned = {}, {}, set()
    for scenario, suites, steps, when in boots:
        planned |= {key for key, _, _ in wanted(scenario, listed)}
        if suites is None:
            continue
        for key, machine, _, found in pair(scenario, listed, suites, steps):
            planned |= {key} if found else set()
            newest[key] = max(newest.get(key, (0, [])), (when, [case for case, _, _ in found]))
            skips[key, machine] = {case: why for case, status, why in found if status != "fail"}
    everything = {**listed, **{key: {} for key in newest}}
    runs = {(key, machine) for scenario, *_ in boots for key, machine, _ in wanted(scenario, everything)}
    usual = {name for scenario, *_ in boots if scenario.extra != "yes"
             for name in (scenario.name, f"{scenario.name}/rerun")}
    fresh = {}
    # What has never run, for a reason that the list has, is still there.
    planned |= {key for key, cases in listed.items() if any(case.nowhere for case in cases.values())}
    for key in planned & (listed.keys() | newest.keys()):
        old = listed.get(key, {})
        cases = newest[key][1] if key in newest else list(old)
        for case in cases:
            known = old.get(case, Case())
            kept = {machine: why for machine, why in known.skips.items()
                    if (key, machine) in runs and case not in skips.get((key, machine), {})}
            kept.update({machine: found[case] for (other, machine), found in skips.items()
                         if other == key and found.get(case)})
            passes = any(other == key and machine in usual and found.get(case) == ""
                         for (other, machine), found in skips.items())
            fresh.setdefault(key, {})[case] = Case(kept, "" if passes else known.nowhere)
    return fresh


def changes(old, new):
    """One line for each case that comes, goes or is skipped elsewhere."""
    lines = []
    for key in sorted(old.keys() | new.keys(), key=natural):
        before, after = old.get(key, {}), new.get(key, {})
        for case in sorted(before.keys() | after.keys(), key=natural):
            name = f"{key.partition(' ')[2]}.{case}"
            if (case in before) != (case in after):
                lines.append(f"{'+' if case in after else '-'} {name}")
            was, now = before.get(case, Case()).skips, after.get(case, Case()).skips
            for machine in sorted(was.keys() | now.keys()):
                if was.get(machine) != now.get(machine):
                    lines.append(f"  {name} on {machine}: " +
                                 (f"skipped: {now[machine]}" if machine in now else "is skipped no longer"))
    return lines


def machines():
    """All scenarios that are judged by the list: those with a file, and those of the comparison of IMA's lists."""
    from . import boot, ima
    return [*map(boot.load, boot.names()), *ima.scenarios()]


def cmd_expected(args):
    """make expected [ONLY=SCENARIO]: write the list anew from the logs in out/logs."""
    from . import judge
    only = args[0] if args and args[0] else ""
    boots = []
    for scenario in machines():
        log = LOGS / f"boot-{scenario.name}.log"
        suites = steps = None
        if not only or only == scenario.name:
            suites, steps, why = judge.read_groups(scenario, log, log.with_suffix(".results"), f"boot-{scenario.name}")
            if why:
                say(f"left as it is: {scenario.name}: {why}")
                suites = None
        boots.append((scenario, suites, steps, log.stat().st_mtime if suites is not None else 0))
    old = load()
    new = update(old, boots)
    for line in changes(old, new):
        say(line)
    replace_file(LIST, form(new))
    for line in unlisted(new) + problems(new, [scenario for scenario, *_ in boots]):
        say(f"to do: {line}")
    say(f"{LIST.relative_to(ROOT)}: {sum(map(len, new.values()))} cases; review the change with git diff")
    return 0
