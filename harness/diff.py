# SPDX-License-Identifier: GPL-2.0
"""Unified diffs: parse, apply, reverse - exact text only, no fuzz.

A hunk goes where its header says or, when that place holds other text, to the only other place in the
file that holds exactly its lines. Anything else is a DiffError that shows what was expected and found.
Doing this here and not with git apply or patch gives one precise message and composes the series in
memory, without a process for each file.
"""

import re
from dataclasses import dataclass, field

HUNK = re.compile(rb"^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@(.*)$")
NO_NEWLINE = b"\\ No newline"


class DiffError(Exception):
    """A diff that is malformed or does not apply."""


@dataclass
class Hunk:
    header: str
    old_start: int
    new_start: int
    old: list = field(default_factory=list)     # lines with their newline
    new: list = field(default_factory=list)


@dataclass
class FileDiff:
    path: str
    hunks: list


def split_lines(data):
    """Lines with their newline; the last one may lack it."""
    parts = data.split(b"\n")
    lines = [part + b"\n" for part in parts[:-1]]
    if parts[-1]:
        lines.append(parts[-1])
    return lines


def _path(line, prefix):
    name = line[4:].rstrip(b"\n").split(b"\t")[0].decode()
    if not name.startswith(prefix):
        raise DiffError(f"expected '{line[:4].decode()}{prefix}PATH', found '{line.decode(errors='replace').rstrip()}'")
    return name[len(prefix):]


def _read_hunk(lines, i, match):
    """The hunk whose header is lines[i]; returns it and the index after it."""
    count = [int(match[n]) if match[n] is not None else 1 for n in (2, 4)]
    header = lines[i].decode(errors="replace").rstrip()
    hunk = Hunk(header, int(match[1]), int(match[3]))
    i += 1
    while len(hunk.old) < count[0] or len(hunk.new) < count[1]:
        if i >= len(lines):
            raise DiffError(f"hunk {header} ends too early")
        mark, text = lines[i][:1], lines[i][1:]
        if lines[i] == b"\n":
            mark, text = b" ", b"\n"    # an editor stripped the blank of an empty context line
        if mark in b" -":
            hunk.old.append(text)
        if mark in b" +":
            hunk.new.append(text)
        if mark not in (b" ", b"-", b"+"):
            raise DiffError(f"hunk {header} holds the line '{lines[i].decode(errors='replace').rstrip()}'")
        i += 1
        if i < len(lines) and lines[i].startswith(NO_NEWLINE):
            for side, marks in ((hunk.old, b" -"), (hunk.new, b" +")):
                if mark in marks:
                    side[-1] = side[-1].rstrip(b"\n")
            i += 1
    if (len(hunk.old), len(hunk.new)) != tuple(count):
        raise DiffError(f"hunk {header} has {len(hunk.old)} old and {len(hunk.new)} new lines, its header says otherwise")
    return hunk, i


def parse(data):
    """The FileDiffs of a diff; text before and between them (mail headers, git's own lines) is ignored."""
    lines = split_lines(data)
    result = []
    i = 0
    while i < len(lines):
        if lines[i].startswith(b"--- ") and i + 1 < len(lines) and lines[i + 1].startswith(b"+++ "):
            old, new = _path(lines[i], "a/"), _path(lines[i + 1], "b/")
            if old != new:
                raise DiffError(f"a diff from {old} to {new}: one file at a time, and no new or removed files")
            result.append(FileDiff(old, []))
            i += 2
            continue
        match = HUNK.match(lines[i].rstrip(b"\n"))
        if match:
            if not result:
                raise DiffError("a hunk comes before the first --- and +++ lines")
            hunk, i = _read_hunk(lines, i, match)
            result[-1].hunks.append(hunk)
            continue
        if result and lines[i][:1] in (b"+", b"-", b" ") and lines[i].strip() not in (b"", b"--"):
            raise DiffError("the line '" + lines[i].decode(errors="replace").rstrip() +
                            "' belongs to no hunk: the counts in the hunk's header are too small")
        i += 1
    for item in result:
        if not item.hunks:
            raise DiffError(f"the diff of {item.path} has no hunk")
    return result


def reverse(item):
    """The diff that takes @item back."""
    return FileDiff(item.path, [Hunk(h.header, h.new_start, h.old_start, h.new, h.old) for h in item.hunks])


def _places(lines, want, begin):
    """Every index from @begin on at which @lines holds @want."""
    first = want[0]
    return [i for i in range(begin, len(lines) - len(want) + 1)
            if lines[i] == first and lines[i:i + len(want)] == want]


def _mismatch(item, hunk, lines, at):
    show = [f"{item.path}: hunk {hunk.header} does not apply"]
    found = lines[at:at + len(hunk.old)]
    bad = next((n for n, line in enumerate(hunk.old) if n >= len(found) or found[n] != line), 0)
    low, high = max(0, bad - 3), bad + 4
    for title, text in (("expected", hunk.old), (f"found at line {at + 1}", found)):
        show.append(f"  {title}:")
        for n, line in enumerate(text[low:high], low):
            show.append((" >  " if n == bad else "    ") + line.decode(errors="replace").rstrip("\n"))
        if not text[low:high]:
            show.append(" >  (the file ends)")
    return "\n".join(show)


def apply(item, data):
    """@data with @item applied; returns the new text and by how many lines hunks moved (0: as written)."""
    lines = split_lines(data)
    out = []
    done = 0        # lines of the input that were used
    moved = 0
    for hunk in item.hunks:
        at = hunk.old_start - 1 if hunk.old else hunk.old_start
        at += moved
        if at < done or lines[at:at + len(hunk.old)] != hunk.old:
            places = _places(lines, hunk.old, done) if hunk.old else []
            if len(places) != 1:
                text = _mismatch(item, hunk, lines, max(at, done))
                if places:
                    text += "\n  its lines are at more than one place: " + ", ".join(str(p + 1) for p in places)
                raise DiffError(text)
            moved += places[0] - at
            at = places[0]
        out += lines[done:at] + hunk.new
        done = at + len(hunk.old)
    return b"".join(out + lines[done:]), moved
