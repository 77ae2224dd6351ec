# SPDX-License-Identifier: GPL-2.0
"""Paths, subprocesses, progress and errors shared by every command of the harness."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

PROJECT = "linux-kas"
ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
OUT = ROOT / "out"
LOGS = OUT / "logs"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / PROJECT
JOBS = os.cpu_count() or 2

# Debian packages by the command (or file) that shows that they are there.
PACKAGES = {
    "gcc": "gcc", "make": "make", "flex": "flex", "bison": "bison", "bc": "bc",
    "git": "git", "xz": "xz-utils", "perl": "perl", "patch": "patch",
    "ccache": "ccache", "rsync": "rsync", "cpio": "cpio",
    "/usr/include/libelf.h": "libelf-dev",
    "/usr/include/openssl/ssl.h": "libssl-dev",
    "/usr/lib/x86_64-linux-gnu/libc.a": "libc6-dev",
    "qemu-system-x86_64": "qemu-system-x86",
    "/usr/share/qemu/qboot.rom": "qemu-system-data",
    "busybox": "busybox-static",
    "swtpm": "swtpm", "evmctl": "ima-evm-utils",
}
TEST_PACKAGES = {
    "/usr/share/OVMF/OVMF_CODE_4M.fd": "ovmf",
    "bochs": "bochs", "/usr/share/bochs/BIOS-bochs-latest": "bochsbios",
    "/usr/share/vgabios/vgabios.bin": "vgabios",
    "grub-mkrescue": "grub-common", "/usr/lib/grub/i386-pc/kernel.img": "grub-pc-bin",
    "xorriso": "xorriso", "mformat": "mtools",
    "sparse": "sparse",
}
CHECK_PACKAGES = {
    "gcc": "gcc", "/usr/lib/x86_64-linux-gnu/libc.a": "libc6-dev",
    "git": "git", "perl": "perl", "xz": "xz-utils",
    "codespell": "codespell", "shellcheck": "shellcheck",
}


def end_process(process):
    """End a process that was started here, by force if it does not go by itself."""
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class HarnessError(Exception):
    """A failure that the user can act on: what failed, where the log is, what to do."""


def say(text=""):
    """One line for the user, never mixed up with a progress line."""
    PROGRESS.clear()
    print(text, flush=True)


class Progress:
    """Shows that work goes on: a moving line on a terminal, else a line every 15 s."""

    def __init__(self):
        self.tty = sys.stdout.isatty()
        self.shown = 0
        self.last = time.monotonic()
        self.started = {}

    def tick(self, what, detail=""):
        start = self.started.setdefault(what, time.monotonic())
        now = time.monotonic()
        text = f"  {what} {int(now - start)} s {detail}".rstrip()
        if self.tty:
            width = shutil.get_terminal_size().columns - 1
            text = text[:width]
            print("\r" + text.ljust(self.shown), end="", flush=True)
            self.shown = len(text)
        elif now - self.last >= 15:
            self.last = now
            print(text, flush=True)

    def clear(self):
        if self.tty and self.shown:
            print("\r" + " " * self.shown + "\r", end="", flush=True)
        self.shown = 0
        self.last = time.monotonic()

    def done(self, what):
        self.clear()
        start = self.started.pop(what, None)
        return time.monotonic() - start if start else 0.0


PROGRESS = Progress()


def tail(path, lines=25):
    """The last lines of a log, for an error message."""
    try:
        text = Path(path).read_text(errors="replace").splitlines()
    except OSError:
        return "(no log)"
    return "\n".join("    " + line for line in text[-lines:])


def run(cmd, log=None, what=None, cwd=None, env=None, timeout=None, check=True, detail=None, stdin=None):
    """Run @cmd with its output in @log, show progress as @what, raise HarnessError on failure.

    @detail is a function of the log's path that returns a few words for the progress line.
    Returns the exit status; without @log, returns the output as text instead.
    """
    cmd = [str(c) for c in cmd]
    if os.environ.get("V"):
        say("  $ " + shlex.join(cmd))
    full_env = {**os.environ, "LC_ALL": "C", **(env or {})}
    if log is None:
        proc = subprocess.run(cmd, cwd=cwd, env=full_env, text=True, errors="replace", timeout=timeout,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, input=stdin)
        if check and proc.returncode:
            raise HarnessError(f"{shlex.join(cmd)} failed with {proc.returncode}:\n{proc.stdout.rstrip()}")
        return proc.stdout
    log = Path(log)
    log.parent.mkdir(parents=True, exist_ok=True)
    what = what or Path(cmd[0]).name
    begin = time.monotonic()
    with open(log, "wb") as out:
        proc = subprocess.Popen(cmd, cwd=cwd, env=full_env, stdout=out, stderr=subprocess.STDOUT,
                                stdin=subprocess.DEVNULL)
        try:
            while True:
                try:
                    proc.wait(timeout=0.5)
                    break
                except subprocess.TimeoutExpired:
                    PROGRESS.tick(what, detail(log) if detail else "")
                if timeout and time.monotonic() - begin > timeout:
                    raise HarnessError(f"{what} took more than {timeout} s: {shlex.join(cmd)}\n  log: {log}\n{tail(log)}")
        finally:
            if proc.poll() is None:
                end_process(proc)
    PROGRESS.done(what)
    if check and proc.returncode:
        raise HarnessError(f"{what} failed with {proc.returncode}: {shlex.join(cmd)}\n  log: {log}\n{tail(log)}")
    return proc.returncode


def _present(probe):
    return os.path.exists(probe) if probe.startswith("/") else shutil.which(probe) is not None


def need(packages):
    """Install the Debian packages that are missing; who is not root is told the command."""
    missing = sorted({pkg for probe, pkg in packages.items() if not _present(probe)})
    if not missing:
        return
    command = ["apt-get", "install", "-y", "--no-install-recommends", *missing]
    if os.geteuid() != 0:
        raise HarnessError("missing Debian packages; install them with:\n  sudo " + shlex.join(command))
    say("installing missing Debian packages: " + " ".join(missing))
    env = {"DEBIAN_FRONTEND": "noninteractive"}
    run(["apt-get", "update"], log=LOGS / "apt-update.log", what="apt-get update", env=env)
    run(command, log=LOGS / "apt-install.log", what="apt-get install", env=env)
    still = sorted({pkg for probe, pkg in packages.items() if not _present(probe)})
    if still:
        raise HarnessError(f"installed, but still not found: {' '.join(still)}\n  log: {LOGS / 'apt-install.log'}")


def replace_file(path, data):
    """Write @data to @path as a new inode, so that hard links to the old file keep their text."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    tmp = path.with_name(path.name + ".tmp")
    if isinstance(data, str):
        data = data.encode()
    tmp.write_bytes(data)
    os.replace(tmp, path)


def natural(text):
    """A sort key under which 2 comes before 10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", str(text))]
