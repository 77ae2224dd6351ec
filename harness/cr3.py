# SPDX-License-Identifier: GPL-2.0
"""Every function of the kernel that writes CR3 is known, with the reason why it may.

One authority decides what is in CR3. A function that writes it behind the back of that authority takes a CPU
out of its domain, or into one, without anybody knowing; so the machine code is searched for such functions.
What runs before the kernel does (the decompressor, the trampolines in real mode) is no part of vmlinux.
"""

import re

from . import elf
from .common import ROOT, HarnessError
from .report import entry

ALLOW = ROOT / "harness" / "cr3.allow"
WRITE = re.compile(r"mov\s+%\w+,%cr3\b")


def allowed(path=ALLOW):
    """{function: reason}, one "function reason" a line."""
    found = {}
    for line in path.read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            name, _, reason = line.partition(" ")
            if not reason.strip() or name in found:
                raise HarnessError(f"{path.name}: no reason, or named twice: {line}")
            found[name] = reason.strip()
    return found


def writers(path):
    """{function: how often} of the functions in @path that write CR3."""
    ranges, found, sections = None, {}, {}
    for section, address, text in elf.instructions(path, having="%cr3"):
        if not WRITE.match(text):
            continue
        if ranges is None:
            file = elf.Elf(path)
            linked = path.suffix != ".o" and path.suffix != ".ko"
            ranges = elf.Ranges(file) if linked else None
        if ranges is None:
            # In a file that is not linked, each section begins at 0.
            sections.setdefault(section, elf.Ranges(file, file.number(section)))
        symbol = (ranges or sections[section]).at(address)
        name = elf.plain(symbol.name) if symbol else f"{section}+{address:#x}"
        found[name] = found.get(name, 0) + 1
    return found


def judge(found, allow):
    """What is wrong: [(function, why)] of the builds' {build: {function: ...}}."""
    wrong = []
    for build, functions in found.items():
        for name in sorted(functions.keys() - allow.keys()):
            wrong.append((name, f"{name}() writes CR3 in the {build} build, and harness/cr3.allow does not say why it may"))
    # What one compiler inlines is a function of its own for the other.
    for name in sorted(allow.keys() - {name for functions in found.values() for name in functions}):
        wrong.append((name, f"harness/cr3.allow names {name}(), which writes CR3 in none of the builds: "
                            f"{', '.join(found)}"))
    return wrong


def cr3_entries(objdirs):
    """One entry per function that writes CR3. @objdirs: {build: object directory}."""
    allow, found = allowed(), {}
    for build, objdir in objdirs.items():
        found[build] = writers(objdir / "vmlinux")
        for module in sorted(objdir.glob("**/*.ko")):
            found[build].update(writers(module))
    wrong = judge(found, allow)
    names = sorted(allow.keys() | {name for functions in found.values() for name in functions})
    return [entry("+".join(found), "none", "asi", f"cr3_writer:{name}", "fail" if reasons else "pass", "; ".join(reasons))
            for name in names for reasons in [[why for bad, why in wrong if bad == name]]]
