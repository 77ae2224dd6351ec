# SPDX-License-Identifier: GPL-2.0
"""Two proofs about the series by compiling: off means off, and every prefix of it compiles."""

import hashlib
import json
import re
import subprocess

from . import build, series
from .base import ensure_base
from .common import BUILD, LOGS, ROOT, HarnessError, replace_file, tail
from .report import entry

ALLOW = ROOT / "harness" / "identity.allow"
SYMBOL_LINE = re.compile(r"^(?:[0-9a-f]+ )?<(.+)>:$")
# "<symbol+0x12>" behind a branch or a call.
TARGET = re.compile(r"<([^>+]+)(\+0x[0-9a-f]+)?>")
# Text that moves when an unrelated function gets one string or one "once" flag more.
MOVING = re.compile(r"(\.rodata\.str[\w.]*|\.rodata\.cst[\w.]*|\.data\.once|__bug_table|\.rodata|\.altinstr_aux)[+-]0x[0-9a-f]+(?:[+-]0x[0-9a-f]+)?")
# Numbers that the compiler gives to equal names.
UNIQUE = re.compile(r"(__UNIQUE_ID_\w*?|\.)\d+\b")


def objects(paths):
    return [re.sub(r"\.[cS]$", ".o", path) for path in paths]


def functions(path):
    """{function: its normalised code and relocations} of an object file."""
    proc = subprocess.run(["objdump", "-d", "-r", "-z", "--no-addresses", str(path)], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if proc.returncode:
        raise HarnessError(f"objdump {path}: {proc.stderr.strip()}")
    found, name = {}, None
    for line in proc.stdout.splitlines():
        match = SYMBOL_LINE.match(line)
        if match:
            name = UNIQUE.sub(r"\1N", match[1])
            while name in found:        # static functions of one name
                name += "'"
            found[name] = []
        elif name and line.startswith(("\t", " ")):
            target = TARGET.search(line)
            if target and UNIQUE.sub(r"\1N", target[1]) != name and "R_X86_64" not in line:
                # A call of a neighbour without relocation: the distance says nothing, its name does.
                line = line.split("\t")[-1]
                line = re.sub(r"\b[0-9a-f]+ <", "<", line)
            found[name].append(UNIQUE.sub(r"\1N", MOVING.sub(r"\1", line)))
    # Padding between functions belongs to neither.
    padding = re.compile(r"\t(nop|xchg +%ax,%ax|int3|cs nop|data16)")
    for lines in found.values():
        while lines and padding.search(lines[-1]):
            lines.pop()
    return {name: "\n".join(lines) for name, lines in found.items()}


def allowed():
    """{function: slug} of the changes made on purpose, one "function slug reason" a line."""
    found = {}
    if ALLOW.exists():
        for line in ALLOW.read_text().splitlines():
            if line.strip() and not line.startswith("#"):
                words = line.split(maxsplit=2)
                if len(words) != 3:
                    raise HarnessError(f"harness/identity.allow: not \"function slug reason\": {line}")
                found[words[0]] = words[1]
    return found


def touched_old_files(base):
    """The .c and .S files of the kernel that the series edits."""
    steps = series.prefixes()
    return [path for path in (steps[-1][1] if steps else []) if (base / path).exists()]


def in_configuration(tree, config, paths):
    """Those of @paths that a full build of @config has compiled in @tree."""
    return [path for path in paths if (tree / f"o-{config}" / objects([path])[0]).exists()]


def identity_entries():
    """One entry per touched file: with our options off, its functions are those of the base."""
    base, src = BUILD / "base", BUILD / "src"
    series.patched_tree(base, upto="")
    series.patched_tree(src)
    touched = touched_old_files(ensure_base())
    built = in_configuration(src, "release", touched)
    entries = [entry("off", "none", "series", f"identity:{path}", "skip", "not part of the configuration")
               for path in touched if path not in built]
    if not built:
        return entries
    # What is allowed to differ later must not break the build now, hence both in the same way.
    build.build("off", base, objects(built))
    build.build("off", src, objects(built))
    allow, changed = allowed(), set()
    for path in built:
        before, after = (functions(tree / "o-off" / objects([path])[0]) for tree in (base, src))
        differ = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
        changed |= {re.sub(r"(\.cold|\.isra|\.constprop|\.part|\.N|')+$", "", name) for name in differ}
        bad = sorted(name for name in differ
                     if re.sub(r"(\.cold|\.isra|\.constprop|\.part|\.N|')+$", "", name) not in allow)
        why = f"differs from the base with our options off: {', '.join(bad)}" if bad else ""
        entries.append(entry("off", "none", "series", f"identity:{path}", "fail" if bad else "pass", why))
    stale = sorted(set(allow) - changed)
    entries.append(entry("off", "none", "series", "identity:allow", "fail" if stale else "pass",
                         f"harness/identity.allow names what does not differ: {', '.join(stale)}" if stale else ""))
    return entries


def _digest(composed):
    """A hash of everything that the build of a prefix depends on."""
    state = hashlib.sha256()
    for path, text in sorted(composed.items()):
        state.update(f"{path} {hashlib.sha256(text.data).hexdigest()}\n".encode())
    for path in sorted((ROOT / "configs").glob("*.config")):
        state.update(path.read_bytes())
    return state.hexdigest()


def prefix_entries():
    """One entry per prefix and configuration: the objects that it touches compile.

    A prefix that compiled is not compiled again while its text and the fragments stay the same.
    """
    tree, done_file = BUILD / "prefix", BUILD / "prefix.done"
    base = ensure_base()
    try:
        done = json.loads(done_file.read_text())
    except (OSError, ValueError):
        done = {}
    entries = []
    for slug, touched in series.prefixes():
        key = _digest(series.composed_files(ROOT, base, slug))
        for config in ("debug", "off"):
            # Only what a whole build of the series compiles: a driver that is off has no object.
            wanted = in_configuration(BUILD / "src", "debug", touched)
            if config == "off":
                wanted = [path for path in wanted if (base / path).exists()]
            problem = ""
            if wanted and done.get(f"{slug} {config}") != key:
                series.patched_tree(tree, upto=slug)
                log = LOGS / f"prefix-{slug}-{config}.log"
                try:
                    build.build(config, tree, objects(wanted), log=log)
                    done[f"{slug} {config}"] = key
                    replace_file(done_file, json.dumps(done, indent=1, sort_keys=True))
                except HarnessError as err:
                    problem = f"does not compile: {str(err).splitlines()[0]}; log: {log.relative_to(ROOT)}"
            item = entry(config, "none", "series", f"prefix:{slug}", "fail" if problem else "pass", problem)
            if problem:
                item["tail"] = tail(log, 12)
            entries.append(item)
    return entries


def warning_entries():
    """One entry per new file of ours: silent with W=1, sparse and objtool."""
    tree = BUILD / "src"
    series.patched_tree(tree)
    steps = series.prefixes()
    base = ensure_base()
    entries = []
    ours = [path for path in (steps[-1][1] if steps else []) if not (base / path).exists()]
    for path in ours:
        name = objects([path])[0]
        log = LOGS / f"lint-{path.replace('/', '_')}.log"
        (tree / "o-lint" / name).unlink(missing_ok=True)
        problem = ""
        try:
            build.build("lint", tree, [name], log=log, variables=[
                "W=1", "C=2", "CF=-Wsparse-error -fdiagnostic-prefix -D__CHECK_ENDIAN__", "KCFLAGS=-Werror"])
        except HarnessError as err:
            problem = str(err).splitlines()[0]
        text = log.read_text(errors="replace") if log.exists() else ""
        noise = [line.strip() for line in text.splitlines() if re.search(r"warning:|error:|objtool", line) and "CC " not in line
                 and "tools/objtool" not in line and "Leaving directory" not in line and "DESCEND" not in line]
        if noise:
            problem = noise[0]
        entries.append(entry("lint", "none", "lint", f"warnings:{path}", "fail" if problem else "pass",
                             f"{problem}; log: {log.relative_to(ROOT)}" if problem else ""))
    return entries
