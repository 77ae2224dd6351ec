# SPDX-License-Identifier: GPL-2.0
"""make run: the patched kernel boots and shows what it protects. make shell: a prompt in it. make debug: gdb's."""

import re
import subprocess
import time

from . import boot, build, guest, ima, judge, series
from .common import BUILD, PACKAGES, PROGRESS, ROOT, HarnessError, need, say, tail

CONFIG = "release"
GDB_PORT = 1234
# The kernel's own remark about every module from outside carries the same prefix.
PREFIX = re.compile(r"^(?:\[ *\d+\.\d+\] )?demo:(?! loading out-of-tree) ?(.*)$")
INTRODUCTION = """\
linux-kas: a patch series for Linux 6.12 (x86-64) under which the kernel changes read-only memory only
through a temporary mapping that one CPU has, for the length of one write. This command fetches and
compiles the patched kernel when that has not been done yet, boots it in QEMU, and lets modules in it
write to protected memory, by the right way and by the wrong ones, and run without a secret, in an address
space that lacks it. What follows is their own account.
"""


def prepare(config=CONFIG):
    """Everything from nothing to a kernel and an initramfs."""
    need(PACKAGES)
    tree = series.patched_tree(BUILD / "src")
    objdir = build.build(config, tree, ("bzImage", "modules"))
    return objdir, guest.initramfs(config, tree, objdir)


def demo_lines(text):
    """What the demo said, without the prefix."""
    return [match[1] for match in (PREFIX.match(line.rstrip("\r")) for line in text.splitlines()) if match]


def verdict(lines, parts=1):
    """"" when all @parts of the demo came to their end without a failure, else the reason."""
    bad = [line.strip() for line in lines if line.lstrip().startswith("FAIL")]
    if bad:
        return bad[0]
    return "" if lines.count("done") == parts else "the demo did not come to its end"


def cmd_run(_args):
    begin = time.monotonic()
    say(INTRODUCTION)
    objdir, initrd = prepare()
    scenario = boot.load("demo")
    run = boot.Boot(scenario, objdir, initrd, "-run")
    say(f"booting Linux in QEMU with {scenario.smp} CPUs (no hardware virtualisation needed)")
    say()
    shown = 0
    try:
        over = False
        while not over:
            over = run.poll()
            # A line that is still being written is shown by the next round.
            text = run.log.read_text(errors="replace")
            lines = demo_lines(text if over else text[:text.rfind("\n") + 1])
            for line in lines[shown:]:
                if not line.startswith("done"):
                    say(f"  {line}" if line else "")
            shown = len(lines)
            time.sleep(0.05)
    finally:
        run.stop()
    text = run.log.read_text(errors="replace")
    problem = verdict(demo_lines(text), sum(step.endswith("demo") for step in scenario.run))
    if not problem:
        failures = [item for item in judge.judge(run) if item["status"] == "fail"]
        problem = failures[0]["why"] if failures else ""
    log = run.log.relative_to(ROOT)
    say()
    if problem:
        raise HarnessError(f"make run failed: {problem}\n  log: {log}\n{tail(run.log)}")
    tell_ima()
    say(f"All of this happened in a real Linux {kernel_version(text)}; {time.monotonic() - begin:.0f} s in all.")
    say(f"Its whole console: {log}")
    say("Next: make shell (a prompt in this kernel), make test (the proofs), README.md (what is protected, what is not).")
    return 0


IMA_INTRODUCTION = """\
Who breaks in leaves traces. IMA keeps a list of all files that were opened or executed, and extends a TPM by
each entry. An attacker who can write kernel memory takes his file off that list; evmctl (Debian's
ima-evm-utils), which computes from the list what the TPM must say, is the judge. The same on both kernels:
"""


def tell_ima():
    """The attack on IMA's list, on the base and on the patched kernel."""
    say(IMA_INTRODUCTION)
    boots = ima.story_boots()
    for line in ima.story_table(boots):
        say(f"  {line}".rstrip())
    say()
    problem = ima.story_problem(boots)
    if problem:
        raise HarnessError(f"make run failed: {problem}\n  logs: " +
                           " ".join(str(run.log.relative_to(ROOT)) for run in boots.values()))


def kernel_version(text):
    match = re.search(r"Linux version (\S+)", text)
    return match[1] if match else "kernel"


def at_prompt(session, objdir, initrd, extra=(), words=""):
    """Boot a kernel to a prompt on this terminal; @extra is for QEMU, @words for the kernel."""
    cmdline = f"console=ttyS0,115200 panic=-1 quiet ftrace=nop kunit.enable=0 steps=shell {words}".rstrip()
    command = boot.qemu_command(objdir / "arch/x86/boot/bzImage", initrd, cmdline, smp=2, interactive=True, extra=extra)
    PROGRESS.clear()
    session.release()       # it has been built, and whoever is at the prompt may stay there
    return subprocess.call(command)


def cmd_shell(_args, session):
    """make shell"""
    objdir, initrd = prepare()
    say("booting; `exit` powers off, Ctrl-A x ends QEMU")
    return at_prompt(session, objdir, initrd)


def cmd_debug(_args, session):
    """make debug: a kernel with source lines, which waits for gdb before its first instruction"""
    objdir, initrd = prepare("gdb")
    say(f"waiting for gdb, in another terminal: gdb {objdir.relative_to(ROOT)}/vmlinux -ex 'target remote :{GDB_PORT}'")
    say("There: hbreak start_kernel, continue. Then a prompt comes here; `exit` powers off, Ctrl-A x ends QEMU")
    return at_prompt(session, objdir, initrd, ("-S", "-gdb", f"tcp:127.0.0.1:{GDB_PORT}"), "nokaslr")
