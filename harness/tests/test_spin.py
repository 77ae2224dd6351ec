# SPDX-License-Identifier: GPL-2.0
"""Models of the code: what counts as a proof, and what as a counterexample."""

import shutil
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from .. import spin
from ..common import HarnessError
from .sample import write

MODEL = """\
/*
 * Code: mm/a.c: smp_mb();
 * Code: mm/a.c: x = 1;
 * Without: NO_LOCK: the lock
 */
bool lock;
byte inside;
active [2] proctype p()
{
#ifndef NO_LOCK
	atomic { !lock -> lock = true }
#endif
	inside++;
	assert(inside == 1);
	inside--;
	lock = false
}
"""
FULL = "State-vector 20 byte, depth reached 9, errors: 0\n        9 states, stored\n"
WRONG = "pan:1: assertion violated (inside==1) (at depth 3)\nWarning: Search not completed\nState-vector 20 byte, depth 4, errors: 1\n"


class Verdict(unittest.TestCase):
    def test_right_and_wrong(self):
        self.assertEqual(spin.verdict(FULL, "m"), "")
        self.assertEqual(spin.verdict(WRONG, "m"), "assertion violated (inside==1)")

    def test_incomplete(self):
        for text in ("", "error: max search depth too small\n" + FULL, "Warning: Search not completed\n" + FULL, "pan: out of memory\n"):
            with self.assertRaisesRegex(HarnessError, "not complete"):
                spin.verdict(text, "m")


class Models(unittest.TestCase):
    def setUp(self):
        tmp = tempfile.TemporaryDirectory()
        self.addCleanup(tmp.cleanup)
        self.root = Path(tmp.name)
        write(self.root, {"mm/a.c": "\tsmp_mb();\n\tx = 1;\n"})
        for name in ("ROOT", "FOLDER"):
            self.enterContext(mock.patch.object(spin, name, self.root))
        self.enterContext(mock.patch.object(spin.missing, "__defaults__", (self.root,)))
        self.enterContext(mock.patch.object(spin, "need"))

    def entries(self, text, search=None):
        write(self.root, {"m.pml": text})
        with mock.patch.object(spin, "search", search or spin.search):
            return {item["case"]: item["why"] if item["status"] == "fail" else "" for item in spin.model_entries()}

    def test_header(self):
        self.assertEqual(spin.header(MODEL), ({"mm/a.c": ["smp_mb();", "x = 1;"]}, {"NO_LOCK": "the lock"}))

    def test_as_it_should_be(self):
        self.assertEqual(self.entries(MODEL, lambda model, define="": "wrong" if define else ""), {"m": "", "m.NO_LOCK": ""})

    def test_what_nothing_needs(self):
        self.assertIn("nothing goes wrong without it: the lock", self.entries(MODEL, lambda *_: "")["m.NO_LOCK"])

    def test_what_goes_wrong(self):
        self.assertEqual(self.entries(MODEL, lambda *_: "an assertion")["m"], "goes wrong: an assertion")

    def test_code_that_has_changed(self):
        write(self.root, {"mm/a.c": "\tsmp_wmb();\n\tx = 1;\n"})
        self.assertEqual(self.entries(MODEL, lambda model, define="": define)["m"], "stands for code that is not there: mm/a.c: smp_mb();")

    def test_without_a_header(self):
        for line in (" * Code", " * Without"):
            text = "\n".join(text for text in MODEL.split("\n") if not text.startswith(line))
            self.assertIn("has no line", self.entries(text, lambda model, define="": define)["m"])

    def test_none_at_all(self):
        self.assertEqual([item["status"] for item in spin.model_entries()], ["fail"])

    def test_spin_itself(self):
        if not shutil.which("spin"):
            self.skipTest("there is no spin")
        self.assertEqual(self.entries(MODEL), {"m": "", "m.NO_LOCK": ""})
        self.assertIn("goes wrong: assertion violated", self.entries(MODEL.replace("!lock ->", ""))["m"])
        self.assertIn("spin", self.entries("/*\n * Code: mm/a.c: x = 1;\n * Without: A: b\n */\nproctype {\n")["m"])


if __name__ == "__main__":
    unittest.main()
