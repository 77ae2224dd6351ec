# SPDX-License-Identifier: GPL-2.0
"""Where the emulator comes from, and what follows if it can't be had."""

import tempfile
import unittest
from pathlib import Path
from unittest import mock

from .. import boot, emulator, test
from ..common import HarnessError

OPTIONS = ("--enable-x86-debugger", "--enable-smp", "--enable-vmx=2", "--enable-svm", "--disable-show-ips")


class Source(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="kas-emulator.")
        self.addCleanup(folder.cleanup)
        self.top = Path(folder.name)
        self.enterContext(mock.patch.object(emulator, "FOLDER", self.top))
        self.enterContext(mock.patch.object(emulator, "LOGS", self.top))

    def test_another_tarball(self):
        other = self.top / "other.tar.xz"
        other.write_bytes(b"another program")
        with mock.patch.dict("os.environ", {"KAS_BOCHS_TARBALL": str(other)}):
            self.assertRaisesRegex(HarnessError, "has the sha256 .*\n.*base/BOCHS says", emulator.source)
            other.unlink()
            self.assertRaisesRegex(HarnessError, "KAS_BOCHS_TARBALL: there is no file", emulator.source)

    def test_no_network(self):
        def no_answer(command, log=None, **_):
            if log:
                Path(log).write_text("Could not resolve the archive")
                if "source" in command:
                    raise HarnessError("failed")
            return "Debian http://archive/debian/\n"
        with mock.patch.object(emulator, "run", no_answer), mock.patch.dict("os.environ"):
            test.os.environ.pop("KAS_BOCHS_TARBALL", None)
            self.assertRaisesRegex(emulator.Unavailable, "no network.*KAS_BOCHS_TARBALL", emulator.source)
        self.assertIn("deb-src http://archive/debian/ ", (self.top / "sources.list").read_text())

    def test_asked_for_once(self):
        emulator._made.cache_clear()
        self.addCleanup(emulator._made.cache_clear)
        with mock.patch.object(emulator, "_build", side_effect=emulator.Unavailable("no network")) as build, \
             mock.patch.object(emulator, "need"):
            for _ in range(2):
                self.assertRaisesRegex(emulator.Unavailable, "no network", emulator.program)
        build.assert_called_once()

    def test_no_lists_yet(self):
        answers = iter(["", "Debian-Security http://security/\n Debian\nDebian http://archive/debian/\n"])
        with mock.patch.object(emulator, "run", lambda *_, **__: next(answers)), mock.patch.object(emulator, "apt_update") as update:
            self.assertEqual(emulator._archive(), "http://archive/debian/")
        update.assert_called_once()
        with mock.patch.object(emulator, "run", lambda *_, **__: ""), mock.patch.object(emulator, "apt_update"):
            self.assertRaisesRegex(emulator.Unavailable, "apt-get update", emulator._archive)

    def test_what_makes_another(self):
        before = emulator._key()
        with mock.patch.object(emulator, "CONFIGURE", emulator.CONFIGURE[1:]):
            self.assertNotEqual(emulator._key(), before)
        with mock.patch.object(emulator, "CHANGES", self.top):
            self.assertNotEqual(emulator._key(), before)
        for option in OPTIONS:
            self.assertIn(option, emulator.CONFIGURE)


class Skips(unittest.TestCase):
    def boot_all(self, error):
        scenario = boot.Scenario("bochs-x", emulator="bochs")
        with mock.patch.object(emulator, "program", side_effect=error), \
             mock.patch.object(boot, "prepare", side_effect=AssertionError("goes on")), \
             mock.patch.object(boot, "run_boots", lambda jobs, **_: []):
            return test.boot_all([scenario])[0]

    def test_unavailable(self):
        entry = self.boot_all(emulator.Unavailable("no network"))
        self.assertEqual((entry["status"], entry["why"]), ("skip", "no emulator: no network"))

    def test_does_not_build(self):
        self.assertEqual(self.boot_all(HarnessError("build Bochs failed"))["status"], "fail")


if __name__ == "__main__":
    unittest.main()
