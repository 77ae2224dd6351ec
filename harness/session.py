# SPDX-License-Identifier: GPL-2.0
"""One command of the harness at work: alone in its checkout, and nothing of it is left when it ends, however it does.

The lock is on the folder of the checkout itself, so that make clean cannot remove it. A guard, a process that does
nothing else, waits for the end of this one, which no process can miss: the end of a pipe. Then it kills what is left
of the processes that the run has started, removes their temporary files, and only then lets go of the lock.
"""

import fcntl
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from . import common
from .common import BUILD, MARK, PROJECT, ROOT, HarnessError, Stopped, replace_file

# Who holds the lock: what runs, its process, since when, its mark; a line each.
HOLDER = BUILD / "lock-run"
# swtpm may write below it even where AppArmor confines it.
TEMPORARY = "/tmp"
SWEEP = 10      # seconds that killed processes may take to be gone
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _read_holder():
    try:
        return HOLDER.read_text().splitlines()
    except OSError:
        return []


def _lock(command):
    """Take the lock of this checkout, or say who has it; returns its descriptor."""
    descriptor = os.open(ROOT, os.O_RDONLY | os.O_DIRECTORY)
    end = time.monotonic() + SWEEP
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            holder = _read_holder()
            if len(holder) == 4 and not os.path.exists(f"/proc/{holder[1]}") and time.monotonic() < end:
                time.sleep(0.05)        # it has been killed, and its guard is at work
                continue
            os.close(descriptor)
            who = "{}, process {}, since {},".format(*holder) if len(holder) == 4 else "another command"
            raise HarnessError(f"{who} runs in this checkout: wait for its end, or use another checkout for {command}") from None


def sweep(mark):
    """Kill what is left of a run, and remove its temporary files."""
    end = time.monotonic() + SWEEP
    quiet = 0       # a process that has only just been started shows no mark yet
    while quiet < 3 and time.monotonic() < end:
        quiet = 0 if common.signal_marked(mark, signal.SIGKILL) else quiet + 1
        time.sleep(0.03)
    shutil.rmtree(Path(TEMPORARY, mark), ignore_errors=True)


def _guard(mark):
    """Start the guard; returns its process and the descriptor whose last close it waits for."""
    end, ours = os.pipe()
    pid = os.fork()
    if pid:
        os.close(end)
        return pid, ours
    try:
        os.setsid()
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nothing, descriptor)
        os.close(ours)
        os.read(end, 1)
        sweep(mark)
    finally:
        os._exit(0)


class Session:
    """A context for all that a command does."""

    def __init__(self, command):
        self.command = command
        self.lock = None

    def __enter__(self):
        self.lock = _lock(self.command)
        try:
            holder = _read_holder()
            if len(holder) == 4:
                sweep(holder[3])        # of a run that was killed together with its guard
            common.own_environment()
            self.mark = tempfile.mkdtemp(prefix=f"{PROJECT}.", dir=TEMPORARY).rpartition("/")[2]
            replace_file(HOLDER, f"{self.command}\n{os.getpid()}\n{time.strftime('%Y-%m-%d %H:%M:%S')}\n{self.mark}\n")
        except BaseException:
            os.close(self.lock)
            raise
        os.environ["TMPDIR"] = tempfile.tempdir = f"{TEMPORARY}/{self.mark}"
        sys.stdout.flush()
        self.guard, self.pipe = _guard(self.mark)
        os.environ[MARK] = f"{os.environ.get(MARK, '')} {self.mark}".strip()
        for number in SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:      # as nohup has it
                signal.signal(number, self.stop)
        return self

    def stop(self, number, _frame):
        """End the run: its processes now, so that whoever waits for them goes on; the second time, by force."""
        again = common.stopped()
        common.stop(number)     # first, so that nobody takes what the signals do for a failure
        common.signal_marked(self.mark, signal.SIGKILL if again else signal.SIGTERM)
        raise Stopped(number)

    def release(self):
        """Let others run from now on; what this run has started goes with it all the same."""
        HOLDER.unlink(missing_ok=True)
        fcntl.flock(self.lock, fcntl.LOCK_UN)
        os.close(self.lock)
        self.lock = None

    def __exit__(self, *_):
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        os.close(self.pipe)
        os.waitpid(self.guard, 0)
        if self.lock is not None:
            self.release()
