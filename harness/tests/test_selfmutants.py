# SPDX-License-Identifier: GPL-2.0
"""Mutants of the harness: what each must do to count, shown on a harness of one function."""

import tempfile
import unittest
from pathlib import Path
from unittest import mock

from .. import selfmutants
from ..common import HarnessError
from .sample import write

FILES = {
    "harness/__init__.py": "", "harness/tests/__init__.py": "",
    "harness/code.py": "def small(x):\n    if x < 3:\n        return True\n    return False\n\n\ndef more():\n    return False\n",
    "harness/tests/test_code.py": "import unittest\n\nfrom .. import code\n\n\nclass Small(unittest.TestCase):\n"
                                  "    def test_it(self):\n        self.assertTrue(code.small(2))\n"
                                  "        self.assertFalse(code.small(3))\n",
    "configs/x.config": "CONFIG_X=y\n", "build/big": "",
}
ENTRY = "[n]\nfile = a.py\nfind = if x: = y\nput = if True:\nred = test_a\n"


class Run(unittest.TestCase):
    def setUp(self):
        tmp = tempfile.TemporaryDirectory()
        self.addCleanup(tmp.cleanup)
        self.root = Path(tmp.name)
        write(self.root, FILES)
        self.copies = self.enterContext(selfmutants.Copies(self.root))

    def why(self, find, put, red="test_code"):
        return selfmutants.survives(selfmutants.SelfMutant("n", "code.py", find, put, red), self.copies)

    def control(self):
        with selfmutants.Copies(self.root) as copies, mock.patch.object(selfmutants, "targets", return_value=["test_code", "test_x"]):
            return selfmutants.control("test_code", copies)

    def test_red(self):
        self.assertIsNone(self.why("if x < 3:", "if True:"))
        self.assertIsNone(self.why("if x < 3:", "if True:", "test_code.Small.test_it"))
        self.assertEqual((self.root / "harness/code.py").read_text(), FILES["harness/code.py"])

    def test_survives(self):
        self.assertIn("is green with this line", self.why("if x < 3:", "if x < 2 + 1:"))

    def test_line_that_is_not_there_or_not_once(self):
        for find, count in (("if x < 4:", 0), ("return False", 2)):
            with self.assertRaisesRegex(HarnessError, f"has {count} lines"):
                self.why(find, "pass")

    def test_no_python(self):
        with self.assertRaisesRegex(HarnessError, "is no Python"):
            self.why("if x < 3:", "if x <:")

    def test_what_cannot_be_loaded_is_not_red(self):
        self.assertIn("does not run", self.why("def more():", "import nothing_of_this_name\ndef more():"))
        self.assertIn("does not run", self.why("if x < 3:", "if True:", "test_other"))

    def test_one_after_the_other(self):
        """In the same folder, with files of the same size: what Python compiled for one is not taken for the next."""
        for put, red in (("if True:", True), ("if x <3 :", False), ("if False:", True), ("if x<  3:", False)) * 2:
            self.assertEqual(self.why("if x < 3:", put) is None, red, put)
        self.assertEqual(self.copies.folder(), self.copies.folder())
        self.assertEqual((self.copies.folder() / "harness/code.py").read_text(), FILES["harness/code.py"])

    def test_leftovers(self):
        tmp = self.copies.folder()
        self.why("if x < 3:", "if True:")
        self.assertEqual(self.copies.leftovers(), [])
        (tmp / "left").write_text("")
        (tmp / "harness/code.py").write_text("def small(x): pass\n")
        self.assertEqual(self.copies.leftovers(), ["harness/code.py", "left"])

    def test_control(self):
        self.assertIsNone(self.control())
        write(self.root, {"harness/code.py": "def small(x):\n    return True\n"})
        self.assertIn("FAILED", self.control())
        # No case at all is not green.
        write(self.root, {"harness/tests/test_code.py": ""})
        self.assertIn("Ran 0 tests", self.control())

    def test_what_is_copied(self):
        tmp = self.copies.folder()
        self.assertTrue((tmp / "configs/x.config").exists())
        self.assertFalse((tmp / "build").exists())
        self.assertFalse((tmp / "harness/code.py").is_symlink())
        self.copies.__exit__()
        self.assertFalse(tmp.exists())


class List(unittest.TestCase):
    def load(self, text, least=1):
        with tempfile.TemporaryDirectory() as tmp:
            path = Path(tmp) / "list.ini"
            path.write_text(text)
            return selfmutants.load(path, least)

    def test_entry(self):
        self.assertEqual(self.load(ENTRY), [selfmutants.SelfMutant("n", "a.py", "if x: = y", "if True:", "test_a")])

    def test_refused(self):
        for text in (ENTRY + ENTRY, ENTRY.replace("red", "green"), ENTRY.replace("red = test_a\n", ""), "find = x\n",
                     ENTRY.replace("if True:", ""), ENTRY.replace("if True:", "a\n  b"), ENTRY + "more = x\n"):
            with self.assertRaises(HarnessError, msg=text):
                self.load(text)
        with self.assertRaisesRegex(HarnessError, "should have 2 at least"):
            self.load(ENTRY, 2)

    def test_those_that_there_are(self):
        found = selfmutants.load()
        for mutant in found:
            path = selfmutants.ROOT / "harness" / mutant.file
            self.assertNotEqual(selfmutants.mutated(mutant, path.read_text()), path.read_text(), mutant.name)

    def test_a_test_that_hangs(self):
        with mock.patch.object(selfmutants, "TIMEOUT", 0.01):
            self.assertIn("no end", selfmutants.failing(selfmutants.ROOT, ["test_entry"]))


if __name__ == "__main__":
    unittest.main()
