# SPDX-License-Identifier: GPL-2.0
"""The series as it is stored in the repository, and its composition over a base.

Stored: new kernel files whole, in their final form, at their kernel paths; series/order; series/PART/SLUG/msg,
new and edits/PATH.diff; series/PART/cover.md and changes.md. Composed: for each patch the full text of each file that
it adds or changes. All other forms (a tree to build, patches, a git branch) are made from the composed one.

series/order has the parts in their order, each with the parts that it needs, and below it its patches:

    temp_mm: fixes pg_table
    x86-temp-mm-switch
    ...

What joins two parts is a patch of the one that comes later, and says so: "asi-prmem with prmem". It is left out where the
other part is.
"""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from . import base as base_mod
from . import diff
from .common import ROOT, HarnessError
from .weave import Weave

# Folders of the kernel whose new files the repository mirrors, and the folders that are the project's own.
KERNEL_FOLDERS = set("""arch block certs crypto Documentation drivers fs include init io_uring ipc kernel lib
LICENSES mm net rust samples scripts security sound tools usr virt""".split())
# What is below is no part of a kernel: make check builds it.
PROGRAMS = "tools/testing/selftests/"
OWN_FOLDERS = {".ci", ".git", "base", "build", "configs", "harness", "out", "series"}
SLUG = re.compile(r"^[a-z0-9][a-z0-9._-]*$")
HEADING = re.compile(r"^([a-z0-9_]+):((?: [a-z0-9_]+)*)$")
PART_FILES = {"cover.md", "changes.md"}


@dataclass
class Patch:
    slug: str
    message: str                                    # subject, empty line, body; ends with a newline
    new: list = field(default_factory=list)         # paths of the files it introduces
    edits: dict = field(default_factory=dict)       # path: diff.FileDiff
    part: str = ""
    joins: tuple = ()                               # other parts that it needs, and its part does not

    @property
    def where(self):
        return f"series/{self.part}/{self.slug}"

    @property
    def subject(self):
        return self.message.split("\n", 1)[0]


@dataclass
class Series:
    root: Path
    order: list             # lines of series/order after the first: comments, empty lines, parts, patches
    patches: list
    parts: dict             # name: the names of all parts that it needs, in the order of the series
    woven: tuple = ()       # what _weave() has found

    @property
    def new_files(self):
        return sorted(path for patch in self.patches for path in patch.new)

    @property
    def edited_files(self):
        """Files of the base that the series edits."""
        return sorted({path for patch in self.patches for path in patch.edits} - set(self.new_files))


def base_line(root):
    pin = base_mod.read_pin(root)
    return f"# base: {pin['package']} {pin['version']}"


def check_message(where, text):
    """git am must give back the message of @where as it is written here."""
    lines = text.split("\n")
    if not lines[0].strip():
        raise HarnessError(f"{where}: the first line must be the subject")
    if lines[0].startswith("["):
        raise HarnessError(f"{where}: no [prefix] in the subject: git am drops it")
    if len(lines) > 2 and lines[1]:
        raise HarnessError(f"{where}: the line after the subject must be empty")
    if text != text.strip() + "\n" or any(line != line.rstrip() for line in lines) or "\n\n\n" in text:
        raise HarnessError(f"{where}: blanks at the end of a line, or empty lines where none belong")
    for line in lines[1:]:
        if re.match(r"(---|diff -|Index: |From )|(From|Date|Subject): ", line):
            raise HarnessError(f"{where}: git am would cut or drop the line '{line}'")
        if line.startswith("Signed-off-by:"):
            raise HarnessError(f"{where}: no Signed-off-by: the person who applies the series adds it (git am -s)")
        if line.startswith("Slug:"):
            raise HarnessError(f"{where}: 'Slug:' belongs only to the commits of make tree")


def _mirrored(root):
    """Paths of the files in the mirrored kernel folders."""
    found = []
    for entry in sorted(os.listdir(root)):
        if not (root / entry).is_dir() or entry in OWN_FOLDERS or entry == "__pycache__":
            continue
        if entry not in KERNEL_FOLDERS:
            raise HarnessError(f"unknown folder {entry}/: it is neither one of the project nor one of the kernel")
        found += [f"{entry}/{name}" for name, _ in base_mod.walk(root / entry)]
    return found


def parse_order(lines):
    """({part: [the parts that it needs]}, [(slug, part, joined parts)]) of the lines of series/order after the first."""
    parts, patches = {}, []
    for line in lines:
        heading = HEADING.match(line)
        if heading:
            name, needs = heading[1], heading[2].split()
            if name in parts:
                raise HarnessError(f"series/order: the part {name} is there twice")
            for need in needs:
                if need not in parts:
                    raise HarnessError(f"series/order: {name} needs {need}, which no line above it begins")
            parts[name] = needs
        elif line and not line.startswith("#"):
            slug, _, joins = line.partition(" with ")
            if not SLUG.match(slug):
                raise HarnessError(f"series/order: '{slug}' is no slug (small letters, digits, - . _)")
            if not parts:
                raise HarnessError(f"series/order: {slug} belongs to no part; a part begins with a line 'NAME: PARTS THAT IT NEEDS'")
            if slug in [item[0] for item in patches]:
                raise HarnessError(f"series/order: {slug} is there twice")
            for other in joins.split():
                if other not in parts or other == list(parts)[-1]:
                    raise HarnessError(f"series/order: {slug} is to be left out without {other}, which is no part above its own")
            patches.append((slug, list(parts)[-1], tuple(joins.split())))
    return parts, patches


def _closure(parts, name):
    """All that the part @name needs, in the order of @parts."""
    found = set(parts[name])
    for other in parts[name]:
        found.update(_closure(parts, other))
    return [other for other in parts if other in found]


def _load_patch(root, slug, part, joins):
    where = f"series/{part}/{slug}"
    folder = root / where
    if not (folder / "msg").is_file():
        raise HarnessError(f"series/order names {slug}, but there is no {where}/msg")
    for name in os.listdir(folder):
        if name not in ("msg", "new", "edits"):
            raise HarnessError(f"{where}/{name}: only msg, new and edits/ belong there")
    patch = Patch(slug, (folder / "msg").read_text(), part=part, joins=joins)
    check_message(f"{where}/msg", patch.message)
    if (folder / "new").exists():
        patch.new = (folder / "new").read_text().split()
    if (folder / "edits").exists():
        for name, _ in sorted(base_mod.walk(folder / "edits")):
            if not name.endswith(".diff"):
                raise HarnessError(f"{where}/edits/{name}: the name must be PATH.diff")
            try:
                files = diff.parse((folder / "edits" / name).read_bytes())
            except diff.DiffError as err:
                raise HarnessError(f"{where}/edits/{name}: {err}") from None
            if [item.path for item in files] != [name[:-5]]:
                paths = ", ".join(item.path for item in files) or "nothing"
                raise HarnessError(f"{where}/edits/{name}: must edit {name[:-5]} alone, but edits {paths}")
            patch.edits[name[:-5]] = files[0]
    if not patch.new and not patch.edits:
        raise HarnessError(f"{where}: neither introduces nor edits a file")
    return patch


def load(root=ROOT):
    """Read and check the stored form."""
    root = Path(root)
    try:
        lines = (root / "series" / "order").read_text().splitlines()
    except FileNotFoundError:
        raise HarnessError("there is no series/order") from None
    if not lines or lines[0] != base_line(root):
        raise HarnessError(f"series/order: the first line must name the base of base/VERSION: '{base_line(root)}'")
    parts, listed = parse_order(lines[1:])
    for name in sorted(os.listdir(root / "series")):
        if (root / "series" / name).is_dir() and name not in parts:
            raise HarnessError(f"series/{name} is no part that series/order names")
    for part in parts:
        slugs = [slug for slug, of, _ in listed if of == part]
        if not slugs:
            raise HarnessError(f"series/order: the part {part} has no patches")
        for name in sorted(os.listdir(root / "series" / part)) if (root / "series" / part).is_dir() else ():
            if name not in slugs and name not in PART_FILES:
                raise HarnessError(f"series/{part}/{name} is not in series/order")
    series = Series(root, lines[1:], [_load_patch(root, *item) for item in listed], {part: _closure(parts, part) for part in parts})
    _check_files(series)
    return series


def _check_files(series):
    owner = {}
    for patch in series.patches:
        for path in patch.new:
            if path in owner:
                raise HarnessError(f"{path} is introduced twice, by {owner[path]} and by {patch.slug}")
            owner[path] = patch.slug
            if not (series.root / path).is_file() or (series.root / path).is_symlink():
                raise HarnessError(f"{patch.where}/new lists {path}, but the repository has no such file")
            if path in patch.edits:
                raise HarnessError(f"{patch.where} introduces {path} and edits it too")
    extra = sorted(set(_mirrored(series.root)) - set(owner))
    if extra:
        raise HarnessError("no patch lists these files; add them to series/PART/SLUG/new or remove them:\n  " + "\n  ".join(extra))
    seen = set()
    for patch in series.patches:
        seen.update(patch.new)
        for path in patch.edits:
            if path in owner and path not in seen:
                raise HarnessError(f"{patch.where} edits {path} before {owner[path]} introduces it")


@dataclass
class Text:
    """A file of the composed series."""
    data: bytes
    executable: bool = False


def is_executable(path):
    return bool(os.stat(path).st_mode & 0o100)


def _introduced(series, failures):
    """{path: text at introduction} of the new files: the final text with the later edits taken back."""
    texts = {}
    for path in series.new_files:
        text = (series.root / path).read_bytes()
        for patch in reversed(series.patches):
            if path in patch.edits:
                try:
                    text, _ = diff.apply(diff.reverse(patch.edits[path]), text)
                except diff.DiffError as err:
                    failures.append(f"{patch.where}: taking its edit back from the final form: {err}")
        texts[path] = text
    return texts


def _compose(series, base):
    failures, moved = [], []
    introduced = _introduced(series, failures)
    now = {}
    steps = []
    for patch in series.patches:
        step = {}
        for path in patch.new:
            if os.path.lexists(Path(base) / path):
                failures.append(f"{patch.where}: introduces {path}, which the base has already")
            step[path] = Text(introduced[path], is_executable(series.root / path))
        for path, item in patch.edits.items():
            if path not in now:
                file = Path(base) / path
                if not file.is_file():
                    failures.append(f"{patch.where}: edits {path}, which neither the base nor an earlier patch has")
                    continue
                now[path] = Text(file.read_bytes(), is_executable(file))
            try:
                data, lines = diff.apply(item, now[path].data)
            except diff.DiffError as err:
                failures.append(f"{patch.where}: {err}")
                continue
            if lines:
                moved.append(f"{patch.where}: {path}: hunks moved by {lines} lines")
            step[path] = Text(data, now[path].executable)
        now.update(step)
        steps.append(step)
    return steps, failures, moved


def compose(series, base):
    """One {path: Text} a patch: the files that it adds or changes, after it."""
    steps, failures, _ = _compose(series, base)
    if failures:
        raise HarnessError("the series does not apply:\n" + "\n".join(failures))
    return steps


def select(series, names):
    """The patches of the parts @names, of which none may lack what it needs."""
    for name in names:
        if name not in series.parts:
            raise HarnessError(f"the series has no part {name}; there are {', '.join(series.parts)}")
        missing = [other for other in series.parts[name] if other not in names]
        if missing:
            raise HarnessError(f"the part {name} needs {', '.join(missing)} as well")
    return [patch for patch in series.patches if patch.part in names and set(patch.joins) <= set(names)]


def _weave(series, base):
    """({path: Weave}, {path: is it executable?}) of all files of the series."""
    if series.woven[:1] != (str(base),):
        weaves, executable = {}, {}
        for patch, step in zip(series.patches, compose(series, base)):
            for path, text in step.items():
                if path not in weaves:
                    file = Path(base) / path
                    weaves[path] = Weave(file.read_bytes() if file.is_file() else b"")
                weaves[path].add(patch.slug, text.data)
                executable[path] = text.executable
        series.woven = str(base), weaves, executable
    return series.woven[1:]


def compose_parts(series, base, names):
    """As compose(), for the parts @names alone: (patches, steps)."""
    chosen = select(series, names)
    if len(chosen) == len(series.patches):
        return series.patches, compose(series, base)
    slugs = [patch.slug for patch in chosen]
    owner = {path: patch.slug for patch in series.patches for path in patch.new}
    for patch in chosen:
        for path in patch.edits:
            if owner.get(path, slugs[0]) not in slugs:
                raise HarnessError(f"{patch.where} edits {path}, which {owner[path]} adds, but {patch.part} does not need that")
    weaves, executable = _weave(series, base)
    steps = [{} for _ in chosen]
    for path, weave in weaves.items():
        try:
            texts = weave.texts(slugs)
        except ValueError as err:
            raise HarnessError(f"{path}: {err.args[0]} changes what {err.args[1]} has added, which it does not need") from None
        for step, data in zip(steps, texts):
            if data is not None:
                step[path] = Text(data, executable[path])
    for patch, step in zip(chosen, steps):
        if not step:
            raise HarnessError(f"{patch.where} changes nothing without the parts that are left out")
    return chosen, steps


def try_compose(series, base):
    """What compose() would fail with, as a list."""
    return _compose(series, base)[1]


def overlay(steps):
    """{path: Text} after the last of @steps."""
    result = {}
    for step in steps:
        result.update(step)
    return result
