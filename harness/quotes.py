# SPDX-License-Identifier: GPL-2.0
"""C code in a document is code that is compiled: line by line, it stands in a source file of the series.

Only the indentation and empty lines may differ. A line "..." leaves something out. In a block that shows a change, as a diff
does, it is the code after the change.

And a table of errors says what the code returns and counts.
"""

import re

LITMUS = re.compile(r"C [\w-]+$")
CODE = re.compile(r"[;{]$")
# A row of the table, and a line of the array that it stands for.
ERROR_ROW = re.compile(r"^(-E\w+|none)\s+(\w+)\s+\S", re.M)
ERROR_LINE = re.compile(r'^\t\[(\w+)\] = \{ (-E\w+), "(\w+)",', re.M)


def blocks(text):
    """(line, [lines]) of each literal block."""
    lines, number = text.split("\n"), 0
    while number < len(lines):
        begin = number + 1
        number += 1
        line = lines[begin - 1]
        if not line.endswith("::") or line.startswith(".."):
            continue
        outer = len(line) - len(line.lstrip())
        found = []
        while number < len(lines) and (not lines[number].strip() or len(lines[number].expandtabs()) -
                                       len(lines[number].expandtabs().lstrip()) > outer):
            found.append(lines[number])
            number += 1
        yield begin, found


def code(block):
    """The pieces of a block, each a list of lines without indentation; none if it is not C."""
    lines = [line.strip() for line in block if line.strip()]
    if not lines or LITMUS.match(lines[0]) or not any(CODE.search(line) for line in lines):
        return []
    if any(line[0] in "+-" for line in lines):
        lines = [line[1:].strip() if line[0] == "+" else line for line in lines if line[0] != "-"]
    pieces = [[]]
    for line in lines:
        if line == "...":
            pieces.append([])
        elif line:
            pieces[-1].append(line)
    return [piece for piece in pieces if piece]


def quoted(pieces, file):
    """Are these pieces in that file, one after the other?"""
    place = 0
    for piece in pieces:
        text = "\n" + "\n".join(piece) + "\n"
        place = file.find(text, place)
        if place < 0:
            return False
        place += len(text) - 1
    return True


def wrong(documents, sources):
    """What is wrong with the code in {path: text} of documents: lines that are in no file of {path: text} of sources."""
    files = ["\n".join(["", *[line.strip() for line in text.split("\n") if line.strip()], ""]) for text in sources.values()]
    bad, seen = [], 0
    for path, text in documents.items():
        if ".. code-block:: c" in text:
            bad.append(f"{path}: a code-block is not compared; end the line before it with two colons")
        for number, block in blocks(text):
            pieces = code(block)
            seen += bool(pieces)
            if pieces and not any(quoted(pieces, file) for file in files):
                bad.append(f"{path}:{number}: no file of the series has this code: {pieces[0][0]}")
    return bad if seen else ["no document has code"]


def wrong_errors(document, sources):
    """What is wrong with the table of errors in @document: (error, counter) rows that are not those of the array in @sources.

    A row may say "none" where no function returns the error.
    """
    rows = ERROR_ROW.findall(document)
    told = {word: error for error, word in rows}
    known = {word: (error, name) for text in sources for name, error, word in ERROR_LINE.findall(text)}
    if not known:
        return ["no file of the series has an array of errors"]
    bad = [f"{word}: {'is not in the document' if word in known else 'no code counts it'}" for word in sorted(told.keys() ^ known.keys())]
    bad += [f"{word}: has more than one row" for word in sorted(told) if [row[1] for row in rows].count(word) > 1]
    for word in sorted(told.keys() & known.keys()):
        error, name = known[word]
        # All that is said of it is a call whose result nobody takes; prmem_frames_refuse() returns whether, and no error.
        silent = not any(re.search(rf"(?<!\[){name}\b(?!,$|\])", re.sub(
            rf"(?:[;{{}})/]|else)\s*\w+_refuse\({name}\b|\w+_frames_refuse\({name}\b|\bwhy == {name}\b", "", text, flags=re.M), re.M) for text in sources)
        if told[word] != error and not (told[word] == "none" and silent):
            bad.append(f"{word}: the document says {told[word]}, the code {error}")
    return bad
