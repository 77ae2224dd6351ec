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
 * Code: mm/a.c f: x = 1;
 * Code: mm/a.c f: smp_mb();
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


SOURCE = "int f(void);\n\nint f(void)\n{\n\tx = 1;\n\tsmp_mb();\n}\n\nvoid g(void)\n{\n\tsmp_mb();\n\tx = 1;\n}\n" \
         ".macro M out:req\n\tmovq\t%rax, %cr3\n\tjz\t\\out\n.endm\n"


class Code(unittest.TestCase):
    def missing(self, *pieces, function="f", source=SOURCE):
        return spin.missing({("mm/a.c", function): list(pieces)}, {"mm/a.c": source})

    def test_there(self):
        self.assertEqual(self.missing("x = 1;", "smp_mb();"), [])
        self.assertEqual(self.missing("smp_mb();", "x = 1;", function="g"), [])
        self.assertEqual(self.missing("movq %rax, %cr3", "jz \\out", function="M"), [])

    def test_not_there(self):
        for pieces, function in ((("smp_mb();", "x = 1;"), "f"),      # in another order
                                 (("x = 1;", "x = 1;"), "f"),         # there is one, another function has the other
                                 (("x = 1;",), "h"), (("jz \\out", "movq %rax, %cr3"), "M")):
            self.assertEqual(len(self.missing(*pieces, function=function)), 1, pieces)
        # A barrier of a function goes unseen by none of the others.
        self.assertEqual(len(self.missing("x = 1;", "smp_mb();", source=SOURCE.replace("x = 1;\n\tsmp_mb();", "x = 1;\n\tbarrier();"))), 1)

    def test_header(self):
        self.assertEqual(spin.header(MODEL), ({("mm/a.c", "f"): ["x = 1;", "smp_mb();"]}, {"NO_LOCK": "the lock"}))


class Models(unittest.TestCase):
    def setUp(self):
        tmp = tempfile.TemporaryDirectory()
        self.addCleanup(tmp.cleanup)
        self.root = Path(tmp.name)
        self.sources = {"mm/a.c": SOURCE}
        for name in ("ROOT", "FOLDER"):
            self.enterContext(mock.patch.object(spin, name, self.root))
        self.enterContext(mock.patch.object(spin, "composed", lambda: self.sources))
        self.enterContext(mock.patch.object(spin, "need"))

    def entries(self, text, search=None):
        write(self.root, {"m.pml": text})
        with mock.patch.object(spin, "search", search or spin.search):
            return {item["case"]: item["why"] if item["status"] == "fail" else "" for item in spin.model_entries()}

    def without(self, says):
        return lambda file, define="": says if define else ""

    def test_as_it_should_be(self):
        self.assertEqual(self.entries(MODEL, self.without("assertion violated x")), {"m": "", "m.NO_LOCK": ""})

    def test_what_nothing_needs(self):
        self.assertIn("nothing goes wrong without it: the lock", self.entries(MODEL, self.without(""))["m.NO_LOCK"])

    def test_what_goes_wrong_in_another_way(self):
        self.assertIn("in another way without it: the lock: invalid end state",
                      self.entries(MODEL, self.without("invalid end state"))["m.NO_LOCK"])

    def test_what_goes_wrong(self):
        self.assertEqual(self.entries(MODEL, lambda *_: "assertion violated x")["m"], "goes wrong: assertion violated x")

    def test_code_that_has_changed(self):
        self.sources = {"mm/a.c": SOURCE.replace("x = 1;\n\tsmp_mb();", "x = 1;\n\tbarrier();")}
        self.assertEqual(self.entries(MODEL, self.without("assertion violated"))["m"],
                         "stands for other code: mm/a.c: f() does not have in its place: smp_mb();")

    def test_without_a_header(self):
        for line in (" * Code", " * Without"):
            text = "\n".join(text for text in MODEL.split("\n") if not text.startswith(line))
            self.assertIn("has no line", self.entries(text, self.without("assertion violated"))["m"])

    def test_none_at_all(self):
        self.assertEqual([item["status"] for item in spin.model_entries()], ["fail"])

    def test_spin_itself(self):
        if not shutil.which("spin"):
            self.skipTest("there is no spin")
        self.assertEqual(self.entries(MODEL), {"m": "", "m.NO_LOCK": ""})
        self.assertIn("goes wrong: assertion violated", self.entries(MODEL.replace("!lock ->", ""))["m"])
        self.assertIn("in another way", self.entries(MODEL.replace("\tinside++;", "#ifdef NO_LOCK\n\tfalse;\n#endif\n\tinside++;"))["m.NO_LOCK"])
        self.assertIn("spin", self.entries("/*\n * Code: mm/a.c f: x = 1;\n * Without: A: b\n */\nproctype {\n")["m"])


if __name__ == "__main__":
    unittest.main()
