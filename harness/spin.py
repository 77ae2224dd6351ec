# SPDX-License-Identifier: GPL-2.0
"""What no emulator can show, because none has store buffers: models of the code, which spin goes through exhaustively.

harness/models has one file for each, in Promela. Its header has lines "Code: FILE FUNCTION: TEXT", pieces of the code
that it stands for, barriers among them: they have to be in that function, or macro of assembly, in that order. And it has
lines "Without: NAME: WHAT", something that the code needs: with NAME defined the model lacks it, and spin has to find a run
that comes to an assertion.
"""

import re
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import model
from .base import ensure_base
from .common import JOBS, ROOT, HarnessError, need, run
from .report import entry

FOLDER = ROOT / "harness" / "models"
PACKAGES = {"gcc": "gcc", "spin": "spin"}
DEPTH = 100000
CODE = re.compile(r"^ \* Code: ([\w/.-]+) (\w+): (.+)$", re.M)
WITHOUT = re.compile(r"^ \* Without: (\w+): (.+)$", re.M)


def header(text):
    """{(file, function): [pieces]} and {define: what} of a model."""
    code = {}
    for name, function, piece in CODE.findall(text):
        code.setdefault((name, function), []).append(piece)
    return code, dict(WITHOUT.findall(text))


def body(text, function):
    """What a function, or a macro of assembly, consists of, with one space where there is any; "" if it is not there."""
    macro = re.search(rf"^\.macro {function}\b.*?^\.endm", text, re.M | re.S)
    if macro:
        return " ".join(macro[0].split())
    for found in re.finditer(rf"^[^\s#*/].*\b{function}\(", text, re.M):
        begin, end = text.find("\n{", found.start()), text.find(";", found.start())
        if 0 <= begin < end or begin >= 0 > end:
            return " ".join(text[begin:text.find("\n}", begin)].split())
    return ""


def missing(code, sources):
    """What of the code that a model names is not there, or in another order; @sources: {file: text}."""
    bad = []
    for (name, function), pieces in code.items():
        text, place = body(sources.get(name, ""), function), 0
        for piece in pieces:
            place = text.find(piece, place)
            if place < 0:
                bad.append(f"{name}: {function}() does not have in its place: {piece}")
                break
            place += len(piece)
    return bad


def composed():
    """{file: text} of the patched tree, of what the series adds and edits."""
    base = ensure_base()
    return {path: text.data.decode(errors="replace") for path, text in model.overlay(model.compose(model.load(), base)).items()}


def search(file, define=""):
    """"" if no run of the model goes wrong; else what spin says of one that does."""
    with tempfile.TemporaryDirectory(prefix="kas-spin.") as tmp:
        def call(*command, what):
            return run([str(word) for word in command], cwd=tmp, what=f"{what} of {file.name}{' without ' + define if define else ''}")

        call("spin", *([f"-D{define}"] if define else []), "-a", file.resolve(), what="spin")
        if not (Path(tmp) / "pan.c").exists():
            raise HarnessError(f"spin has made nothing of {file.name}")
        call("gcc", "-w", "-DSAFETY", "-o", "pan", "pan.c", what="gcc")
        return verdict(call(Path(tmp) / "pan", f"-m{DEPTH}", what="search"), file.name)


def verdict(text, name):
    """What the end of a search means."""
    errors = re.search(r"errors: (\d+)$", text, re.M)
    if not errors or "max search depth too small" in text or (errors[1] == "0" and "Search not completed" in text):
        raise HarnessError(f"the search of {name} is not complete: {text.strip().splitlines()[-1] if text.strip() else 'nothing is said'}")
    if errors[1] == "0":
        return ""
    wrong = re.search(r"^pan:\d+: (.*?) \(at depth \d+\)$", text, re.M)
    return wrong[1] if wrong else "an error without a name"


def judge(file, define, what, sources):
    """One entry: the model as it is, or without something."""
    case = f"{file.stem}{'.' + define if define else ''}"
    try:
        found = search(file, define)
        if define:
            why = "" if found.startswith("assertion violated") else \
                f"{'goes wrong in another way' if found else 'nothing goes wrong'} without it: {what}{found and ': ' + found}"
        else:
            code, without = header(file.read_text())
            bad = missing(code, sources)
            why = f"goes wrong: {found}" if found else \
                f"stands for other code: {bad[0]}" if bad else \
                "" if code and without else "has no line 'Code:' or no line 'Without:'"
    except (HarnessError, subprocess.SubprocessError) as err:
        why = str(err).splitlines()[0]
    return entry("models", "none", "models", case, "fail" if why else "pass", why)


def model_entries():
    """One entry for each model, and for each thing that it needs."""
    need(PACKAGES)
    jobs, sources = [], composed()
    for file in sorted(FOLDER.glob("*.pml")):
        jobs += [(file, "", ""), *((file, name, what) for name, what in header(file.read_text())[1].items())]
    if not jobs:
        return [entry("models", "none", "models", "any", "fail", f"no model in {FOLDER.relative_to(ROOT)}")]
    with ThreadPoolExecutor(JOBS) as pool:
        return list(pool.map(lambda job: judge(*job, sources), jobs))
