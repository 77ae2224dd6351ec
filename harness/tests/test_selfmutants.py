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

    def why(self, find, put, red="test_code"):
        return selfmutants.survives(selfmutants.SelfMutant("n", "code.py", find, put, red), self.root)

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

    def test_control(self):
        self.assertIsNone(selfmutants.control("test_code", self.root))
        write(self.root, {"harness/code.py": "def small(x):\n    return True\n"})
        self.assertIn("FAILED", selfmutants.control("test_code", self.root))
        # No case at all is not green.
        write(self.root, {"harness/tests/test_code.py": ""})
        self.assertIn("Ran 0 tests", selfmutants.control("test_code", self.root))

    def test_what_is_copied(self):
        with selfmutants.copied(self.root) as tmp:
            self.assertTrue((tmp / "configs/x.config").exists())
            self.assertFalse((tmp / "build").exists())
            self.assertFalse((tmp / "harness/code.py").is_symlink())


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
            self.assertIn("no end", selfmutants.failing(selfmutants.ROOT, "test_entry"))


if __name__ == "__main__":
    unittest.main()
