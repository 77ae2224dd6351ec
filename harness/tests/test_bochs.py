# SPDX-License-Identifier: GPL-2.0
"""Bochs without a network."""

import os
import tempfile
import time
import unittest
from pathlib import Path
from unittest import mock

from harness import bochs, boot, emulator


def sockets(pid):
    """The sockets that a process has; of one that has ended none."""
    found = []
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        names = []
    for name in names:
        try:
            target = os.readlink(f"/proc/{pid}/fd/{name}")
        except OSError:
            continue
        if target.startswith("socket:"):
            found.append(target)
    return found


class BochsCase(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="kas-bochs.")
        self.addCleanup(folder.cleanup)
        self.top = Path(folder.name)

    def machine(self):
        """One with an empty disc; its BIOS runs, and finds nothing to boot."""
        iso = self.top / "boot.iso"
        iso.write_bytes(bytes(1 << 20))
        scenario = boot.Scenario("bochs-x", emulator="bochs", cpu="corei7_sandy_bridge_2600k", smp=1, memory="64M", tlb="keep")
        with mock.patch.object(bochs, "BUILD", self.top), mock.patch.object(bochs.Bochs, "make_image", lambda *_: iso):
            machine = bochs.Bochs("x", ("", {}), scenario, self.top / "console", self.top / "results")
        self.addCleanup(machine.close)
        return machine

    def test_configuration(self):
        with mock.patch.object(bochs, "start") as start, mock.patch.object(emulator, "program", lambda: Path("/bochs")):
            machine = self.machine()
            start.return_value.poll.return_value = 0
        config = (self.top / "boot/x/bochsrc").read_text()
        self.assertIn("\ndisplay_library: nogui\n", config)
        self.assertNotRegex(config, "(?i)rfb|vnc|socket|tcp")
        self.assertEqual(start.call_args.args[0], machine.command)
        self.assertEqual(machine.command[0], "/bochs")
        self.assertEqual(start.call_args.kwargs["env"]["BOCHS_TLB"], "keep")

    @unittest.skipUnless(emulator.is_there(), "make check does not build Bochs")
    def test_listens_nowhere(self):
        machine = self.machine()
        log = self.top / "console.bochs"
        end = time.monotonic() + 120
        # It has a display by the time that its BIOS has looked for something to boot.
        while "No bootable device" not in log.read_text(errors="replace") and machine.process.poll() is None:
            self.assertLess(time.monotonic(), end)
            self.assertEqual(sockets(machine.process.pid), [])
            time.sleep(0.02)
        text = log.read_text(errors="replace")
        self.assertIn("No bootable device", text)
        self.assertNotIn("listening for connections", text)
        machine.close()
        self.assertIsNotNone(machine.process.poll())


if __name__ == "__main__":
    unittest.main()
