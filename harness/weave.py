# SPDX-License-Identifier: GPL-2.0
"""What a file is when some of the patches that change it are left out.

A weave has all lines that a file has ever had, in one order, each with who has added and who has removed it. Each text of the
file, and that of any part of the changes, is a choice among them: no context has to match, and nothing has to be merged.
"""

import difflib
from dataclasses import dataclass


@dataclass
class Line:
    text: bytes
    added: str | None           # None: the line is the base's
    removed: str | None = None


class Weave:
    def __init__(self, base):
        self.lines = [Line(text, None) for text in base.splitlines(keepends=True)]

    def add(self, who, data):
        """@who, the next one, makes @data of the file."""
        alive = [place for place, line in enumerate(self.lines) if line.removed is None]
        old, new = [self.lines[place].text for place in alive], data.splitlines(keepends=True)
        head = 0
        while head < min(len(old), len(new)) and old[head] == new[head]:
            head += 1
        tail = 0
        while tail < min(len(old), len(new)) - head and old[-1 - tail] == new[-1 - tail]:
            tail += 1
        matcher = difflib.SequenceMatcher(None, old[head:len(old) - tail], new[head:len(new) - tail], autojunk=False)
        inserted = []
        for _, old_begin, old_end, new_begin, new_end in matcher.get_opcodes():
            if old[head + old_begin:head + old_end] == new[head + new_begin:head + new_end]:
                continue
            for place in alive[head + old_begin:head + old_end]:
                self.lines[place].removed = who
            # Behind the line that it follows, or those that it replaces.
            before = head + old_end
            place = alive[before - 1] + 1 if before else 0
            inserted.append((place, [Line(text, who) for text in new[head + new_begin:head + new_end]]))
        for place, lines in reversed(inserted):
            self.lines[place:place] = lines

    def texts(self, chosen):
        """For each of @chosen, of those who have been given to add() and in that order, what it makes of the file when all
        others are left out, and None where that is what there was before.

        Raises ValueError(who, other) if one of them removes what one has added that is left out.
        """
        number = {who: place for place, who in enumerate(chosen)}
        spans = []
        for line in self.lines:
            begin = -1 if line.added is None else number.get(line.added)
            end = number.get(line.removed, len(chosen))
            if begin is not None:
                spans.append((line.text, begin, end))
            elif line.removed in number:
                raise ValueError(line.removed, line.added)
        result, before = [], [text for text, begin, _ in spans if begin < 0]
        for now in range(len(chosen)):
            text = [text for text, begin, end in spans if begin <= now < end]
            result.append(None if text == before else b"".join(text))
            before = text
        return result
