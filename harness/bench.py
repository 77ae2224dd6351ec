# SPDX-License-Identifier: GPL-2.0
"""make bench: what the base and the patched kernel execute, counted from outside the guest.

QEMU runs with the plugin of harness/plugin, which counts what a CPU executes between two marker NOPs.
The guest runs the rows (guest/bench_run.c, guest/mod/bench.c) and prints what only it knows. Both are
joined here, printed as a table, judged by BARS and written to out/bench.json. No time is ever used.
"""

import hashlib
import json
import re
import time
from dataclasses import dataclass

from . import boot, build, guest, report, series
from .common import (BUILD, LOGS, OUT, PACKAGES, ROOT, TEST_PACKAGES, HarnessError, need, replace_file, run, say,
                     tail)
from .judge import find_splats

PLUGIN = ROOT / "harness" / "plugin"
MARKERS = ROOT / "harness" / "guest" / "marker.h"
CONFIG = "release"
MIN_SAMPLES = 1000
# Rounds that nothing has interrupted: a timer hits most of the long ones on a slow host.
MIN_UNDISTURBED = 100


@dataclass(frozen=True)
class Machine:
    """A boot of each kernel, and the rows it is for (none: all that the kernel has)."""
    emulator: str
    cpus: int
    pti: str
    rows: tuple = ()
    cpu: str = "max,la57=off"
    cmdline: str = ""
    memory: str = "512M"
    asi: str = "off"        # of the patched kernel; the base ignores it

    def label(self):
        return f"{self.emulator}-{self.cpus}cpu-pti-{self.pti}-asi-{self.asi}"

    def title(self):
        return f"{self.emulator}, {self.cpus} CPU{'s' * (self.cpus > 1)}, pti={self.pti}, asi={self.asi}"

    def columns(self):
        return {"machine": self.label(), "emulator": self.emulator, "cpus": self.cpus, "pti": self.pti, "asi": self.asi}


SWITCHES = ("text_poke_1", "temp_mm_switch", "temp_mm_write_8")
WRITES = ("wr_assign_8", "wr_assign_static_8", "set_memory_pair")
DOMAINS = ("asi_enter_exit", "irq_outside", "irq_in_domain", "switch_outside", "switch_in_domain", "asi_create",
           "asi_map_2M", "asi_map_2M_vmalloc")
# 100,000 pieces of vmalloc() are 400 MB.
ONE = Machine("tcg", 1, "off", memory="1G")
PTI = Machine("tcg", 1, "on", ("getppid", "irq_outside", *SWITCHES, *WRITES))
# Domains, with nothing in one while other rows run.
ASI = Machine("tcg", 1, "off", ("getppid", *SWITCHES, *WRITES, *DOMAINS), asi="on")
PTI_ASI = Machine("tcg", 1, "on", ("getppid", *DOMAINS), asi="on")
TWO = Machine("tcg", 2, "off", (*SWITCHES, *WRITES, "vmap_store", "wr_block_first"))
FOUR = Machine("tcg", 4, "off", WRITES)
# The only ones with PCID and INVPCID. They have no plugins, but their TSC counts instructions.
# As in scenarios/bochs-skylake.ini, without the XSAVE formats that Bochs gets wrong.
BOCHS = Machine("bochs", 1, "on",
                ("getppid", *SWITCHES, *WRITES, "text_poke_1_kthread", "temp_mm_switch_kthread"),
                "corei7_skylake_x", "noxsaves clearcpuid=xsavec,ht")
BOCHS_ASI = Machine("bochs", 1, "on", ("getppid", *DOMAINS), "corei7_skylake_x", "noxsaves clearcpuid=xsavec,ht", asi="on")
MACHINES = (ONE, PTI, ASI, PTI_ASI, TWO, FOUR, BOCHS, BOCHS_ASI)


@dataclass(frozen=True)
class Bar:
    """What a patched row has to reach on each of @machines: @column @op @limit, times the same column of row @of."""
    bench: str
    column: str
    op: str                 # "<=" or "=="
    limit: float
    machines: tuple
    of: str = ""            # another row, on the same machine; none: @limit is a number by itself
    kernel: str = "base"    # which kernel's row that is
    at: Machine | None = None   # of that machine instead
    plus: int = 0           # so much more
    least: int = 1          # a count below this is no count: 0 only where nothing may happen

    def text(self):
        if not self.of:
            return f"{self.column} {self.op} {self.limit:.10g}"
        whose = "base's " if self.kernel == "base" else ""
        where = f" on {self.at.title()}" if self.at else ""
        more = f" + {self.plus}" if self.plus else ""
        return f"{self.column} {self.op} {self.limit:g} x {whose}{self.of}{where}{more}"

    def met(self, value, other):
        """Does @value reach the bar? @other is the value of the row it is compared with, None without one."""
        limit = self.limit
        if self.of:
            if other is None:
                return False
            limit = limit * other + self.plus
        return self.least <= value and (value == limit if self.op == "==" else value <= limit)


# Where the rows of SWITCHES, WRITES and DOMAINS are judged: on the exact counts of the plugin.
ON_SWITCHES = (ONE, PTI, ASI, TWO)
ON_WRITES = (ONE, PTI, ASI, TWO, FOUR)
ON_DOMAINS = (ASI, PTI_ASI)

BARS = (
    Bar("text_poke_1", "instructions_median", "<=", 1.05, ON_SWITCHES, "text_poke_1"),
    Bar("text_poke_1", "cr3_writes", "<=", 1, ON_SWITCHES, "text_poke_1"),
    Bar("text_poke_1", "ipis", "<=", 1, ON_SWITCHES, "text_poke_1", least=0),
    Bar("temp_mm_switch", "cr3_writes", "==", 2, ON_SWITCHES),
    Bar("temp_mm_write_8", "instructions_median", "<=", 1, ON_SWITCHES, "text_poke_1"),
    # A static key or an alternative that is off is a NOP, and counted apart.
    Bar("getppid", "work_median", "==", 1, (ONE, PTI, ASI, PTI_ASI), "getppid"),
    Bar("getppid", "cr3_writes", "==", 1, (ONE, PTI, ASI, PTI_ASI), "getppid", least=0),
    Bar("temp_mm_percpu_bytes", "bytes", "<=", 40960, (ONE,)),
    Bar("wr_assign_8", "cr3_writes", "==", 2, ON_WRITES),
    Bar("wr_assign_8", "ipis", "==", 0, ON_WRITES, least=0),
    Bar("wr_assign_8", "instructions_median", "<=", 220, ON_WRITES),
    Bar("wr_assign_8", "instructions_median", "==", 1, (TWO, FOUR), "wr_assign_8", "patched", at=ONE),
    Bar("wr_assign_8", "instructions_median", "<=", 1 / 20, ON_WRITES, "set_memory_pair", "patched"),
    Bar("wr_batch_16", "instructions_median", "<=", 2, (ONE,), "wr_assign_8", "patched"),
    Bar("wr_cache_alloc_64", "instructions_median", "<=", 480, (ONE,)),
    Bar("wr_cache_free_64", "instructions_median", "<=", 480, (ONE,)),
    Bar("wr_cache_alloc_64", "cr3_writes", "<=", 2, (ONE,)),
    Bar("wr_cache_free_64", "cr3_writes", "<=", 2, (ONE,)),
    Bar("prlist_add", "cr3_writes", "==", 2, (ONE,)),
    Bar("prlist_add_rcu", "cr3_writes", "==", 2, (ONE,)),
    Bar("pratomic_inc", "cr3_writes", "==", 2, (ONE,)),
    Bar("pratomic_inc", "instructions_median", "<=", 1.1, (ONE,), "wr_assign_8", "patched"),
    Bar("footprint_100k_64", "bytes", "<=", 6800000, (ONE,)),
    Bar("footprint_100k_64", "splits", "==", 0, (ONE,), least=0),
    Bar("read_list_1000", "instructions_median", "==", 1, (ONE,), "read_list_1000_plain", "patched"),
    Bar("ima_measure", "instructions_median", "<=", 1.1, (ONE,), "ima_measure"),
    Bar("ima_measure", "cr3_writes", "<=", 2, (ONE,)),
    # Each copies to or from user memory once. Hardened usercopy, which looks for protected memory among other
    # things, keeps a name on its stack for that, and so has a canary: 10 instructions in __check_object_size().
    # In ima_add_template_entry(), which the series edits, the way of an entry that is there already is 8 shorter.
    Bar("ima_lookup", "work_median", "==", 1, (ONE,), "ima_lookup", plus=10),
    Bar("ima_lookup_table", "work_median", "==", 1, (ONE,), "ima_lookup_table", plus=10 - 8),
    Bar("ima_read_list", "work_median", "==", 1, (ONE,), "ima_read_list", plus=10),
    Bar("ima_read_list_binary", "work_median", "==", 1, (ONE,), "ima_read_list_binary", plus=10),
    Bar("ima_footprint_10k", "bytes", "<=", 1.15, (ONE,), "ima_footprint_10k"),
    Bar("asi_enter_exit", "cr3_writes", "==", 2, ON_DOMAINS),
    # With PCID the way is a little longer, and only the first time flushes.
    Bar("asi_enter_exit", "instructions_median", "<=", 150, (*ON_DOMAINS, BOCHS_ASI)),
    Bar("asi_enter_exit", "flushes", "<=", 1, (BOCHS_ASI,)),
    Bar("irq_in_domain", "instructions_median", "<=", 1, (*ON_DOMAINS, BOCHS_ASI), "irq_outside", "patched", plus=100),
    Bar("irq_in_domain", "cr3_writes", "<=", 1, ON_DOMAINS, "irq_outside", "patched", plus=2),
    Bar("irq_outside", "work_median", "==", 1, (ONE, PTI), "irq_outside"),
)

# What a row has from the guest.
SAID = ("ipis", "bytes", "splits", "flushes")

# Known counts. A row that reads anything else means that no other row can be trusted.
SELFTESTS = {
    "empty": {"instructions_min": 0, "instructions_median": 0, "cr3_writes": 0, "invlpg": 0},
    "selftest_100_nops": {"instructions_min": 100, "instructions_median": 100, "nops": 100, "cr3_writes": 0, "invlpg": 0},
    "selftest_kernel": {"instructions_min": 6, "instructions_median": 6, "cr3_writes": 2, "invlpg": 1},
    "selftest_irqs_off": {"instructions_min": 102, "instructions_median": 102, "nops": 100, "irqs_off_max": 101},
    "selftest_memory": {"bytes": 1000 * 4096},
}


def build_plugin():
    """Compile and check the plugin; returns the shared object."""
    directory = BUILD / "plugin"
    directory.mkdir(parents=True, exist_ok=True)
    target, made_of = directory / "count.so", directory / "made-of"
    flags = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror"]
    # By content: a time stamp says nothing about a file that was put back, or copied.
    sources = "".join(f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n"
                      for path in sorted([*PLUGIN.iterdir(), MARKERS]))
    state = f"{version('gcc')} {' '.join(flags)}\n{sources}"
    if target.exists() and made_of.exists() and made_of.read_text() == state:
        return target
    made_of.unlink(missing_ok=True)
    test = directory / "decode_test"
    run(["gcc", *flags, "-o", test, PLUGIN / "decode_test.c"], log=LOGS / "plugin-test.log",
        what="compile the plugin's test")
    run([test], log=LOGS / "plugin-test.log", what="the plugin's test")
    run(["gcc", *flags, "-fPIC", "-shared", "-pthread", "-o", target, PLUGIN / "count.c"],
        log=LOGS / "plugin.log", what="compile the counting plugin")
    replace_file(made_of, state)
    return target


def bench_numbers():
    """{number: name, in small letters} of the benches, from the enum that guest and plugin share."""
    body = re.search(r"enum bench_nr \{(.*?)\}", MARKERS.read_text(), re.S)[1]
    return {str(number): name.lower() for number, name in enumerate(re.findall(r"\bNR_(\w+)", body))}


def parse_results(text, steps=1):
    """{row: {key: number}} of the lines that @steps programs print; None if one did not come to its end."""
    rows, done = {}, 0
    for line in re.findall(r"^\s*(bench: .*\S)", text, re.M):
        # Nothing that is counted is less than nothing.
        match = re.fullmatch(r"bench: (\w+)((?: \w+ \d+)*)", line)
        if not match or match[1] in rows:
            raise HarnessError(f"the guest says: {line}")
        words = match[2].split()
        if match[1] == "done":
            done += 1
        else:
            rows[match[1]] = {key: int(value) for key, value in zip(words[::2], words[1::2])}
    return rows if done == steps else None


def check_plugin(text):
    """End the run in one line if it is QEMU that does not want the plugin."""
    refused = re.search(r"[Cc]ould not load plugin [^\n]*", text)
    if refused:
        raise HarnessError("this QEMU does not take the plugin that counts instructions, which is written for the interface of "
                           f"Debian 12's qemu-system-x86: {refused[0]}")


def boot_once(kernel, machine, objdir, initrd, plugin):
    """Boot one kernel; returns (what the plugin counted, what the guest said)."""
    label = f"bench-{kernel}-{machine.label()}"
    steps = ["bench_run:" + "+".join(machine.rows)] if machine.rows else ["bench_run", "bench_ima"]
    scenario = boot.Scenario(label, build=CONFIG, emulator=machine.emulator, cpu=machine.cpu, smp=machine.cpus,
                             cmdline=f"pti={machine.pti} asi={machine.asi} {machine.cmdline}".strip(), run=steps, timeout=300,
                             memory=machine.memory)
    results, counts, log = (LOGS / f"boot-{label}{end}" for end in (".results", ".counts", ".log"))
    counts.unlink(missing_ok=True)
    results.unlink(missing_ok=True)
    if machine.emulator == "tcg":
        command = boot.qemu_command(objdir / "arch/x86/boot/bzImage", initrd, boot.kernel_cmdline(scenario),
                                    machine.cpu, machine.cpus, machine.memory, results=results,
                                    extra=("-plugin", f"{plugin},out={counts}"))
        try:
            run(command, log=log, what=f"boot {label}", timeout=scenario.timeout, detail=boot.last_line)
        except HarnessError:
            check_plugin(log.read_text(errors="replace"))
            raise
    else:
        running = boot.Boot(scenario, objdir, initrd)
        try:
            while not running.poll():
                time.sleep(0.1)
        finally:
            running.stop()
    splats = find_splats(log.read_text(errors="replace"))
    why, said = splats[0] if splats else "", None
    try:
        said = parse_results(results.read_text(errors="replace"), len(steps)) if results.exists() else None
    except HarnessError as err:
        why = why or str(err)
    if said is None:
        why = why or "the guest did not come to its end"
    elif machine.emulator == "tcg" and not counts.exists():
        why = why or "the plugin has written nothing"
    if why:
        raise HarnessError(f"boot {label}: {why}\n  log: {log}\n  results: {results}\n{tail(results)}\n{tail(log)}")
    return json.loads(counts.read_text()) if counts.exists() else {}, said


def check_selftests(kernel, machine, rows):
    """End the run if a known count is missing or wrong."""
    for name, known in SELFTESTS.items():
        # Memory is counted where all rows are.
        if machine.rows and "bytes" in known:
            continue
        found = next((row for row in rows if row["bench"] == name), {})
        if {key: found.get(key) for key in known} != known:
            raise HarnessError(f"{name}, {kernel} kernel, {machine.title()}: this must be {known}, but is {found}")


def check_rounds(name, kernel, machine, rounds, said, interrupted=0):
    """End the run if a row has too few rounds to have a median, or not those that the guest has run."""
    if rounds < MIN_SAMPLES or rounds != said or rounds - interrupted < MIN_UNDISTURBED:
        raise HarnessError(f"{name}, {kernel} kernel, {machine.title()}: {rounds} rounds, {interrupted} of them interrupted, "
                           f"the guest says {said}; at least {MIN_SAMPLES} are wanted, {MIN_UNDISTURBED} of them undisturbed")


def counted_rows(kernel, machine, counts, said):
    """Rows of out/bench.json of a boot of QEMU, from the plugin's counts and the guest's words."""
    names = bench_numbers()
    counted = {names[number]: value for number, value in counts.items()}
    rows = []
    for name, words in said.items():
        row = {"bench": name, "kernel": kernel, **machine.columns()}
        if name.lower() in counted:
            count = counted.pop(name.lower())
            if count["torn"]:
                raise HarnessError(f"{name}, {kernel} kernel, {machine.title()}: "
                                   f"{count['torn']} markers without their partner on the same CPU")
            check_rounds(name, kernel, machine, count["rounds"], words["rounds"], count["interrupted"])
            median = dict(count["median"])
            row.update(samples=count["rounds"], interrupted=count["interrupted"], instructions_min=count["min"]["instructions"],
                       instructions_median=median.pop("instructions"), instructions_max=count["max"]["instructions"],
                       **median)
            # A NOP costs next to nothing, and is what is left of what is turned off.
            row["work_median"] = row["instructions_median"] - row["nops"]
        row.update({key: words[key] for key in SAID if key in words})
        rows.append(row)
    if counted:
        raise HarnessError(f"{kernel} kernel: counted, but not reported by the guest: {', '.join(counted)}")
    check_selftests(kernel, machine, rows)
    return rows


def stamped_rows(kernel, machine, said):
    """Rows of a boot of Bochs, from the guest's time stamps less what reading them costs."""
    # A row of the kernel has its stamps at the markers, one of user space has a call in between.
    kernel_cost = said["empty"]
    user_cost = {key: value - 100 for key, value in said["selftest_100_nops"].items()}
    rows = []
    for name, words in said.items():
        row = {"bench": name, "kernel": kernel, **machine.columns()}
        cost = user_cost if name in ("getppid", "selftest_100_nops") else kernel_cost
        if "tsc_min" in words:
            check_rounds(name, kernel, machine, words["rounds"], words["rounds"])
            row.update(samples=words["rounds"], instructions_min=words["tsc_min"] - cost["tsc_min"],
                       instructions_median=words["tsc_median"] - cost["tsc_median"],
                       instructions_max=words["tsc_max"] - cost["tsc_median"])
        row.update({key: words[key] for key in SAID if key in words})
        rows.append(row)
    return rows


def find(rows, bench, kernel, machine):
    """The row of @bench and @kernel on @machine."""
    for row in rows:
        if (row["bench"], row["kernel"], row["machine"]) == (bench, kernel, machine.label()):
            return row
    return None


def judge(rows):
    """[(bar, machine, patched row or None, met)], for each bar and each of its machines; without a row it is missed."""
    verdicts = []
    for bar in BARS:
        for machine in bar.machines:
            row = find(rows, bar.bench, "patched", machine)
            other = find(rows, bar.of, bar.kernel, bar.at or machine) if bar.of else None
            met = row is not None and bar.column in row and bar.met(row[bar.column], other and other.get(bar.column))
            verdicts.append((bar, machine, row, met))
    return verdicts


def spread(row):
    """The least and the most of a row, where they are more than 1 % apart."""
    low, high = row.get("instructions_min", 0), row.get("instructions_max", 0)
    return f"{low}..{high}" if high - low > 0.01 * low else ""


def figures(row):
    """Instructions (or bytes), their spread, CR3 writes, INVLPG and IPIs of a row, as columns of the table."""
    if row is None:
        return ["-", "", "", "", ""]
    main = f"{row['bytes']} B" if "bytes" in row else str(row["instructions_median"])
    return [main, spread(row), *(str(row.get(key, "")) for key in ("cr3_writes", "invlpg", "ipis"))]


def table(rows, verdicts):
    """The lines to print: for each machine each bench, base beside patched."""
    counts = ("spread", "cr3", "invlpg", "ipis")
    lines = [["", "base", *counts, "patched", *counts, "irqs off", "ratio", "bar"]]
    for machine in MACHINES:
        here = [row for row in rows if row["machine"] == machine.label()]
        names = list(dict.fromkeys(row["bench"] for row in here if row["bench"] not in SELFTESTS))
        if names:
            lines.append([machine.title()])
        for name in names:
            base, patched = (find(here, name, kernel, machine) for kernel in ("base", "patched"))
            ratio = ""
            if base and patched and base.get("instructions_median"):
                ratio = f"{patched['instructions_median'] / base['instructions_median']:.2f}"
            # The longest run of instructions with interrupts off, where there is one.
            irqs_off = str(patched and patched.get("irqs_off_max") or "")
            bars = [met for _, _, row, met in verdicts if row is not None and row is patched]
            verdict = ("met" if all(bars) else "MISSED") if bars else ""
            lines.append(["  " + name, *figures(base), *figures(patched), irqs_off, ratio, verdict])
    widths = [max(len(line[column]) for line in lines if len(line) > 1) for column in range(len(lines[0]))]
    return ["  ".join(cell.ljust(width) if column == 0 else cell.rjust(width)
                      for column, (cell, width) in enumerate(zip(line, widths))).rstrip() for line in lines]


def bar_entry(bar, machine, row, met):
    """A verdict as it stands in out/bench.json."""
    return {"bench": bar.bench, "bar": bar.text(), "met": met, **machine.columns(), "value": row and row.get(bar.column)}


def version(*command):
    """The first line that a tool prints about itself."""
    return run([*command, "--version"]).splitlines()[0]


def measure(trees, plugin):
    """Rows of out/bench.json of all machines. @trees: {kernel: tree}."""
    rows = []
    for kernel, tree in trees.items():
        objdir = build.build(CONFIG, tree, ("bzImage", "modules"))
        initrd = guest.initramfs(CONFIG, tree, objdir)
        for machine in MACHINES:
            counts, said = boot_once(kernel, machine, objdir, initrd, plugin)
            if machine.emulator == "tcg":
                rows += counted_rows(kernel, machine, counts, said)
            else:
                rows += stamped_rows(kernel, machine, said)
    return rows


def cmd_bench(_argv):
    """make bench"""
    if not boot.accelerator().startswith("tcg"):
        raise HarnessError("make bench counts in QEMU's TCG: unset ACCEL")
    need({**PACKAGES, **TEST_PACKAGES})
    plugin = build_plugin()
    target = OUT / "bench.json"
    # What an earlier run has left is no result of this one.
    target.unlink(missing_ok=True)
    trees = {"base": BUILD / "base", "patched": BUILD / "src"}
    series.patched_tree(trees["base"], upto="")
    series.patched_tree(trees["patched"])
    rows = measure(trees, plugin)
    verdicts = judge(rows)
    meta = {
        "unit": "instructions executed by one CPU, counted from outside the guest; counters are the median round's",
        "interrupted": "rounds that were, and that are no part of minimum, median and maximum, but with bochs",
        "irqs_off_max": "the longest run of instructions from a CLI up to the next STI",
        "splits": "2 MiB leaves of the direct map that became 4 KiB leaves, in all rounds together",
        "work_median": "instructions that are no NOPs",
        "flushes": "loads of a domain's page table, in all rounds together, that flushed what the TLB had of it",
        "sources": report.sources(), "config": CONFIG, "compiler": version("gcc"), "emulator": version("qemu-system-x86_64"),
        "bars": [bar_entry(*verdict) for verdict in verdicts],
    }
    OUT.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps({"meta": meta, "rows": rows}, indent=1) + "\n")

    say("Instructions that one CPU executes, median of the rounds; base and patched kernel built alike.")
    for line in table(rows, verdicts):
        say(line)
    missed = 0
    for bar, machine, row, met in verdicts:
        if not met:
            missed += 1
            say(f"missed: {bar.bench}: {bar.text()}; {machine.title()}: "
                f"{f'it is {row.get(bar.column)}' if row else 'no such row'}")
    say(f"{len(verdicts) - missed} bars met, {missed} missed; {target.relative_to(ROOT)}")
    return 1 if missed else 0
