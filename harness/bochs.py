# SPDX-License-Identifier: GPL-2.0
"""Bochs, for the processors that QEMU's TCG cannot play: PCID, INVPCID, VMX."""

import os
import re
import shlex
import subprocess
from pathlib import Path

from .common import BUILD, HarnessError, end_process, replace_file, run, start

# Devices that the guest does not need; their plugins may not even be there.
UNUSED = ("speaker", "parallel", "gameport", "es1370", "e1000", "sb16", "ne2k", "usb_uhci", "usb_ohci", "usb_ehci", "usb_xhci")

# The display of a terminal needs none: it draws what it has to into a file. The only other one that comes without X11
# is a VNC server, without a password, on all addresses of this machine.
CONFIG = """\
config_interface: textconfig
display_library: term
cpu: model={cpu}, count=1:{smp}:1, ips=25000000, reset_on_triple_fault=0
memory: guest={memory}, host={memory}
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/vgabios/vgabios.bin
pci: enabled=1, chipset=i440fx
plugin_ctrl: {plugins}
sound: driver=dummy, waveout=/dev/null, wavein="", midiout=""
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
menuentry linux {{
  linux /boot/bzImage {cmdline}
  initrd /boot/initramfs.cpio
}}
"""


class Bochs:
    """One Bochs: a GRUB image with kernel and initramfs, started."""

    def __init__(self, label, kernel, initrd, cmdline, scenario, console, results):
        self.where = BUILD / "boot" / label
        self.console, self.log = console, Path(f"{console}.bochs")
        iso = self.make_image(kernel, initrd, cmdline)
        memory = re.fullmatch(r"(\d+)M", scenario.memory)
        if not memory:
            raise HarnessError(f"scenario {scenario.name}: memory of Bochs is given as a number and M")
        config, script = self.where / "bochsrc", self.where / "debugger"
        replace_file(config, CONFIG.format(
            cpu=scenario.cpu, smp=scenario.smp, memory=memory[1], iso=iso, console=console, results=results,
            log=self.log, plugins=", ".join(f"{name}=0" for name in UNUSED)))
        # Debian's Bochs has its debugger built in and stops before the first instruction.
        replace_file(script, "c\n")
        console.write_bytes(b"")
        self.log.write_bytes(b"")
        self.command = ["bochs", "-q", "-f", str(config), "-rc", str(script)]
        with open(f"{console}.bochs-out", "wb") as out:
            out.write(f"$ {shlex.join(self.command)}\n".encode())
            out.flush()
            self.process = start(self.command, env={**os.environ, "TERM": "vt100"}, stdout=out, stderr=subprocess.STDOUT)

    def make_image(self, kernel, initrd, cmdline):
        root = self.where / "iso"
        (root / "boot/grub").mkdir(parents=True, exist_ok=True)
        replace_file(root / "boot/grub/grub.cfg", GRUB.format(cmdline=cmdline.replace("$", "\\$")))
        replace_file(root / "boot/bzImage", Path(kernel).read_bytes())
        replace_file(root / "boot/initramfs.cpio", Path(initrd).read_bytes())
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
