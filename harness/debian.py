# SPDX-License-Identifier: GPL-2.0
"""The disk of a scenario with userland = debian: Debian's packages, systemd, the base's source and the steps.

There is no initramfs then. The first process is systemd, and a service of it is the guest's init, which runs the steps.
CACHE/debian has what mmdebstrap made of the packages, as a tar file named after their list; BUILD/debian the image.
A boot has a copy of it.
"""

import hashlib
import os
import shutil
from pathlib import Path

from . import base, build, guest
from .common import BUILD, CACHE, LOGS, PACKAGES, HarnessError, need, no_network, replace_file, run

NEEDED = {**PACKAGES, "mmdebstrap": "mmdebstrap", "mke2fs": "e2fsprogs"}
SUITE = "bookworm"
# What boots, what builds a kernel, and what burdens one.
INCLUDED = ("systemd-sysv", "dbus", "udev", "kmod", "procps", "gcc", "libc6-dev", "make", "flex", "bison", "bc", "perl", "xz-utils",
            "libelf-dev", "libssl-dev", "stress-ng", "ima-evm-utils")
SIZE = "6G"
# The kernel's source takes 1.4 GB; here is no Kconfig file, nor anything that a tinyconfig of this architecture compiles.
LEFT_OUT = ("/Documentation/*/", "/drivers/gpu/drm/amd/include/", "/tools/testing/")
SERVICE = """[Unit]
Description=The steps of the scenario
After=dbus.service

[Service]
ExecStart=/harness/start
OOMPolicy=continue
StandardOutput=file:/dev/console
StandardError=file:/dev/console

[Install]
WantedBy=multi-user.target
"""
# The kernel gives what it does not know to the first process, which does not hand it on.
START = """#!/bin/sh
for word in $(cat /proc/cmdline); do
	case $word in steps=*|results=*) export "$word";; esac
done
exec /harness/init
"""


def packages():
    """The tar file of an installed Debian with INCLUDED, made once. Who cannot make it learns it here, before a kernel is built."""
    if os.geteuid():
        raise HarnessError("the files of Debian's userland belong to root, so only root can make it")
    need(NEEDED)
    command = ["mmdebstrap", "--variant=minbase", f"--include={','.join(INCLUDED)}", SUITE]
    made = CACHE / "debian" / f"{hashlib.sha256(' '.join(command).encode()).hexdigest()[:16]}.tar"
    with base.locked(CACHE / "debian" / "lock"):
        if not made.exists():
            make_packages(command, made)
    return made


def make_packages(command, made):
    """Not under its name until it is whole."""
    part, log = made.with_suffix(".part.tar"), LOGS / "debian-packages.log"
    part.unlink(missing_ok=True)
    try:
        run([*command, part], log=log, what="a Debian userland")
    except HarnessError:
        part.unlink(missing_ok=True)
        no_network(log, "fetch Debian's packages")
        raise
    part.rename(made)


def write(path, text, mode=0o644):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def furnish(root, scenario, tree, objdir):
    """Add to the userland in @root what is ours."""
    write(root / "etc/systemd/system/harness.service", SERVICE)
    write(root / "harness/start", START, 0o755)
    # With an identity it is no first boot, and no question is asked; a login on the console would mix with the log.
    write(root / "etc/machine-id", "c0ffee" * 5 + "c0\n")
    wants = root / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True, exist_ok=True)
    for link, target in ((wants / "harness.service", "/etc/systemd/system/harness.service"),
                         (root / "etc/systemd/system/serial-getty@ttyS0.service", "/dev/null")):
        link.symlink_to(target)
    for program in guest.named(scenario):
        shutil.copy(program, root / ("harness/init" if program.name == "init" else f"usr/bin/{program.name}"))
    build.run_make(scenario.build, tree, f"INSTALL_MOD_PATH={root}", "modules_install", what="install modules",
                   log=LOGS / "debian-modules.log")
    modules = root / "usr/lib/modules"
    modules.mkdir(exist_ok=True)
    for module in [*guest.in_tree_modules(objdir), *guest.external_modules(scenario.build, tree)]:
        shutil.copy(module, modules / module.name)
    run(["rsync", "-a", *(f"--exclude={folder}" for folder in LEFT_OUT), f"{base.ensure_base()}/", root / "usr/src/linux"],
        log=LOGS / "debian-source.log", what="copy the base's source")


def image(scenario, tree, objdir):
    """The disk image, made anew if anything that goes into it has changed."""
    tar, where = packages(), BUILD / "debian"
    parts = [tar.name, Path(__file__).read_text(), str(base.ensure_base()), (objdir / ".harness-built").read_text(),
             *(hashlib.sha256(program.read_bytes()).hexdigest() for program in guest.named(scenario)),
             *(path.read_text() for path in sorted(guest.MODULES.iterdir()))]
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    made, stamp, root = where / f"{scenario.name}.ext4", where / f"{scenario.name}.key", where / "root"
    if made.exists() and stamp.exists() and stamp.read_text() == key:
        return made
    stamp.unlink(missing_ok=True)
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    run(["tar", "-C", root, "-xf", tar, "--numeric-owner"], log=LOGS / "debian-unpack.log", what="unpack the userland")
    furnish(root, scenario, tree, objdir)
    made.unlink(missing_ok=True)
    run(["mke2fs", "-q", "-t", "ext4", "-d", root, made, SIZE], log=LOGS / "debian-image.log", what="make the disk")
    shutil.rmtree(root)
    replace_file(stamp, key)
    return made


def arguments(path, copy):
    """What QEMU has to be told of a copy of the disk."""
    copy.parent.mkdir(parents=True, exist_ok=True)
    run(["cp", "--sparse=always", path, copy], log=LOGS / "debian-copy.log", what="copy the disk")
    return ["-drive", f"if=none,id=root,format=raw,cache=unsafe,file={copy}", "-device", "virtio-blk-pci,drive=root"]
