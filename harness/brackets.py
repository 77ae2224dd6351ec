# SPDX-License-Identifier: GPL-2.0
"""Brackets and #if of each file at each prefix of the series and of its parts: what a patch opens, it closes.

And a new file begins as one does, with its licence: else it is a piece of one.

The proof of the prefixes compiles them all, for half an hour. This takes seconds, and tells a patch that was moved or taken
apart in the wrong place.
"""

import functools
import re

from . import model

# What is no code: comments, strings and characters.
QUIET = re.compile(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])'", re.S)
LICENCE = b"SPDX-License-Identifier: GPL-2.0"
IF = re.compile(r"^\s*#\s*(?:if|ifdef|ifndef)\b", re.M)
ENDIF = re.compile(r"^\s*#\s*endif\b", re.M)


@functools.cache
def counts(data):
    """How many more are opened than closed, of braces, of parentheses and of #if."""
    text = QUIET.sub(" ", data.decode(errors="replace"))
    return (text.count("{") - text.count("}"), text.count("(") - text.count(")"),
            len(IF.findall(text)) - len(ENDIF.findall(text)))


def unbalanced(stored, base):
    """A line for each file that is not as balanced as that of the base; a new one has to be balanced."""
    bad = []
    for part in ["", *stored.parts]:
        names = [*stored.parts[part], part] if part else list(stored.parts)
        for patch, step in zip(*model.compose_parts(stored, base, names)):
            for path, text in step.items():
                if not path.endswith((".c", ".h", ".S")):
                    continue
                where = f"{patch.where}{f', of {part} alone' if part else ''}: {path}"
                before = (base / path).read_bytes() if (base / path).is_file() else b""
                if counts(text.data) != counts(before):
                    bad.append(f"{where} has %+d braces, %+d parentheses, %+d #if" % counts(text.data))
                if not before and not text.data.split(b"\n", 1)[0].endswith((LICENCE, LICENCE + b" */")):
                    bad.append(f"{where} does not begin with its licence")
    return bad
