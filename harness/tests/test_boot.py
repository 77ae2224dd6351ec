# SPDX-License-Identifier: GPL-2.0
"""Unit tests of what boots are made of: scenarios, command lines, initramfs, reports."""

import fnmatch
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from harness import boot, guest
from harness.common import HarnessError
from harness.report import entry


class Scenarios(unittest.TestCase):
    def test_all_can_be_read(self):
        for name in boot.names():
            scenario = boot.load(name)
            self.assertIn(scenario.extra, ("", "yes"), name)
            self.assertTrue(scenario.about, name)

    def test_one_glob(self):
        self.assertEqual(boot.one_glob([]), "")
        self.assertEqual(boot.one_glob(["temp_mm*"]), "temp_mm*")
        glob = boot.one_glob(["temp_mm*", "prmem*"])
        for suite in ("temp_mm", "temp_mm_x86", "prmem", "prmem_list"):
            self.assertTrue(fnmatch.fnmatchcase(suite, glob), suite)
        for suite in ("splat_temp_mm", "kprobes_test", "list-kunit-test"):
            self.assertFalse(fnmatch.fnmatchcase(suite, glob), suite)

    def test_command_line_has_one_word_for_kunit(self):
        scenario = boot.Scenario("sample", kunit="temp_mm* prmem*")
        words = [word for word in boot.kernel_cmdline(scenario).split() if "kunit" in word or "*" in word]
        self.assertEqual(len(words), 1)


class Disk(unittest.TestCase):
    def test_an_empty_one(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "boot" / "disk"
            self.assertIn(str(path), " ".join(boot.disk_arguments(path, "3M")))
            path.write_bytes(b"x")
            boot.disk_arguments(path, "3M")
            self.assertEqual((path.stat().st_size, path.read_bytes().strip(b"\0")), (3 << 20, b""))

    def test_no_size(self):
        with self.assertRaises(HarnessError):
            boot.disk_arguments(Path("/nowhere/disk"), "3")


class Userland(unittest.TestCase):
    def test_a_disk_in_place_of_an_initramfs(self):
        scenario = boot.Scenario("x", userland="debian")
        self.assertIn(" root=/dev/vda rw", boot.kernel_cmdline(scenario))
        self.assertNotIn("root=", boot.kernel_cmdline(boot.Scenario("x")))
        with tempfile.TemporaryDirectory() as top, mock.patch.multiple(boot, LOGS=Path(top), BUILD=Path(top), need=mock.DEFAULT), \
                mock.patch.object(boot, "start") as start:
            made = Path(top) / "disk.ext4"
            made.write_text("a userland")
            machine = boot.Boot(scenario, Path(top), made)
            command = start.call_args.args[0]
            self.assertNotIn("-initrd", command)
            # Nothing is written to it: it serves many boots.
            self.assertTrue([word for word in command if word.endswith(f"file={machine.disk}")])
            self.assertEqual(machine.disk.read_text(), "a userland")
            start.return_value.poll.return_value = 0
            machine.stop()
            self.assertEqual((machine.disk.exists(), made.exists()), (False, True))


class Again(unittest.TestCase):
    def boots(self, outcomes, again):
        """Boots of scenarios that end as @outcomes says: {name: [failed or not, once for each boot]}."""
        tried = []

        class Boot:
            def __init__(self, name, _objdir, _initrd, tag):
                tried.append(name + tag)
                self.name, self.label, self.log = name, name + tag, f"{name}{tag}.log"

            def poll(self):
                return True

        def judged(run):
            status = "fail" if outcomes[run.name].pop(0) else "pass"
            return [entry(run.name, "tcg", "suite", "case", status, "broken" if status == "fail" else ""),
                    entry(run.name, "tcg", "suite", "other", "pass")]

        with mock.patch.object(boot, "Boot", Boot), mock.patch.object(boot, "judge", judged), mock.patch.object(boot.time, "sleep"), \
                mock.patch.object(boot, "say") as said:
            found = boot.run_boots([(name, "o", "i") for name in outcomes], again=again)
        self.said = [call[0][0] for call in said.call_args_list]
        return tried, {item["scenario"]: (item["status"], item["why"]) for item in found if item["case"] == "case"}, len(found)

    def test_what_failed_stays_failed(self):
        tried, found, count = self.boots({"a": [True, False], "b": [False], "c": [True, True]}, 3)
        self.assertEqual(sorted(tried), ["a", "a-again", "b", "c", "c-again"])
        self.assertEqual(found["a"], ("fail", "broken; booted once more: 2 cases not failed, 0 failed; log: a-again.log"))
        self.assertEqual(found["b"], ("pass", ""))
        self.assertEqual(found["c"], ("fail", "broken; booted once more: 1 cases not failed, 1 failed; log: c-again.log"))
        self.assertEqual(sorted(self.said), ["  a-again: 2 cases not failed, 0 failed; log: a-again.log",
                                             "  c-again: 1 cases not failed, 1 failed; log: c-again.log"])
        self.assertEqual(count, 6)

    def test_so_many(self):
        tried, found, _ = self.boots({"a": [True, True], "b": [True, True]}, 1)
        self.assertEqual(sorted(tried), ["a", "a-again", "b"])
        self.assertEqual(found["b"], ("fail", "broken"))
        self.assertEqual(self.boots({"a": [True]}, 0)[0], ["a"])


class Panic(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.log = Path(folder.name) / "log"

    def test_a_panic_that_hangs(self):
        panic = boot.Panic(self.log)
        self.assertFalse(panic.hangs(0))
        self.log.write_text("[    2.0] Kernel panic - not syncing: x\n")
        self.assertFalse(panic.hangs(1))
        self.assertFalse(panic.hangs(1 + boot.Panic.SILENCE - 0.1))
        self.assertTrue(panic.hangs(1 + boot.Panic.SILENCE))

    def test_one_that_goes_on(self):
        panic = boot.Panic(self.log)
        for now in range(0, 10 * boot.Panic.SILENCE, 5):
            # The kernel for the dump says something now and then.
            self.log.write_text("Kernel panic - not syncing: x\n" + "y\n" * now)
            self.assertFalse(panic.hangs(now))

    def test_the_kernel_for_the_dump_may_be_silent(self):
        panic = boot.Panic(self.log)
        self.log.write_text("Kernel panic - not syncing: x\n[    0.000000] Linux version\n")
        self.assertFalse(panic.hangs(0))
        self.assertFalse(panic.hangs(1000))
        self.log.write_text("Kernel panic - not syncing: x\n[    0.000000] Linux version\nKernel panic - not syncing: y\n")
        self.assertFalse(panic.hangs(1001))
        self.assertTrue(panic.hangs(2000))

    def test_silence_alone_is_no_panic(self):
        panic = boot.Panic(self.log)
        self.log.write_text("soak\n")
        self.assertFalse(panic.hangs(0))
        self.assertFalse(panic.hangs(1000))


class Initramfs(unittest.TestCase):
    def test_folders_come_first_and_once(self):
        with tempfile.NamedTemporaryFile() as file:
            archive = guest.Cpio()
            archive.directory("bin")
            archive.file("init", file.name)
            archive.file("tools/a/b/run.sh", file.name)
            archive.file("tools/a/b/tests.txt", file.name)
            archive.link("bin/comm", "busybox")
        data = archive.finish()
        for name in (b"bin", b"tools", b"tools/a", b"tools/a/b"):
            self.assertEqual(data.count(name + b"\0"), 1, name)
        self.assertLess(data.index(b"tools/a\0"), data.index(b"tools/a/b\0"))
        self.assertLess(data.index(b"tools/a/b\0"), data.index(b"tools/a/b/run.sh\0"))

    def test_a_program_is_not_replaced_by_an_applet(self):
        with tempfile.NamedTemporaryFile() as file:
            archive = guest.Cpio()
            archive.file("bin/comm", file.name)
            archive.link("bin/comm", "busybox")
        self.assertEqual(archive.finish().count(b"bin/comm\0"), 1)

    def test_what_a_scenario_wants(self):
        tree = Path("/nowhere")
        scenario = boot.Scenario("sample", files=["a/run.sh"], programs=["comm"])
        found = dict(guest.wanted(scenario, tree))
        self.assertEqual(found["a/run.sh"], tree / "a/run.sh")
        self.assertIn("bin/comm", found)
        self.assertTrue(any("libc.so" in name for name in found), found)
        self.assertEqual(guest.wanted(boot.Scenario("sample"), tree), [])


if __name__ == "__main__":
    unittest.main()
