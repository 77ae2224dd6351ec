# SPDX-License-Identifier: GPL-2.0
"""Bochs, for the processors that QEMU's TCG cannot play: PCID, INVPCID, VMX."""

import re
import shlex
import socket
import struct
import subprocess
import threading
import time
from pathlib import Path

from .common import BUILD, HarnessError, end_process, replace_file, run, tail

# Devices that the guest does not need; their plugins may not even be there.
UNUSED = ("speaker", "parallel", "gameport", "es1370", "e1000", "sb16", "ne2k", "usb_uhci", "usb_ohci", "usb_ehci", "usb_xhci")

CONFIG = """\
config_interface: textconfig
display_library: rfb, options="timeout=20"
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


class RfbClient(threading.Thread):
    """Connects to Bochs as a VNC viewer that wants nothing: without one, Bochs gives up.

    RFB 3.3: server version, client version, security type (1: none), client's "share" byte,
    then ServerInit. After that only read, because Bochs blocks when nobody takes its data.
    """

    def __init__(self, port):
        super().__init__(daemon=True)
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.over = False

    def exactly(self, count):
        data = b""
        while len(data) < count:
            chunk = self.socket.recv(count - len(data))
            if not chunk:
                raise OSError("connection closed")
            data += chunk
        return data

    def run(self):
        try:
            self.exactly(12)
            self.socket.sendall(b"RFB 003.003\n")
            if struct.unpack(">I", self.exactly(4))[0] != 1:
                return
            self.socket.sendall(b"\x01")
            self.exactly(20)
            name = struct.unpack(">I", self.exactly(4))[0]
            self.exactly(name)
            self.socket.settimeout(None)
            while not self.over and self.socket.recv(65536):
                pass
        except OSError:
            pass
        finally:
            self.close()

    def close(self):
        self.over = True
        try:
            self.socket.close()
        except OSError:
            pass


class Bochs:
    """One Bochs: a GRUB image with kernel and initramfs, started and connected to."""

    def __init__(self, label, kernel, initrd, cmdline, scenario, console, results):
        self.where = BUILD / "boot" / label
        self.console, self.log = console, Path(f"{console}.bochs")
        self.client = self.process = None
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
        self.output = open(f"{console}.bochs-out", "wb")
        self.output.write(f"$ {shlex.join(self.command)}\n".encode())
        self.output.flush()
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=self.output,
                                        stderr=subprocess.STDOUT)
        self.client = RfbClient(self.find_port())
        self.client.start()

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

    def find_port(self):
        """Bochs takes the first free port from 5900 upwards and names it in its log."""
        end = time.monotonic() + 30
        while time.monotonic() < end:
            match = re.search(r"listening for connections on port (\d{4,5})", self.log.read_text(errors="replace"))
            if match:
                return int(match[1])
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        self.close()
        raise HarnessError(f"Bochs did not open its display\n  log: {self.log}\n{tail(self.log)}")

    def finished(self):
        """Powering off stops the processors but not always the emulator."""
        try:
            return b"reboot: Power down" in self.console.read_bytes()[-4096:]
        except OSError:
            return False

    def close(self):
        if self.client:
            self.client.close()
        if self.process and self.process.poll() is None:
            end_process(self.process)
        self.output.close()
