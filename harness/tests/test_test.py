# SPDX-License-Identifier: GPL-2.0
"""make test as a whole: what a stage that breaks means for those behind it."""

import tempfile
import unittest
from pathlib import Path
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
             mock.patch.object(test.spin, "model_entries", lambda: []), \
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
            self.assertEqual(self.stages("tree_entries", test.cmd_test, []), ["== base", "== check", "== models", "== tree"])
        self.assertEqual(self.stages("tree_entries", test.cmd_test, ["tcg-asi"]), ["== tree"])
        self.assertEqual(self.stages("tree_entries", test.cmd_soak, []), ["== tree"])


class Time(unittest.TestCase):
    def stages(self, left):
        """Stages of a run that has so many seconds left."""
        made = test.Stages(mock.Mock(entries=[]))
        made.begin -= test.LIMIT - left
        return made

    def setUp(self):
        tmp = tempfile.TemporaryDirectory()
        self.addCleanup(tmp.cleanup)
        self.cache = Path(tmp.name)
        self.enterContext(mock.patch.object(test, "CACHE", self.cache))
        for name in ("some-kernel", "another"):
            (self.cache / "stages").mkdir(exist_ok=True)
            (self.cache / "stages" / name).touch()

    def test_what_this_cache_has_never_seen(self):
        """takes long, whatever something else has taken; it does so once."""
        with mock.patch.object(test, "say"), mock.patch.object(test.report, "ccache_counts", dict), \
             mock.patch.object(test.report, "show_failures"):
            done = mock.Mock(return_value=[])
            self.stages(test.COLD - 10).if_time("new", 60, done)
            done.assert_not_called()
            self.stages(test.COLD + 10).if_time("new", 60, done)
            self.stages(70).if_time("new", 60, done)
            self.assertEqual(done.call_count, 2)

    def test_not_complete(self):
        said = []
        with mock.patch.object(test, "say", lambda line="": said.append(line)), \
             mock.patch.object(test.report, "ccache_counts", lambda: {"hits": 0, "misses": 0}), \
             mock.patch.object(test.report, "show_failures"):
            stages = self.stages(600)
            stages.report.path = test.ROOT / "out/report.json"
            stages.entries.append(test.report.entry("x", "none", "y", "z", "pass"))
            stages.finish()
            self.assertNotIn("not complete", "\n".join(said))
            stages.if_time("some kernel", 700, mock.Mock())
            stages.entries.append(test.report.entry("x", "none", "series", "prefix:a", "skip", "make test has no time left for it"))
            stages.finish()
        self.assertIn("not complete, there was no time left for: prefix, some-kernel; another make test goes on from here", said)

    def test_what_does_not_fit_is_skipped(self):
        with mock.patch.object(test, "say"), mock.patch.object(test.report, "ccache_counts", dict), \
             mock.patch.object(test.report, "show_failures"):
            stages, done = self.stages(600), mock.Mock(return_value=[])
            stages.if_time("some kernel", 700, done)
            done.assert_not_called()
            self.assertEqual([(item["case"], item["status"]) for item in stages.entries], [("some-kernel", "skip")])
            self.assertIn("no time left: it would take some 12 minutes, and 10 of 60 are left", stages.entries[0]["why"])
            stages.if_time("another", 500, done, 7)
            done.assert_called_once_with(7)
            self.assertEqual(len(stages.entries), 1)
            # How long another has taken is an estimate; of one that was not run there is none.
            self.assertEqual(stages.like("never"), 0)

    def test_order(self):
        """All kernels but the late ones boot before anything is skipped; nothing is run twice, and nothing is left out."""
        begun, booted = [], []

        def run(self, name, function, *args):
            begun.append(name)
            self.times.append((name, 2000, {"hits": 0, "misses": 0}))
            if function in (test.boot_all, test.late_entries):
                booted.extend(scenario.name for scenario in args[-1])
            return True

        every = [name for name in test.boot.names() if test.boot.load(name).extra != "yes"]
        for left, some in ((test.LIMIT, True), (1000, False)):
            begun.clear(), booted.clear()
            with mock.patch.object(test.Stages, "run", run), mock.patch.object(test.Stages, "finish", lambda stages: 0):
                test.everything(self.stages(left))
            self.assertEqual(len(begun), len(set(begun)))
            self.assertLess(begun.index("boots"), begun.index("identity"))
            self.assertLess(begun.index("identity"), begun.index("kasan kernel"))
            late = [name for name in every if test.boot.load(name).build in test.LATE]
            self.assertEqual(sorted(booted), sorted(set(every) - (set() if some else set(late))))


if __name__ == "__main__":
    unittest.main()
