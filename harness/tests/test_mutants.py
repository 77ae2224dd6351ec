# SPDX-License-Identifier: GPL-2.0
"""Mutants of the kernel without a kernel: what counts as red, the control, and the two trees."""

import os
import signal
import tempfile
import threading
import unittest
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

from .. import boot, mutants, series
from ..common import HarnessError, Stopped
from ..report import entry
from .sample import Sample, write

HEADER = "Why: w\nRed: tcg-asi asi_tlb.a\n"
DIFF = "--- a/mm/mmap.c\n+++ b/mm/mmap.c\n@@ -1 +1 @@\n-int mmap;\n+int other;\n"


def seen(ended=True, splats=(), other=(), **cases):
    """A boot in which suite "s" had @cases, each a status or (status, why)."""
    found = {}
    for case, status in cases.items():
        status, why = status if isinstance(status, tuple) else (status, "" if status == "pass" else "why")
        found[f"s.{case}"] = entry("m", "tcg", "s", case, status, why)
    return mutants.Seen(found, list(other), ended, list(splats), "log: out/x")


class Header(unittest.TestCase):
    def load(self, text):
        with tempfile.TemporaryDirectory() as tmp:
            path = Path(tmp) / "name.diff"
            path.write_text(text + "\n" + DIFF)
            return mutants.load(path)

    def test_all_of_it(self):
        found = self.load(HEADER + "Says: asi_test.c:1, b\nAlso: asi_tlb.*, asi.b\nMaybe: asi.c\nThen: dies\nQuick: yes\n")
        self.assertEqual((found.scenario, found.cases, found.says, found.also, found.maybe, found.dies, found.quick),
                         ("tcg-asi", ["asi_tlb.a"], "asi_test.c:1, b", ["asi_tlb.*", "asi.b"], ["asi.c"], True, True))
        found = self.load(HEADER)
        self.assertEqual((found.says, found.also, found.dies, found.quick), ("", [], False, False))

    def test_a_line_that_is_none(self):
        for text in (HEADER + "Other: asi.*\n", "Why: w\n", HEADER.replace("asi_tlb.a", ""), "Red: build x\n",
                     "Why: w\nRed: entry x\nAlso: a.b\n", "Why: w\nRed: tcg-asi splat x\nSays: b\n"):
            with self.assertRaises(HarnessError, msg=text):
                self.load(text)

    def test_those_that_there_are(self):
        found = mutants.mutants()
        self.assertGreater(len(found), 80)
        self.assertLess(len(mutants.mutants(quick=True)), len(found))
        some = [mutant.name for mutant in found[:2]]
        self.assertEqual([mutant.name for mutant in mutants.mutants(only=some)], some)
        with self.assertRaisesRegex(mutants.HarnessError, "no such mutant: no-such-one"):
            mutants.mutants(only=[*some, "no-such-one"])
        for mutant in found:
            self.assertTrue(mutants.config_of(mutant), mutant.name)

    def test_scenario(self):
        scenario = mutants.scenario_for(self.load(HEADER))
        self.assertEqual((scenario.kunit, scenario.run, scenario.expect), ("asi_tlb", [], []))
        self.assertEqual(mutants.filter_of(scenario), "tcg-asi:asi_tlb")
        # Its oopses are compared in their order, so all suites run.
        splats = mutants.scenario_for(self.load(HEADER.replace("tcg-asi asi_tlb", "tcg-asi-splat splat_asi_fault")))
        self.assertEqual(splats.kunit, boot.load("tcg-asi-splat").kunit)
        steps = mutants.scenario_for(self.load(HEADER.replace("tcg-asi asi_tlb", "tcg-lkdtm lkdtm")))
        self.assertEqual((steps.kunit, steps.run), ("", ["lkdtm"]))
        several = mutants.scenario_for(self.load(HEADER.replace("tcg-asi asi_tlb", "tcg-crash-domain crash")))
        self.assertEqual((several.kunit, several.run), ("", ["crash:domain", "crash:dump"]))
        again = mutants.scenario_for(self.load(HEADER.replace("tcg-asi asi_tlb", "tcg-asi-memory rerun")))
        self.assertEqual((again.kunit, len(again.run)), ("memory_*", 3))
        self.assertEqual(mutants.filter_of(boot.load("tcg-asi")), "tcg-asi:asi*+pg_table*+machine:4+fsgsbase+smep+smap+gbpages+prmem+asi+asi_user+asi_load:30")


class Verdict(unittest.TestCase):
    CONTROL = seen(a="pass", b="pass", c="skip")

    def verdict(self, found, control=CONTROL, **header):
        mutant = mutants.Mutant("n", None, "w", "m", header.pop("cases", ["s.a"]), **header)
        return mutants.verdict(mutant, found, control)

    def test_red(self):
        self.assertEqual(self.verdict(seen(a="fail", b="pass", c="skip")), "")
        self.assertEqual(self.verdict(seen(a="fail", b="pass", c="fail")), "")

    def test_survives(self):
        for status in ("pass", "skip"):
            self.assertIn(f"survives: s.a is {status}", self.verdict(seen(a=status, b="pass")))
        self.assertIn("s.a is missing", self.verdict(seen(b="pass")))
        self.assertIn("s.b is pass", self.verdict(seen(a="fail", b="pass"), cases=["s.a", "s.b"]))

    def test_nothing_works_at_all(self):
        found = self.verdict(seen(a="fail", b="fail"))
        self.assertIn("s.b is fail as well", found)
        self.assertIn("log: out/x", found)
        self.assertIn("s.b is skip as well", self.verdict(seen(a="fail", b="skip")))

    def test_others_that_are_named(self):
        self.assertEqual(self.verdict(seen(a="fail", b="fail"), also=["s.*"]), "")
        self.assertIn("as well", self.verdict(seen(a="fail", b="fail"), also=["s.d"]))
        self.assertIn("what does not fail: s.b", self.verdict(seen(a="fail", b="pass"), also=["s.b"]))
        for status in ("pass", "fail"):
            self.assertEqual(self.verdict(seen(a="fail", b=status), maybe=["s.b"]), "")

    def test_what_it_says(self):
        found = seen(a=("fail", "EXPECTATION FAILED at mm/x.c:7 | flushes == 1"), b="pass")
        self.assertEqual(self.verdict(found, says=r"mm/x.c:\d+ .* flushes"), "")
        self.assertIn("for another reason", self.verdict(found, says="asi_enter"))

    def test_dies(self):
        for dead in (seen(a="fail"), seen(ended=False, a="fail", b="pass")):
            self.assertIn("dies", self.verdict(dead))
            self.assertEqual(self.verdict(dead, dies=True), "")
        self.assertIn("it does not", self.verdict(seen(a="fail", b="pass"), dies=True))
        # Not before what it is about.
        self.assertIn("survives", self.verdict(seen(ended=False, b="pass"), dies=True))
        # In it, and of what it says.
        died = {"ended": False, "splats": ["Oops: double fault"]}
        self.assertEqual(self.verdict(seen(**died), dies=True, says="double fault"), "")
        self.assertIn("something else: Oops: double", self.verdict(seen(**died), dies=True, says="page fault"))
        self.assertIn("survives", self.verdict(seen(**died), dies=True))
        self.assertIn("survives", self.verdict(seen(**died), cases=["s.b"], dies=True, says="double fault"))

    def test_splat(self):
        splat = {"cases": [], "regex": "BUG: x"}
        self.assertEqual(self.verdict(seen(splats=["BUG: x"], a="pass", b="pass"), **splat), "")
        self.assertIn("no such report", self.verdict(seen(splats=["BUG: y"], a="pass", b="pass"), **splat))
        self.assertIn("unmutated", self.verdict(seen(splats=["BUG: x"], a="pass", b="pass"),
                                                control=seen(splats=["BUG: x"], a="pass", b="pass"), **splat))

    def test_control(self):
        self.assertEqual(mutants.control_problem(self.CONTROL, ["s.a"]), "")
        self.assertIn("s.c is skip", mutants.control_problem(self.CONTROL, ["s.c"]))
        self.assertIn("s.d is missing", mutants.control_problem(self.CONTROL, ["s.d"]))
        self.assertIn("b: why", mutants.control_problem(seen(a="pass", b="fail"), ["s.a"]))
        late = entry("m", "tcg", "selftests", "boot", "fail", "no end")
        self.assertIn("boot: no end", mutants.control_problem(seen(other=[late], a="pass"), ["s.a"]))


class Observe(unittest.TestCase):
    def observe(self, *entries, ended="exit", text="reboot: Power down\nBUG: x\n"):
        with tempfile.TemporaryDirectory() as tmp, mock.patch.object(mutants, "ROOT", Path(tmp)):
            log = Path(tmp) / "log"
            log.write_text(text)
            with mock.patch.multiple(boot, Boot=lambda *args, **more: SimpleNamespace(log=log, ended=ended),
                                     wait=lambda started: None), \
                    mock.patch.object(mutants.judge, "judge", lambda started: list(entries)):
                return mutants.observe(None, None, None, "")

    def test_names(self):
        names = (("prmem", "a"), ("prmem", "prmem_list.b"), ("selftests", "poke.c"), ("selftests", "boot"),
                 ("selftests", "expected:x.y"))
        found = self.observe(*(entry("m", "tcg", *name, "pass") for name in names))
        self.assertEqual(sorted(found.cases), ["poke.c", "prmem.a", "prmem_list.b"])
        self.assertEqual([item["case"] for item in found.other], ["boot", "expected:x.y"])

    def test_end(self):
        self.assertTrue(self.observe().ended)
        self.assertEqual(self.observe().splats, ["BUG: x"])
        self.assertFalse(self.observe(text="reboot:").ended)
        self.assertFalse(self.observe(ended="timeout").ended)


class Try(unittest.TestCase):
    """One mutant, with a compiler and an emulator that do as they are told."""

    def attempt(self, scenario="tcg-asi", error="", message="", found=None, last="", **header):
        mutant = mutants.Mutant("n", Path("n.diff"), "w", scenario, **header)
        calls = []

        def build(config, tree, targets, log):
            calls.append((config, tree))
            if error:
                log.parent.mkdir(parents=True, exist_ok=True)
                log.write_text(message)
                raise HarnessError(error)
            return Path("o")

        control = Future()
        control.set_result(seen(a="pass", b="pass"))
        with tempfile.TemporaryDirectory() as tmp, mock.patch.object(mutants, "ROOT", Path(tmp)), \
             mock.patch.object(mutants, "LOGS", Path(tmp)), mock.patch.object(mutants, "objects_for"), \
             mock.patch.object(series, "patched_tree") as patched, mock.patch.object(mutants.build, "build", build), \
             mock.patch.object(mutants, "observe", lambda *args: found), \
             mock.patch.object(mutants, "scenario_for", lambda mutant: None), \
             mock.patch.object(mutants.cr3, "cr3_entries", lambda objdirs: []), \
             mock.patch.object(mutants.transit, "transit_entries", lambda objdirs: []), \
             mock.patch.object(mutants.entryset, "entry_set_entries",
                               lambda objdirs: [entry("d", "none", "asi", "c", "fail", "f() refers to x")]):
            tree = Path(tmp) / "tree"
            (tree / "o-debug").mkdir(parents=True)
            mutant.path = Path(tmp) / "n.diff"
            mutant.path.write_text("this")
            if last:
                (tree / "o-debug/.harness-mutant").write_text(last)
            result = mutants.try_mutant(mutant, tree, {mutant.scenario: None}, control)
        patched.assert_called_once_with(tree, extra=[mutant.path])
        self.assertEqual(calls, [("debug", tree)])
        return result

    def test_boot(self):
        self.assertEqual(self.attempt(cases=["s.a"], found=seen(a="fail", b="pass")), "")
        self.assertIn("survives", self.attempt(cases=["s.a"], found=seen(a="pass", b="pass")))
        self.assertIn("as well", self.attempt(cases=["s.a"], found=seen(a="fail", b="fail")))

    def test_the_kernel_of_another(self):
        red = seen(a="fail", b="pass")
        with mock.patch.object(mutants, "written", side_effect=[7, 7]):
            self.assertIn("no new kernel", self.attempt(cases=["s.a"], found=red, last="that"))
        with mock.patch.object(mutants, "written", side_effect=[7, 8]):
            self.assertEqual(self.attempt(cases=["s.a"], found=red, last="that"), "")
        # The same mutant once more links none.
        with mock.patch.object(mutants, "written", side_effect=[7, 7]):
            self.assertEqual(self.attempt(cases=["s.a"], found=red, last="this"), "")
        # The objects that a tree begins with are of no mutant.
        with mock.patch.object(mutants, "written", side_effect=[7, 7]):
            self.assertIn("no new kernel", self.attempt(cases=["s.a"], found=red))

    def test_does_not_build(self):
        self.assertIn("does not build", self.attempt(cases=["s.a"], error="make failed", message="error: x"))

    def test_compiler(self):
        self.assertEqual(self.attempt("build", regex="error: x", error="make failed", message="error: x"), "")
        self.assertIn("does not build", self.attempt("build", regex="error: x", error="make failed", message="error: y"))
        self.assertIn("accepts", self.attempt("build", regex="error: x"))

    def test_entry(self):
        self.assertEqual(self.attempt("entry", regex="refers to x"), "")
        self.assertIn("find only: f() refers to x", self.attempt("entry", regex="refers to y"))


class Pipeline(unittest.TestCase):
    def run_all(self, control, attempt, count=4, until=None):
        """What is reported of @count mutants of two filters, and in how many controls."""
        chosen = [mutants.Mutant(f"n{number}", Path(f"n{number}"), "w", "tcg-asi", [f"asi_tlb.a{number}"])
                  for number in range(count)]
        chosen[0].cases = ["asi_task.a0"]
        booted = []

        def observe(scenario, objdir, initrd, tag):
            booted.append(mutants.filter_of(scenario))
            return control

        pipeline_order = mock.patch.object(mutants.Pipeline, "order", staticmethod(lambda mutant: mutant.name))
        with pipeline_order, mock.patch.object(mutants, "mutants", lambda quick, only: chosen), \
             mock.patch.object(mutants.Pipeline, "prepare", lambda self: setattr(self, "objdirs", {"debug": None}) or
                               setattr(self, "initrds", {"tcg-asi": None})), \
             mock.patch.object(mutants, "observe", observe), mock.patch.object(mutants, "try_mutant", attempt), \
             mock.patch.object(mutants, "say"):
            return mutants.mutant_entries(until=until), booted

    def test_no_time_left(self):
        entries, booted = self.run_all(self.control(), lambda *_: self.fail("begins"), until=0)
        self.assertEqual((booted, {item["status"] for item in entries}, len(entries)), ([], {"skip"}, 6))
        self.assertIn("no time left", entries[-1]["why"])

    def test_none_begins_after_a_signal(self):
        begun = []
        with mock.patch.object(mutants, "stopped", lambda: signal.SIGTERM), self.assertRaises(Stopped):
            self.run_all(self.control(), lambda mutant, *_: begun.append(mutant.name) or "")
        self.assertEqual(begun, [])

    @staticmethod
    def control(**statuses):
        names = ("asi_task.a0", "asi_tlb.a1", "asi_tlb.a2", "asi_tlb.a3")
        return mutants.Seen({name: entry("m", "tcg", "asi", name, statuses.get(name.partition(".")[2], "pass"), "why")
                             for name in names}, [], True, [], "log: out/x")

    def test_each_filter_has_one_control(self):
        entries, booted = self.run_all(self.control(), lambda *args: "")
        self.assertEqual(sorted(booted), ["tcg-asi:asi_task", "tcg-asi:asi_tlb"])
        self.assertEqual([item["case"] for item in entries],
                         ["control:tcg-asi:asi_task", "control:tcg-asi:asi_tlb", "n0", "n1", "n2", "n3"])
        self.assertEqual({item["status"] for item in entries}, {"pass"})

    def test_red_control_is_a_failure(self):
        entries, _ = self.run_all(self.control(a2="fail"), lambda *args: "")
        self.assertEqual([item["status"] for item in entries if item["case"].startswith("control:")], ["fail", "fail"])

    def test_control_that_skips_what_has_to_fail(self):
        entries, _ = self.run_all(self.control(a1="skip"), lambda *args: "")
        self.assertEqual([item["case"] for item in entries if item["status"] == "fail"], ["control:tcg-asi:asi_tlb"])

    def test_a_mutant_that_breaks_is_a_failure_of_its_own(self):
        def attempt(mutant, *_):
            if mutant.name == "n1":
                raise HarnessError("does not apply")
            return "survives" if mutant.name == "n2" else ""

        entries, _ = self.run_all(self.control(), attempt)
        self.assertEqual([(item["case"], item["why"]) for item in entries if item["status"] == "fail"],
                         [("n1", "does not apply"), ("n2", "survives")])

    def test_two_at_a_time_each_in_its_tree(self):
        meet, trees = threading.Barrier(2, timeout=20), []

        def attempt(_mutant, tree, *_):
            meet.wait()
            trees.append(tree)
            return ""

        entries, _ = self.run_all(self.control(), attempt, count=2)
        self.assertEqual(set(trees), set(mutants.TREES))
        self.assertEqual({item["status"] for item in entries}, {"pass"})


class Objects(unittest.TestCase):
    def setUp(self):
        self.sample = Sample()
        self.sample.__enter__()
        self.addCleanup(self.sample.__exit__)
        self.source, self.tree = self.sample.top / "src", self.sample.top / "mutant-0"
        series.patched_tree(self.source, root=self.sample.root, base=self.sample.base)
        write(self.source, {"o-debug/a.o": "object", "o-debug/.harness-built": "x",
                            "o-debug/tools/.b.cmd": f"cmd := gcc {self.source}/tools/b.c\n"})
        for path in ("mm/memory.c", "mm/thing.c", "o-debug/a.o"):
            os.utime(self.source / path, (1000, 1000))

    def copy(self):
        def patched(dest, like=None, real=series.patched_tree):
            return real(dest, root=self.sample.root, base=self.sample.base, like=like)

        with mock.patch.object(mutants, "SOURCE", self.source), mock.patch.object(mutants, "BUILD", self.sample.top), \
             mock.patch.object(mutants, "LOGS", self.sample.top), mock.patch.object(series, "patched_tree", patched):
            mutants.objects_for("debug", self.tree)

    def test_nothing_looks_changed(self):
        self.copy()
        for path in ("mm/memory.c", "mm/thing.c", "o-debug/a.o"):
            self.assertEqual((self.tree / path).stat().st_mtime, 1000, path)
        self.assertEqual((self.tree / "o-debug/tools/.b.cmd").read_text(), f"cmd := gcc {self.tree}/tools/b.c\n")
        self.assertFalse((self.tree / "o-debug/.harness-built").exists())

    def test_other_text_is_new(self):
        write(self.source, {"mm/thing.c": "int different;\n"})
        os.utime(self.source / "mm/thing.c", (1000, 1000))
        self.copy()
        self.assertGreater((self.tree / "mm/thing.c").stat().st_mtime, 1000)

    def test_what_is_there_stays(self):
        self.copy()
        write(self.tree, {"o-debug/a.o": "own"})
        self.copy()
        self.assertEqual((self.tree / "o-debug/a.o").read_text(), "own")

    def test_objects_of_another_kernel_go(self):
        """After a change of a wide header, make would make nearly all of them anew, which takes ten minutes and more."""
        self.copy()
        write(self.source, {"o-debug/a.o": "newer", "o-debug/.harness-built": "y"})
        write(self.tree, {"o-debug/left.o": "older"})
        os.utime(self.tree / "mm/thing.c", (2000, 2000))
        self.copy()
        self.assertEqual((self.tree / "o-debug/a.o").read_text(), "newer")
        self.assertFalse((self.tree / "o-debug/left.o").exists())
        self.assertEqual((self.tree / "mm/thing.c").stat().st_mtime, 1000)


if __name__ == "__main__":
    unittest.main()
