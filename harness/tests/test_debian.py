# SPDX-License-Identifier: GPL-2.0
"""The disk with Debian's userland: made once, made again when something in it has changed, and never half."""

import tempfile
import unittest
from pathlib import Path
from unittest import mock

from .. import boot, debian
from ..common import HarnessError


class Image(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="kas-debian.")
        self.addCleanup(folder.cleanup)
        self.top = Path(folder.name)
        self.objdir = self.top / "o-debian"
        self.objdir.mkdir()
        (self.objdir / ".harness-built").write_text("a kernel")
        (self.top / "init").write_text("a program")
        self.scenario = boot.Scenario("x", userland="debian")
        self.commands, self.fail = [], ""
        patches = {"BUILD": self.top, "CACHE": self.top / "cache", "LOGS": self.top, "need": lambda packages: None,
                   "run": self.run_command, "furnish": lambda *args: None}
        for name, value in patches.items():
            self.enterContext(mock.patch.object(debian, name, value))
        self.enterContext(mock.patch.object(debian.base, "ensure_base", lambda: self.top / "base"))
        self.enterContext(mock.patch.object(debian.guest, "named", lambda scenario: [self.top / "init"]))
        self.enterContext(mock.patch.object(debian.os, "geteuid", lambda: 0))

    def run_command(self, command, **_options):
        self.commands.append(command[0])
        if command[0] == "mmdebstrap" or command[0] == "mke2fs":
            Path(command[-2 if command[0] == "mke2fs" else -1]).write_text("half")
        if command[0] == self.fail:
            raise HarnessError(f"{command[0]} failed")

    def image(self):
        self.commands.clear()
        debian.image(self.scenario, self.top / "src", self.objdir)
        return self.commands

    def test_once(self):
        self.assertEqual(self.image(), ["mmdebstrap", "tar", "mke2fs"])
        self.assertEqual(self.image(), [])

    def test_what_goes_into_it(self):
        self.image()
        for path in (self.objdir / ".harness-built", self.top / "init"):
            path.write_text("another")
            self.assertEqual(self.image(), ["tar", "mke2fs"], path)

    def test_half_a_userland_is_none(self):
        self.fail = "mmdebstrap"
        with self.assertRaises(HarnessError):
            self.image()
        self.fail = ""
        self.assertEqual(self.image(), ["mmdebstrap", "tar", "mke2fs"])

    def test_half_a_disk_is_none(self):
        self.fail = "mke2fs"
        with self.assertRaises(HarnessError):
            self.image()
        self.fail = ""
        self.assertEqual(self.image(), ["tar", "mke2fs"])

    def test_only_root_can(self):
        with mock.patch.object(debian.os, "geteuid", lambda: 1000):
            with self.assertRaisesRegex(HarnessError, "only root can make it"):
                debian.packages()
