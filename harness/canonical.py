# SPDX-License-Identifier: GPL-2.0
"""An object file in a form in which two compilations of the same code are equal.

What moves when an unrelated line is added to a file are line numbers, the places of strings and constants in
sections that are merged, and the numbers that the compiler gives to equal names. So each reference is written
as what it refers to: a symbol and the distance from it, or the text of a string. Everything else is compared byte for byte: code by
function, data by variable, tables (alternatives, jump labels, static calls, exceptions, initcalls) as a whole.
"""

import bisect
import re
from dataclasses import dataclass, field
from pathlib import Path

from . import elf

SHF_ALLOC, SHF_MERGE, SHF_STRINGS = 2, 0x10, 0x20
SHT_NOBITS = 8
# Numbers that the compiler gives to equal names.
UNIQUE = re.compile(r"(__UNIQUE_ID_\w*?|\.|___\w*?addressable_\w*?)\d+(?=\b|_|$)")
BRANCH = re.compile(r"((?:\S+ )*\S+)\s+([0-9a-f]+) <[^>]*>$")
PADDING = re.compile(r"(66 |2e )*(90|cc|0f 1f( [0-9a-f]{2})+)")
PC_RELATIVE = {2, 4, 9, 24, 26, 41, 42}
# struct bug_entry ends with the line of the source and flags.
BUG_ENTRY, BUG_LINE = 12, slice(8, 10)
# By and for unwinders: computed from the code, which is compared.
DERIVED = (".orc_", ".discard", ".comment", ".note", ".eh_frame")


def plain(name):
    return UNIQUE.sub(r"\1N", name)


@dataclass
class Canonical:
    """{name of a function or variable, or of a table: its text}."""
    parts: dict = field(default_factory=dict)

    def add(self, name, text):
        while name in self.parts:       # static ones of one name
            name += "'"
        self.parts[name] = text


class Reader:
    def __init__(self, path):
        self.file = elf.Elf(path)
        self.ranges = {}

    def where(self, number):
        if number not in self.ranges:
            self.ranges[number] = elf.Ranges(self.file, number)
        return self.ranges[number]

    def target(self, symbol, addend):
        """What a reference refers to, in words that do not depend on where it lies."""
        if not symbol.section:
            return f"{plain(symbol.name)}{addend:+d}"
        section = self.file.sections[symbol.section]
        offset = symbol.value + addend
        found = self.where(symbol.section).at(offset)
        if found:
            return f"{plain(found.name)}{offset - found.value:+d}"
        if symbol.kind != elf.STT_SECTION and symbol.name and not symbol.name.startswith(".L"):
            return f"{plain(symbol.name)}{addend:+d}"
        if section.type == SHT_NOBITS or not 0 <= offset < section.size:
            return f"{section.name}{'' if 0 <= offset <= section.size else ' outside'}"
        body = self.file.data[section.offset:section.offset + section.size]
        if section.flags & SHF_STRINGS:
            return f"{section.name} {body[offset:body.index(0, offset)]!r}"
        # A constant without a name.
        return f"{section.name} {body[offset:offset + 16].hex()}"

    def data(self, number, canonical):
        """The variables of one section; what has no name in it is a table."""
        section = self.file.sections[number]
        body = bytearray(self.file.data[section.offset:section.offset + section.size])
        if section.type == SHT_NOBITS:
            body = bytearray(section.size)
        if section.name.startswith("__bug_table"):
            for start in range(0, len(body), BUG_ENTRY):
                body[start + BUG_LINE.start:start + BUG_LINE.stop] = b"\0\0"
        references = [] if section.type == SHT_NOBITS else self.file.relocations(number)
        offsets = [item.offset for item in references]

        def texts(start, end):
            return [f"{item.kind} {self.target(item.symbol, item.addend)}"
                    for item in references[bisect.bisect_left(offsets, start):bisect.bisect_left(offsets, end)]]

        at, nameless, bare = 0, [], b""
        for symbol in [*self.where(number).symbols, None]:
            start = symbol.value if symbol else section.size
            if start > at and (texts(at, start) or any(body[at:start])):
                nameless += texts(at, start)
                bare += bytes(body[at:start])
            if symbol:
                end = start + symbol.size
                canonical.add(plain(symbol.name), "\n".join([f"{section.name} {symbol.size} {body[start:end].hex()}", *texts(start, end)]))
                at = max(at, end)
        # Strings and constants that are merged are compared where they are referred to.
        if (nameless or bare) and not section.flags & SHF_MERGE:
            canonical.add(f"[{section.name}]", "\n".join([bare.hex(), *nameless]))

    def functions(self, number, canonical):
        """The functions of one section of code. The fields that a relocation fills are zero in the code itself."""
        section = self.file.sections[number]
        references = self.file.relocations(number)
        code = list(self._instructions(section.name))
        ends = [address for address, _, _ in code[1:]] + [section.size]
        at, found = 0, {}
        for (address, raw, text), end in zip(code, ends):
            symbol = self.where(number).at(address)
            words = []
            while at < len(references) and references[at].offset < end:
                item = references[at]
                more = end - item.offset if item.kind in PC_RELATIVE else 0
                words.append(f"{item.kind} {self.target(item.symbol, item.addend + more)}")
                at += 1
            branch = BRANCH.match(text)
            if branch and not words:
                # Without a relocation: the distance within the function says it all, to a neighbour it says nothing.
                place = int(branch[2], 16)
                target = self.where(number).at(place)
                if target and not (symbol and symbol.value <= place < symbol.value + symbol.size):
                    raw = f"{branch[1]} {plain(target.name)}{place - target.value:+d}"
            found.setdefault(symbol, []).append(" ".join([raw, *words]))
        for symbol, lines in found.items():
            # Padding between functions belongs to none.
            while lines and PADDING.fullmatch(lines[-1]):
                lines.pop()
            if lines:
                canonical.add(plain(symbol.name) if symbol else f"[{section.name}]", "\n".join(lines))

    def _instructions(self, section):
        for line in elf.objdump(self.file.path, "-d", "-z", "-w", f"--section={section}"):
            words = line.split("\t")
            if len(words) >= 2 and words[0].endswith(":"):
                yield int(words[0][:-1], 16), words[1].strip(), words[2].strip() if len(words) > 2 else ""


def read(path):
    """{name: text} of everything in an object file that gets into the kernel."""
    reader, canonical = Reader(Path(path)), Canonical()
    for number, section in enumerate(reader.file.sections):
        if not section.flags & SHF_ALLOC or section.name.startswith(DERIVED) or not section.size:
            continue
        if section.flags & elf.SHF_EXECINSTR:
            reader.functions(number, canonical)
        else:
            reader.data(number, canonical)
    return canonical.parts
