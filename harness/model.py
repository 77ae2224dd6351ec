# SPDX-License-Identifier: GPL-2.0
"""The series as it is stored in the repository, and its composition over a base.

Stored: new kernel files whole, in their final form, at their kernel paths; series/order; series/SLUG/msg,
new and edits/PATH.diff. Composed: for each patch the full text of each file that it adds or changes. All
other forms (a tree to build, patches, a git branch) are made from the composed one.
"""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from . import base as base_mod
from . import diff
from .common import ROOT, HarnessError

# Folders of the kernel whose new files the repository mirrors, and the folders that are the project's own.
KERNEL_FOLDERS = set("""arch block certs crypto Documentation drivers fs include init io_uring ipc kernel lib
LICENSES mm net rust samples scripts security sound tools usr virt""".split())
OWN_FOLDERS = {".ci", ".git", "base", "build", "configs", "harness", "out", "series"}
SLUG = re.compile(r"^[a-z0-9][a-z0-9._-]*$")


@dataclass
class Patch:
    slug: str
    message: str                                    # subject, empty line, body; ends with a newline
    new: list = field(default_factory=list)         # paths of the files it introduces
    edits: dict = field(default_factory=dict)       # path: diff.FileDiff

    @property
    def subject(self):
        return self.message.split("\n", 1)[0]


@dataclass
class Series:
    root: Path
    order: list             # lines of series/order after the first: comments, empty lines, slugs
    patches: list

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


def check_message(slug, text):
    """git am must give back the message as it is written here."""
    where = f"series/{slug}/msg"
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


def _load_patch(root, slug):
    folder = root / "series" / slug
    if not (folder / "msg").is_file():
        raise HarnessError(f"series/order names {slug}, but there is no series/{slug}/msg")
    for name in os.listdir(folder):
        if name not in ("msg", "new", "edits"):
            raise HarnessError(f"series/{slug}/{name}: only msg, new and edits/ belong there")
    patch = Patch(slug, (folder / "msg").read_text())
    check_message(slug, patch.message)
    if (folder / "new").exists():
        patch.new = (folder / "new").read_text().split()
    if (folder / "edits").exists():
        for name, _ in sorted(base_mod.walk(folder / "edits")):
            where = f"series/{slug}/edits/{name}"
            if not name.endswith(".diff"):
                raise HarnessError(f"{where}: the name must be PATH.diff")
            try:
                files = diff.parse((folder / "edits" / name).read_bytes())
            except diff.DiffError as err:
                raise HarnessError(f"{where}: {err}") from None
            if [item.path for item in files] != [name[:-5]]:
                paths = ", ".join(item.path for item in files) or "nothing"
                raise HarnessError(f"{where}: must edit {name[:-5]} alone, but edits {paths}")
            patch.edits[name[:-5]] = files[0]
    if not patch.new and not patch.edits:
        raise HarnessError(f"series/{slug}: neither introduces nor edits a file")
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
    order = lines[1:]
    slugs = [line for line in order if line and not line.startswith("#")]
    for slug in slugs:
        if not SLUG.match(slug):
            raise HarnessError(f"series/order: '{slug}' is no slug (small letters, digits, - . _)")
        if slugs.count(slug) > 1:
            raise HarnessError(f"series/order: {slug} is there twice")
    for name in sorted(os.listdir(root / "series")):
        if (root / "series" / name).is_dir() and name not in slugs:
            raise HarnessError(f"series/{name} is not in series/order")
    series = Series(root, order, [_load_patch(root, slug) for slug in slugs])
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
                raise HarnessError(f"series/{patch.slug}/new lists {path}, but the repository has no such file")
            if path in patch.edits:
                raise HarnessError(f"series/{patch.slug} introduces {path} and edits it too")
    extra = sorted(set(_mirrored(series.root)) - set(owner))
    if extra:
        raise HarnessError("no patch lists these files; add them to series/SLUG/new or remove them:\n  " + "\n  ".join(extra))
    seen = set()
    for patch in series.patches:
        seen.update(patch.new)
        for path in patch.edits:
            if path in owner and path not in seen:
                raise HarnessError(f"series/{patch.slug} edits {path} before {owner[path]} introduces it")


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
                    failures.append(f"series/{patch.slug}: taking its edit back from the final form: {err}")
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
                failures.append(f"series/{patch.slug}: introduces {path}, which the base has already")
            step[path] = Text(introduced[path], is_executable(series.root / path))
        for path, item in patch.edits.items():
            if path not in now:
                file = Path(base) / path
                if not file.is_file():
                    failures.append(f"series/{patch.slug}: edits {path}, which neither the base nor an earlier patch has")
                    continue
                now[path] = Text(file.read_bytes(), is_executable(file))
            try:
                data, lines = diff.apply(item, now[path].data)
            except diff.DiffError as err:
                failures.append(f"series/{patch.slug}: {err}")
                continue
            if lines:
                moved.append(f"series/{patch.slug}: {path}: hunks moved by {lines} lines")
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


def try_compose(series, base):
    """What compose() would fail with, as a list."""
    return _compose(series, base)[1]


def overlay(steps):
    """{path: Text} after the last of @steps."""
    result = {}
    for step in steps:
        result.update(step)
    return result
