# SPDX-License-Identifier: GPL-2.0
"""make bench without a kernel: joining, self-tests, bars and the table."""

import os
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from .. import bench
from ..common import HarnessError

TCG = bench.MACHINES[0]
BOCHS = bench.MACHINES[-1]


def count(instructions, cr3_writes=0, invlpg=0, irqs_off=0, rounds=2000, torn=0, nops=0):
    counts = {"instructions": instructions, "nops": nops, "cr3_writes": cr3_writes, "invlpg": invlpg, "invpcid": 0, "vmrun": 0,
              "irqs_off_max": irqs_off}
    return {"rounds": rounds, "torn": torn, "min": dict(counts), "median": dict(counts), "max": dict(counts)}


def boot(**more):
    """What plugin and guest say of a boot, with the rows that test the counting and @more."""
    rows = {"empty": count(0), "selftest_100_nops": count(100, nops=100), "selftest_kernel": count(6, 2, 1),
            "selftest_irqs_off": count(102, irqs_off=101, nops=100), **more}
    numbers = {name: number for number, name in bench.bench_numbers().items()}
    said = {name: {"rounds": 2000, "ipis": 0} for name in rows}
    return {numbers[name]: value for name, value in rows.items()}, said


class Join(unittest.TestCase):
    def test_row(self):
        rows = bench.counted_rows("base", TCG, *boot(text_poke_1=count(789, 2, nops=9)))
        self.assertEqual(rows[-1], {
            "bench": "text_poke_1", "kernel": "base", "emulator": "tcg", "cpus": 1, "pti": "off", "asi": "off",
            "samples": 2000, "instructions_min": 789, "instructions_median": 789, "nops": 9, "work_median": 780,
            "cr3_writes": 2, "invlpg": 0, "invpcid": 0, "vmrun": 0, "irqs_off_max": 0, "ipis": 0})

    def test_wrong_count_of_a_selftest(self):
        for wrong in ({"selftest_100_nops": count(101, nops=100)}, {"selftest_100_nops": count(100, nops=99)},
                      {"selftest_kernel": count(6, 1, 1)}, {"empty": count(1)},
                      {"selftest_irqs_off": count(102, irqs_off=100, nops=100)}):
            with self.assertRaisesRegex(HarnessError, next(iter(wrong))):
                bench.counted_rows("base", TCG, *boot(**wrong))

    def test_lost_selftest(self):
        counts, said = boot()
        del said["selftest_100_nops"]
        with self.assertRaises(HarnessError):
            bench.counted_rows("base", TCG, counts, said)

    def test_torn_or_too_few_rounds(self):
        for wrong in (count(789, torn=1), count(789, rounds=999)):
            with self.assertRaisesRegex(HarnessError, "text_poke_1"):
                bench.counted_rows("base", TCG, *boot(text_poke_1=wrong))

    def test_results_cut_off(self):
        self.assertIsNone(bench.parse_results("    bench: getppid rounds 2000 tsc_min 4\n"))

    def test_results(self):
        text = "# x\n    bench: getppid rounds 2000 tsc_min 4\n    bench: size bytes 12\n    bench: done\n"
        self.assertEqual(bench.parse_results(text), {"getppid": {"rounds": 2000, "tsc_min": 4}, "size": {"bytes": 12}})


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


class Judge(unittest.TestCase):
    # What meets every bar, of the patched kernel on one CPU.
    GOOD = {
        "text_poke_1": count(789, 2), "getppid": count(100), "temp_mm_switch": count(300, 2),
        "temp_mm_write_8": count(789, 2), "set_memory_pair": count(8000), "wr_assign_8": count(400, 2),
        "wr_batch_16": count(600, 2), "wr_cache_alloc_64": count(500, 2),
        "wr_cache_free_64": count(500, 0), "prlist_add": count(500, 2), "prlist_add_rcu": count(500, 2),
        "pratomic_inc": count(440, 2), "read_list_1000": count(5000), "read_list_1000_plain": count(5000),
        "ima_measure": count(1100, 2), "ima_lookup": count(1000), "ima_lookup_table": count(1000),
        "ima_read_list": count(1000), "ima_read_list_binary": count(1000),
        "asi_enter_exit": count(150, 2), "irq_outside": count(900, nops=30), "irq_in_domain": count(1000, 2),
    }
    SIZES = {"temp_mm_percpu_bytes": {"bytes": 40960}, "footprint_100k_64": {"bytes": 6800000, "splits": 0},
             "ima_footprint_10k": {"bytes": 1150}}
    # What some of it is compared with, of the base.
    BASE = {"text_poke_1": count(789, 2), "getppid": count(100), "irq_outside": count(870),
            **dict.fromkeys(("ima_measure", "ima_lookup", "ima_lookup_table", "ima_read_list", "ima_read_list_binary"),
                            count(1000))}
    BASE_SIZES = {"ima_footprint_10k": {"bytes": 1000}}

    def missed(self, sizes=None, flushes=1, **changes):
        rows = bench.counted_rows("base", TCG, *boot(**self.BASE))
        rows += bench.counted_rows("patched", TCG, *boot(**{**self.GOOD, **changes}))
        for kernel, found in (("base", self.BASE_SIZES), ("patched", {**self.SIZES, **(sizes or {})})):
            for name, words in found.items():
                rows.append({"bench": name, "kernel": kernel, **TCG.columns(), **words})
        for name, median in (("asi_enter_exit", 120), ("irq_outside", 900), ("irq_in_domain", 1000)):
            rows.append({"bench": name, "kernel": "patched", **BOCHS.columns(), "instructions_median": median,
                         "flushes": flushes})
        found = bench.judge(rows)
        self.assertTrue(bench.table(rows, found))
        return [(bar.bench, bar.column) for bar, _, met in found if not met]

    def test_all_met(self):
        self.assertEqual(self.missed(), [])
        self.assertEqual(self.missed(text_poke_1=count(828, 2)), [])

    def test_each_bar_can_be_missed(self):
        self.assertEqual(self.missed(text_poke_1=count(829, 2)), [("text_poke_1", "instructions_median")])
        self.assertEqual(self.missed(text_poke_1=count(789, 3)), [("text_poke_1", "cr3_writes")])
        self.assertEqual(self.missed(temp_mm_switch=count(300, 3)), [("temp_mm_switch", "cr3_writes")])
        self.assertEqual(self.missed(temp_mm_switch=count(300, 1)), [("temp_mm_switch", "cr3_writes")])
        self.assertEqual(self.missed(temp_mm_write_8=count(790, 2)), [("temp_mm_write_8", "instructions_median")])
        self.assertEqual(self.missed(getppid=count(101)), [("getppid", "work_median")])
        self.assertEqual(self.missed(getppid=count(101, nops=1)), [])
        self.assertEqual(self.missed(asi_enter_exit=count(151, 3)),
                         [("asi_enter_exit", "cr3_writes"), ("asi_enter_exit", "instructions_median")])
        self.assertEqual(self.missed(flushes=1), [])
        self.assertEqual(self.missed(flushes=2), [("asi_enter_exit", "flushes")])
        self.assertEqual(self.missed(sizes={"temp_mm_percpu_bytes": {"bytes": 40961}}),
                         [("temp_mm_percpu_bytes", "bytes")])

    def test_bar_that_is_another_row(self):
        self.assertEqual(self.missed(set_memory_pair=count(7999)), [("wr_assign_8", "instructions_median")])
        self.assertEqual(self.missed(wr_batch_16=count(601, 2)), [("wr_batch_16", "instructions_median")])
        self.assertEqual(self.missed(pratomic_inc=count(441, 2)), [("pratomic_inc", "instructions_median")])
        self.assertEqual(self.missed(read_list_1000=count(5100)), [("read_list_1000", "instructions_median")])
        self.assertEqual(self.missed(sizes={"footprint_100k_64": {"bytes": 6800001, "splits": 1}}),
                         [("footprint_100k_64", "bytes"), ("footprint_100k_64", "splits")])

    def test_bar_that_is_a_row_of_another_machine(self):
        bar = next(bar for bar in bench.BARS if bar.cpus)
        self.assertEqual(bar.text(), "instructions_median == 1 x wr_assign_8 on 1 CPU")
        for four, met in ((400, True), (404, False)):
            rows = [{"bench": bar.bench, "kernel": "patched", "emulator": "tcg", "cpus": cpus, "pti": "off",
                     "asi": "off", bar.column: value} for cpus, value in ((1, 400), (4, four))]
            self.assertEqual([bool(good) for which, row, good in bench.judge(rows) if which == bar], [True, met])
            self.assertEqual([bool(good) for which, row, good in bench.judge(rows[1:]) if which == bar], [False])

    def test_bar_that_is_another_row_and_some(self):
        self.assertEqual(self.missed(irq_in_domain=count(1001, 3)),
                         [("irq_in_domain", "instructions_median"), ("irq_in_domain", "cr3_writes")])
        bar = next(bar for bar in bench.BARS if bar.bench == "irq_in_domain")
        self.assertEqual(bar.text(), "instructions_median <= 1 x irq_outside + 100")

    def test_bar_of_some_machines(self):
        row = {"bench": "irq_outside", "kernel": "patched", **TCG.columns(), "work_median": 5}
        for asi, wanted in (("off", 1), ("on", 0)):
            found = [item for bar, item, _ in bench.judge([{**row, "asi": asi}]) if bar.bench == "irq_outside" and item]
            self.assertEqual(len(found), wanted)

    def test_base_row_is_no_other_row(self):
        bar = bench.same_kernel("wr_batch_16", "instructions_median", "<=", 1.5, "wr_assign_8")
        self.assertEqual(bar.text(), "instructions_median <= 1.5 x wr_assign_8")
        self.assertEqual(bench.BARS[0].text(), "instructions_median <= 1.05 x base's text_poke_1")

    def test_missing_row_is_a_miss(self):
        self.assertTrue(all(not met for _, _, met in bench.judge([])))
        self.assertEqual(len(bench.judge([])), len(bench.BARS))


if __name__ == "__main__":
    unittest.main()
