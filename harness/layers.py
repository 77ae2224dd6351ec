# SPDX-License-Identifier: GPL-2.0
"""The files of a part are floors of one house: each uses only those below it, and can be read knowing only those.

The internal header that they share says the order: "Each file uses only those before it: a.c, b.c." What a file uses is what it
names of the functions and variables that another one defines and does not keep to itself; also by an inline function, a guard
or a macro of the headers.
"""

import re

from .brackets import QUIET

ORDER = re.compile(r"\bEach file uses only those before it: ([\w.,\s*]+?\.c)\.")
FUNCTION = re.compile(r"^(?!static\b)(?:__\w+\([^()]*\)\s+)?[a-zA-Z_][\w\s*]*?[\s*](\w+)\([^;{}]*\)\s*\{", re.M)
VARIABLE = re.compile(r"^(?!(?:static|extern|typedef|return)\b)(?:const )?(?:(?:struct|enum|union|unsigned) )?\w+[ *]+(?:\w+ )*?\*?"
                      r"(\w+)(?:\[[^\]]*\])*(?: __\w+(?:\([^)]*\))?)*(?: =|;)", re.M)
# Those of a file of debugfs define nothing that others use.
MACRO = re.compile(r"^(?:DEFINE_PER_CPU\w*\([^,()]*,\s*|(?:DEFINE_(?!SHOW_|LOCK_GUARD|GUARD|CLASS|FREE|PER_CPU)\w+|DECLARE_BITMAP|LIST_HEAD)\()(\w+)", re.M)
INLINE = re.compile(r"^static (?:__always_inline|inline)\b[^;{}]*?\b(\w+)\([^;{}]*\)\s*\{(.*?)^\}", re.M | re.S)
GUARD = re.compile(r"^DEFINE_(?:LOCK_GUARD_\d|GUARD|CLASS)\((\w+),(.*?)\)\n", re.M | re.S)
BODY = re.compile(r"^#define (\w+)\([^)]*\)((?:[^\n]*\\\n)*[^\n]*)", re.M)
DEFINE = re.compile(r"^#define (\w+)", re.M)


def defined(text):
    """What the C file @text defines for others to use."""
    return {name for pattern in (FUNCTION, VARIABLE, MACRO) for name in pattern.findall(text)}


def reached(text, behind):
    """The words of @text, and those {name: words} that are @behind them."""
    found, new = set(), set(re.findall(r"\w+", text))
    while new:
        found |= new
        new = set().union(*(behind[name] for name in new if name in behind)) - found
    return found


def wrong(texts):
    """A line for each use of a file above, and for each file that no order has, of the {path: text} of the series."""
    bad, orders = [], {}
    for header, text in texts.items():
        match = ORDER.search(text) if header.endswith(".h") else None
        if match:
            orders[header] = re.findall(r"\w+\.c", match[1])
    behind = {}
    for path, text in texts.items():
        if path.endswith(".h"):
            for pattern in (INLINE, GUARD, BODY):
                for name, body in pattern.findall(QUIET.sub(" ", text)):
                    behind.setdefault(name, set()).update(re.findall(r"\w+", body))
    for header, order in orders.items():
        folder, stem = header.rpartition("/")[0], header.rpartition("/")[2].removesuffix(".h")
        there = {path.rpartition("/")[2] for path in texts if re.fullmatch(rf"{re.escape(folder)}/{stem}\w*\.c", path)}
        bad += [f"{header} does not say where {name} is in the order of its files" for name in sorted(there - set(order))]
        bad += [f"{header} names {name}, which is not there" for name in sorted(set(order) - there)]
        code = {name: QUIET.sub(" ", texts[f"{folder}/{name}"]) for name in order if name in there}
        # An attribute behind a variable looks like one.
        attributes = {"__ro_after_init", *DEFINE.findall(texts[header])}
        words = {name: reached(text, behind) for name, text in code.items()}
        for number, name in enumerate(code):
            for above in list(code)[number + 1:]:
                used = sorted(words[name] & (defined(code[above]) - defined(code[name]) - attributes))
                if used:
                    bad.append(f"{folder}/{name} uses {', '.join(used)} of {above}, which is above it")
    return bad if orders else ["no header says the order of its files"]
