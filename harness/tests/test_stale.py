# SPDX-License-Identifier: GPL-2.0
"""What is said of stale translations."""

import tempfile
import unittest
from pathlib import Path
from unittest import mock

from .. import boot, expected, judge, stale, tlb
from ..common import HarnessError

LINE = ("0480{n}i[CPU0  ] STALE {what} ffff888001000000 of pcid 001 at {at:016x}: was 0000000001000000 wx, since ffffffff81000010, "
        "is 0000000000000000 --, written by ffffffff81000020 of CPU 1\n")
MAP = "ffffffff81000000 T reads\nffffffff81000018 t changes\nffffffff81000100 D data\n"
CONSOLE = "[    0.000000] Linux version\n[    1.000000] reboot: Power down\n"


class WithLog(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="kas-stale.")
        self.addCleanup(folder.cleanup)
        self.top = Path(folder.name)
        (self.top / "System.map").write_text(MAP)
        self.log = self.top / "log.bochs"
        self.log.write_text("0479i[CPU0  ] another line\n" + LINE.format(n=1, what="read", at=0xffffffff81000004) +
                            LINE.format(n=2, what="read", at=0xffffffff81000004) + LINE.format(n=3, what="write", at=0xffffffff8100001c))
        self.allow("")

    def allow(self, text):
        path = self.top / "stale.allow"
        path.write_text(text)
        self.enterContext(mock.patch.object(stale, "ALLOWED", path))


class Stale(WithLog):
    def test_names(self):
        first, second = stale.stale(self.log, self.top / "System.map")
        self.assertRegex(first, r"^STALE read ffff888001000000 of pcid 001 at reads: was .* since reads, is .* by changes of CPU 1$")
        self.assertRegex(second, r"^STALE write .* at changes: ")

    def test_allowed(self):
        self.allow("STALE read .* at reads: ## they are told later\n")
        self.assertEqual([line.split()[1] for line in stale.stale(self.log, self.top / "System.map")], ["write"])

    def test_without_names(self):
        self.assertRegex(stale.stale(self.log, None)[0], r" at 0xffffffff81000004: was ")

    def test_nothing(self):
        self.log.write_text("")
        self.assertEqual(stale.stale(self.log, self.top / "System.map"), [])

    def test_a_boot_fails(self):
        console = self.top / "log"
        console.write_text(CONSOLE)
        scenario = boot.Scenario("bochs-x", emulator="bochs", tlb="report")
        run = mock.Mock(scenario=scenario, log=console, results=self.top / "none", ended="exit", trouble="", label="x", objdir=self.top)
        with mock.patch.object(expected, "differences", lambda *_: ([], [])):
            found = judge.judge(run, listed={})[0]
            self.assertIn("2 use(s) of stale translations, first: STALE read", found["why"])
            scenario.tlb = "keep"
            self.assertEqual(judge.judge(run, listed={})[0]["status"], "pass")


if __name__ == "__main__":
    unittest.main()


class AnyKernel(WithLog):
    """make tlb KERNEL="""

    def setUp(self):
        super().setUp()
        (self.top / "bzImage").write_text("a kernel")
        self.started = []
        for name, value in {"LOGS": self.top, "ROOT": self.top, "need": lambda packages: None, "say": lambda text: None}.items():
            self.enterContext(mock.patch.object(tlb, name, value))
        self.enterContext(mock.patch.object(tlb.emulator, "program", lambda: self.top))

    def run_it(self, finished=True, **variables):
        """The exit status, with an emulator that ends at once."""
        def start(label, boots, scenario, console, results):
            self.started.append((boots, scenario))
            machine = mock.Mock(log=self.log)
            machine.process.poll.return_value = 0
            machine.finished.return_value = finished
            return machine
        with mock.patch.object(tlb.bochs, "Bochs", start), \
                mock.patch.dict(tlb.os.environ, {"KERNEL": str(self.top / "bzImage"), **variables}):
            return tlb.any_kernel()

    def test_reports(self):
        self.assertEqual(self.run_it(SYSTEM_MAP=str(self.top / "System.map"), CMDLINE="quiet"), 1)
        (commands, files), scenario = self.started[0]
        self.assertIn("nokaslr idle=nomwait quiet", commands)
        self.assertEqual((set(files), scenario.tlb), ({"bzImage"}, "report"))

    def test_no_reports(self):
        self.log.write_text("")
        self.assertEqual(self.run_it(INITRD=str(self.top / "bzImage")), 0)
        self.assertIn("initrd /boot/initramfs.cpio", self.started[0][0][0])

    def test_a_kernel_that_does_not_end(self):
        self.log.write_text("")
        with self.assertRaisesRegex(HarnessError, "the kernel did not power off; log: boot-tlb-kernel.log"):
            self.run_it(finished=False)

    def test_a_file_that_is_not_there(self):
        with self.assertRaisesRegex(HarnessError, "INITRD=/nowhere: there is no such file"):
            self.run_it(INITRD="/nowhere")
