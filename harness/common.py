# SPDX-License-Identifier: GPL-2.0
"""Paths, subprocesses, progress and errors shared by every command of the harness."""

import errno
import functools
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

PROJECT = "linux-kas"
ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
OUT = ROOT / "out"
LOGS = OUT / "logs"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / PROJECT
JOBS = os.cpu_count() or 2
# Seconds that no build and no download takes, and bytes that no log has: what is over either has gone astray.
LIMIT = 3600
LOG_LIMIT = 64 << 20
GRACE = 5       # for a process that was asked to end

# What of the user's environment reaches this program and all that it starts. README.md names them.
USERS = ("ACCEL", "KAS_BASE_DEB", "KAS_BOCHS_TARBALL", "TREE", "ONLY", "PARTS", "V", "KERNEL", "INITRD", "CMDLINE", "SYSTEM_MAP",
         "PATH", "TERM", "COLUMNS", "APT_CONFIG", *(name for proxy in ("http_proxy", "https_proxy", "no_proxy")
                                                   for name in (proxy, proxy.upper())))
# In the environment of each process that a run starts, and of those that they start: by this they are found.
MARK = "KAS_RUN"

# Debian packages by the command (or file) that shows that they are there.
PACKAGES = {
    "gcc": "gcc", "make": "make", "flex": "flex", "bison": "bison", "bc": "bc",
    "git": "git", "xz": "xz-utils", "perl": "perl", "patch": "patch", "lz4": "lz4",
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
    "/usr/share/bochs/BIOS-bochs-latest": "bochsbios",
    "/usr/share/vgabios/vgabios.bin": "vgabios",
    "grub-mkrescue": "grub-common", "/usr/lib/grub/i386-pc/kernel.img": "grub-pc-bin",
    "xorriso": "xorriso", "mformat": "mtools",
    "sparse": "sparse", "swtpm_setup": "swtpm-tools", "spin": "spin",
}
COMPILER_PACKAGES = {"clang": "clang", "ld.lld": "lld", "llvm-ar": "llvm"}
CHECK_PACKAGES = {
    "gcc": "gcc", "/usr/lib/x86_64-linux-gnu/libc.a": "libc6-dev",
    "git": "git", "perl": "perl", "xz": "xz-utils",
    "codespell": "codespell", "shellcheck": "shellcheck", "pyflakes3": "pyflakes3", "make": "make", "flex": "flex", "bison": "bison",
}


class HarnessError(Exception):
    """A failure that the user can act on: what failed, where the log is, what to do."""


class Stopped(KeyboardInterrupt):
    """A signal ends this run; raised in the main thread by the signal, elsewhere by whatever would start a process."""

    def __init__(self, number):
        super().__init__(signal.Signals(number).name)
        self.number = number


NO_SPACE = os.strerror(errno.ENOSPC)


def explain(err):
    """One line that says what to do about an OSError that a user meets, or "" for a defect of the harness."""
    what = err.filename or "a file"
    if err.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"no space left on the disk to write {what}: README.md says what a run needs; build/ and out/ may be removed"
    if err.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"cannot write {what}: {err.strerror}; a run writes to build/ and out/, and to its cache, {CACHE}"
    return ""


# ---- processes ----

def own_environment():
    """Make the environment of this process, which all others inherit, the same whoever runs it.

    Options for compiler, make, git or ccache would change what is built and be in no key, and settings in the
    home folder what checkpatch or shellcheck find.
    """
    home = BUILD / "home"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    kept = {name: os.environ[name] for name in (*USERS, MARK) if name in os.environ}
    os.environ.clear()
    os.environ.update(kept, HOME=str(home), XDG_CACHE_HOME=str(CACHE.parent), LC_ALL="C", TZ="UTC")


def marked(mark):
    """The processes that the run @mark has started, and those that they have."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                environment = Path("/proc", name, "environ").read_bytes()
            except OSError:     # it is gone, or another user's
                continue
            for variable in environment.split(b"\0"):
                key, _, value = variable.decode(errors="replace").partition("=")
                if key == MARK and mark in value.split():
                    found.append(int(name))
    return found


def signal_marked(mark, number):
    """Send a signal to the processes of a run; returns how many there were."""
    pids = marked(mark)
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass
    return len(pids)


_stopped = None     # the signal that ends this run


def stop(number):
    """From now on nothing is started any more."""
    global _stopped
    _stopped = number


def stopped():
    return _stopped


def start(cmd, **options):
    """Start a process, in a session of its own: end_process() ends all that it has started with it."""
    if _stopped:
        raise Stopped(_stopped)
    try:
        return subprocess.Popen([str(c) for c in cmd], start_new_session=True, **{"stdin": subprocess.DEVNULL, **options})
    except (FileNotFoundError, PermissionError) as err:
        if err.filename != str(cmd[0]):
            raise
        raise HarnessError(f"{cmd[0]} cannot be started: {err.strerror}") from None


def _signal_group(process, number):
    try:
        os.killpg(process.pid, number)      # it leads a group if start() has started it
    except ProcessLookupError:
        process.send_signal(number)


def end_process(process):
    """End a process that was started here with all its children, by force if they do not go by themselves."""
    _signal_group(process, signal.SIGTERM)
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        pass
    _signal_group(process, signal.SIGKILL)
    process.wait()


# ---- what the user sees ----

def say(text=""):
    """One line for the user, never mixed up with a progress line."""
    with PROGRESS.lock:
        PROGRESS.clear()
        print(text, flush=True)


class Progress:
    """Shows that work goes on: a moving line on a terminal, else a line every 15 s. Any thread may call it."""

    STALE = 5       # what has not ticked for so long has ended without a word

    def __init__(self):
        self.lock = threading.RLock()
        self.tty = sys.stdout.isatty()
        self.shown = 0
        self.last = time.monotonic()
        self.started = {}
        self.running = {}       # what: (when it last ticked, detail)

    def line(self, now):
        """All that runs at the moment."""
        self.running = {what: entry for what, entry in self.running.items() if now - entry[0] < self.STALE}
        return "  " + "; ".join(f"{what} {int(now - self.started[what])} s {detail}".rstrip()
                                for what, (_, detail) in self.running.items())

    def tick(self, what, detail=""):
        with self.lock:
            now = time.monotonic()
            self.started.setdefault(what, now)
            self.running[what] = (now, detail)
            if self.tty:
                text = self.line(now)[:shutil.get_terminal_size().columns - 1]
                print("\r" + text.ljust(self.shown), end="", flush=True)
                self.shown = len(text)
            elif now - self.last >= 15:
                self.last = now
                print(self.line(now), flush=True)

    def clear(self):
        with self.lock:
            if self.tty and self.shown:
                print("\r" + " " * self.shown + "\r", end="", flush=True)
            self.shown = 0
            self.last = time.monotonic()

    def done(self, what):
        with self.lock:
            self.clear()
            self.running.pop(what, None)
            begin = self.started.pop(what, None)
            return time.monotonic() - begin if begin else 0.0


PROGRESS = Progress()


def tail(path, lines=25):
    """The last lines of a log, for an error message."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.path.getsize(path) - (1 << 16)))
            text = file.read().decode(errors="replace").splitlines()
    except OSError:
        return "(no log)"
    return "\n".join("    " + line for line in text[-lines:])


def overflowing(*logs):
    """The reason to end whatever writes @logs, or ""."""
    for log in logs:
        if os.path.exists(log) and os.path.getsize(log) > LOG_LIMIT:
            return f"more than {LOG_LIMIT >> 20} MiB in {log}"
    return ""


def run(cmd, log=None, what=None, cwd=None, env=None, timeout=LIMIT, check=True, detail=None, stdin=None):
    """Run @cmd with its output in @log, show progress as @what, raise HarnessError on failure.

    @detail is a function of the log's path that returns a few words for the progress line.
    Returns the exit status; without @log, returns the output as text instead.
    """
    cmd = [str(c) for c in cmd]
    if os.environ.get("V"):
        say("  $ " + shlex.join(cmd))
    full_env = {**os.environ, "LC_ALL": "C", **(env or {})}
    what = what or Path(cmd[0]).name
    if log is None:
        proc = start(cmd, cwd=cwd, env=full_env, text=True, errors="replace", stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                     stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE)
        try:
            output, _ = proc.communicate(stdin, timeout=timeout)
        except subprocess.TimeoutExpired:
            raise HarnessError(f"{what} took more than {timeout} s: {shlex.join(cmd)}") from None
        finally:
            if proc.poll() is None:
                end_process(proc)
        if _stopped:
            raise Stopped(_stopped)
        if check and proc.returncode:
            raise HarnessError(f"{shlex.join(cmd)} failed with {proc.returncode}:\n{output.rstrip()}")
        return output
    log = Path(log)
    log.parent.mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    with open(log, "wb") as out:
        proc = start(cmd, cwd=cwd, env=full_env, stdout=out, stderr=subprocess.STDOUT)
        try:
            while True:
                try:
                    proc.wait(timeout=0.2)
                    break
                except subprocess.TimeoutExpired:
                    PROGRESS.tick(what, detail(log) if detail else "")
                if _stopped:
                    raise Stopped(_stopped)
                problem = overflowing(log)
                if timeout and time.monotonic() - begin > timeout:
                    problem = f"more than {timeout} s"
                if problem:
                    raise HarnessError(f"{what} took {problem}: {shlex.join(cmd)}\n  log: {log}\n{tail(log)}")
        finally:
            if proc.poll() is None:
                end_process(proc)
            PROGRESS.done(what)
    if _stopped:        # that, and no defect, is why it may have failed
        raise Stopped(_stopped)
    if check and proc.returncode:
        refuse_full_disk(log)
        raise HarnessError(f"{what} failed with {proc.returncode}: {shlex.join(cmd)}\n  log: {log}\n{tail(log)}")
    return proc.returncode


def refuse_full_disk(log):
    """Raise the one line that says it when the end of a log does."""
    if NO_SPACE in tail(log):
        raise HarnessError(f"{explain(OSError(errno.ENOSPC, NO_SPACE, 'what a program wanted to'))}; log: {log}")


# ---- the machine ----

def first_line(*command):
    """What a tool says about itself; "" if it is not there."""
    try:
        return (run(command, check=False).splitlines() or [""])[0].strip()
    except HarnessError:
        return ""


@functools.lru_cache(None)
def toolchain():
    """What translates the kernel, one tool a line, for keys of what is built and for the report."""
    return "".join(first_line(tool, "--version") + "\n" for tool in ("gcc", "as", "ld", "make"))


def gcc_note():
    """A remark about lists that are exact for one compiler, or ""."""
    match = re.search(r"(\d+)\.\d+\.\d+\s*$", toolchain().splitlines()[0])
    major = match[1] if match else "unknown"
    return "" if major == "12" else \
        f"cr3.allow, entry.allow and identity.allow in harness/ are exact for what gcc 12 inlines, and this is gcc {major}: " \
        "failures of the stages entry and identity may come from that alone"


NETWORK = re.compile(r"Could not resolve|Could not connect|Temporary failure resolving|Unable to connect|"
                     r"Connection (?:timed out|failed)|Network is unreachable|Cannot initiate the connection")


def no_network(log, what):
    """Raise the one line that says it when the log of apt-get shows that it reached nobody."""
    try:
        reached = not NETWORK.search(Path(log).read_text(errors="replace"))
    except OSError:
        return
    if not reached:
        raise HarnessError(f"no network: apt-get does not reach the archive that its sources name, to {what}; log: {log}")


def _present(probe):
    return os.path.exists(probe) if probe.startswith("/") else shutil.which(probe) is not None


_noted = set()


def need(packages):
    """Install the Debian packages that are missing; who is not root is told the command."""
    if "gcc" in packages and os.uname().machine != "x86_64":
        raise HarnessError(f"kernels are built and booted on x86-64 only, and this machine is {os.uname().machine}; "
                           "make series, tree, export and check work here")
    missing = sorted({pkg for probe, pkg in packages.items() if not _present(probe)})
    if missing:
        _install(packages, missing)
    note = gcc_note() if "gcc" in packages else ""
    if note and note not in _noted:
        _noted.add(note)
        say("note: " + note)


def _install(packages, missing):
    command = ["apt-get", "install", "-y", "--no-install-recommends", *missing]
    if not shutil.which("apt-get"):
        raise HarnessError("there is no apt-get here; missing, by the names of Debian's packages: " + " ".join(missing))
    if os.geteuid() != 0:
        raise HarnessError("missing Debian packages; install them with:\n  sudo " + shlex.join(command))
    say("installing missing Debian packages: " + " ".join(missing))
    env = {"DEBIAN_FRONTEND": "noninteractive"}
    log = LOGS / "apt-install.log"
    run(["apt-get", "update"], log=LOGS / "apt-update.log", what="apt-get update", env=env, check=False)
    try:
        run(command, log=log, what="apt-get install", env=env)
    except HarnessError:
        no_network(log, "install " + " ".join(missing))
        no_network(LOGS / "apt-update.log", "install " + " ".join(missing))
        raise
    still = sorted({pkg for probe, pkg in packages.items() if not _present(probe)})
    if still:
        raise HarnessError(f"installed, but still not found: {' '.join(still)}\n  log: {log}")


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
