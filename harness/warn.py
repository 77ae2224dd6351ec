# SPDX-License-Identifier: GPL-2.0
"""The files that the series adds are silent: W=1, sparse and objtool, with warnings as errors."""

import re

from . import build, kbuild, model, series
from .base import ensure_base
from .common import BUILD, LOGS, ROOT, HarnessError
from .report import entry

CHECKS = ["W=1", "C=2", "CF=-Wsparse-error -fdiagnostic-prefix -D__CHECK_ENDIAN__", "KCFLAGS=-Werror"]
NOISE = re.compile(r"warning:|error:|objtool|\*\*\*|Error \d+")
# What make says of its own, and the lines that name a command.
QUIET = re.compile(r"^\s+[A-Z][A-Z ]*(\[M\])? +\S+$|^make\S*: (Entering|Leaving) directory|tools/objtool|DESCEND")


def noise(text):
    """The lines of a build's log that must not be there."""
    return [line.strip() for line in text.splitlines() if NOISE.search(line) and not QUIET.search(line)]


def attribute(lines, paths):
    """{path: its lines}; what names none of @paths, by source or by object, is of ""."""
    found = {}
    for line in lines:
        owner = next((path for path in paths if path in line or re.search(rf"(?<!\w){re.escape(kbuild.object_of(path))}\b", line)), "")
        found.setdefault(owner, []).append(line)
    return found


def warning_entries():
    """One entry per new source file, and one for what can be said of none of them."""
    tree, base = BUILD / "src", ensure_base()
    series.patched_tree(tree)
    paths = sorted(path for path in model.overlay(model.compose(model.load(), base))
                   if path.endswith((".c", ".S")) and not path.startswith(model.PROGRAMS) and not (base / path).exists())
    log, failed = LOGS / "lint.log", ""
    for path in paths:
        (tree / "o-lint" / kbuild.object_of(path)).unlink(missing_ok=True)
    try:
        build.build("lint", tree, [kbuild.object_of(path) for path in paths], log=log, variables=["-k", *CHECKS])
    except HarnessError as err:
        failed = str(err).splitlines()[0]
    found = attribute(noise(log.read_text(errors="replace")) if log.exists() else [], paths)
    if failed and not found:
        found[""] = [failed]
    for path in paths:
        if path not in found and not (tree / "o-lint" / kbuild.object_of(path)).exists():
            found[path] = ["was not compiled"]
    where = log.relative_to(ROOT)
    entries = [entry("lint", "none", "lint", f"warnings:{path}", "fail" if path in found else "pass",
                     f"{found[path][0]}; log: {where}" if path in found else "") for path in paths]
    # make says of each failure where it happened; that is no news when the file itself has been named.
    other = found.get("", []) if failed and not any(found.get(path) for path in paths) else \
        [line for line in found.get("", []) if not re.search(r"\*\*\*|Error \d+", line)]
    entries.append(entry("lint", "none", "lint", "warnings", "fail" if other else "pass", other and f"{other[0]}; log: {where}"))
    return entries
