# SPDX-License-Identifier: GPL-2.0
"""Entry code that runs on the page table of a domain touches nothing that a domain may lack.

What each domain maps is in asi_entry_set[] and asi_entry_areas[] of arch/x86/mm/asi_map.c, which are read from the
linked kernel. The relocations of vmlinux.o say what the code refers to. A reference to data beyond the set has to be made on the
kernel's page table: harness/entry.allow lists each with the reason, and says where code enters domains.

The safe side is the default. All functions of .entry.text may run in a domain, and whatever they call as well,
unless a line says why not. Of the C functions that enter a domain, what follows the write of CR3 does; of those that
leave one, what precedes it.
A line says on which side of the write of CR3 it allows something, and that is looked up in the code; see Sides.
A line that allows what is not there (any more) is wrong as well.
"""

import bisect
import fnmatch
import re
import struct
from dataclasses import dataclass, field

from . import allow, elf
from .common import ROOT, HarnessError
from .report import entry

ALLOW = ROOT / "harness" / "entry.allow"
# Of each kind of line, how many words are not its reason; and which sides it may speak of.
KINDS = {"user": 1, "enters": 1, "leaves": 1, "inside": 1, "call": 3, "data": 3}
SIDES = {"call": ("before", "after", "any"), "data": ("before", "after")}
SECTIONS = (".entry.text", ".noinstr.text")
THUNKS = ".text..__x86"
PC_RELATIVE = (2, 4)            # R_X86_64_PC32, R_X86_64_PLT32
SHF_WRITE, SHF_MERGE = 1, 0x10
ALT_INSTR = 14                  # struct alt_instr: site, replacement, flags, two lengths
JUMP_ENTRY = 16                 # struct jump_entry: site, target, key
PAGE = 4096
# The tables of what each domain maps: the layout of an entry, which begins with a name, the first address and the last
# one, and how far that is from the end. The last field of an area is what its addresses are rounded to, others are to a page.
TABLES = {
    "asi_entry_set": (struct.Struct("<QQQB7x"), 0),         # struct asi_entry: ..., per CPU
    "asi_entry_areas": (struct.Struct("<QQQI4xQ"), 1),      # struct asi_area: ..., level, size
}
CONTROL = re.compile(r"^(?:(?:notrack|bnd|ds|cs) )*(call|jmp|j[a-z]+|loop\w*)\b")
ENDS = re.compile(r"^(?:(?:notrack|bnd|ds|cs|repz?) )*(jmp|ret|iret|ud2|sysret|hlt)")
WRITES_CR3 = re.compile(r"^mov\s+%\w+,%cr3\b")
# The question whether this CPU is in a domain begins so.
ASKS, ASKED = re.compile(r"^mov\s+%gs:"), "asi_cr3"
DIRECT = re.compile(r"^\S+\s+(?:\S+ )*?([0-9a-f]+)(?: <|$)")


@dataclass
class Rules:
    """The lines of harness/entry.allow, and which of them were of use."""
    lines: dict = field(default_factory=dict)       # (kind, names): reason
    used: set = field(default_factory=set)

    def allows(self, kind, *names, sides=()):
        """Is there a line for it? Names of a line may be globs. @sides: those on which it is, if such a line says one."""
        found = [key for key in self.lines if key[0] == kind and self._matches(key, names) and
                 (kind not in SIDES or key[1][0] == "any" or key[1][0] in sides)]
        self.used.update(found)
        return bool(found)

    def other_side(self, kind, *names):
        """What lines for it say of the other side, for a message."""
        found = sorted({key[1][0] for key in self.lines if key[0] == kind and self._matches(key, names)})
        return f" (harness/entry.allow: only {' and '.join(found)} the write of CR3)" if found else ""

    @staticmethod
    def _matches(key, names):
        globs = key[1][1:] if key[0] in SIDES else key[1]
        return all(fnmatch.fnmatchcase(name, glob) for name, glob in zip(names, globs, strict=True))

    def stale(self):
        return sorted(f"{kind} {' '.join(names)}" for kind, names in self.lines.keys() - self.used)


def rules(path=ALLOW):
    """Read the list: "KIND NAME... reason", with the side before the names if the kind has one."""
    def split(line):
        kind = line.split()[0]
        if kind not in KINDS:
            raise ValueError("no such kind")
        key, rest = allow.words(KINDS[kind] + 1)(line)
        if kind in SIDES and key[1] not in SIDES[kind]:
            raise ValueError(f"no such side (there are: {', '.join(SIDES[kind])})")
        return (kind, key[1:]), rest

    return Rules(allow.read(path, split))


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
            self._read(number, self.object.relocations(number))
        self._alternatives()
        self._jump_labels()
        self.look_around()

    def look_around(self):
        """What of functions others have to know: where they are entered, and who of them writes CR3 or leaves domains."""
        self.entered, self.cached = {}, {}
        for function in self.functions.values():
            for reference in function.references:
                target = self.function_at(reference.section, reference.offset)
                # A place in the function itself that is not branched to is pushed, for an IRET.
                if target and (target is not function or not reference.control):
                    key = reference.section, target.symbol.value, target.symbol.name
                    self.entered.setdefault(key, set()).add(reference.offset)
        flows = [Flow(function) for function in self.functions.values()]
        self.writers = {flow.function.name for flow in flows if flow.writes()}
        self.leavers = {flow.function.name for flow in flows if flow.ways_out()}

    def sides(self, key, entering):
        if key not in self.cached:
            self.cached[key] = Sides(self, key, entering)
        return self.cached[key]

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

    def _read(self, number, relocations, places=()):
        """The functions of a section, or of a part of it; @relocations are those of all of it."""
        section = self.object.sections[number].name
        code = [(address, text) for name, address, text in
                elf.instructions(self.object.path, [section], places=places) if name == section]
        ends = [address for address, _ in code[1:]] + [places[1] if places else self.object.sections[number].size]
        at = bisect.bisect_left(relocations, places[0], key=lambda item: item.offset) if places else 0
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
            replaced, length = body[number * ALT_INSTR + ALT_INSTR - 2:number * ALT_INSTR + ALT_INSTR]
            # What takes the place of a jump may be nothing.
            function.extra.setdefault(site, []).append(site + replaced)
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
        """Where the linked kernel has what is referred to; None if that can't be told.

        The linker has put the pieces of a section into another order there than in vmlinux.o, so it is only told by
        the symbol itself; or, for one of a name that is there twice, by its neighbours, if they agree.
        """
        if not reference.section:
            return self.addresses.get(reference.name, 0) + reference.offset if reference.name in self.addresses else None
        if reference.section not in self.bases:
            self.bases[reference.section] = sorted(
                (symbol.value, symbol.value + symbol.size, self.addresses[symbol.name] - symbol.value)
                for symbol in self.object.symbols if symbol.section == reference.section and symbol.size
                and symbol.kind != elf.STT_SECTION and symbol.name in self.addresses)
        known = self.bases[reference.section]
        index = bisect.bisect_right(known, (reference.offset, float("inf")))
        below, above = known[:index][-1:], known[index:index + 1]
        found = {base for start, end, base in below if start <= reference.offset < end} or \
            ({base for _, _, base in below + above} if below and above else set())
        return found.pop() + reference.offset if len(found) == 1 else None

    def entry_set(self):
        """[(name, start, end)] of what each domain maps; per-CPU variables are at their offsets, which are small."""
        return [item[:3] for item in self.mapped()]

    def mapped(self):
        """The same, and to what the addresses are rounded."""
        found = []
        for table, (layout, more) in TABLES.items():
            symbol = next((item for item in self.linked.symbols if item.name == table), None)
            if not symbol or not symbol.size or symbol.size % layout.size:
                raise HarnessError(f"{self.linked.path} has no {table}[] of {layout.size} bytes an entry: "
                                   "has its struct in arch/x86/mm/asi_map.c changed?")
            for name, start, end, *rest in layout.iter_unpack(self.linked.bytes_at(symbol.value, symbol.size)):
                text = self.linked.bytes_at(name, 64).split(b"\0")[0].decode(errors="replace")
                if not text.isprintable() or not text or start >= end:
                    raise HarnessError(f"{table}[] of {self.linked.path} has an entry {text!r} from {start:#x} to "
                                       f"{end:#x}: has its struct changed?")
                found.append((text, start, end + more, rest[-1] if more else PAGE))
        return found

    def neighbours(self):
        """[problem]: what each domain maps only because it is next to something that it needs."""
        mapped, found = self.mapped(), set()
        for symbol in elf.Ranges(self.linked).symbols:
            first, end = symbol.value, symbol.value + symbol.size
            if any(start <= first and end <= last for _, start, last, _ in mapped):
                continue
            found.update(f"each domain maps {symbol.name}, which is next to {name}" for name, start, last, unit in mapped
                         if first < -(-last // unit) * unit and end > start // unit * unit)
        return sorted(found)


class Flow:
    """Where control goes within a function."""

    def __init__(self, function):
        self.function = function
        self.following = {address: end for address, end, _ in function.code}
        self.texts = {address: text for address, _, text in function.code}
        self.targets = {}
        for reference in function.references:
            if reference.control and function.holds(reference.offset):
                self.targets.setdefault(reference.site, []).append(reference.offset)
        for site, places in function.extra.items():
            self.targets.setdefault(site, []).extend(places)

    def reachable(self, todo, stops=(), cuts=()):
        """All addresses that are come to from @todo, but not over an instruction of @stops nor a (from, to) of @cuts."""
        todo, seen = list(todo), set()
        while todo:
            address = todo.pop()
            if address in seen or address not in self.texts:
                continue
            seen.add(address)
            if address in stops:
                continue
            places = list(self.targets.get(address, []))
            if not ENDS.match(self.texts[address]):
                places.append(self.following[address])
            todo += [place for place in places if (address, place) not in cuts]
        return seen

    def writes(self):
        return {address for address, text in self.texts.items() if WRITES_CR3.match(text)}

    def calls(self, names):
        """The calls of functions of @names, or jumps to them; those of the function itself are none."""
        return {reference.site for reference in self.function.references if reference.control and reference.name in names
                and not self.function.holds(reference.offset)}

    def after(self, addresses):
        return [self.following[address] for address in addresses]

    def ways_out(self):
        """{the first address: the branches} of each run of instructions that asks whether this is a domain, and leaves it.

        Such a run ends with a write of CR3, and its branches go where this is none.
        """
        asks = {reference.site for reference in self.function.references
                if reference.name == ASKED and ASKS.match(self.texts.get(reference.site, ""))}
        found, run, begin = {}, [], None
        for address, text in sorted(self.texts.items()):
            if begin is None and address in asks:
                begin, run = address, []
            if begin is None:
                continue
            if WRITES_CR3.match(text):
                found[begin], begin = run, None
            elif ENDS.match(text) or text.startswith("call"):
                begin = None
            elif CONTROL.match(text):
                run.append(address)
        return found


class Sides:
    """On which side of the write of CR3 are the instructions of a function?

    after:  whichever way they are come to, the domain has been left by then, if there was one: by a write of CR3, by the
            question whether this is a domain, by a call of who asks it; or there was a SWAPGS, which is for those who come
            from user mode or go there.
    before: they are not come to after a write of CR3, and lead to one, with no SWAPGS between. In a function that writes
            CR3 not itself, the call of one that does it to enter a domain is such a write.

    What cannot be told is on neither side: code that nothing is seen to go to, for one.
    """

    def __init__(self, kernel, key, entering):
        self.flow = flow = Flow(kernel.functions[key])
        function, swapgs = flow.function, {address for address, text in flow.texts.items() if text.startswith("swapgs")}
        starts = {function.symbol.value, *kernel.entered.get(key, ()), *flow.after(flow.calls(entering - {function.name}))}
        if function.name in entering:
            starts.update(flow.after(flow.writes()))
        out = flow.ways_out()
        cuts = {(site, place) for branches in out.values() for site in branches for place in flow.targets.get(site, [])}
        # Where the question is an alternative, whoever has none has no domains.
        cuts |= {(site, place) for site, places in function.extra.items() if site in flow.following and out.keys() & set(places)
                 for place in {flow.following[site], *flow.targets[site]} - out.keys()}
        stops = flow.writes() | swapgs | flow.calls(kernel.leavers)
        unseen = flow.texts.keys() - flow.reachable(starts)
        self.inside = flow.reachable(starts, stops, cuts) | unseen
        self.switches = flow.writes() or flow.calls(entering & kernel.writers)
        self.behind = flow.reachable(flow.after(self.switches)) | unseen
        self.swapgs = swapgs

    def of(self, address):
        found = set()
        if address not in self.inside:
            found.add("after")
        if address not in self.behind and self.flow.reachable([address], self.swapgs) & self.switches:
            found.add("before")
        return found


def part_inside(function, entering, leaving):
    """The addresses of @function that may run in a domain, and whether it enters or leaves one at all.

    If it is of those @entering, all that follows a write of CR3 or a call of another one of them; if it is of those
    @leaving, all before it has come to a write of CR3 or to a call of another one.
    """
    flow = Flow(function)
    enters, leaves = (flow.writes() | flow.calls(others) for others in (entering, leaving))
    part, known = set(), True
    if function.name in entering:
        part |= flow.reachable(flow.after(enters))
        known &= bool(enters)
    if function.name in leaving:
        part |= flow.reachable([function.symbol.value], leaves)
        known &= bool(leaves)
    return part, known


def named(allow, kind):
    return {names[0] for found, names in allow.lines if found == kind}


def walk(kernel, allow):
    """{function: addresses, or None for all of it} of what may run in a domain, and [(function, problem)]."""
    entering, leaving = named(allow, "enters"), named(allow, "leaves")
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
            if reference.name in entering | leaving:
                continue
            if allow.allows("call", function.name, reference.name, sides=kernel.sides(key, entering).of(reference.site)):
                continue
            callee = kernel.function_at(reference.section, reference.offset)
            if callee:
                todo.append(((reference.section, callee.symbol.value, callee.symbol.name), None))
            else:
                problems.append((function.name, f"calls {reference.name}, which is outside of {' and '.join(SECTIONS)}: "
                                                f"{reference.text}{allow.other_side('call', function.name, reference.name)}"))
        for address, _, line in function.code:
            if CONTROL.match(line) and "*" in line and key[0] in text and (part is None or address in part) and \
               not allow.allows("call", function.name, "*", sides=kernel.sides(key, entering).of(address)):
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
            sides = kernel.sides(key, named(allow, "enters")).of(reference.site)
            if allow.allows("data", function.name, reference.name, sides=sides):
                continue
            problems.append(f"{function.name}() may run in a domain and refers to {reference.name}, which a domain may "
                            f"lack: {reference.text.split('#')[0].strip()}"
                            f"{allow.other_side('data', function.name, reference.name)}")
    return sorted({kernel.functions[key].name for key in inside}), sorted(set(problems))


def entry_set_entries(objdirs, allow=None):
    """One entry per build and function of the entry path, and one for the list. @objdirs: {build: directory}."""
    allow, entries = allow or rules(), []
    for build, objdir in objdirs.items():
        kernel = Kernel(objdir)
        names, problems = check(kernel, allow)
        for name in names:
            bad = [problem for problem in problems if problem.startswith(f"{name}() ")]
            entries.append(entry(build, "none", "asi", f"entry_set:{name}", "fail" if bad else "pass", "; ".join(bad)))
        alone = kernel.neighbours()
        entries.append(entry(build, "none", "asi", "entry_set:neighbours", "fail" if alone else "pass", "; ".join(alone)))
        rest = [problem for problem in problems if problem.split("()")[0] not in names]
        entries.append(entry(build, "none", "asi", "entry_set", "fail" if rest else "pass", "; ".join(rest)))
    stale = allow.stale()
    entries.append(entry("+".join(objdirs), "none", "asi", "entry_set:allow", "fail" if stale else "pass",
                         stale and "harness/entry.allow allows what is not there: " + "; ".join(stale)))
    return entries
