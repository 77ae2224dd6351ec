# SPDX-License-Identifier: GPL-2.0
"""make bench without a kernel: joining, self-tests, bars and the table."""

import unittest

from .. import bench
from ..common import HarnessError

TCG = bench.MACHINES[0]


def count(instructions, cr3_writes=0, invlpg=0, rounds=2000, torn=0):
    counts = {"instructions": instructions, "cr3_writes": cr3_writes, "invlpg": invlpg, "invpcid": 0, "vmrun": 0}
    return {"rounds": rounds, "torn": torn, "min": dict(counts), "median": dict(counts), "max": dict(counts)}


def boot(**more):
    """What plugin and guest say of a boot, with the rows that test the counting and @more."""
    rows = {"empty": count(0), "selftest_100_nops": count(100), "selftest_kernel": count(6, 2, 1), **more}
    numbers = {name: number for number, name in bench.bench_numbers().items()}
    said = {name: {"rounds": 2000, "ipis": 0} for name in rows}
    return {numbers[name]: value for name, value in rows.items()}, said


class Join(unittest.TestCase):
    def test_row(self):
        rows = bench.counted_rows("base", TCG, *boot(text_poke_1=count(789, 2)))
        self.assertEqual(rows[-1], {
            "bench": "text_poke_1", "kernel": "base", "emulator": "tcg", "cpus": 1, "pti": "off", "samples": 2000,
            "instructions_min": 789, "instructions_median": 789, "cr3_writes": 2, "invlpg": 0, "invpcid": 0,
            "vmrun": 0, "ipis": 0})

    def test_wrong_count_of_a_selftest(self):
        for wrong in ({"selftest_100_nops": count(101)}, {"selftest_kernel": count(6, 1, 1)}, {"empty": count(1)}):
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


class Judge(unittest.TestCase):
    def verdicts(self, base=789, patched=789, write=789, cr3=2, switch_cr3=2, getppid=(100, 100), size=40960):
        rows = bench.counted_rows("base", TCG, *boot(text_poke_1=count(base, 2), getppid=count(getppid[0])))
        rows += bench.counted_rows("patched", TCG, *boot(
            text_poke_1=count(patched, cr3), getppid=count(getppid[1]), temp_mm_switch=count(300, switch_cr3),
            temp_mm_write_8=count(write, 2)))
        rows.append({"bench": "temp_mm_percpu_bytes", "kernel": "patched", **TCG.columns(), "bytes": size})
        found = bench.judge(rows)
        self.assertTrue(bench.table(rows, found))
        return {(bar.bench, bar.column): met for bar, _, met in found}

    def missed(self, **changes):
        return [key for key, met in self.verdicts(**changes).items() if not met]

    def test_all_met(self):
        self.assertEqual(self.missed(), [])
        self.assertEqual(self.missed(patched=828), [])

    def test_each_bar_can_be_missed(self):
        self.assertEqual(self.missed(patched=829), [("text_poke_1", "instructions_median")])
        self.assertEqual(self.missed(cr3=3), [("text_poke_1", "cr3_writes")])
        self.assertEqual(self.missed(switch_cr3=3), [("temp_mm_switch", "cr3_writes")])
        self.assertEqual(self.missed(switch_cr3=1), [("temp_mm_switch", "cr3_writes")])
        self.assertEqual(self.missed(write=790), [("temp_mm_write_8", "instructions_median")])
        self.assertEqual(self.missed(getppid=(100, 101)), [("getppid", "instructions_median")])
        self.assertEqual(self.missed(size=40961), [("temp_mm_percpu_bytes", "bytes")])

    def test_missing_row_is_a_miss(self):
        self.assertTrue(all(not met for _, _, met in bench.judge([])))
        self.assertEqual(len(bench.judge([])), len(bench.BARS))


if __name__ == "__main__":
    unittest.main()
