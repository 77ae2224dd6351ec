# SPDX-License-Identifier: GPL-2.0
"""Entry code that runs on the page table of a domain touches nothing that a domain may lack.

What each domain maps is in asi_entry_set[] and asi_entry_areas[] of arch/x86/mm/asi_map.c, which are read from the
linked kernel. The relocations of vmlinux.o say what the code refers to. A reference to data beyond the set has to be made on the
kernel's page table: harness/entry.allow lists each with the reason, and says where code enters domains.

The safe side is the default. All functions of .entry.text may run in a domain, and whatever they call as well,
unless a line says why not. Of the C functions that enter a domain, what follows the write of CR3 does; of those that
leave one, what precedes it.
A line that allows what is not there (any more) is wrong as well.
"""

import fnmatch
import re
import struct
from dataclasses import dataclass, field

from . import elf
from .common import ROOT, HarnessError
from .report import entry

ALLOW = ROOT / "harness" / "entry.allow"
KINDS = {"user": 1, "enters": 1, "leaves": 1, "inside": 1, "call": 2, "data": 2}
SECTIONS = (".entry.text", ".noinstr.text")
THUNKS = ".text..__x86"
PC_RELATIVE = (2, 4)            # R_X86_64_PC32, R_X86_64_PLT32
SHF_WRITE, SHF_MERGE = 1, 0x10
ALT_INSTR = 14                  # struct alt_instr: site, replacement, flags, two lengths
JUMP_ENTRY = 16                 # struct jump_entry: site, target, key
# The tables of what each domain maps: the layout of an entry, which begins with a name, the first address and the last
# one, and how far that is from the end.
TABLES = {
    "asi_entry_set": (struct.Struct("<QQQB7x"), 0),         # struct asi_entry: ..., per CPU
    "asi_entry_areas": (struct.Struct("<QQQI4xQ"), 1),      # struct asi_area: ..., level, size
}
CONTROL = re.compile(r"^(?:(?:notrack|bnd|ds|cs) )*(call|jmp|j[a-z]+|loop\w*)\b")
ENDS = re.compile(r"^(?:(?:notrack|bnd|ds|cs|repz?) )*(jmp|ret|iret|ud2|sysret|hlt)")
WRITES_CR3 = re.compile(r"^mov\s+%\w+,%cr3\b")
DIRECT = re.compile(r"^\S+\s+(?:\S+ )*?([0-9a-f]+)(?: <|$)")


@dataclass
class Rules:
    """The lines of harness/entry.allow, and which of them were of use."""
    lines: dict = field(default_factory=dict)       # (kind, names): reason
    used: set = field(default_factory=set)

    def allows(self, kind, *names):
        """Is there a line for it? Names of a line may be globs."""
        found = [key for key in self.lines if key[0] == kind and
                 all(fnmatch.fnmatchcase(name, glob) for name, glob in zip(names, key[1]))]
        self.used.update(found)
        return bool(found)

    def stale(self):
        return sorted(f"{kind} {' '.join(names)}" for kind, names in self.lines.keys() - self.used)


def rules(path=ALLOW):
    """Read the list: "KIND NAME... reason"."""
    found = {}
    for line in path.read_text().splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        words = line.split()
        count = KINDS.get(words[0], 0)
        key = words[0], tuple(words[1:count + 1])
        if not count or len(words) < count + 2 or key in found:
            raise HarnessError(f"{path.name}: no such kind, no reason, or there twice: {line}")
        found[key] = " ".join(words[count + 1:])
    return Rules(found)


@dataclass
class Reference:
    """What an instruction refers to: a place in a section of vmlinux.o, or a symbol of the linker."""
    site: int
    text: str                   # the instruction
    section: int
    offset: int
    name: str
    control: bool


@dataclass
class Function:
    symbol: elf.Symbol
    code: list = field(default_factory=list)        # [(address, next address, text)]
    references: list = field(default_factory=list)
    extra: dict = field(default_factory=dict)       # {site: targets} of jump labels and alternatives

    @property
    def name(self):
        return elf.plain(self.symbol.name)

    def holds(self, address):
        return self.symbol.value <= address < self.symbol.value + self.symbol.size


class Kernel:
    """One build: vmlinux.o for the relocations, vmlinux for the addresses."""

    def __init__(self, objdir):
        self.object, self.linked = elf.Elf(objdir / "vmlinux.o"), elf.Elf(objdir / "vmlinux")
        self.ranges, self.bases, self.functions = {}, {}, {}
        self.addresses = self._unique(self.linked)
        self.chosen = [number for number, section in enumerate(self.object.sections)
                       if section.name in SECTIONS or section.name.startswith(THUNKS)]
        for number in self.chosen:
            self._read(number)
        self._alternatives()
        self._jump_labels()

    @staticmethod
    def _unique(file):
        """{name: value} of the symbols that are there once."""
        found, twice = {}, set()
        for symbol in file.symbols:
            if symbol.name in found and found[symbol.name] != symbol.value:
                twice.add(symbol.name)
            found[symbol.name] = symbol.value
        return {name: value for name, value in found.items() if name and name not in twice}

    def where(self, number):
        if number not in self.ranges:
            self.ranges[number] = elf.Ranges(self.object, number)
        return self.ranges[number]

    def function_at(self, number, address):
        symbol = self.where(number).at(address)
        return self.functions.get((number, symbol.value, symbol.name)) if symbol else None

    def _read(self, number):
        section = self.object.sections[number].name
        code = [(address, text) for name, address, text in
                elf.instructions(self.object.path, [section]) if name == section]
        ends = [address for address, _ in code[1:]] + [self.object.sections[number].size]
        relocations = self.object.relocations(number)
        at = 0
        for (address, text), end in zip(code, ends):
            symbol = self.where(number).at(address)
            if symbol:
                key = number, symbol.value, symbol.name
                function = self.functions.setdefault(key, Function(symbol))
                function.code.append((address, end, text))
            known = False
            while at < len(relocations) and relocations[at].offset < end:
                if symbol and relocations[at].offset >= address:
                    function.references.append(self._reference(relocations[at], address, end, text))
                    known = True
                at += 1
            # A branch within the section needs no relocation.
            match = DIRECT.match(text) if CONTROL.match(text) and "*" not in text else None
            if symbol and match and not known:
                function.references.append(self._place(address, text, number, int(match[1], 16)))

    def _place(self, site, text, number, offset, name=""):
        if number:
            symbol = self.where(number).at(offset)
            name = symbol.name if symbol else f"{self.object.sections[number].name}+{offset:#x}"
        return Reference(site, text, number, offset, elf.plain(name), bool(CONTROL.match(text)))

    def _reference(self, relocation, site, end, text):
        symbol, offset = relocation.symbol, relocation.addend
        if relocation.kind in PC_RELATIVE:
            offset += end - relocation.offset
        if not symbol.section:
            return self._place(site, text, 0, offset, symbol.name)
        return self._place(site, text, symbol.section, symbol.value + offset)

    def _pairs(self, name, size):
        """[(number and offset of the first, and of the second, field)] of a table of relative addresses."""
        number, found = self.object.number(name), {}
        for item in self.object.relocations(number) if number else []:
            entry_number, place = divmod(item.offset, size)
            if place in (0, 4):
                found.setdefault(entry_number, {})[place] = item.symbol.section, item.symbol.value + item.addend
        return [(number, fields) for number, fields in found.items() if len(fields) == 2]

    def _alternatives(self):
        """What takes the place of an instruction refers to things on its behalf, and may jump."""
        table = self.object.sections[self.object.number(".altinstructions")]
        body = self.object.data[table.offset:table.offset + table.size]
        replacements = {}
        for number, fields in self._pairs(".altinstructions", ALT_INSTR):
            (section, site), (where, start) = fields[0], fields[4]
            function = self.function_at(section, site) if section in self.chosen else None
            if not function:
                continue
            length = body[number * ALT_INSTR + ALT_INSTR - 1]
            if where not in replacements:
                replacements[where] = self.object.relocations(where)
            for item in replacements[where]:
                if start <= item.offset < start + length:
                    # An immediate behind the address would be another byte or four, within the same object.
                    found = self._reference(item, site, item.offset + 4, "alternative")
                    found.control = self._is_code(found)
                    function.references.append(found)
                    if found.section == section and function.holds(found.offset):
                        function.extra.setdefault(site, []).append(found.offset)

    def _jump_labels(self):
        for _, fields in self._pairs("__jump_table", JUMP_ENTRY):
            (section, site), (where, target) = fields[0], fields[4]
            function = self.function_at(section, site) if section in self.chosen else None
            if function and where == section:
                function.extra.setdefault(site, []).append(target)

    def _is_code(self, reference):
        return bool(reference.section and self.object.sections[reference.section].flags & elf.SHF_EXECINSTR)

    def address(self, reference):
        """Where the linked kernel has what is referred to; None if that can't be told."""
        if not reference.section:
            return self.addresses.get(reference.name, 0) + reference.offset if reference.name in self.addresses else None
        if reference.section not in self.bases:
            self.bases[reference.section] = next(
                (self.addresses[symbol.name] - symbol.value for symbol in self.object.symbols
                 if symbol.section == reference.section and symbol.kind != elf.STT_SECTION
                 and symbol.name in self.addresses and symbol.size), None)
        base = self.bases[reference.section]
        return None if base is None else base + reference.offset

    def entry_set(self):
        """[(name, start, end)] of what each domain maps; per-CPU variables are at their offsets, which are small."""
        found = []
        for table, (layout, more) in TABLES.items():
            symbol = next((item for item in self.linked.symbols if item.name == table), None)
            if not symbol or not symbol.size or symbol.size % layout.size:
                raise HarnessError(f"{self.linked.path} has no {table}[] of {layout.size} bytes an entry: "
                                   "has its struct in arch/x86/mm/asi_map.c changed?")
            for name, start, end, *_ in layout.iter_unpack(self.linked.bytes_at(symbol.value, symbol.size)):
                text = self.linked.bytes_at(name, 64).split(b"\0")[0].decode(errors="replace")
                if not text.isprintable() or not text or start >= end:
                    raise HarnessError(f"{table}[] of {self.linked.path} has an entry {text!r} from {start:#x} to "
                                       f"{end:#x}: has its struct changed?")
                found.append((text, start, end + more))
        return found


def part_inside(function, entering, leaving):
    """The addresses of @function that may run in a domain, and whether it enters or leaves one at all.

    If it is of those @entering, all that follows a write of CR3 or a call of another one of them; if it is of those
    @leaving, all before it has come to a write of CR3 or to a call of another one.
    """
    def switches(others):
        calls = {reference.site for reference in function.references if reference.control and reference.name in others
                 and not function.holds(reference.offset)}
        return {address for address, _, text in function.code if WRITES_CR3.match(text) or address in calls}

    following = {address: end for address, end, _ in function.code}
    texts = {address: text for address, _, text in function.code}
    targets = {}
    for reference in function.references:
        if reference.control and function.holds(reference.offset):
            targets.setdefault(reference.site, []).append(reference.offset)
    for site, places in function.extra.items():
        targets.setdefault(site, []).extend(places)

    def reachable(todo, but):
        seen = set()
        while todo:
            address = todo.pop()
            if address in seen or address not in texts:
                continue
            seen.add(address)
            if address in but:
                continue
            todo += targets.get(address, [])
            if not ENDS.match(texts[address]):
                todo.append(following[address])
        return seen

    enters, leaves = switches(entering), switches(leaving)
    part, known = set(), True
    if function.name in entering:
        part |= reachable([following[address] for address in enters], ())
        known &= bool(enters)
    if function.name in leaving:
        part |= reachable([function.symbol.value], leaves)
        known &= bool(leaves)
    return part, known


def walk(kernel, allow):
    """{function: addresses, or None for all of it} of what may run in a domain, and [(function, problem)]."""
    entering, leaving = ({names[0] for kind, names in allow.lines if kind == wanted} for wanted in ("enters", "leaves"))
    inside, problems, todo = {}, [], []
    text = {kernel.object.number(name) for name in SECTIONS}
    entry_text = kernel.object.number(".entry.text")
    for key, function in kernel.functions.items():
        if function.name in entering | leaving:
            allow.allows("enters", function.name)
            allow.allows("leaves", function.name)
            part, known = part_inside(function, entering, leaving)
            if not known:
                problems.append((function.name, "is said to enter or leave domains, but neither writes CR3 nor calls "
                                                "who does"))
            todo.append((key, part))
        elif (key[0] == entry_text and not allow.allows("user", function.name)) or \
                allow.allows("inside", function.name):
            todo.append((key, None))
    while todo:
        key, part = todo.pop()
        function = kernel.functions[key]
        if key in inside:
            continue
        inside[key] = part
        for reference in function.references:
            if part is not None and reference.site not in part:
                continue
            if not reference.control or (reference.section == key[0] and function.holds(reference.offset)):
                continue
            if reference.name in entering | leaving or allow.allows("call", function.name, reference.name):
                continue
            callee = kernel.function_at(reference.section, reference.offset)
            if callee:
                todo.append(((reference.section, callee.symbol.value, callee.symbol.name), None))
            else:
                problems.append((function.name, f"calls {reference.name}, which is outside of {' and '.join(SECTIONS)}: "
                                                f"{reference.text}"))
        for address, _, line in function.code:
            if CONTROL.match(line) and "*" in line and key[0] in text and (part is None or address in part) and \
               not allow.allows("call", function.name, "*"):
                problems.append((function.name, f"calls or jumps to wherever a register or variable says: {line}"))
    return inside, problems


def check(kernel, allow):
    """(names of the functions that may run in a domain, [problem]) of one build."""
    mapped = kernel.entry_set()
    inside, found = walk(kernel, allow)
    problems = [f"{name}() {why}" for name, why in found]
    for key, part in inside.items():
        function = kernel.functions[key]
        for reference in function.references:
            if part is not None and reference.site not in part:
                continue
            section = kernel.object.sections[reference.section]
            if kernel._is_code(reference):
                continue
            address = kernel.address(reference)
            if address is None and reference.section and not section.flags & SHF_WRITE and section.flags & SHF_MERGE:
                # Constants that the linker merges: read-only data.
                continue
            if address is not None and any(start <= address < end for _, start, end in mapped):
                continue
            if allow.allows("data", function.name, reference.name):
                continue
            problems.append(f"{function.name}() may run in a domain and refers to {reference.name}, which a domain may "
                            f"lack: {reference.text.split('#')[0].strip()}")
    return sorted({kernel.functions[key].name for key in inside}), sorted(set(problems))


def entry_set_entries(objdirs, allow=None):
    """One entry per build and function of the entry path, and one for the list. @objdirs: {build: directory}."""
    allow, entries = allow or rules(), []
    for build, objdir in objdirs.items():
        names, problems = check(Kernel(objdir), allow)
        for name in names:
            bad = [problem for problem in problems if problem.startswith(f"{name}() ")]
            entries.append(entry(build, "none", "asi", f"entry_set:{name}", "fail" if bad else "pass", "; ".join(bad)))
        rest = [problem for problem in problems if problem.split("()")[0] not in names]
        entries.append(entry(build, "none", "asi", "entry_set", "fail" if rest else "pass", "; ".join(rest)))
    stale = allow.stale()
    entries.append(entry("+".join(objdirs), "none", "asi", "entry_set:allow", "fail" if stale else "pass",
                         stale and "harness/entry.allow allows what is not there: " + "; ".join(stale)))
    return entries
