# SPDX-License-Identifier: GPL-2.0
"""What is kept of checkpatch: that it had nothing to say, and about what."""

import tempfile
import unittest
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

from .. import check
from .sample import write


class Checkpatch(unittest.TestCase):
    def setUp(self):
        tmp = tempfile.TemporaryDirectory()
        self.addCleanup(tmp.cleanup)
        self.root = Path(tmp.name)
        write(self.root, {"out/series/a.patch": "a", "cache/x": ""})
        for name, folder in (("OUT", "out"), ("CACHE", "cache"), ("BUILD", "build")):
            self.enterContext(mock.patch.object(check, name, self.root / folder))
        self.silent = self.enterContext(mock.patch.object(check, "silent", return_value=None))
        self.ctx = SimpleNamespace(base=Path("6.12"), perl="v5")

    def asked(self, why=None):
        """How often checkpatch runs for two looks at the patch, when it says @why."""
        self.silent.reset_mock()
        self.silent.return_value = why
        for _ in range(2):
            self.assertEqual(check.checkpatch(self.ctx, "a.patch"), why)
        return self.silent.call_count

    def test_nothing_to_say(self):
        self.assertEqual(self.asked(), 1)
        self.assertEqual(self.asked(), 0)

    def test_assembler_in_a_header(self):
        said = "CHECK:SPACING: spaces preferred around that '%' (ctx:WxV)\n#68: FILE: {}:306:\n+\tmovq\t%rax, %rbx\n \t    \t^\n"
        ours, other = said.format("arch/x86/entry/calling.h"), said.format("mm/temp_mm.c")
        self.assertIsNone(check.objections(ours + "\n" + ours))
        self.assertEqual(check.objections(ours + "\n" + other + "\n" + ours), other.strip())
        worse = ours.replace("CHECK:SPACING", "WARNING:TYPO_SPELLING")
        self.assertEqual(check.objections(worse), worse.strip())

    def test_something_to_say(self):
        self.assertEqual(self.asked("ERROR:SPACING"), 2)

    def test_something_else(self):
        self.assertEqual(self.asked(), 1)
        write(self.root, {"out/series/a.patch": "b"})
        self.assertEqual(self.asked(), 1)
        self.ctx.base = Path("6.13")
        self.assertEqual(self.asked(), 1)
        self.ctx.perl = "v6"
        self.assertEqual(self.asked(), 1)
        with mock.patch.object(check, "CHECKPATCH", ["--quiet"]):
            self.assertEqual(self.asked(), 1)


class KunitOptions(unittest.TestCase):
    def asked(self, paths, *answers):
        with mock.patch.object(check, "call", side_effect=answers):
            return check.kunit_options(SimpleNamespace(final=dict.fromkeys(paths), tree="tree"))

    def test_an_option_that_is_dropped(self):
        paths = ["mm/tests/b/.kunitconfig", "mm/tests/a/.kunitconfig", "mm/b.c"]
        self.assertIsNone(self.asked(paths, (0, "ok"), (0, "ok")))
        self.assertEqual(self.asked(paths, (0, "ok"), (1, "Missing: X")), "mm/tests/b/.kunitconfig:\nMissing: X")

    def test_nothing_to_ask(self):
        self.assertIn("no .kunitconfig", self.asked(["mm/b.c"]))


if __name__ == "__main__":
    unittest.main()
