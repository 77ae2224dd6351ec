# SPDX-License-Identifier: GPL-2.0
"""What the compilers say.

Of the files that the series adds, nothing, with warnings as errors: gcc with W=1, sparse and objtool, and clang with W=1. The
existing files that it edits compile for 32 bits as well, where there is nothing of it.
"""

import re
from pathlib import Path

from . import build, kbuild, model, series
from .base import ensure_base
from .common import BUILD, COMPILER_PACKAGES, LOGS, ROOT, HarnessError, need
from .report import entry

# The configurations in which new files are compiled, and what make is told besides.
CHECKS = {
    "lint": ["W=1", "C=2", "CF=-Wsparse-error -fdiagnostic-prefix -D__CHECK_ENDIAN__", "KCFLAGS=-Werror"],
    "clang": ["W=1", "KCFLAGS=-Werror"],
}
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


def sources(base, new):
    """The source files that the series adds to the kernel, or edits there."""
    return sorted(path for path in model.overlay(model.compose(model.load(), base))
                  if path.endswith((".c", ".S")) and not path.startswith(model.PROGRAMS) and (base / path).exists() != new)


def compile_entries(config, tree, paths, checks=()):
    """One entry for each of @paths, which are compiled anew, and one for what can be said of none of them."""
    log, failed = LOGS / f"{config}.log", ""
    for path in paths:
        (tree / f"o-{config}" / kbuild.object_of(path)).unlink(missing_ok=True)
    try:
        build.build(config, tree, [kbuild.object_of(path) for path in paths], log=log, variables=["-k", *checks])
    except HarnessError as err:
        failed = str(err).splitlines()[0]
    found = attribute(noise(log.read_text(errors="replace")) if log.exists() else [], paths)
    if failed and not found:
        found[""] = [failed]
    for path in paths:
        if path not in found and not (tree / f"o-{config}" / kbuild.object_of(path)).exists():
            found[path] = ["was not compiled"]
    where = log.relative_to(ROOT)
    entries = [entry(config, "none", "lint", f"warnings:{path}", "fail" if path in found else "pass",
                     f"{found[path][0]}; log: {where}" if path in found else "") for path in paths]
    # make says of each failure where it happened; that is no news when the file itself has been named.
    other = found.get("", []) if failed and not any(found.get(path) for path in paths) else \
        [line for line in found.get("", []) if not re.search(r"\*\*\*|Error \d+", line)]
    entries.append(entry(config, "none", "lint", "warnings", "fail" if other else "pass", other and f"{other[0]}; log: {where}"))
    return entries


def warning_entries():
    """The new files, by gcc and sparse."""
    tree = series.patched_tree(BUILD / "src")
    return compile_entries("lint", tree, sources(ensure_base(), new=True), CHECKS["lint"])


def compiler_entries():
    """The new files, by clang, and the edited ones for 32 bits."""
    need(COMPILER_PACKAGES)
    tree, base = series.patched_tree(BUILD / "src"), ensure_base()
    entries = compile_entries("clang", tree, sources(base, new=True), CHECKS["clang"])
    objdir, edited = build.configure("i386", tree), sources(base, new=False)
    # The Makefiles ask for options, and what has been configured is there for make only when make has run.
    build.build("i386", tree, ["prepare"], log=LOGS / "i386-prepare.log")
    folders = sorted({str(Path(path).parent) for path in edited})
    listed = set().union(*(kbuild.listed(tree, objdir, folder, bits=32) for folder in folders))
    part = [path for path in edited if kbuild.object_of(path) in listed]
    entries += [entry("i386", "none", "lint", f"warnings:{path}", "skip", "not part of a kernel for 32 bits")
                for path in edited if path not in part]
    if not part:
        return [*entries, entry("i386", "none", "lint", "warnings", "fail", "no file that the series edits is part of this kernel")]
    return entries + compile_entries("i386", tree, part)
