# SPDX-License-Identifier: GPL-2.0
"""The files of a part are floors of one house: each uses only those below it, and can be read knowing only those.

The internal header that they share says the order: "Each file uses only those before it: a.c, b.c." What a file uses is what it
names of the functions and variables that another one defines and does not keep to itself.
"""

import re

from .brackets import QUIET

ORDER = re.compile(r"\bEach file uses only those before it: ([\w.,\s*]+?\.c)\.")
FUNCTION = re.compile(r"^(?!static\b)[a-zA-Z_][\w\s*]*?[\s*](\w+)\([^;{}]*\)\s*\{", re.M)
VARIABLE = re.compile(r"^(?!(?:static|extern|typedef|return)\b)(?:const )?(?:(?:struct|enum|union|unsigned) )?\w+[ *]+(?:\w+ )*?\*?"
                      r"(\w+)(?:\[[^\]]*\])*(?: __\w+(?:\([^)]*\))?)*(?: =|;)", re.M)
MACRO = re.compile(r"^(?:DEFINE_(?:MUTEX|SPINLOCK|RAW_SPINLOCK|STATIC_KEY\w*|PER_CPU\w*)|LIST_HEAD)\((?:[^,()]*,\s*)?(\w+)\)", re.M)
DEFINE = re.compile(r"^#define (\w+)", re.M)


def defined(text):
    """What the C file @text defines for others to use."""
    return {name for pattern in (FUNCTION, VARIABLE, MACRO) for name in pattern.findall(text)}


def wrong(texts):
    """A line for each use of a file above, and for each file that no order has, of the {path: text} of the series."""
    bad, orders = [], {}
    for header, text in texts.items():
        match = ORDER.search(text) if header.endswith(".h") else None
        if match:
            orders[header] = re.findall(r"\w+\.c", match[1])
    for header, order in orders.items():
        folder, stem = header.rpartition("/")[0], header.rpartition("/")[2].removesuffix(".h")
        there = {path.rpartition("/")[2] for path in texts if re.fullmatch(rf"{re.escape(folder)}/{stem}\w*\.c", path)}
        bad += [f"{header} does not say where {name} is in the order of its files" for name in sorted(there - set(order))]
        bad += [f"{header} names {name}, which is not there" for name in sorted(set(order) - there)]
        code = {name: QUIET.sub(" ", texts[f"{folder}/{name}"]) for name in order if name in there}
        # An attribute behind a variable looks like one.
        attributes = {"__ro_after_init", *DEFINE.findall(texts[header])}
        words = {name: set(re.findall(r"\w+", text)) for name, text in code.items()}
        for number, name in enumerate(code):
            for above in list(code)[number + 1:]:
                used = sorted(words[name] & (defined(code[above]) - defined(code[name]) - attributes))
                if used:
                    bad.append(f"{folder}/{name} uses {', '.join(used)} of {above}, which is above it")
    return bad if orders else ["no header says the order of its files"]
