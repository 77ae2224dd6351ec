# SPDX-License-Identifier: GPL-2.0
"""What no emulator can show, because none has store buffers: models of the code, which spin goes through exhaustively.

harness/models has one file for each, in Promela. Its header has lines "Code: FILE: TEXT", a line of C that it stands
for, which has to be there; and "Without: NAME: WHAT", something that the code needs: with NAME defined the model lacks
it, and spin has to find a run that goes wrong.
"""

import re
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .common import JOBS, ROOT, HarnessError, need, run
from .report import entry

FOLDER = ROOT / "harness" / "models"
PACKAGES = {"gcc": "gcc", "spin": "spin"}
DEPTH = 100000
HEADER = re.compile(r"^ \* (Code|Without): ([\w/.]+): (.+)$", re.M)


def header(text):
    """{file: [lines]} and {define: what} of a model."""
    code, without = {}, {}
    for kind, name, rest in HEADER.findall(text):
        if kind == "Code":
            code.setdefault(name, []).append(rest)
        else:
            without[name] = rest
    return code, without


def missing(code, root=ROOT):
    """The lines of C that a model names and that are not there."""
    bad = []
    for name, lines in code.items():
        path = root / name
        text = path.read_text() if path.exists() else ""
        bad += [f"{name}: {line}" for line in lines if line not in text]
    return bad


def search(model, define=""):
    """"" if no run of the model goes wrong; else what spin says of one that does."""
    with tempfile.TemporaryDirectory(prefix="kas-spin.") as tmp:
        def call(*command, what):
            return run([str(word) for word in command], cwd=tmp, what=f"{what} of {model.name}{' without ' + define if define else ''}")

        call("spin", *([f"-D{define}"] if define else []), "-a", model.resolve(), what="spin")
        if not (Path(tmp) / "pan.c").exists():
            raise HarnessError(f"spin has made nothing of {model.name}")
        call("gcc", "-w", "-DSAFETY", "-o", "pan", "pan.c", what="gcc")
        return verdict(call(Path(tmp) / "pan", f"-m{DEPTH}", what="search"), model.name)


def verdict(text, name):
    """What the end of a search means."""
    errors = re.search(r"errors: (\d+)$", text, re.M)
    if not errors or "max search depth too small" in text or (errors[1] == "0" and "Search not completed" in text):
        raise HarnessError(f"the search of {name} is not complete: {text.strip().splitlines()[-1] if text.strip() else 'nothing is said'}")
    if errors[1] == "0":
        return ""
    wrong = re.search(r"^pan:\d+: (.*?) \(at depth \d+\)$", text, re.M)
    return wrong[1] if wrong else "an error without a name"


def judge(model, define, what):
    """One entry: the model as it is, or without something."""
    case = f"{model.stem}{'.' + define if define else ''}"
    try:
        if define:
            why = "" if search(model, define) else f"nothing goes wrong without it: {what}"
        else:
            code, without = header(model.read_text())
            bad = missing(code)
            why = f"goes wrong: {found}" if (found := search(model)) else \
                f"stands for code that is not there: {bad[0]}" if bad else \
                "" if code and without else "has no line 'Code:' or no line 'Without:'"
    except (HarnessError, subprocess.SubprocessError) as err:
        why = str(err).splitlines()[0]
    return entry("models", "none", "models", case, "fail" if why else "pass", why)


def model_entries():
    """One entry for each model, and for each thing that it needs."""
    need(PACKAGES)
    jobs = []
    for model in sorted(FOLDER.glob("*.pml")):
        jobs += [(model, "", ""), *((model, name, what) for name, what in header(model.read_text())[1].items())]
    if not jobs:
        return [entry("models", "none", "models", "any", "fail", f"no model in {FOLDER.relative_to(ROOT)}")]
    with ThreadPoolExecutor(JOBS) as pool:
        return list(pool.map(lambda job: judge(*job), jobs))
