# SPDX-License-Identifier: GPL-2.0
"""What README.md says in numbers, against what the last whole runs of make test and make bench have found.

A run counts as long as the files that it was of are the same; the texts may change after it, to say what it found.
"""

import json
import re

from . import report
from .common import OUT, ROOT

README = ROOT / "README.md"
SCENARIOS = re.compile(r"in (\d+) scenarios")
CLOSING = re.compile(r"`(\d+ passed, \d+ failed, \d+ skipped)`")
# Numbers of which a table is full without anybody having measured them, such as a count of CPUs, are shorter.
FIGURE = re.compile(r"(?<![\w.,])\d(?:[\d,]*\d)?(?![\w.]|,\d)")
SHORTEST = 100


def last(name, out=OUT):
    """(content of out/NAME, "" or why it says nothing about these sources)"""
    try:
        found = json.loads((out / name).read_text())
        meta = found["meta"]
    except (OSError, ValueError, KeyError, TypeError):
        return None, f"there is no out/{name} of a whole run"
    if meta.get("ended", "complete") != "complete":
        return None, f"the run of out/{name} did not come to its end"
    if meta.get("sources") != report.sources():
        return None, f"out/{name} is of other sources than these"
    return found, ""


def scenarios(readme, booted):
    """The number of scenarios; @booted has those of make test."""
    claimed = [int(number) for number in SCENARIOS.findall(readme)]
    if claimed != [len(booted)]:
        return f"README.md says that there are {claimed or 'no'} scenarios; make test boots {len(booted)}"
    return None


def closing(readme, found):
    """The closing line that README.md quotes."""
    claimed = CLOSING.findall(readme)
    if claimed != [found["meta"]["closing"]]:
        return f"README.md says {', '.join(claimed) or 'nothing'}; the last whole run had {found['meta']['closing']}"
    return None


def costs(readme):
    """[(row, kernel, figure)] of the table of costs."""
    section = readme.partition("\n## Costs\n")[2].partition("\n## ")[0]
    found = []
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and len(cells) == 3:
            for kernel, cell in zip(("base", "patched"), cells[1:]):
                found += [(cells[0], kernel, number) for text in FIGURE.findall(cell)
                          if (number := int(text.replace(",", ""))) >= SHORTEST]
    return found


def figures(readme, found):
    """Each figure of the table of costs is one that was measured of that kernel."""
    claimed = costs(readme)
    if not claimed:
        return "README.md has no table of costs, or one that harness/claims.py cannot read"
    measured = {kernel: {value for row in found["rows"] if row["kernel"] == kernel for value in row.values()}
                for kernel in ("base", "patched")}
    bad = [f"{row}: {kernel} {number}" for row, kernel, number in claimed if number not in measured[kernel]]
    return "nobody has measured these figures of README.md: " + "; ".join(bad) if bad else None
