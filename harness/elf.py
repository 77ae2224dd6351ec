# SPDX-License-Identifier: GPL-2.0
"""What checks of built kernels read in object files: symbols, relocations, instructions."""

import bisect
import os
import re
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .common import HarnessError

SHT_SYMTAB, SHT_RELA = 2, 4
SHN_LORESERVE = 0xff00
STT_SECTION = 3
SHF_EXECINSTR = 4
LONGEST = 1 << 16           # of a name
# What the compiler makes of one function.
CLONE = re.compile(r"(\.cold|\.isra|\.constprop|\.part|\.\d+)+$")
INSTRUCTION = re.compile(r"^\s*([0-9a-f]+):\t(.*)$")


@dataclass
class Section:
    name: str
    type: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int


@dataclass(frozen=True)
class Symbol:
    name: str
    value: int
    size: int
    kind: int               # STT_*
    section: int            # its number; 0: it is defined elsewhere


@dataclass(frozen=True)
class Relocation:
    offset: int             # in the section that it applies to
    symbol: Symbol
    addend: int
    kind: int               # R_X86_64_*


class Elf:
    """One 64-bit little-endian object file."""

    def __init__(self, path):
        self.path = Path(path)
        try:
            self.data = self.path.read_bytes()
        except OSError as err:
            raise HarnessError(f"{path}: {err.strerror}; it is part of a kernel that was built") from None
        if self.data[:6] != b"\x7fELF\x02\x01":
            raise HarnessError(f"{path} is no 64-bit ELF file")
        try:
            self._read()
        except (struct.error, IndexError):
            raise HarnessError(f"{path} is damaged, or was not written to its end") from None

    def _read(self):
        start, size, count, names = struct.unpack_from("<Q10xHHH", self.data, 40)
        raw = [struct.unpack_from("<IIQQQQIIQQ", self.data, start + number * size) for number in range(count)]
        strings = raw[names][4]
        self.sections = [Section(self._string(strings, item[0]), *item[1:8]) for item in raw]
        self.symbols = self._symbols()

    def _string(self, table, at):
        end = self.data.find(b"\0", table + at, table + at + LONGEST)
        if end < 0:
            raise HarnessError(f"{self.path} is damaged, or was not written to its end")
        return self.data[table + at:end].decode(errors="replace")

    def _symbols(self):
        table = next((section for section in self.sections if section.type == SHT_SYMTAB), None)
        if not table:
            raise HarnessError(f"{self.path} has no symbols")
        strings = self.sections[table.link].offset
        found = []
        body = self.data[table.offset:table.offset + table.size]
        for name, info, _, section, value, size in struct.iter_unpack("<IBBHQQ", body):
            if section >= SHN_LORESERVE:
                section = 0
            text = self.sections[section].name if info & 15 == STT_SECTION else self._string(strings, name)
            found.append(Symbol(text, value, size, info & 15, section))
        return found

    def number(self, name):
        """The number of the section @name; 0 if there is none."""
        return next((number for number, section in enumerate(self.sections) if section.name == name), 0)

    def bytes_at(self, address, size):
        """@size bytes at an address of a linked file."""
        for section in self.sections:
            if section.address <= address and address + size <= section.address + section.size and section.address:
                start = section.offset + address - section.address
                return self.data[start:start + size]
        raise HarnessError(f"{self.path} has nothing at {address:#x}")

    def relocations(self, number):
        """All relocations of section @number, by offset."""
        found = []
        for section in self.sections:
            if section.type == SHT_RELA and section.info == number:
                body = self.data[section.offset:section.offset + section.size]
                found += [Relocation(offset, self.symbols[info >> 32], addend, info & 0xffffffff)
                          for offset, info, addend in struct.iter_unpack("<QQq", body)]
        return sorted(found, key=lambda item: item.offset)


class Ranges:
    """Which of the symbols with a size is at an address? Of several, the one that begins last."""

    def __init__(self, elf, number=None):
        chosen = [symbol for symbol in elf.symbols
                  if symbol.size and symbol.name and symbol.section and symbol.kind != STT_SECTION
                  and (number is None or symbol.section == number)]
        self.symbols = sorted(chosen, key=lambda symbol: (symbol.value, -symbol.size))
        self.starts = [symbol.value for symbol in self.symbols]

    def at(self, address):
        """The symbol, or None. A label in the middle of assembler code has no size and so is none."""
        index = bisect.bisect_right(self.starts, address)
        # Symbols do not nest deeper than this.
        for symbol in reversed(self.symbols[max(0, index - 8):index]):
            if symbol.value <= address < symbol.value + symbol.size:
                return symbol
        return None


def plain(name):
    """The name of a function in the source, without what the compiler appends for a part of it."""
    return CLONE.sub("", name)


def objdump(path, *options):
    """The lines that objdump prints about @path."""
    # Else the text that is compared would be in the language of the user.
    proc = subprocess.run(["objdump", *options, str(path)], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env={**os.environ, "LC_ALL": "C"})
    if proc.returncode:
        raise HarnessError(f"objdump {path}: {proc.stderr.strip()}")
    return proc.stdout.splitlines()


def instructions(path, sections=(), having="", places=()):
    """[(section, address, text)] of all code, or of @sections, as objdump sees it.

    All of a kernel are some millions: @having is a part of the text of those that are wanted; @places is the first
    address and the end of a part.
    """
    section = ""
    options = [f"--section={name}" for name in sections]
    if places:
        options += [f"--start-address={places[0]:#x}", f"--stop-address={places[1]:#x}"]
    for line in objdump(path, "-d", "--no-show-raw-insn", "-w", *options):
        if line.startswith("Disassembly of section "):
            section = line[len("Disassembly of section "):-1]
            continue
        match = INSTRUCTION.match(line) if having in line else None
        if match:
            yield section, int(match[1], 16), match[2]
