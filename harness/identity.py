# SPDX-License-Identifier: GPL-2.0
"""Off means off: with our options off, the series changes no code and no data of the kernel.

The base built as a distribution would, and the series built in the same way without its options, are compared
object by object in the form of canonical.py: all that is compiled from a file that the series edits, or
includes such a header. Of a header that nearly all include, one object a folder is compared.
"""

import re
import shutil
from collections import Counter

from . import allow, build, canonical, kbuild, model, series
from .base import ensure_base
from .common import BUILD, LOGS, ROOT, HarnessError
from .report import entry

ALLOW = ROOT / "harness" / "identity.allow"
BASE, SERIES = BUILD / "base", BUILD / "src"
# Who uses the series, and has a choice.
USERS = ROOT / "harness" / "guest" / "off"
SAMPLES = [ROOT / "samples" / "asi" / "asi_parser.c"]
# What the compiler makes of one function, and what canonical.py appends to names that are there twice.
PART = re.compile(r"(\.cold|\.isra|\.constprop|\.part|\.N|')+$")


def allowed():
    """{function: slug} of the changes made on purpose, one "function slug reason" a line."""
    return {name: slug for (name,), (slug, _) in allow.read(ALLOW, allow.words(1, 1)).items()}


def table_differs(before, after, functions):
    """Do two forms of a table differ in more than what they say about functions that are allowed to?

    The first line is what is not a reference: lengths and flags, which say nothing without the rest.
    """
    one, other = before.split("\n"), after.split("\n")
    changed = list(((Counter(one[1:]) - Counter(other[1:])) + (Counter(other[1:]) - Counter(one[1:]))).elements())
    if not changed:
        return one[0] != other[0]
    # A replacement of instructions has no name of its own, and is on behalf of the function that the table names beside it.
    ours = re.compile(r"^\d+ (?:(?:" + "|".join(map(re.escape, functions)) + r")(?:\.\w+)*[+-]\d+$|\.altinstr_(?:replacement|aux)\b)")
    return not functions or not all(ours.match(line) for line in changed)


def differences(before, after, functions):
    """({names that differ}, {functions allowed to differ that do}) of two canonical objects."""
    differ = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    used = {PART.sub("", name) for name in differ} & set(functions)
    bad = set()
    for name in differ:
        if PART.sub("", name) in used:
            continue
        if name.startswith("["):
            # Replacements are code without a name: their table tells whose they are.
            if used and (name.startswith("[.altinstr_") or
                         not table_differs(before.get(name, ""), after.get(name, ""), used)):
                continue
        bad.add(name)
    return bad, used


def compare(name, functions):
    """"" or what differs in the object @name, and the allowed functions that do."""
    before, after = (canonical.read(path / name) for path in (BASE / "o-release", SERIES / "o-off"))
    bad, used = differences(before, after, functions)
    return f"differs from the base with our options off: {', '.join(sorted(bad))}" if bad else "", used


def chosen_objects(objects, edited):
    """The objects to compare, and {edited source file: why none is}."""
    names, none = set(), {}
    for path in edited:
        found = objects.affected([path])
        names |= found
        if path.endswith((".c", ".S", ".h")) and not found and not path.endswith("vmlinux.lds.h"):
            none[path] = "not part of the configuration"
    return sorted(names), none


def user_entries():
    """Who uses the series compiles with its options off."""
    where, entries = BUILD / "mod-off", []
    shutil.rmtree(where, ignore_errors=True)
    where.mkdir(parents=True)
    for path in [*sorted(USERS.iterdir()), *SAMPLES]:
        (where / path.name).write_bytes(path.read_bytes())
    for source in sorted(where.glob("*.c")):
        log, why = LOGS / f"identity-{source.stem}.log", ""
        target = source.with_suffix(".o")
        try:
            build.run_make("off", SERIES, f"M={where}", target.name, what=f"{source.name} with our options off", log=log)
        except HarnessError as err:
            why = str(err).splitlines()[0]
        if not why and not target.exists():
            why = f"{target} was not made; log: {log.relative_to(ROOT)}"
        entries.append(entry("off", "none", "series", f"identity:user:{source.name}", "fail" if why else "pass", why))
    return entries


def identity_entries():
    """One entry per object: with our options off, it is that of the base."""
    base = ensure_base()
    series.patched_tree(BASE, upto="")
    series.patched_tree(SERIES)
    # The configuration "release" of the base is "off": there, none of our options exists.
    before = build.build("release", BASE, ("bzImage", "modules"))
    edited = [path for path in model.overlay(model.compose(model.load(), base)) if (base / path).exists()]
    names, none = chosen_objects(kbuild.Objects(before, kbuild.archive_members(before)), edited)
    entries = [entry("off", "none", "series", f"identity:{path}", "skip", why) for path, why in sorted(none.items())]
    if not names:
        return [*entries, entry("off", "none", "series", "identity", "fail", "no object to compare: the base has none that the series edits")]
    build.build("off", SERIES, [*names, "arch/x86/kernel/vmlinux.lds"])
    functions, changed = allowed(), set()
    for name in names:
        why, used = compare(name, functions)
        changed |= used
        entries.append(entry("off", "none", "series", f"identity:{name}", "fail" if why else "pass", why))
    scripts = [(path / "arch/x86/kernel/vmlinux.lds").read_text() for path in (before, SERIES / "o-off")]
    same = [re.sub(r"\s+", " ", text) for text in scripts]
    entries.append(entry("off", "none", "series", "identity:vmlinux.lds", "pass" if same[0] == same[1] else "fail",
                         "" if same[0] == same[1] else "the linker script differs with our options off"))
    stale = sorted(functions.keys() - changed)
    entries.append(entry("off", "none", "series", "identity:allow", "fail" if stale else "pass",
                         f"harness/identity.allow names what does not differ: {', '.join(stale)}" if stale else ""))
    return entries + user_entries()
