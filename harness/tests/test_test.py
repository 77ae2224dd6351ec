# SPDX-License-Identifier: GPL-2.0
"""make test as a whole: what a stage that breaks means for those behind it."""

import unittest
from unittest import mock

from .. import test
from ..common import HarnessError


class Broken(unittest.TestCase):
    def stages(self, broken, command, *args):
        """The stages that begin when @broken, a function of the module, raises."""
        run, begun = mock.Mock(entries=[]), []
        with mock.patch.object(test, "say", begun.append), mock.patch.object(test.report, "ccache_counts", dict), \
             mock.patch.object(test.report, "show_failures"), mock.patch.object(test, "need"), \
             mock.patch.object(test.report, "Run") as made, mock.patch.object(test, "ensure_base"), \
             mock.patch.object(test.check, "check_entries", lambda: []), \
             mock.patch.object(test, "build_config", side_effect=AssertionError("goes on")), \
             mock.patch.object(test, broken, side_effect=HarnessError("no")):
            made.return_value.__enter__.return_value = run
            with mock.patch.object(test.Stages, "finish", lambda stages: 1):
                self.assertEqual(command(*args), 1)
        self.assertEqual(run.entries[-1]["why"], "no")
        return [line for line in begun if line.startswith("== ")]

    def test_no_base(self):
        with mock.patch.dict("os.environ", {"ONLY": ""}):
            self.assertEqual(self.stages("ensure_base", test.cmd_test, []), ["== base"])

    def test_no_tree(self):
        with mock.patch.dict("os.environ", {"ONLY": ""}):
            self.assertEqual(self.stages("tree_entries", test.cmd_test, []), ["== base", "== check", "== tree"])
        self.assertEqual(self.stages("tree_entries", test.cmd_test, ["tcg-asi"]), ["== tree"])
        self.assertEqual(self.stages("tree_entries", test.cmd_soak, []), ["== tree"])


if __name__ == "__main__":
    unittest.main()
