# SPDX-License-Identifier: GPL-2.0
"""Boots a kernel as a scenario file says; judge.py says what came out of it."""

import configparser
import os
import re
import shlex
import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field

from . import bochs, build, debian, guest, series
from .common import (BUILD, LOGS, PACKAGES, PROGRESS, ROOT, TEST_PACKAGES, HarnessError, end_process, need, overflowing, run,
                     say, start)
from .expected import one_glob
from .judge import SCENARIOS, check_regex, counted, judge

OVMF_CODE = "/usr/share/OVMF/OVMF_CODE_4M.fd"
OVMF_VARS = "/usr/share/OVMF/OVMF_VARS_4M.fd"
# THREADS: with a thread for each CPU, QEMU 7.2 sometimes goes on executing an instruction that another
# CPU has replaced: a CPU stumbles over an int3 that text_poke_bp() has long removed. The plain base
# kernel died in 3 of 6 boots of poke with 4 CPUs, and in 0 of 6 with the CPUs in turn. So only a
# scenario that pokes no hot text may ask for "multi".
# Of what guest/machine.c looks for, the default processor and a kernel of ours have this.
USUAL = ("fsgsbase", "smep", "smap", "gbpages", "prmem")


@dataclass
class Scenario:
    """One boot, as described by a file in harness/scenarios."""
    name: str
    about: str = ""
    build: str = "debug"        # which configuration of build.py
    emulator: str = "tcg"       # tcg, ovmf or bochs
    cpu: str = "max,la57=off"  # TCG's maximum has five levels
    smp: int = 2
    memory: str = "512M"
    cmdline: str = ""
    needs: list = field(default_factory=lambda: list(USUAL))    # what guest/machine.c knows, and no more of it
    kunit: str = ""             # globs of KUnit suites; none: KUnit does not run
    run: list = field(default_factory=list)          # steps of the guest
    files: list = field(default_factory=list)        # of the kernel tree, for the guest, where they have the same path
    programs: list = field(default_factory=list)     # of this machine, for the guest, in place of busybox's
    selftests: list = field(default_factory=list)    # FOLDER/NAME of tools/testing/selftests, for the guest's step selftests
    base: str = ""              # "yes": the kernel without the series, so with nothing of ours for the guest to load
    expect: list = field(default_factory=list)       # regexes that must be found in the log
    expect_splat: list = field(default_factory=list) # regexes of the reports provoked on purpose; "3 x REGEX": so many lines
    oopses: list = field(default_factory=list)       # "WHAT in FUNCTION" of each that is provoked, in their order
    allow_splat: list = field(default_factory=list)  # regexes of reports that may be there, about what is not ours
    tracer_selftest: str = ""   # "yes": the tests that ftrace runs on itself during boot, 20 s of them
    tlb: str = ""               # of Bochs: "keep" what may be stale, or "report" each use of it as well; see bochs.py
    threads: str = "single"     # of TCG: all CPUs in turn, or "multi"; see THREADS
    tpm: str = ""               # "yes": a TPM 2.0 of its own, new at every boot; or with which banks, as "sha256"; not in Bochs
    disk: str = ""              # its size, as of @memory: an empty disk of its own, /dev/vda; not in Bochs
    userland: str = ""          # "debian": systemd on a disk of its own, in place of an initramfs; see debian.py
    kexec: str = ""             # "yes": the guest's /boot has this kernel and an initramfs, for kexec
    dump: str = ""              # "yes": a third serial port for what the host looks at, LABEL.dump
    timeout: int = 600
    extra: str = ""             # "yes": not part of make test, only run when it is named


def names():
    """Every scenario, in the order of their names."""
    return sorted(path.stem for path in SCENARIOS.glob("*.ini"))


def load(name):
    """Read one scenario file; an unknown key or a wrong value is an error that names the file."""
    path = SCENARIOS / f"{name}.ini"
    if not path.exists():
        raise HarnessError(f"no such scenario: {name} (there are: {', '.join(names())})")
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(path.read_text())
        values = dict(parser["scenario"])
    except (configparser.Error, KeyError) as err:
        raise HarnessError(f"{path.relative_to(ROOT)}: {err}") from err
    scenario = Scenario(name)
    for key, value in values.items():
        old = getattr(scenario, key, None)
        if old is None or key == "name":
            raise HarnessError(f"{path.relative_to(ROOT)}: unknown key {key}")
        if isinstance(old, list):
            # Regexes stand on lines of their own; words may share one.
            regexes = key.startswith("expect") or key.endswith("splat")
            value = [v for v in (value.splitlines() if regexes or key == "oopses" else value.split()) if v]
            if regexes:
                for rule in value:
                    check_regex(counted(rule)[1], f"{path.relative_to(ROOT)}: {key}")
        setattr(scenario, key, type(old)(value))
    # Every guest says first whether it is the machine that is meant.
    scenario.run.insert(0, "+".join([f"machine:{scenario.smp}", *scenario.needs]))
    return scenario


def accelerator(threads="single"):
    """TCG unless ACCEL says otherwise: a /dev/kvm that opens may still be unusable."""
    accel = os.environ.get("ACCEL", "tcg")
    return f"tcg,thread={threads}" if accel == "tcg" else accel


def qemu_command(kernel, initrd, cmdline, cpu="max,la57=off", smp=1, memory="512M", ovmf_vars=None, results=None,
                 interactive=False, threads="single", extra=()):
    """The command line of QEMU. The console is its stdout, the second serial port the file @results."""
    command = ["qemu-system-x86_64", "-accel", accelerator(threads), "-cpu", cpu, "-smp", str(smp), "-m", memory]
    if ovmf_vars:
        command += ["-machine", "q35",
                    "-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={OVMF_CODE}",
                    "-drive", f"if=pflash,format=raw,unit=1,file={ovmf_vars}"]
    else:
        command += ["-bios", "qboot.rom"]
    command += ["-kernel", str(kernel), *(["-initrd", str(initrd)] if initrd else []), "-append", cmdline,
                "-no-reboot", "-nodefaults"]
    command += ["-nographic", "-serial", "mon:stdio"] if interactive else ["-display", "none", "-serial", "stdio"]
    if results:
        command += ["-serial", f"file:{results}"]
    return command + list(extra)


def disk_arguments(path, size):
    """What QEMU has to be told of an empty disk; the file takes as much room as the guest writes."""
    if not re.fullmatch(r"[0-9]+[MG]", size):
        raise HarnessError(f"a disk of {size}: it takes a number with M or G behind it")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with open(path, "wb") as file:
        file.truncate(int(size[:-1]) << {"M": 20, "G": 30}[size[-1]])
    # No flush of the guest has to reach the host's disk.
    return ["-drive", f"if=none,id=disk,format=raw,cache=unsafe,file={path}", "-device", "virtio-blk-pci,drive=disk"]


class Tpm:
    """A software TPM that lives as long as this object, or as the emulator that it is connected to.

    Both ends of its control channel are made here: there is no path of a socket, which may have 107 bytes only,
    nor anything to wait for. Its state is new, so that all registers are zero, and goes when it does.
    """

    def __init__(self, log, banks=""):
        """@banks: those that have registers, instead of all that swtpm knows."""
        need(PACKAGES)
        self.state = tempfile.mkdtemp(prefix="tpm-")
        self.log = log
        if banks:
            run(["swtpm_setup", "--tpm2", "--tpmstate", self.state, "--pcr-banks", banks], log=log, what=f"a TPM with {banks}")
        ours, self.socket = socket.socketpair()
        command = ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={self.state}", "--terminate",
                   "--ctrl", f"type=unixio,clientfd={ours.fileno()}"]
        with ours, open(log, "wb") as out:
            out.write(f"$ {shlex.join(command)}\n".encode())
            out.flush()
            self.process = start(command, stdout=out, stderr=subprocess.STDOUT, pass_fds=[ours.fileno()])

    def arguments(self):
        """What QEMU has to be told; it must inherit the descriptor."""
        return ["-chardev", f"socket,id=tpm,fd={self.socket.fileno()}", "-tpmdev", "emulator,id=tpm0,chardev=tpm",
                "-device", "tpm-tis,tpmdev=tpm0"]

    def connected(self):
        """To be called when the emulator has its end: then swtpm notices when that goes."""
        self.socket.close()

    def stop(self):
        """Returns "", or how it failed before its time."""
        self.socket.close()
        # It may be about to end by itself, as its emulator has.
        try:
            self.process.wait(1)
        except subprocess.TimeoutExpired:
            end_process(self.process)
        shutil.rmtree(self.state, ignore_errors=True)
        return "" if self.process.returncode in (0, -15) else \
            f"swtpm ended with {self.process.returncode}; log: {self.log.relative_to(ROOT)}"


def kernel_cmdline(scenario, panic_on_warn=True):
    words = ["console=ttyS0,115200", "earlycon=uart8250,io,0x3f8,115200", "panic=-1",
             # An emulated CPU may have to wait long for its turn; a real stall still shows, as a timeout. These are
             # the longest that the kernel takes; that of a task that hangs is in harness-debug.config.
             "rcupdate.rcu_cpu_stall_timeout=300", "watchdog_thresh=60",
             # Nor may the kernel compare two clocks, or panic if it misses ticks of the first 40 ms: the host may
             # run somebody else at that time. Hypervisors turn that off as well.
             "tsc=nowatchdog", "no_timer_check"]
    if panic_on_warn and not (scenario.expect_splat or scenario.allow_splat):
        words.append("panic_on_warn=1")
    if scenario.tracer_selftest != "yes":
        words.append("ftrace=nop")      # a boot tracer, even this one, turns them off
    glob = one_glob(scenario.kunit.split())
    words.append(f"kunit.filter_glob={glob}" if glob else "kunit.enable=0")
    if scenario.run:
        words += ["steps=" + ",".join(scenario.run), "results=/dev/ttyS1"]
    if scenario.dump == "yes":
        words.append("dump=/dev/ttyS2")
    if scenario.emulator == "bochs":
        # MONITOR in Bochs 2.7 disarms the monitors of other CPUs, and may arm a wrong address: a CPU that idles
        # in MWAIT misses wakeups, for a second at a time, and CPU hotplug then fails in the plain base kernel too.
        words.append("idle=nomwait")
    if scenario.tlb == "report":
        words.append("nokaslr")         # so that code is where System.map has it
    if scenario.kunit:
        # A second after boot Linux moves to another clock and stops all CPUs for it; a test that waits for
        # another CPU with preemption off would wait in vain. By the TSC of Bochs' Skylake a second takes minutes.
        words.append("clocksource=hpet")
    if scenario.userland:
        words.append("root=/dev/vda rw")
    if scenario.cmdline:
        words.append(scenario.cmdline)
    return " ".join(words)


def last_line(path):
    """The end of a growing log, for the progress line."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.path.getsize(path) - 400))
            lines = file.read().decode(errors="replace").split("\n")
    except OSError:
        return ""
    return re.sub(r"[^ -~]", "", lines[-2])[:100] if len(lines) > 1 else ""


class Panic:
    """Tells of a kernel that hangs after a panic, in place of the reboot that ends the emulator.

    A kernel for the dump begins, with a line of its own, and may be silent for long then: it reads all of the memory.
    """
    SILENCE = 40

    def __init__(self, log):
        self.log, self.size, self.since = log, -1, 0.0

    def hangs(self, now):
        size = self.log.stat().st_size if self.log.exists() else 0
        if size != self.size:
            self.size, self.since = size, now
        if now - self.since < self.SILENCE:
            return False
        with open(self.log, "rb") as file:
            file.seek(max(0, size - 16384))
            _, panic, after = file.read().rpartition(b"Kernel panic - not syncing")
        return bool(panic) and b"Linux version" not in after


class Boot:
    """One running emulator: its process, its two logs and when it must be over."""

    def __init__(self, scenario, objdir, initrd, tag="", panic_on_warn=True):
        need({**PACKAGES, **(TEST_PACKAGES if scenario.emulator != "tcg" else {})})
        self.scenario, self.objdir = scenario, objdir
        self.label = f"{scenario.name}{tag}"
        self.log = LOGS / f"boot-{self.label}.log"
        self.results = LOGS / f"boot-{self.label}.results"
        self.dump = LOGS / f"boot-{self.label}.dump"
        self.disk = BUILD / "boot" / f"{self.label}.disk"
        self.ended = None
        self.tpm, self.trouble, extra = None, "", []
        LOGS.mkdir(parents=True, exist_ok=True)
        self.results.write_bytes(b"")
        kernel = objdir / "arch/x86/boot/bzImage"
        cmdline = kernel_cmdline(scenario, panic_on_warn)
        if scenario.emulator == "bochs":
            if scenario.tpm or scenario.dump or scenario.disk or scenario.userland:
                raise HarnessError(f"scenario {scenario.name}: Bochs has neither a TPM nor a disk nor a port for a dump here")
            self.machine = bochs.Bochs(self.label, bochs.linux(kernel, initrd, cmdline), scenario, self.log, self.results)
            self.process = self.machine.process
            self.command = self.machine.command
        else:
            nvram = None
            if scenario.emulator == "ovmf":
                nvram = BUILD / "boot" / f"{self.label}.nvram"
                nvram.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(OVMF_VARS, nvram)
            elif scenario.emulator != "tcg":
                raise HarnessError(f"scenario {scenario.name}: no such emulator: {scenario.emulator}")
            self.machine = None
            if scenario.dump == "yes":
                self.dump.write_bytes(b"")
                extra += ["-serial", f"file:{self.dump}"]
            if scenario.disk:
                extra += disk_arguments(self.disk, scenario.disk)
            if scenario.userland:
                extra, initrd = [*extra, *debian.arguments(initrd, self.disk)], None
            inherited = []
            if scenario.tpm:
                self.tpm = Tpm(LOGS / f"boot-{self.label}.tpm.log", "" if scenario.tpm == "yes" else scenario.tpm)
                extra += self.tpm.arguments()
                inherited.append(self.tpm.socket.fileno())
            self.command = qemu_command(kernel, initrd, cmdline, scenario.cpu, scenario.smp, scenario.memory,
                                        nvram, self.results, threads=scenario.threads, extra=extra)
            try:
                with open(self.log, "wb") as out:
                    out.write(f"$ {shlex.join(self.command)}\n".encode())
                    out.flush()
                    self.process = start(self.command, stdout=out, stderr=subprocess.STDOUT, pass_fds=inherited)
            except BaseException:
                if self.tpm:
                    self.tpm.stop()
                raise
            if self.tpm:
                self.tpm.connected()
        self.begin = time.monotonic()
        self.panic = Panic(self.log)

    def poll(self):
        """True when it is over; ends an emulator that is late, or that cannot end by itself."""
        self.seconds = time.monotonic() - self.begin
        if self.ended is None and self.process.poll() is not None:
            self.ended = "exit" if self.process.returncode == 0 or self.machine else f"exit {self.process.returncode}"
        if self.ended is None and self.machine and self.machine.finished():
            self.ended = "exit"
        if self.ended is None and self.seconds > self.scenario.timeout:
            self.ended = "timeout"
        if self.ended is None and self.panic.hangs(self.seconds):
            self.ended = "a panic that hangs"
        if self.ended is None:
            self.ended = overflowing(self.log, self.results, self.dump, f"{self.log}.bochs") or None
        if self.ended is not None:
            self.stop()
        else:
            PROGRESS.tick(f"boot {self.label}", last_line(self.log))
        return self.ended is not None

    def stop(self):
        if self.machine:
            self.machine.close()
        if self.process.poll() is None:
            end_process(self.process)
        if self.tpm:
            self.trouble, self.tpm = self.tpm.stop(), None
        if self.scenario.disk or self.scenario.userland:
            self.disk.unlink(missing_ok=True)
        PROGRESS.done(f"boot {self.label}")


def prepare(scenario, tree=None):
    """Build what a scenario boots; returns (objdir, initramfs, or the disk in place of it)."""
    if scenario.base:
        tree = series.patched_tree(BUILD / "base", upto="")
    tree = tree or BUILD / "src"
    objdir = build.build(scenario.build, tree, ("bzImage", "modules"))
    if scenario.userland:
        return objdir, debian.image(scenario, tree, objdir)
    return objdir, guest.initramfs(scenario.build, tree, objdir, scenario)


def wait(boot):
    """Wait for one boot; the emulator never outlives this function."""
    try:
        while not boot.poll():
            time.sleep(0.1)
    finally:
        boot.stop()


def run_boot(scenario, objdir, initrd, tag=""):
    """Boot and judge one scenario."""
    boot = Boot(scenario, objdir, initrd, tag)
    wait(boot)
    return boot, judge(boot)


def run_boots(jobs, at_once=2, finished=lambda boot, entries: None, again=0):
    """Boot @jobs, a list of (scenario, objdir, initramfs), a few at a time; returns all entries.

    @again: so many of those that fail are booted once more. What failed has failed, but says what came of that: a defect
    fails again, bad luck seldom does.
    """
    waiting, running, entries = [(job, None) for job in jobs], {}, []
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                job, failed = waiting.pop(0)
                running[Boot(*job, "-again" if failed else "")] = (job, failed)
            time.sleep(0.1)
            for boot in [boot for boot in running if boot.poll()]:
                job, failed = running.pop(boot)
                found = judge(boot)
                bad = [item for item in found if item["status"] == "fail"]
                if failed:
                    came = f"{len(found) - len(bad)} cases not failed, {len(bad)} failed; log: {boot.log}"
                    say(f"  {boot.label}: {came}")
                    for item in failed:
                        item["why"] += f"; booted once more: {came}"
                    continue
                if bad and again:
                    again -= 1
                    waiting.append((job, bad))
                entries += found
                finished(boot, found)
    finally:
        for boot in running:
            boot.stop()
    return entries


def run_scenario(name, tree=None):
    """Build, boot and judge one scenario; returns its report entries."""
    scenario = load(name)
    return run_boot(scenario, *prepare(scenario, tree))[1]
