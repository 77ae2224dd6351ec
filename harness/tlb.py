# SPDX-License-Identifier: GPL-2.0
"""The TLB that remembers, judged: what it keeps and what it forgets.

bochs/bare/tlb.c, which runs on the bare machine, asks that instruction by instruction. The emulator's own TLB, which
forgets with each write of CR3, has to fail where that matters: else the program would see no difference.
"""

import os
import time
from pathlib import Path

from . import bochs, boot, emulator, judge, stale
from .common import BUILD, LOGS, PROGRESS, ROOT, TEST_PACKAGES, HarnessError, need, overflowing, run, say
from .report import entry

PROGRAM = ROOT / "harness" / "bochs" / "bare"
FLAGS = ("-O1", "-Wall", "-Wextra", "-Werror", "-ffreestanding", "-fno-pic", "-fno-pie", "-mno-red-zone", "-mgeneral-regs-only",
         "-fno-stack-protector", "-fcf-protection=none", "-nostdlib", "-static",
         "-Wl,-z,max-page-size=4096,--build-id=none,-no-pie")
TIMEOUT = 120

# Machines, and how many cases each has: without PCID, without INVPCID, with both.
MACHINES = {"core2_penryn_t9600": 14, "corei7_sandy_bridge_2600k": 20, "corei7_skylake_x": 26}
# What has to fail on the last of them if nothing is remembered.
FORGETFUL = {"more_than_before_faults_once", "table_is_kept", "table_is_not_written_back", "noflush", "cr3_drops_its_own_only",
             "tables_have_pcids", "invlpg_leaves_other_pcids", "smep", "invpcid_address", "invpcid_context"}


def program():
    """Compile and link it, as what GRUB's multiboot takes."""
    where = BUILD / "boot" / "tlb"
    where.mkdir(parents=True, exist_ok=True)
    run(["gcc", *FLAGS, "-T", PROGRAM / "tlb.ld", "-o", where / "tlb.elf", PROGRAM / "tlb.c"],
        log=LOGS / "tlb-build.log", what="compile tlb.c")
    run(["objcopy", "-O", "elf32-i386", where / "tlb.elf", where / "tlb"], log=LOGS / "tlb-objcopy.log", what="objcopy tlb.elf")
    return where / "tlb"


def cases(cpu, tlb, image):
    """{case: (status, why)} of the program in @image on one machine, and its log."""
    machine = boot.Scenario(f"tlb-{cpu}-{tlb or 'own'}", emulator="bochs", cpu=cpu, smp=1, memory="64M", tlb=tlb)
    console, results = LOGS / f"boot-{machine.name}.log", LOGS / f"boot-{machine.name}.results"
    results.write_bytes(b"")
    emulated = bochs.Bochs(machine.name, bochs.multiboot(image), machine, console, results)
    begin = time.monotonic()
    try:
        while emulated.process.poll() is None and not emulated.finished() and time.monotonic() - begin < TIMEOUT:
            PROGRESS.tick(f"boot {machine.name}")
            time.sleep(0.1)
    finally:
        emulated.close()
        PROGRESS.done(f"boot {machine.name}")
    groups, wrong = judge.parse_ktap(results, f"boot-{machine.name}")
    if not groups or "# end of results" not in results.read_text(errors="replace"):
        raise HarnessError(f"{cpu}: {'; '.join(wrong) or 'the results are cut off'}; log: {judge.shown(results)}")
    return {case: (status, why) for group in groups for case, status, why in group.cases}, judge.shown(results)


def tlb_entries():
    """One entry for each case on each machine, and one for what the emulator's own TLB shows."""
    need(TEST_PACKAGES)
    try:
        emulator.program()
    except emulator.Unavailable as err:
        return [entry("tlb", "bochs", "harness", "tlb", "skip", f"no emulator: {str(err).splitlines()[0]}")]
    entries, image = [], program()
    for cpu, count in MACHINES.items():
        found, log = cases(cpu, "keep", image)
        entries += [entry(f"tlb-{cpu}", "bochs", "harness", f"tlb.{case}", status, why and f"{why}; log: {log}")
                    for case, (status, why) in found.items()]
        why = "" if len(found) == count else f"{len(found)} cases, not {count}; log: {log}"
        entries.append(entry(f"tlb-{cpu}", "bochs", "harness", "tlb.cases", "fail" if why else "pass", why))
    found, log = cases(cpu, "", image)
    failed = {case for case, (status, _) in found.items() if status == "fail"}
    why = "" if failed == FORGETFUL else f"the emulator's own TLB fails {', '.join(sorted(failed)) or 'nothing'}; log: {log}"
    return [*entries, entry(f"tlb-{cpu}", "bochs", "harness", "tlb.own", "fail" if why else "pass", why)]


def given(name):
    """The file that the user's variable @name says, or None."""
    value = os.environ.get(name, "")
    if value and not Path(value).is_file():
        raise HarnessError(f"{name}={value}: there is no such file")
    return Path(value).resolve() if value else None


def any_kernel():
    """make tlb KERNEL=bzImage [INITRD=FILE] [CMDLINE="..."] [SYSTEM_MAP=FILE]: until it powers off; the exit status.

    Whatever kernel it is, on the last of MACHINES: what its code says of addresses has to be where it was linked.
    """
    kernel, initrd, system_map = given("KERNEL"), given("INITRD"), given("SYSTEM_MAP")
    need(TEST_PACKAGES)
    emulator.program()
    machine = boot.Scenario("tlb-kernel", emulator="bochs", cpu=list(MACHINES)[-1], tlb="report")
    console, results = LOGS / "boot-tlb-kernel.log", LOGS / "boot-tlb-kernel.results"
    LOGS.mkdir(parents=True, exist_ok=True)
    words = f"console=ttyS0,115200 nokaslr idle=nomwait {os.environ.get('CMDLINE', '')}"
    emulated = bochs.Bochs(machine.name, bochs.linux(kernel, initrd, words), machine, console, results)
    say(f"console: {console.relative_to(ROOT)}; ends when the kernel powers off, or by Ctrl-C")
    why = ""
    try:
        while emulated.process.poll() is None and not emulated.finished() and not why:
            PROGRESS.tick("boot tlb-kernel", boot.last_line(console))
            time.sleep(0.1)
            why = overflowing(console, emulated.log)
        why = why or ("" if emulated.finished() else "the kernel did not power off")
    finally:
        emulated.close()
        PROGRESS.done("boot tlb-kernel")
        # As well if somebody has lost patience.
        found = stale.stale(emulated.log, system_map)
        for line in found:
            say(line)
        say(f"{len(found)} uses of stale translations beyond harness/scenarios/stale.allow; log: {emulated.log.relative_to(ROOT)}")
    if why:
        raise HarnessError(f"{why}; log: {console.relative_to(ROOT)}")
    return 1 if found else 0
