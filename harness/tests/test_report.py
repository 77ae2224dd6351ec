# SPDX-License-Identifier: GPL-2.0
"""One report a run, that says what it is of."""

import errno
import json
import os
import subprocess
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from harness import base, common, report
from harness.common import HarnessError, Stopped

GOOD = report.entry("tcg-x", "tcg", "asi", "a", "pass")
BAD = report.entry("tcg-x", "tcg", "asi", "b", "fail", "it broke")


class RunCase(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="kas-report.")
        self.addCleanup(folder.cleanup)
        self.out = Path(folder.name) / "out"
        patch = mock.patch.object(report, "OUT", self.out)
        patch.start()
        self.addCleanup(patch.stop)
        self.addCleanup(common.stop, None)

    def read(self, name="report.json"):
        return json.loads((self.out / name).read_text())

    def test_whole_run(self):
        base.ensure_base()
        with report.Run() as run:
            run.add([GOOD])
            run.add([{**BAD, "tail": "for the terminal"}])
            run.write()
        self.assertEqual(sorted(os.listdir(self.out)), ["report.json", "report.kcidb.json", "report.xml"])
        found = self.read()
        self.assertEqual(found["entries"], [GOOD, BAD])
        meta = found["meta"]
        self.assertEqual((meta["run"], meta["ended"], meta["closing"]), ("all", "complete", "1 passed, 1 failed, 0 skipped"))
        self.assertEqual(meta["sources"], report.sources())
        self.assertEqual(meta["kernel"]["base"], base.ensure_base().name)
        self.assertRegex(meta["kernel"]["series"], "^[0-9a-f]{64}$")
        self.assertEqual(len(meta["tools"]["toolchain"]), 4)
        self.assertEqual(meta["tools"]["accelerator"], "tcg")
        self.assertEqual(set(meta["machine"]), {"cpu", "cpus", "memory", "kernel"})

    def test_old_report_is_gone_first(self):
        self.out.mkdir()
        (self.out / "report.json").write_text("old")
        with report.Run() as run:
            self.assertFalse(run.path.exists())
        self.assertEqual(self.read()["entries"], [])

    def test_part_has_its_own(self):
        self.out.mkdir()
        (self.out / "report.json").write_text("whole")
        with report.Run("tcg-asi") as run:
            run.add([GOOD])
            run.write()
        self.assertEqual((self.out / "report.json").read_text(), "whole")
        self.assertEqual(self.read("report-tcg-asi.json")["meta"]["run"], "tcg-asi")
        self.assertEqual(report.Run("../a b").path, self.out / "report-.._a_b.json")

    def test_written_however_it_ends(self):
        for err, ended in ((ValueError("a defect"), "ValueError: a defect"), (Stopped(15), "Stopped: SIGTERM"),
                           (HarnessError("no\nway"), "HarnessError: no"), (SystemExit(3), "SystemExit: 3")):
            common.stop(None)
            with self.assertRaises(type(err)):
                with report.Run() as run:
                    run.add([GOOD])
                    if isinstance(err, Stopped):
                        common.stop(15)
                    raise err
            found = self.read()
            self.assertEqual((found["entries"], found["meta"]["ended"]), ([GOOD], ended))
            # What has to be asked of other programs is there even if the run may start none any more.
            self.assertIn("gcc", found["meta"]["tools"]["toolchain"][0])

    def test_interrupted_again(self):
        with self.assertRaises(Stopped):
            with report.Run() as run, mock.patch.object(run, "meta", side_effect=Stopped(2)):
                run.add([GOOD])
                run.write()
        self.assertEqual(self.read()["entries"], [GOOD])

    def test_full_disk(self):
        """Full but for what the run has kept free."""
        with report.Run() as run:
            self.assertGreaterEqual(os.stat(run.reserve).st_blocks * 512, report.RESERVE)
            run.add([GOOD])

            def replace_file(path, data):
                if run.reserve.exists():
                    raise OSError(errno.ENOSPC, common.NO_SPACE, str(path))
                common.replace_file(path, data)
            with mock.patch.object(report, "replace_file", replace_file):
                run.write()
        self.assertEqual(self.read()["entries"], [GOOD])

    def test_sources_that_change(self):
        with mock.patch.object(report, "sources", side_effect=["one", "two"]):
            with report.Run() as run:
                run.write()
        self.assertEqual(self.read()["meta"]["sources"], "changed during the run")

    def test_what_is_unknown(self):
        with mock.patch.object(report, "commit", side_effect=HarnessError("git failed\nbadly")):
            with report.Run() as run:
                run.write()
        self.assertEqual(self.read()["meta"]["repository"], "unknown: git failed")


class What(unittest.TestCase):
    def test_commit(self):
        with tempfile.TemporaryDirectory(prefix="kas-commit.") as top, mock.patch.object(report, "ROOT", Path(top)):
            git = ["git", "-C", top, "-c", "user.name=a", "-c", "user.email=a@localhost"]
            for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "first"]):
                subprocess.run([*git, *command], check=True)
            clean = report.commit()
            (Path(top) / "new").write_text("")
            dirty = report.commit()
        self.assertRegex(clean["commit"], "^[0-9a-f]{40}$")
        self.assertEqual((clean["clean"], clean["changed"]), (True, []))
        self.assertEqual((dirty["clean"], dirty["changed"]), (False, ["new"]))

    def test_sources(self):
        with tempfile.TemporaryDirectory(prefix="kas-sources.") as top, mock.patch.object(report, "ROOT", Path(top)), \
                mock.patch("harness.check.ROOT", Path(top)):
            (Path(top) / "README.md").write_text("one")
            (Path(top) / "code.c").write_text("one")
            first = report.sources()
            (Path(top) / "README.md").write_text("two")
            self.assertEqual(report.sources(), first)
            (Path(top) / "code.c").write_text("two")
            self.assertNotEqual(report.sources(), first)

    def test_counts(self):
        self.assertEqual(report.since({"hits": 3, "misses": 1}, {"hits": 10, "misses": 1}), {"hits": 7, "misses": 0})
        self.assertEqual(report.since("unknown: no ccache", {"hits": 10, "misses": 1}), {"hits": 10, "misses": 1})

    def test_accelerator_is_said(self):
        for accel, names in (("", ("tcg", "ovmf", "bochs", "none")), ("kvm", ("kvm", "ovmf on kvm", "bochs", "none")),
                             ("tcg,thread=multi", ("tcg", "ovmf", "bochs", "none"))):
            with mock.patch.dict(os.environ, {"ACCEL": accel}):
                found = [report.entry("s", emulator, "asi", "a", "pass") for emulator in ("tcg", "ovmf", "bochs", "none")]
            self.assertEqual(tuple(item["emulator"] for item in found), names)

    def test_reason(self):
        self.assertEqual(report.entry("s", "tcg", "asi", "a", "skip")["status"], "fail")


if __name__ == "__main__":
    unittest.main()
