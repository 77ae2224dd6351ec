# SPDX-License-Identifier: GPL-2.0
"""Bochs, for the processors that QEMU's TCG cannot play, with PCID, INVPCID and VMX, and for a TLB that remembers."""

import os
import re
import shlex
import subprocess
from pathlib import Path

from . import emulator
from .common import BUILD, HarnessError, end_process, replace_file, run, start

CONFIG = """\
config_interface: textconfig
display_library: nogui
cpu: model={cpu}, count=1:{smp}:1, ips=25000000, reset_on_triple_fault=0
memory: guest={memory}, host={memory}
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/vgabios/vgabios.bin
pci: enabled=1, chipset=i440fx
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=cdrom, path="{iso}", status=inserted
boot: cdrom
clock: sync=none, time0=utc
com1: enabled=1, mode=file, dev="{console}"
com2: enabled=1, mode=file, dev="{results}"
log: {log}
panic: action=fatal
error: action=report
info: action=report
debug: action=ignore
"""

GRUB = """\
set timeout=0
menuentry it {{
{commands}}}
"""

# What the TLB does, for BOCHS_TLB: see bochs/cpu/kept.cc. "" is the emulator's own, which forgets at each write of CR3.
TLBS = ("", "keep", "report")


def linux(kernel, initrd, cmdline):
    """What GRUB is told to start a kernel, and the files that it needs for that, by their names on the disc."""
    cmdline = cmdline.replace("$", "\\$")
    commands, files = f"  linux /boot/bzImage {cmdline}\n", {"bzImage": kernel}
    if initrd:
        commands, files = commands + "  initrd /boot/initramfs.cpio\n", {**files, "initramfs.cpio": initrd}
    return commands, files


def multiboot(program):
    """The same for a program on the bare machine."""
    return "  multiboot /boot/program\n", {"program": program}


class Bochs:
    """One Bochs: a GRUB image with what it starts, started."""

    def __init__(self, label, boots, scenario, console, results):
        self.where = BUILD / "boot" / label
        self.console, self.log = console, Path(f"{console}.bochs")
        iso = self.make_image(*boots)
        memory = re.fullmatch(r"(\d+)M", scenario.memory)
        if not memory:
            raise HarnessError(f"scenario {scenario.name}: memory of Bochs is given as a number and M")
        if scenario.tlb not in TLBS:
            raise HarnessError(f"scenario {scenario.name}: tlb is one of {', '.join(filter(None, TLBS))}")
        config = self.where / "bochsrc"
        replace_file(config, CONFIG.format(
            cpu=scenario.cpu, smp=scenario.smp, memory=memory[1], iso=iso, console=console, results=results, log=self.log))
        console.write_bytes(b"")
        self.log.write_bytes(b"")
        self.command = [str(emulator.program()), "-q", "-f", str(config)]
        with open(f"{console}.bochs-out", "wb") as out:
            out.write(f"$ BOCHS_TLB={scenario.tlb} {shlex.join(self.command)}\n".encode())
            out.flush()
            self.process = start(self.command, env={**os.environ, "BOCHS_TLB": scenario.tlb}, stdout=out, stderr=subprocess.STDOUT)

    def make_image(self, commands, files):
        root = self.where / "iso"
        (root / "boot/grub").mkdir(parents=True, exist_ok=True)
        replace_file(root / "boot/grub/grub.cfg", GRUB.format(commands=commands))
        for name, path in files.items():
            replace_file(root / "boot" / name, Path(path).read_bytes())
        iso = self.where / "boot.iso"
        run(["grub-mkrescue", "-d", "/usr/lib/grub/i386-pc", "-o", iso, root],
            log=self.where / "grub-mkrescue.log", what="grub-mkrescue")
        return iso

    def finished(self):
        """Powering off stops the processors but not always the emulator."""
        try:
            return b"reboot: Power down" in self.console.read_bytes()[-4096:]
        except OSError:
            return False

    def close(self):
        if self.process.poll() is None:
            end_process(self.process)
