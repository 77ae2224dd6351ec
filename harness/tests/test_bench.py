# SPDX-License-Identifier: GPL-2.0
"""make bench without a kernel: joining, self-tests, bars and the table."""

import json
import os
import subprocess
import tempfile
import unittest
from collections import Counter
from pathlib import Path
from unittest import mock

from .. import bench
from ..common import ROOT, HarnessError

TCG = bench.ONE


def count(instructions, cr3_writes=0, invlpg=0, irqs_off=0, rounds=2000, torn=0, nops=0, most=None, interrupted=3):
    counts = {"instructions": instructions, "nops": nops, "cr3_writes": cr3_writes, "invlpg": invlpg, "invpcid": 0, "vmrun": 0,
              "irqs_off_max": irqs_off}
    return {"rounds": rounds, "torn": torn, "interrupted": interrupted, "min": dict(counts), "median": dict(counts),
            "max": {**counts, "instructions": most or instructions}}


def boot(sizes=None, **more):
    """What plugin and guest say of a boot, with the rows that test the counting and @more."""
    rows = {"empty": count(0), "selftest_100_nops": count(100, nops=100), "selftest_kernel": count(6, 2, 1),
            "selftest_irqs_off": count(102, irqs_off=101, nops=100), **more}
    numbers = {name: number for number, name in bench.bench_numbers().items()}
    said = {name: {"rounds": counts["rounds"], "ipis": 0} for name, counts in rows.items()}
    return {numbers[name]: value for name, value in rows.items()}, \
        {**said, "selftest_memory": {"bytes": 4096000}, **(sizes or {})}


def stamps(**more):
    """What the guest says of a boot of Bochs."""
    rows = {"empty": (40, 40, 90), "selftest_100_nops": (150, 150, 900), **more}
    return {name: {"rounds": 2000, "tsc_min": low, "tsc_median": median, "tsc_max": high}
            for name, (low, median, high) in rows.items()}


class Join(unittest.TestCase):
    def test_row(self):
        rows = bench.counted_rows("base", TCG, *boot(text_poke_1=count(789, 2, nops=9, most=5000)))
        self.assertEqual(next(row for row in rows if row["bench"] == "text_poke_1"), {
            "bench": "text_poke_1", "kernel": "base", "machine": "tcg-1cpu-pti-off-asi-off", "emulator": "tcg", "cpus": 1,
            "pti": "off", "asi": "off", "samples": 2000, "interrupted": 3, "instructions_min": 789,
            "instructions_median": 789, "instructions_max": 5000, "nops": 9, "work_median": 780, "cr3_writes": 2, "invlpg": 0,
            "invpcid": 0, "vmrun": 0, "irqs_off_max": 0, "ipis": 0})

    def test_wrong_count_of_a_selftest(self):
        for wrong in ({"selftest_100_nops": count(101, nops=100)}, {"selftest_100_nops": count(100, nops=99)},
                      {"selftest_kernel": count(6, 1, 1)}, {"empty": count(1)},
                      {"selftest_irqs_off": count(102, irqs_off=100, nops=100)}):
            with self.assertRaisesRegex(HarnessError, next(iter(wrong))):
                bench.counted_rows("base", TCG, *boot(**wrong))

    def test_wrong_count_of_memory(self):
        for pages in (0, 999, 1001, 2016):
            with self.assertRaisesRegex(HarnessError, "selftest_memory"):
                bench.counted_rows("base", TCG, *boot({"selftest_memory": {"bytes": 4096 * pages}}))

    def test_lost_selftest(self):
        for name in ("selftest_100_nops", "selftest_memory"):
            counts, said = boot()
            del said[name]
            with self.assertRaises(HarnessError):
                bench.counted_rows("base", TCG, counts, said)

    def test_memory_where_it_is_counted(self):
        counts, said = boot()
        del said["selftest_memory"]
        self.assertTrue(bench.counted_rows("base", bench.TWO, counts, said))

    def test_torn_or_too_few_rounds(self):
        for wrong in (count(789, torn=1), count(789, rounds=999), count(789, interrupted=1901)):
            with self.assertRaisesRegex(HarnessError, "text_poke_1"):
                bench.counted_rows("base", TCG, *boot(text_poke_1=wrong))

    def test_rounds_that_the_guest_has_not_run(self):
        counts, said = boot(text_poke_1=count(789))
        said["text_poke_1"]["rounds"] = 4000
        with self.assertRaisesRegex(HarnessError, "text_poke_1.*2000 rounds.*the guest says 4000"):
            bench.counted_rows("base", TCG, counts, said)

    def test_bochs(self):
        rows = {row["bench"]: row for row in bench.stamped_rows("base", bench.BOCHS, stamps(
            getppid=(250, 260, 9000), text_poke_1=(740, 760, 9000)))}
        wanted = {"getppid": (200, 210, 8950), "text_poke_1": (700, 720, 8960), "selftest_100_nops": (100, 100, 850)}
        for name, figures in wanted.items():
            self.assertEqual(tuple(rows[name][f"instructions_{which}"] for which in ("min", "median", "max")), figures)

    def test_too_few_rounds_of_bochs(self):
        said = stamps(text_poke_1=(740, 760, 9000))
        said["text_poke_1"]["rounds"] = 999
        with self.assertRaisesRegex(HarnessError, "text_poke_1.*999 rounds"):
            bench.stamped_rows("base", bench.BOCHS, said)

    def test_results_cut_off(self):
        self.assertIsNone(bench.parse_results("    bench: getppid rounds 2000 tsc_min 4\n"))

    def test_results_of_one_program_cut_off(self):
        text = "bench: getppid rounds 2000\nbench: done\n"
        self.assertIsNone(bench.parse_results(text, steps=2))
        self.assertEqual(bench.parse_results(text + "bench: more bytes 1\nbench: done\n", steps=2),
                         {"getppid": {"rounds": 2000}, "more": {"bytes": 1}})

    def test_results(self):
        text = "# x\n    bench: getppid rounds 2000 tsc_min 4\n    bench: size bytes 12\n    bench: done\n"
        self.assertEqual(bench.parse_results(text), {"getppid": {"rounds": 2000, "tsc_min": 4}, "size": {"bytes": 12}})

    def test_results_that_make_no_sense(self):
        for line in ("size bytes -4096", "size bytes -1", "failed: pages_free : Required key not available", "size bytes",
                     "size bytes x", "getppid rounds 1999"):
            with self.assertRaisesRegex(HarnessError, f"the guest says: bench: {line}"):
                bench.parse_results(f"bench: getppid rounds 2000\n    bench: {line}\nbench: done\n")


class Guest(unittest.TestCase):
    """What the programs of the guest read, in place of the guest."""
    CALL = """
#define main guest_main
#include "%s"
#undef main
int main(int argc, char **argv)
{
	printf("%%ld\\n", value_of(argv[1], argv[2]));
	return argc != 3;
}
"""

    def test_value_of(self):
        with tempfile.TemporaryDirectory() as folder:
            stats = Path(folder) / "stats"
            stats.write_text("blocks 4\npages_free 12\nfree\npages 7 kB\n")
            for program in ("bench_run", "bench_ima"):
                binary = Path(folder) / program
                subprocess.run(["gcc", "-x", "c", "-w", "-o", binary, "-"], check=True, text=True,
                               input=self.CALL % (ROOT / "harness" / "guest" / f"{program}.c"))
                for key, value in (("blocks ", "4\n"), ("pages ", "7\n"), ("pages_free ", "12\n")):
                    found = subprocess.run([binary, stats, key], check=True, capture_output=True, text=True)
                    self.assertEqual(found.stdout, value)
                # A key, a number and a file that are not there end the run; nobody gets a -1 to reckon with.
                for path, key in ((stats, "gone "), (stats, "free"), (stats.with_name("gone"), "blocks ")):
                    found = subprocess.run([binary, path, key], check=False, capture_output=True, text=True)
                    self.assertEqual(found.returncode, 1, (program, key))
                    with self.assertRaisesRegex(HarnessError, "the guest says: bench: failed"):
                        bench.parse_results(found.stdout + "bench: done\n")


class Rounds(unittest.TestCase):
    # Rounds of 100 instructions and some, the first six of ten with a handler of 2000 more in it.
    PROGRAM = """
#include "%s"
static void execute(int n)
{
	while (n--)
		on_plain(0, NULL);
}
int main(int argc, char **argv)
{
	out_path = argv[1];
	for (int i = 0; i < 10; i++) {
		on_marker(0, (void *)(uintptr_t)MARKER_BENCH(NR_GETPPID));
		execute(100 + i);
		if (i < 6) {
			execute(1999);
			on_iret(0, NULL);
		}
		on_marker(0, (void *)(uintptr_t)(MARKER_BENCH(NR_GETPPID) | 1));
	}
	on_exit_write(0, NULL);
	return argc != 2;
}
"""

    def test_interrupted_rounds_are_left_out(self):
        with tempfile.TemporaryDirectory() as folder:
            binary, counts = Path(folder) / "rounds", Path(folder) / "counts"
            # Without QEMU, of which the counting itself calls nothing.
            subprocess.run(["gcc", "-x", "c", "-w", "-static", "-Wl,--unresolved-symbols=ignore-all", "-o", binary, "-"],
                           check=True, text=True, input=self.PROGRAM % (bench.PLUGIN / "count.c"))
            subprocess.run([binary, counts], check=True)
            found = json.loads(counts.read_text())[next(n for n, name in bench.bench_numbers().items() if name == "getppid")]
        self.assertEqual((found["rounds"], found["interrupted"], found["torn"]), (10, 6, 0))
        self.assertEqual([found[which]["instructions"] for which in ("min", "median", "max")], [106, 108, 109])


class Plugin(unittest.TestCase):
    def test_built_anew_when_its_text_changes(self):
        with tempfile.TemporaryDirectory() as folder, mock.patch.object(bench, "run") as run:
            source = Path(folder) / "plugin" / "count.c"
            source.parent.mkdir()
            source.write_text("one")
            builds, compiler = [], "gcc 12\n"

            def fake(cmd, **_):
                if "-shared" in cmd:
                    builds.append(cmd)
                    Path(cmd[cmd.index("-o") + 1]).write_text("plugin")
                return compiler if "--version" in cmd else 0

            def built():
                builds.clear()
                self.assertTrue(bench.build_plugin().exists())
                return len(builds)

            run.side_effect = fake
            with mock.patch.multiple(bench, PLUGIN=source.parent, BUILD=Path(folder) / "build"):
                self.assertEqual([built(), built()], [1, 0])
                # As old as it gets, and yet another text.
                source.write_text("two")
                os.utime(source, (1, 1))
                self.assertEqual([built(), built()], [1, 0])
                # The same text, new.
                os.utime(source)
                self.assertEqual(built(), 0)
                compiler = "gcc 13\n"
                self.assertEqual([built(), built()], [1, 0])


class Refused(unittest.TestCase):
    def test_one_line_says_what_to_do(self):
        with self.assertRaisesRegex(HarnessError, "does not take the plugin .*supports only a minimum version of 2") as caught:
            bench.check_plugin("qemu-system-x86_64: Could not load plugin x.so: plugin requires API version 1, but this QEMU "
                               "supports only a minimum version of 2\n")
        self.assertNotIn("\n", str(caught.exception))

    def test_other_trouble_is_not_hidden(self):
        bench.check_plugin("Kernel panic - not syncing: x\n")


class Judge(unittest.TestCase):
    # What meets every bar, of the patched kernel.
    GOOD = {
        "text_poke_1": count(789, 2), "getppid": count(100), "temp_mm_switch": count(300, 2),
        "temp_mm_write_8": count(789, 2), "set_memory_pair": count(4400), "wr_assign_8": count(220, 2),
        "wr_batch_16": count(440, 2), "wr_cache_alloc_64": count(480, 2),
        "wr_cache_free_64": count(480, 1), "prlist_add": count(500, 2), "prlist_add_rcu": count(500, 2),
        "pratomic_inc": count(242, 2), "read_list_1000": count(5000), "read_list_1000_plain": count(5000),
        "ima_measure": count(1100, 2), "ima_lookup": count(1011, nops=1), "ima_lookup_table": count(1002),
        "ima_read_list": count(1010), "ima_read_list_binary": count(1010),
        "asi_enter_exit": count(150, 2), "irq_outside": count(900, nops=30), "irq_in_domain": count(1000, 2),
    }
    SIZES = {"temp_mm_percpu_bytes": {"bytes": 40960}, "footprint_100k_64": {"bytes": 6800000, "splits": 0},
             "ima_footprint_10k": {"bytes": 1150}}
    # What some of it is compared with, of the base.
    BASE = {"text_poke_1": count(789, 2), "getppid": count(100), "irq_outside": count(870),
            **dict.fromkeys(("ima_measure", "ima_lookup", "ima_lookup_table", "ima_read_list", "ima_read_list_binary"),
                            count(1000))}
    BASE_SIZES = {"ima_footprint_10k": {"bytes": 1000}}
    STAMPS = {"asi_enter_exit": (160, 160, 900), "irq_outside": (940, 940, 2000), "irq_in_domain": (1040, 1040, 3000)}

    def rows(self, sizes=None, base_sizes=None, flushes=1, machines=bench.MACHINES, only=None, **changes):
        """Rows of all @machines; @changes are made on the machine @only, or on each."""
        found = []
        for machine in machines:
            mine = {**self.GOOD, **(changes if only in (None, machine) else {})}
            for kernel, counts, more in (("base", self.BASE, base_sizes or self.BASE_SIZES),
                                         ("patched", mine, {**self.SIZES, **(sizes or {})})):
                if machine.emulator == "bochs":
                    rows = bench.stamped_rows(kernel, machine, stamps(**self.STAMPS))
                    found += [{**row, "flushes": flushes} for row in rows]
                else:
                    found += bench.counted_rows(kernel, machine, *boot(more, **counts))
        return found

    def missed(self, **how):
        """{(bench, column): machines where the bar is missed}, of rows that are good but for @how."""
        rows = self.rows(**how)
        verdicts = bench.judge(rows)
        self.assertTrue(bench.table(rows, verdicts))
        found = {}
        for bar, machine, _, met in verdicts:
            if not met:
                found.setdefault((bar.bench, bar.column), []).append(machine)
        return found

    def misses(self, wanted, **how):
        """Do rows with @how miss the bars @wanted, each of them everywhere?"""
        everywhere = {key: [machine for bar in bench.BARS if (bar.bench, bar.column) == key for machine in bar.machines]
                      for key in wanted}
        found = self.missed(**how)
        self.assertEqual(sorted(found), sorted(wanted))
        for key, machines in found.items():
            self.assertLessEqual(set(machines), set(everywhere[key]))
        return found

    def test_all_met(self):
        self.misses([])
        self.misses([], text_poke_1=count(828, 2))

    def test_each_bar_can_be_missed(self):
        self.misses([("text_poke_1", "instructions_median")], text_poke_1=count(829, 2))
        self.misses([("text_poke_1", "cr3_writes")], text_poke_1=count(789, 3))
        self.misses([("temp_mm_switch", "cr3_writes")], temp_mm_switch=count(300, 3))
        self.misses([("temp_mm_switch", "cr3_writes")], temp_mm_switch=count(300, 1))
        self.misses([("temp_mm_write_8", "instructions_median")], temp_mm_write_8=count(790, 2))
        self.misses([("getppid", "work_median")], getppid=count(101))
        self.misses([], getppid=count(101, nops=1))
        self.misses([("getppid", "cr3_writes")], getppid=count(100, 1))
        self.misses([("asi_enter_exit", "cr3_writes"), ("asi_enter_exit", "instructions_median")],
                    asi_enter_exit=count(151, 3))
        for flushes in (0, 2):
            self.misses([("asi_enter_exit", "flushes")], flushes=flushes)
        self.misses([("temp_mm_percpu_bytes", "bytes")], sizes={"temp_mm_percpu_bytes": {"bytes": 40961}})

    def test_bar_that_is_another_row(self):
        self.misses([("wr_assign_8", "instructions_median")], set_memory_pair=count(4399))
        self.misses([("wr_batch_16", "instructions_median")], wr_batch_16=count(441, 2))
        self.misses([("pratomic_inc", "instructions_median")], pratomic_inc=count(243, 2))
        self.misses([("footprint_100k_64", "bytes"), ("footprint_100k_64", "splits")],
                    sizes={"footprint_100k_64": {"bytes": 6800001, "splits": 1}})

    def test_equal_is_equal(self):
        # One instruction in a system call, and one in 5000: half a percent is nothing that is equal.
        for name, figure in (("ima_lookup", 1010), ("ima_lookup_table", 1002), ("ima_read_list", 1010)):
            for wrong in (figure - 1, figure + 1, 1000):
                self.misses([(name, "work_median")], **{name: count(wrong)})
        for figure in (4999, 5001):
            self.misses([("read_list_1000", "instructions_median")], read_list_1000=count(figure))
        self.misses([("irq_outside", "work_median")], irq_outside=count(901, nops=30))

    def test_bar_that_is_a_row_of_another_machine(self):
        bar = next(bar for bar in bench.BARS if bar.at)
        self.assertEqual(bar.text(), "instructions_median == 1 x wr_assign_8 on tcg, 1 CPU, pti=off, asi=off")
        for figure in (219, 221):
            found = self.missed(wr_assign_8=count(figure, 2), wr_batch_16=count(430, 2), pratomic_inc=count(240, 2),
                                only=bench.FOUR, set_memory_pair=count(9000))
            self.assertIn(bench.FOUR, found[("wr_assign_8", "instructions_median")])
        # One machine less is a bar that is missed where it is compared with it.
        found = self.missed(machines=[machine for machine in bench.MACHINES if machine is not bench.ONE])
        self.assertLessEqual({bench.TWO, bench.FOUR}, set(found[("wr_assign_8", "instructions_median")]))

    def test_bar_that_is_another_row_and_some(self):
        self.misses([("irq_in_domain", "instructions_median"), ("irq_in_domain", "cr3_writes")],
                    irq_in_domain=count(1001, 3))
        bar = next(bar for bar in bench.BARS if bar.bench == "irq_in_domain")
        self.assertEqual(bar.text(), "instructions_median <= 1 x irq_outside + 100")

    def test_base_row_is_no_other_row(self):
        bar = next(bar for bar in bench.BARS if bar.bench == "wr_batch_16")
        self.assertEqual(bar.text(), "instructions_median <= 2 x wr_assign_8")
        self.assertEqual(bench.BARS[0].text(), "instructions_median <= 1.05 x base's text_poke_1")

    def test_nothing_is_not_little(self):
        """A row that counted nothing has met no bar, unless nothing is what the bar is about."""
        for bar in bench.BARS:
            good = bar.limit == 0 or bar.column == "ipis" or (bar.bench, bar.column) == ("getppid", "cr3_writes")
            self.assertEqual(bar.met(0, 0), good, bar)
            self.assertFalse(bar.met(-1, 100), bar)
        self.misses([("ima_footprint_10k", "bytes")], sizes={"ima_footprint_10k": {"bytes": 0}})
        self.misses([("ima_footprint_10k", "bytes")], base_sizes={"ima_footprint_10k": {"bytes": 0}})
        self.misses([("wr_cache_free_64", "cr3_writes")], wr_cache_free_64=count(480, 0))
        self.misses([("asi_enter_exit", "instructions_median")], asi_enter_exit=count(0, 2))

    def test_missing_row_is_a_miss(self):
        verdicts = bench.judge([])
        self.assertFalse(any(met for *_, met in verdicts))
        self.assertEqual(len(verdicts), sum(len(bar.machines) for bar in bench.BARS))

    def test_missing_machine_is_a_miss(self):
        """Without one machine each bar that names it is missed there, and met on all others but by comparison."""
        for gone in bench.MACHINES:
            found = self.missed(machines=[machine for machine in bench.MACHINES if machine is not gone])
            here = {(bar.bench, bar.column) for bar in bench.BARS if gone in bar.machines}
            self.assertEqual({key for key, machines in found.items() if gone in machines}, here)
            # Only on Bochs with asi=off nothing is judged.
            self.assertEqual(not here, gone is bench.BOCHS)

    def test_column_that_is_missing_is_a_miss(self):
        rows = [{key: value for key, value in row.items() if key != "cr3_writes"} for row in self.rows()]
        missed = {(bar.bench, bar.column) for bar, *_, met in bench.judge(rows) if not met}
        self.assertEqual(missed, {(bar.bench, bar.column) for bar in bench.BARS if bar.column == "cr3_writes"})

    def test_where_bars_are_judged(self):
        """A bar is judged on each machine that runs its row, and a change of their number is seen here."""
        for bar in bench.BARS:
            runs = {machine for machine in bench.MACHINES if not machine.rows or bar.bench in machine.rows}
            self.assertEqual(len(bar.machines), len(set(bar.machines)), bar)
            self.assertLessEqual(set(bar.machines), runs, bar)
            if bar.bench in bench.SWITCHES + bench.WRITES and not bar.at:
                self.assertEqual({machine for machine in runs if machine.emulator == "tcg"}, set(bar.machines), bar)
        pairs = Counter(machine for bar in bench.BARS for machine in bar.machines)
        self.assertEqual([pairs[machine] for machine in bench.MACHINES], [32, 12, 15, 6, 10, 5, 0, 3])


class Table(unittest.TestCase):
    def test_spread(self):
        """Two modes, or an interrupt, are not hidden behind a median."""
        for low, high, text in ((1000, 1010, ""), (1000, 1011, "1000..1011"), (0, 0, ""), (0, 5, "0..5")):
            self.assertEqual(bench.spread({"instructions_min": low, "instructions_max": high}), text)
        self.assertEqual(bench.spread({"bytes": 4096}), "")
        rows = bench.counted_rows("patched", TCG, *boot(vmap_store=count(2304, most=9692)))
        line = next(line for line in bench.table(rows, []) if "vmap_store" in line)
        self.assertRegex(line, r"2304 +2304\.\.9692")


if __name__ == "__main__":
    unittest.main()
