# SPDX-License-Identifier: GPL-2.0
"""Every function of the kernel that writes CR3 is known, with the reason why it may.

One authority decides what is in CR3. A function that writes it behind the back of that authority takes a CPU
out of its domain, or into one, without anybody knowing; so the machine code is searched for such functions.
What runs before the kernel does (the decompressor, the trampolines in real mode) is no part of vmlinux.
"""

import re
from collections import Counter

from . import allow, elf
from .common import ROOT, HarnessError
from .report import entry

ALLOW = ROOT / "harness" / "cr3.allow"
# A number of writes in every build, or BUILD=NUMBER.
COUNT = re.compile(r"(?:(\w+)=)?([1-9]\d*)")
WRITE = re.compile(r"mov\s+%\w+,%cr3\b")


def allowed(path=ALLOW):
    """{function: {build: how often, or "" for those that are not named}}."""
    def counts(text):
        found = {}
        for item in text.split(","):
            match = COUNT.fullmatch(item)
            if not match or (match[1] or "") in found:
                raise HarnessError(f"{path.name}: no number of writes, nor one for each build: {text}")
            found[match[1] or ""] = int(match[2])
        return found

    return {name: counts(text) for (name,), (text, _) in allow.read(path, allow.words(1, 1)).items()}


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


def judge(found, known):
    """What is wrong: [(function, why)] of the builds' {build: {function: how often}}."""
    wrong = []
    for build, functions in found.items():
        for name in sorted(functions.keys() | known.keys()):
            count = functions.get(name, 0)
            if name not in known:
                wrong.append((name, f"{name}() writes CR3 in the {build} build, and harness/cr3.allow does not say why it may"))
                continue
            # What one compiler inlines is a function of its own for the other: a build that is not named has none.
            want = known[name].get(build, known[name].get("", 0))
            if count != want:
                wrong.append((name, f"{name}() writes CR3 {count} times in the {build} build; harness/cr3.allow says {want}"))
    return wrong


def cr3_entries(objdirs):
    """One entry per function that writes CR3. @objdirs: {build: object directory}."""
    known, found = allowed(), {}
    for build, objdir in objdirs.items():
        found[build] = Counter(writers(objdir / "vmlinux"))
        for module in sorted(objdir.glob("**/*.ko")):
            found[build].update(writers(module))
    wrong = judge(found, known)
    names = sorted(known.keys() | {name for functions in found.values() for name in functions})
    return [entry("+".join(found), "none", "asi", f"cr3_writer:{name}", "fail" if reasons else "pass", "; ".join(reasons))
            for name in names for reasons in [[why for bad, why in wrong if bad == name]]]
