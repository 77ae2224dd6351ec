# SPDX-License-Identifier: GPL-2.0
"""What README.md and the documents say in numbers, against what the last whole runs of make test and make bench have found.

A run counts as long as the files that it was of are the same; the texts may change after it, to say what it found.
"""

import json
import re

from . import report
from .common import OUT, ROOT

README = ROOT / "README.md"
# Documents that have tables of instructions, and the headings above those.
DOCUMENTS = {"Documentation/core-api/prmem.rst": "Costs", "Documentation/arch/x86/asi.rst": "Overhead"}
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


def section(text, heading):
    """The lines below a heading of a document, up to the next one."""
    lines = text.splitlines()
    marks = [number for number in range(1, len(lines)) if re.fullmatch(r"(=+|-+)", lines[number]) and lines[number - 1].strip()
             and not lines[number - 1].startswith(("=", "-")) and len(lines[number]) == len(lines[number - 1])]
    for index, number in enumerate(marks):
        if lines[number - 1] == heading:
            return lines[number + 1:marks[index + 1] - 1 if index + 1 < len(marks) else len(lines)]
    return []


def document_costs(text, heading):
    """[(row, "either", figure)] of the tables below @heading, which don't say of which kernel a row is."""
    found, columns = [], []
    for line in section(text, heading):
        if re.fullmatch(r"=+( +=+)+", line):
            columns = columns or [match.start() for match in re.finditer("=+", line)]
        elif not line.strip():
            columns = []
        elif columns:
            found += [(line[:columns[1]].strip(), "either", number) for word in FIGURE.findall(line[columns[1]:])
                      if (number := int(word.replace(",", ""))) >= SHORTEST]
    return found


def figures(readme, found, documents=()):
    """Each figure of the tables of costs is one that was measured of that kernel. @documents: (name, text, heading)"""
    claims = {"README.md": costs(readme), **{name: document_costs(text, heading) for name, text, heading in documents}}
    measured = {kernel: {value for row in found["rows"] if row["kernel"] == kernel for value in row.values()}
                for kernel in ("base", "patched")}
    measured["either"] = measured["base"] | measured["patched"]
    bad = []
    for name, claimed in claims.items():
        if not claimed:
            return f"{name} has no table of costs, or one that harness/claims.py cannot read"
        bad += [f"{name}: {row}: {kernel} {number}" for row, kernel, number in claimed if number not in measured[kernel]]
    return "nobody has measured these figures: " + "; ".join(bad) if bad else None


def documents():
    """Those that are compared, as figures() wants them."""
    return [(name, (ROOT / name).read_text(), heading) for name, heading in DOCUMENTS.items()]
