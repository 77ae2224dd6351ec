# SPDX-License-Identifier: GPL-2.0
"""IMA's measurement list of the base and of the patched kernel: the same calls, the same list, bit for bit."""

import os
import re

from . import boot, build, guest, judge, series
from .common import BUILD, ROOT
from .report import entry

CONFIG = "release"
KERNELS = {"base": BUILD / "base", "patched": BUILD / "src"}
STEPS = ["ima_files", "ima:list", "ima:evmctl"]


def scenario_for(kernel):
    """The machine, which is the same for both kernels; so is the initramfs, but for the kernel in its /boot."""
    return boot.Scenario(f"ima-{kernel}", build=CONFIG, smp=2, cmdline="ima_policy=tcb|critical_data", run=STEPS,
                         programs=["evmctl"], tpm="yes", kexec="yes", dump="yes", timeout=300)


def story_scenario(kernel):
    """The machine that the attack of the story is let loose on."""
    return boot.Scenario(f"ima-story-{kernel}", build=CONFIG, cmdline="ima_policy=tcb", run=["ima:story"],
                         programs=["evmctl"], tpm="yes")


def scenarios():
    """All machines of this file."""
    return [make(kernel) for make in (scenario_for, story_scenario) for kernel in KERNELS]


def digests(path):
    """{file of the list: digest} and {"entries": number}, as ima:list prints them."""
    return dict(re.findall(r"^\s*# list (\S+) (\S+)$", path.read_text(errors="replace"), re.M))


def around(text, column):
    """A few words of a line, which may be long, from shortly before @column."""
    begin = max(0, column - 40)
    return repr(("..." if begin else "") + text[begin:begin + 400].decode(errors="replace"))


def first_difference(one, other):
    """The number of the first line that differs in two dumps, and what both have there."""
    lines = [path.read_bytes().split(b"\n") for path in (one, other)]
    for number in range(max(map(len, lines))):
        left, right = (text[number] if number < len(text) else b"(no such line)" for text in lines)
        if left != right:
            column = len(os.path.commonprefix([left, right]))
            return f"line {number + 1}: base {around(left, column)}, patched {around(right, column)}"
    return "the dumps are equal"


def compare(boots):
    """One entry for each file of the list. Nothing is left out: with equal TPMs boot_aggregate is equal too."""
    found = {kernel: digests(run.results) for kernel, run in boots.items()}
    names = sorted({*found["base"], *found["patched"]})
    logs = " and ".join(str(run.dump.relative_to(ROOT)) for run in boots.values())
    if not names:
        return [entry("ima", "tcg", "ima", "same_list", "fail", f"no list in {logs}")]
    entries = []
    for name in names:
        base, patched = (found[kernel].get(name, "missing") for kernel in KERNELS)
        why = ""
        if base != patched or "missing" in (base, patched):
            where = first_difference(*(run.dump for run in boots.values()))
            why = f"base has {base}, patched has {patched}; {where}; lists: {logs}"
        entries.append(entry("ima", "tcg", "ima", f"same_list:{name}", "fail" if why else "pass", why))
    return entries


def ima_entries():
    """Boot both kernels with the same programs and a new TPM each; what they say, and whether it is the same."""
    series.patched_tree(KERNELS["base"], upto="")
    series.patched_tree(KERNELS["patched"])
    jobs = []
    for kernel, tree in KERNELS.items():
        objdir = build.build(CONFIG, tree, ("bzImage", "modules"))
        scenario = scenario_for(kernel)
        jobs.append((scenario, objdir, guest.plain_initramfs(tree, objdir, scenario)))
    boots = {}
    entries = boot.run_boots(jobs, finished=lambda run, found: boots.update({run.scenario.name: run}))
    return entries + compare({kernel: boots[f"ima-{kernel}"] for kernel in KERNELS}) + story_entries()


# The attack that "make run" tells about: what has to be said of the two kernels, in this order.
STORY_LINE = re.compile(r"^(?:\[ *\d+\.\d+\] )?story: (.*): (.*?)\r?$", re.M)
ATTACKS = 7
ATTACKED = {"base": "done", "patched": "page fault"}
LAST_WORD = {"base": "does NOT match the TPM", "patched": "matches the TPM"}


def story_boots():
    """Boot both kernels with a TPM each, and let the same attack loose on them; {kernel: Boot that is over}."""
    series.patched_tree(KERNELS["base"], upto="")
    series.patched_tree(KERNELS["patched"])
    jobs, boots = [], {}
    for kernel, tree in KERNELS.items():
        objdir = build.build(CONFIG, tree, ("bzImage", "modules"))
        scenario = story_scenario(kernel)
        jobs.append((scenario, objdir, guest.initramfs(CONFIG, tree, objdir, scenario)))
    boot.run_boots(jobs, finished=lambda run, _: boots.update({run.scenario.name: run}))
    return {kernel: boots[f"ima-story-{kernel}"] for kernel in KERNELS}


def story_lines(run):
    """[(what, what came of it)] in the order in which it happened."""
    return STORY_LINE.findall(run.log.read_text(errors="replace"))


def story_table(boots):
    """Both kernels side by side."""
    said = {kernel: dict(story_lines(run)) for kernel, run in boots.items()}
    rows = [("", "Linux 6.12", "with CONFIG_IMA_PRMEM")]
    for what, _ in story_lines(boots["base"]):
        rows.append((what, said["base"][what], said["patched"].get(what, "-")))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return ["   ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]


def story_problem(boots):
    """"" if the attack went as it must: it works on the base and is noticed there by evmctl alone."""
    for kernel, run in boots.items():
        failures = [item for item in judge.judge(run) if item["status"] == "fail"]
        if failures:
            return f"{kernel}: {failures[0]['why']}"
        lines = story_lines(run)
        attacks = [result for what, result in lines if what.startswith("attack")]
        if len(attacks) != ATTACKS or set(attacks) != {ATTACKED[kernel]}:
            return f"{kernel}: the attack must give {ATTACKED[kernel]!r} each time, but gave {attacks}"
        judged = [result for what, result in lines if "evmctl" in what]
        if judged != ["matches the TPM", LAST_WORD[kernel]]:
            return f"{kernel}: evmctl must say {LAST_WORD[kernel]!r} in the end, but the two times it was {judged}"
    return ""


def story_entries():
    """The story as a test."""
    boots = story_boots()
    problem = story_problem(boots)
    logs = " and ".join(str(run.log.relative_to(ROOT)) for run in boots.values())
    return [entry("ima", "tcg", "ima", "attack", "fail" if problem else "pass", problem and f"{problem}; logs: {logs}")]
