# SPDX-License-Identifier: GPL-2.0
"""Which translations a kernel has used that its page tables would not have given any more, as the emulator reports them."""

import re

from .allow import read, regex
from .common import ROOT

ALLOWED = ROOT / "harness" / "scenarios" / "stale.allow"
STALE = re.compile(r"STALE (\w+) ([0-9a-f]+) of pcid ([0-9a-f]+) at ([0-9a-f]+): (.*)")


def symbols(system_map):
    """[(address, name)] of a kernel that runs where it was linked; none if @system_map is None."""
    rows = (line.split() for line in system_map.read_text().splitlines()) if system_map else ()
    return sorted((int(row[0], 16), row[2]) for row in rows if row[1] in "tTwW")


def name_of(address, table):
    """The function that an address is in, or the address."""
    below = [name for start, name in table if start <= address][-1:] if address >> 63 else []
    return below[0] if below else f"{address:#x}"


def named(line, table):
    """A report with names in place of addresses of code."""
    def place(match):
        return f"{match[1]} {name_of(int(match[2], 16), table)}"
    return re.sub(r"\b(at|since|by) ([0-9a-f]{16})", place, line)


def stale(log, system_map):
    """The reports in a log of the emulator that nothing allows, the same one once; with names by @system_map."""
    lines = dict.fromkeys(match[0] for match in STALE.finditer(log.read_text(errors="replace")))
    if not lines:
        return []
    allowed = read(ALLOWED, regex)
    table = symbols(system_map)
    return [line for line in dict.fromkeys(named(line, table) for line in lines)
            if not any(re.search(rule, line) for rule in allowed)]
