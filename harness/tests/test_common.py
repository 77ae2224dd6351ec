# SPDX-License-Identifier: GPL-2.0
"""Processes, progress and the errors that a newcomer meets."""

import contextlib
import io
import os
import tempfile
import threading
import time
import unittest
from pathlib import Path
from unittest import mock

from harness import base, boot, common
from harness.common import HarnessError


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Folder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="kas-common.")
        self.addCleanup(folder.cleanup)
        self.top = Path(folder.name)
        self.log = self.top / "log"


class Running(Folder):
    def check_all_gone(self, seconds):
        """run() has raised: what the shell told it had started is gone."""
        begin = time.monotonic()
        with self.assertRaises(HarnessError) as caught:
            common.run(["sh", "-c", "sleep 100 & echo $!; exec sleep 100"], log=self.log, what="it", timeout=seconds)
        self.assertLess(time.monotonic() - begin, 60)
        child = int(self.log.read_text().split()[0])
        end = time.monotonic() + 20
        while alive(child) and time.monotonic() < end:
            time.sleep(0.02)
        self.assertFalse(alive(child))
        return str(caught.exception)

    def test_too_long(self):
        # So long may the shell take to begin.
        self.assertIn("it took more than 2 s", self.check_all_gone(2))

    def test_too_long_without_log(self):
        with self.assertRaisesRegex(HarnessError, "sleep took more than 0.1 s"):
            common.run(["sleep", "100"], timeout=0.1)

    def test_too_much(self):
        with mock.patch.object(common, "LOG_LIMIT", 1 << 20):
            with self.assertRaisesRegex(HarnessError, "it took more than 1 MiB in "):
                common.run(["sh", "-c", "while :; do head -c 300000 /dev/zero; echo; sleep 0.05; done"],
                           log=self.log, what="it", timeout=20)

    def test_everything_has_a_limit(self):
        self.assertGreater(common.LIMIT, 0)
        self.assertEqual(common.run.__defaults__[common.run.__code__.co_varnames[1:].index("timeout")], common.LIMIT)

    def test_no_such_program(self):
        for log in (None, self.log):
            with self.assertRaisesRegex(HarnessError, "^no-such-program cannot be started: No such file"):
                common.run(["no-such-program"], log=log)

    def test_full_disk_in_a_log(self):
        with self.assertRaisesRegex(HarnessError, "^no space left on the disk to write what a program wanted to: "):
            common.run(["sh", "-c", "echo 'ld: final link failed: No space left on device'; exit 1"], log=self.log)

    def test_other_failure(self):
        with self.assertRaisesRegex(HarnessError, "(?s)it failed with 3: .*    the reason"):
            common.run(["sh", "-c", "echo the reason; exit 3"], log=self.log, what="it")

    def test_input_and_output(self):
        self.assertEqual(common.run(["cat"], stdin="text"), "text")
        self.assertEqual(common.run(["cat"]), "")


class Guests(Folder):
    def test_guest_that_prints_for_ever(self):
        run = boot.Boot.__new__(boot.Boot)
        run.scenario, run.label, run.ended, run.machine, run.tpm = boot.Scenario("x"), "x", None, None, None
        run.log, run.results, run.dump = self.log, self.top / "results", self.top / "dump"
        run.begin, run.panic = time.monotonic(), boot.Panic(self.log)
        run.process = common.start(["sleep", "100"])
        self.addCleanup(common.end_process, run.process)
        with mock.patch.object(common, "LOG_LIMIT", 1 << 20):
            for log in (run.log, run.results, run.dump):
                log.write_bytes(bytes(1 << 20))
            self.assertFalse(run.poll())
            run.results.write_bytes(bytes((1 << 20) + 1))
            self.assertTrue(run.poll())
        self.assertEqual(run.ended, f"more than 1 MiB in {run.results}")
        self.assertIsNotNone(run.process.poll())


class Marks(unittest.TestCase):
    def test_found_by_mark(self):
        with mock.patch.dict(os.environ, {common.MARK: "outer kas-inner"}):
            process = common.start(["sleep", "100"])
        self.addCleanup(common.end_process, process)
        end = time.monotonic() + 5
        while not common.marked("outer") and time.monotonic() < end:
            time.sleep(0.01)        # the kernel shows an environment a moment after the program has begun
        for mark in ("outer", "kas-inner"):
            self.assertEqual(common.marked(mark), [process.pid])
        self.assertEqual(common.marked("kas"), [])


class ProgressCase(unittest.TestCase):
    def progress(self, tty):
        progress = common.Progress()
        progress.tty = tty
        return progress

    def test_lines_of_threads_do_not_mix(self):
        class Slow(io.StringIO):
            """Lets other threads in between the text of a print() and the end of its line."""
            def write(self, text):
                time.sleep(0.0005)
                return super().write(text)
        progress, out = self.progress(False), Slow()
        lines = {"a" * 40, "b" * 40}

        def work(what):
            for _ in range(30):
                progress.last = 0
                progress.tick(what)
                common.say(what)
        with mock.patch.object(common, "PROGRESS", progress), contextlib.redirect_stdout(out):
            threads = [threading.Thread(target=work, args=(what,)) for what in lines]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        for line in out.getvalue().splitlines():
            if line not in lines:
                self.assertRegex(line, r"^  (a{40}|b{40}) \d+ s(; (a{40}|b{40}) \d+ s)?$")

    def test_all_that_runs(self):
        progress, out = self.progress(False), io.StringIO()
        with contextlib.redirect_stdout(out):
            progress.tick("build", "5 steps")
            progress.tick("gone without a word")
            now, detail = progress.running["gone without a word"]
            progress.running["gone without a word"] = now - 6, detail
            progress.last -= 20
            progress.tick("boot", "hello")
            progress.done("build")
            progress.last -= 20
            progress.tick("boot")
        self.assertEqual(out.getvalue(), "  build 0 s 5 steps; boot 0 s hello\n  boot 0 s\n")

    def test_terminal(self):
        progress, out = self.progress(True), io.StringIO()
        with contextlib.redirect_stdout(out), mock.patch.object(common, "PROGRESS", progress):
            progress.tick("build")
            common.say("hello")
        self.assertEqual(out.getvalue(), "\r  build 0 s\r" + " " * 11 + "\rhello\n")


class Newcomer(Folder):
    """Each gets one line that says what to do."""

    def path(self):
        """Under which the programs in the folder of this case are found first."""
        return {"PATH": f"{self.top}:{os.environ['PATH']}"}

    def program(self, name, script):
        (self.top / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.top / name).chmod(0o755)

    def need(self, packages, **patches):
        with contextlib.ExitStack() as stack:
            stack.enter_context(mock.patch.object(common, "LOGS", self.top))
            stack.enter_context(mock.patch.object(common, "_noted", set()))
            self.said = []
            stack.enter_context(mock.patch.object(common, "say", self.said.append))
            for name, value in patches.items():
                stack.enter_context(mock.patch(f"harness.common.{name}", value))
            common.need(packages)

    def refused(self, packages, text, **patches):
        with self.assertRaises(HarnessError) as caught:
            self.need(packages, **patches)
        self.assertRegex(str(caught.exception), text)
        self.assertNotIn("\n", str(caught.exception))

    def test_no_apt(self):
        with mock.patch.dict(os.environ, {"PATH": str(self.top)}):
            self.refused({"no-such-program": "some-package"}, "^there is no apt-get here; missing, .*: some-package$")

    def test_other_machine(self):
        with mock.patch.object(os, "uname", lambda: mock.Mock(machine="aarch64")):
            self.refused({"gcc": "gcc"}, "x86-64 only, and this machine is aarch64")
            self.need({"sh": "dash"})

    def test_no_network(self):
        self.program("apt-get", "echo 'Temporary failure resolving a.b'\n[ $1 = update ] || exit 100")
        with mock.patch.dict(os.environ, self.path()), mock.patch.object(os, "geteuid", lambda: 0):
            self.refused({"no-such-program": "some-package"}, "^no network: apt-get does not .*, to install some-package; log: ")

    def test_no_network_for_the_base(self):
        self.program("apt-get", "echo 'Could not connect to a.b:80'\n[ $1 = update ] || exit 100")
        self.program("apt-cache", "echo 'some-package | 1 | a.b'")
        pin = {"package": "some-package", "version": "1", "deb-sha256": ""}
        with mock.patch.dict(os.environ, self.path()), mock.patch.object(base, "LOGS", self.top):
            with self.assertRaisesRegex(HarnessError, "^no network: .*KAS_BASE_DEB=FILE takes it from a file; log: [^\n]*$"):
                base._download(pin["package"], pin["version"], self.top)
            self.program("apt-cache", "")
            with mock.patch.object(os, "geteuid", lambda: 0):
                with self.assertRaisesRegex(HarnessError, "^no network: .* to find some-package; KAS_BASE_DEB=FILE[^\n]*$"):
                    base._choices(pin, self.top)

    def test_other_compiler(self):
        for version, note in (("gcc (Debian 14.2.0-19) 14.2.0", "note: .*exact for what gcc 12 inlines, and this is gcc 14"),
                              ("gcc (Debian 12.2.0-14+deb12u1) 12.2.0", None)):
            for tool in ("gcc", "as", "ld", "make"):
                self.program(tool, f"echo '{version}'")
            common.toolchain.cache_clear()
            self.addCleanup(common.toolchain.cache_clear)
            with mock.patch.dict(os.environ, self.path()):
                self.need({"gcc": "gcc"})
            if note:
                self.assertRegex("\n".join(self.said), note)
            else:
                self.assertEqual(self.said, [])

    def test_toolchain(self):
        common.toolchain.cache_clear()
        self.addCleanup(common.toolchain.cache_clear)
        for tool in ("gcc", "as", "ld", "make"):
            self.program(tool, f"echo {tool} 1.2.3")
        with mock.patch.dict(os.environ, self.path()):
            self.assertEqual(common.toolchain(), "gcc 1.2.3\nas 1.2.3\nld 1.2.3\nmake 1.2.3\n")

    def test_what_the_user_can_do_about(self):
        for code, text in ((28, "no space left on the disk to write /a: README.md says"),
                           (13, "cannot write /a: .*, and to its cache"), (30, "cannot write /a: Read-only file system")):
            self.assertRegex(common.explain(OSError(code, os.strerror(code), "/a")), text)
        self.assertEqual(common.explain(FileNotFoundError(2, "No such file", "/a")), "")

    def test_cache_that_cannot_be_written(self):
        (self.top / "file").write_text("")
        with self.assertRaisesRegex(HarnessError, "^the cache .*/file/cache cannot be written: Not a .*; XDG_CACHE_HOME=FOLDER"):
            base.ensure_base(cache=self.top / "file/cache")


if __name__ == "__main__":
    unittest.main()
