# SPDX-License-Identifier: GPL-2.0
"""What is left of a command when it ends, and whether two get into each other's way."""

import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

from harness import common

# A command of the harness, in a checkout of its own, that does what the test says.
PRELUDE = """
import signal, sys, threading, time, types
from pathlib import Path
from harness import common, session
for number in session.SIGNALS:
    # Whoever runs the tests may ignore them, and then so would this.
    signal.signal(number, signal.SIG_IGN if number.name in sys.argv[3:] else signal.SIG_DFL)
root = Path(sys.argv[1])
common.ROOT = session.ROOT = root
common.BUILD, session.HOLDER = root / "build", root / "build/lock-run"
from harness import __main__ as entry
def command(args, here=None):
{body}
fake = types.ModuleType("harness.fake")
fake.command = command
sys.modules["harness.fake"] = fake
entry.COMMANDS[sys.argv[2]] = ("fake", "command")
sys.exit(entry.main(["harness", sys.argv[2]]))
"""
# Two threads, each with a shell that has children of its own, one of them in a session of its own.
WORK = """
    def work(name):
        common.run(["sh", "-c", "setsid sleep 1000 & sleep 1000 & sleep 1000"], log=root / name)
    threads = [threading.Thread(target=work, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""
WAIT = """
    print("begun", flush=True)
    sys.stdin.read()
    print("over", flush=True)
"""


def eventually(condition, seconds=180):
    """Did it hold once?"""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


class SessionCase(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="kas-session.")
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)

    def begin(self, body, env=None, name="test", ignore=""):
        process = subprocess.Popen([sys.executable, "-c", PRELUDE.format(body=body), self.root, name, ignore], cwd=common.ROOT,
                                   text=True, env={**os.environ, **(env or {})}, stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stdin.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def mark(self):
        """The mark of the command that runs."""
        holder = self.root / "build/lock-run"
        self.assertTrue(eventually(lambda: holder.exists() and len(holder.read_text().splitlines()) == 4))
        return holder.read_text().splitlines()[3]

    def working(self):
        """A command, its mark, when all of its eight processes are there."""
        process = self.begin(WORK)
        mark = self.mark()
        self.addCleanup(common.signal_marked, mark, signal.SIGKILL)
        self.assertTrue(eventually(lambda: len(common.marked(mark)) == 8), common.marked(mark))
        Path("/tmp", mark, "left").write_text("something")
        return process, mark

    def nothing_left(self, mark):
        self.assertTrue(eventually(lambda: not common.marked(mark)), "processes live on")
        self.assertTrue(eventually(lambda: not Path("/tmp", mark).exists()), "temporary files are left")

    def test_killed(self):
        process, mark = self.working()
        process.kill()
        process.wait()
        self.nothing_left(mark)

    def test_next_one_waits_for_the_guard(self):
        process, _ = self.working()
        process.kill()
        process.wait()
        self.assertEqual(self.begin("    return 0").wait(20), 0)

    def test_ended_by_signals(self):
        for number, status in ((signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)):
            process, mark = self.working()
            process.send_signal(number)
            output, _ = process.communicate(timeout=20)
            self.assertEqual(process.returncode, status, output)
            self.assertIn(f"ended by {number.name}", output)
            self.nothing_left(mark)

    def test_ignored_signals_stay_ignored(self):
        process = self.begin("    signal.raise_signal(signal.SIGHUP)\n    print('over')", ignore="SIGHUP")
        self.assertEqual(process.communicate(timeout=20)[0], "over\n")

    def test_what_others_have_started_ends_too(self):
        body = ("    import subprocess\n    from concurrent.futures import ThreadPoolExecutor\n"
                "    with ThreadPoolExecutor() as pool:\n        pool.submit(subprocess.run, ['sleep', '1000']).result()")
        process = self.begin(body)
        mark = self.mark()
        self.assertTrue(eventually(lambda: common.marked(mark)))
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=20)
        self.assertEqual(process.returncode, 143, output)

    def test_who_ignores_signals_is_killed(self):
        process = self.begin("    common.GRACE = 0.5\n"
                             "    common.run(['sh', '-c', 'trap \"\" TERM; sleep 1000 & wait; sleep 1000'], log=root / 'log')")
        mark = self.mark()
        self.assertTrue(eventually(lambda: len(common.marked(mark)) == 2))
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
        self.assertEqual(common.marked(mark), [])

    def test_nothing_starts_after_a_signal(self):
        body = ("    try:\n        common.run(['sleep', '1000'], log=root / 'log')\n    except BaseException:\n"
                "        common.run(['touch', root / 'late'], log=root / 'log')")
        process = self.begin(body)
        mark = self.mark()
        self.assertTrue(eventually(lambda: common.marked(mark)))
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=20)
        self.assertEqual(process.returncode, 143, output)
        self.assertFalse((self.root / "late").exists())

    def test_killed_with_its_guard(self):
        process, mark = self.working()
        # The guard is the only child that has no mark.
        children = {int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()}
        # Who is just becoming another program has no environment for a moment.
        others = []
        self.assertTrue(eventually(lambda: others.append(children - set(common.marked(mark))) or len(others[-1]) == 1))
        for pid in (*others[-1], process.pid):
            os.kill(pid, signal.SIGKILL)
        process.wait()
        self.assertTrue(eventually(lambda: len(common.marked(mark)) == 8))
        self.assertEqual(self.begin("    return 0").wait(60), 0)
        self.nothing_left(mark)

    def test_one_at_a_time(self):
        first = self.begin(WAIT)
        self.assertEqual(first.stdout.readline(), "begun\n")
        second = self.begin(WAIT)
        output, _ = second.communicate(timeout=20)
        self.assertEqual(second.returncode, 1)
        self.assertRegex(output, rf"^error: make test, process {first.pid}, "
                                 rf"since \d{{4}}(-\d\d){{2}} \d\d:\d\d:\d\d, runs in this checkout")
        output, _ = first.communicate(timeout=20)
        self.assertEqual((first.returncode, output), (0, "over\n"))
        self.assertEqual(self.begin("    return 0").wait(20), 0)

    def test_prompt_lets_others_run(self):
        shell = self.begin("    here.release()\n" + WAIT, name="shell")
        self.assertEqual(shell.stdout.readline(), "begun\n")
        other = self.begin(WAIT)
        self.assertEqual(other.stdout.readline(), "begun\n")
        mark = self.mark()
        self.assertEqual(shell.communicate(timeout=20)[0], "over\n")
        self.assertEqual(self.mark(), mark)     # the other one still says that it is there
        self.assertEqual(other.communicate(timeout=20)[0], "over\n")

    def test_clean_does_not_unlock(self):
        first = self.begin("    import shutil\n    shutil.rmtree(root / 'build')\n" + WAIT)
        self.assertEqual(first.stdout.readline(), "begun\n")
        output, _ = self.begin(WAIT).communicate(timeout=20)
        self.assertRegex(output, "^error: another command runs in this checkout")
        first.communicate(timeout=20)

    def test_environment(self):
        home = self.root / "home"
        home.mkdir()
        (home / ".checkpatch.conf").write_text("--ignore LONG_LINE\n")
        theirs = {"HOME": str(home), "KCFLAGS": "-O0", "LLVM": "1", "ARCH": "arm", "CCACHE_DISABLE": "1", "MAKEFLAGS": "-k",
                  "CC": "false", "GIT_DIR": "/nowhere", "XDG_CACHE_HOME": "", "LC_ALL": "de_DE.UTF-8"}
        process = self.begin("    print(common.run(['env', '-0']))\n    print(common.run(['sh', '-c', 'ls -A ~']))",
                             env={**theirs, "ACCEL": "kvm", "V": ""})
        output, _ = process.communicate(timeout=20)
        text, _, files = output.rpartition("\0\n")
        have = dict(item.split("=", 1) for item in text.split("\0"))
        self.assertEqual(have["ACCEL"], "kvm")
        self.assertEqual(have["LC_ALL"], "C")
        self.assertEqual(have["HOME"], str(self.root / "build/home"))
        self.assertEqual(files.strip(), "")
        self.assertTrue(have["TMPDIR"].startswith("/tmp/linux-kas."))
        self.assertEqual(set(have) - set(common.USERS), {"HOME", "LC_ALL", "TZ", "TMPDIR", "XDG_CACHE_HOME", common.MARK})
        self.assertEqual(have["XDG_CACHE_HOME"], str(home / ".cache"))

    def test_errors_are_one_line(self):
        for err, words in (("OSError(28, 'No space', '/x/y')", "error: no space left on the disk to write /x/y"),
                           ("PermissionError(13, 'Permission denied', '/x/y')", "error: cannot write /x/y: Permission denied;"),
                           ("common.HarnessError('what to do')", "error: what to do")):
            process = self.begin(f"    raise {err}")
            output, _ = process.communicate(timeout=20)
            self.assertEqual(process.returncode, 1)
            self.assertTrue(output.startswith(words), output)
            self.assertEqual(output.count("\n"), 1, output)


if __name__ == "__main__":
    unittest.main()
