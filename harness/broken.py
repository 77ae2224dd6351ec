# SPDX-License-Identifier: GPL-2.0
"""Guests that can't work: each ends soon, with one line that says why and where the log is, and leaves nothing behind.

Who changes a configuration, an initramfs or a machine gets to see one of these sooner or later.
"""

import os
import re
import tempfile
from contextlib import nullcontext
from pathlib import Path

from . import boot, build, guest
from .common import BUILD, HarnessError
from .judge import judge
from .report import entry

CONFIG = "debug"
TIMEOUT = 180


def cut(path, name, size):
    """The beginning of a file, as what a full disk or a broken copy leaves."""
    target = BUILD / "boot" / name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(path.read_bytes()[:size])
    return target


class Without:
    """A PATH on which @program ends at once with an error."""

    def __init__(self, program):
        self.program = program

    def __enter__(self):
        self.folder, self.path = tempfile.TemporaryDirectory(prefix="kas-broken."), os.environ["PATH"]
        stub = Path(self.folder.name) / self.program
        stub.write_text("#!/bin/sh\nexit 1\n")
        stub.chmod(0o755)
        os.environ["PATH"] = f"{self.folder.name}:{self.path}"

    def __exit__(self, *_):
        os.environ["PATH"] = self.path
        self.folder.cleanup()


def scenario(name, **more):
    return boot.Scenario(f"broken-{name}", build=CONFIG, needs=[], run=["machine:2"], timeout=TIMEOUT, **more)


def with_kernel(name, objdir, size):
    """A folder like @objdir with the beginning of its bzImage."""
    image = Path("arch/x86/boot/bzImage")
    return cut(objdir / image, f"{name}/{image}", size).parents[3]


def silent(objdir, initrd):
    """Half a kernel can't be unpacked, and has nobody to tell: the machine resets, with nothing on any serial port."""
    size = (objdir / "arch/x86/boot/bzImage").stat().st_size // 2
    return scenario("silent"), with_kernel("half", objdir, size), initrd


def init_exits(objdir, initrd):
    return scenario("init", cmdline="rdinit=/bin/true"), objdir, initrd


def half_initramfs(objdir, initrd):
    return scenario("initramfs"), objdir, cut(initrd, "half.cpio", initrd.stat().st_size // 2)


def no_kernel(objdir, initrd):
    """What QEMU itself refuses."""
    return scenario("kernel"), with_kernel("none", objdir, 256), initrd


def no_tpm(objdir, initrd):
    return scenario("tpm", tpm="yes"), objdir, initrd


# Each with what the line about its boot has to say.
BROKEN = {
    silent: r"the kernel has printed nothing",
    init_exits: r"Attempted to kill init! exitcode=0x00000000",
    # There is no init in what has arrived, and so no initramfs to the kernel, which looks for a disk.
    half_initramfs: r"Unable to mount root fs",
    no_kernel: r"emulator ended with exit 1: [^;]*kernel",
    no_tpm: r"swtpm ended with 1;",
}


def broken_entries():
    """One entry for each: it passes if the boot fails in the right way."""
    objdir = build.build(CONFIG, BUILD / "src", ("bzImage",))
    initrd = guest.plain_initramfs()
    entries = []
    for make, regex in BROKEN.items():
        machine, where, archive = make(objdir, initrd)
        try:
            # Until the end: a shell opens the script that it is started for only after it has been started.
            with Without("swtpm") if machine.tpm else nullcontext():
                run = boot.Boot(machine, where, archive)
                boot.wait(run)
            entries.append(judged(machine, run, regex))
        except HarnessError as err:
            entries.append(entry(machine.name, "tcg", "selftests", "boot", "fail", f"is an error: {err}"))
    return entries


def judged(machine, run, regex):
    """What the harness says of a boot, judged in its turn."""
    found = judge(run, listed={})[0]
    why = ""
    if found["status"] != "fail":
        why = "passes"
    elif not re.search(regex, found["why"].splitlines()[0]):
        why = f"does not say {regex!r}: {found['why']}"
    elif f"log: out/logs/boot-{machine.name}." not in found["why"]:
        why = f"does not say where the log is: {found['why']}"
    elif run.seconds > TIMEOUT:
        why = f"took {run.seconds:.0f} s"
    elif run.process.poll() is None or run.tpm:
        why = "its emulator or its TPM still runs"
    return entry(machine.name, "tcg", "selftests", "boot", "fail" if why else "pass", why)
