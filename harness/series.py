# SPDX-License-Identifier: GPL-2.0
"""The forms that the series takes outside the repository: a source tree to build, patches, a git branch."""

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

from . import base as base_mod
from . import diff, gitform, kbuild, model, versions
from .common import BUILD, OUT, ROOT, HarnessError, PROGRESS, replace_file, say

MANIFEST = ".kas-manifest.json"


def with_extra(composed, base, extra):
    """@composed with the diffs @extra (mutants) applied."""
    result = dict(composed)
    for name in extra:
        try:
            for item in diff.parse(Path(name).read_bytes()):
                file = Path(base) / item.path
                old = result.get(item.path) or model.Text(file.read_bytes(), model.is_executable(file))
                result[item.path] = model.Text(diff.apply(item, old.data)[0], old.executable)
        except (diff.DiffError, OSError) as err:
            raise HarnessError(f"{name}: {err}") from None
    return result


def composed_files(root, base, upto=None, extra=(), parts=None):
    """{path: Text} of the files that differ from the base after the patch @upto (None: the last, "": none) of @parts."""
    if upto == "":
        return with_extra({}, base, extra)
    series = model.load(root)
    patches, steps = model.compose_parts(series, base, parts or list(series.parts))
    if upto is not None:
        slugs = [patch.slug for patch in patches]
        if upto not in slugs:
            raise HarnessError(f"the series has no patch {upto}")
        steps = steps[:slugs.index(upto) + 1]
    return with_extra(model.overlay(steps), base, extra)


def patched_tree(dest, upto=None, extra=(), root=ROOT, base=None, like=None, parts=None):
    """Make or update at @dest a source tree to build: the base with @parts of the series (all) up to @upto, then @extra.

    Files of the base are hard links. Everything else is written as a new file, and only when its text
    changes, so that make rebuilds what must be rebuilt. A file that goes back to the base's text is
    a copy with a new time: a link would have the base's old time, and make would not see the change.
    Folders o-* (build output) and files that nobody here has put there are left alone.
    When the tree is new, what is written has the time that the same text has in the tree @like, so that objects
    of that one are good here.
    """
    base = Path(base or base_mod.ensure_base(root))
    dest = Path(dest)
    want = composed_files(root, base, upto, extra, parts)
    with base_mod.locked(dest.with_name(dest.name + ".lock")):
        _Tree(dest, base, like).update(want)
    return dest


class _Tree:
    """The files of @dest against the base; the manifest lists those that are not links to the base."""

    def __init__(self, dest, base, like=None):
        self.dest = dest
        self.like = like
        self.base = base
        self.pristine = base_mod.read_file_list(base)
        self.fresh = True
        self.manifest = {}      # path: [sha256 or None while it is written, size, mtime_ns]
        try:
            stored = json.loads((dest / MANIFEST).read_text())
        except (OSError, ValueError):
            return
        if stored.get("base") != base.name:
            say(f"note: {dest} was made from another base: starting it anew")
            shutil.rmtree(dest)
            return
        self.fresh = False
        self.manifest = stored["files"]

    def save(self):
        replace_file(self.dest / MANIFEST, json.dumps({"base": self.base.name, "files": self.manifest}, sort_keys=True))

    def present(self):
        """{path: (size, mtime_ns)} of what is there, build output left out."""
        result = {}
        if not self.dest.exists():
            return result
        for entry in os.scandir(self.dest):
            if not entry.is_dir(follow_symlinks=False):
                st = entry.stat(follow_symlinks=False)
                result[entry.name] = (st.st_size, st.st_mtime_ns)
            elif not entry.name.startswith("o-") and entry.name != ".git":
                for name, st in base_mod.walk(entry.path):
                    result[f"{entry.name}/{name}"] = (st.st_size, st.st_mtime_ns)
        return result

    def update(self, want):
        have = self.present()
        linked, written, removed = [], [], []
        for path in self.pristine.keys() | want.keys():
            text = want.get(path)
            entry = self.manifest.get(path)
            if path not in have:
                (linked if self.fresh and text is None else written).append(path)
            elif entry and entry[0] and (entry[1], entry[2]) == have[path]:
                if entry[0] != (hashlib.sha256(text.data).hexdigest() if text else self._base_digest(path)):
                    written.append(path)
            elif entry or text or have[path] != self.pristine[path]:
                written.append(path)
        removed = [path for path in self.manifest if path not in self.pristine and path not in want]
        if not (linked or written or removed or self.fresh):
            return
        self.dest.mkdir(parents=True, exist_ok=True)
        self._link(linked)
        # Named before they are written: an interrupted update is completed by the next one.
        for path in written:
            self.manifest[path] = [None, 0, 0]
        self.save()
        for path in removed:
            (self.dest / path).unlink(missing_ok=True)
            del self.manifest[path]
            self._prune((self.dest / path).parent)
        for path in written:
            self._write(path, want.get(path))
        self.save()

    def _base_digest(self, path):
        return base_mod.sha256(self.base / path)

    def _link(self, paths):
        made = set()
        for count, path in enumerate(sorted(paths)):
            target = self.dest / path
            if target.parent not in made:
                target.parent.mkdir(parents=True, exist_ok=True)
                made.add(target.parent)
                PROGRESS.tick(f"linking {self.dest.name}", f"{100 * count // len(paths)} %")
            try:
                os.link(self.base / path, target, follow_symlinks=False)
            except OSError:     # another file system
                shutil.copy2(self.base / path, target, follow_symlinks=False)
        PROGRESS.done(f"linking {self.dest.name}")

    def _write(self, path, text):
        target = self.dest / path
        source = self.base / path
        if text is None and source.is_symlink():
            target.unlink(missing_ok=True)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(os.readlink(source))
            data = os.readlink(source).encode()
        else:
            text = text or model.Text(source.read_bytes(), model.is_executable(source))
            data = text.data
            # The same text may stay, time and all, unless it is a link to the base that was edited in place.
            if not (target.is_file() and not target.is_symlink() and target.stat().st_nlink == 1 and target.read_bytes() == data):
                replace_file(target, data)
            target.chmod(0o755 if text.executable else 0o644)
            same = self.like / path if self.like and self.fresh else None
            if same and same.is_file() and same.read_bytes() == data:
                os.utime(target, ns=(same.stat().st_atime_ns, same.stat().st_mtime_ns))
        st = target.lstat()
        self.manifest[path] = [hashlib.sha256(data).hexdigest(), st.st_size, st.st_mtime_ns]

    def _prune(self, folder):
        while folder != self.dest and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
            folder = folder.parent


# ---- commands ----

def generate(root=ROOT, out=None, base=None, parts=None):
    """Write to @out the patches, the cover letter, the mbox and quilt's series file: of @parts, by default all, together;
    and in a folder for each of them of that part, on top of what it needs."""
    base = Path(base or base_mod.ensure_base(root))
    out = Path(out or OUT / "series")
    series = model.load(root)
    if not series.patches:
        raise HarnessError("series/order lists no patch")
    parts = list(dict.fromkeys(parts or series.parts))
    tmp = out.with_name(out.name + ".tmp")
    shutil.rmtree(tmp, ignore_errors=True)
    names = gitform.write_patches(tmp, series, base, *model.compose_parts(series, base, parts))
    for part in parts:
        alone = model.compose_parts(series, base, [*series.parts[part], part])
        gitform.write_patches(tmp / part, series, base, *alone, part)
    shutil.rmtree(out, ignore_errors=True)
    os.replace(tmp, out)
    return names


def cmd_series(_args):
    """make series [PARTS="temp_mm asi"]"""
    parts = os.environ.get("PARTS", "").split()
    names = generate(parts=parts)
    say(f"{len(names)} patches and a cover letter in out/series; apply them with:")
    say(f"  git am -s out/series/{gitform.MBOX}")
    say("A part on top of those that its cover letter names:")
    for part in parts or model.load().parts:
        say(f"  git am -s out/series/{part}/{part}.mbox")
    _tell_changes(ROOT, OUT / "series", parts)
    return 0


def _tell_changes(root, out, parts):
    """Write what has changed since the last version beside the patches of @parts, by default all, in @out."""
    tag = versions.last(root)
    if not tag:
        say("no version before this one is tagged, so there is no range-diff")
        return
    series = model.load(root)
    try:
        texts = versions.range_diff(series, base_mod.ensure_base(root), parts or list(series.parts), tag)
    except HarnessError as err:
        say(f"note: no range-diff: {err}")
        return
    for part, text in texts.items():
        (out / part / versions.NAME).write_text(text)
    say(f"what has changed since {tag}: " + (", ".join(f"out/series/{part}/{versions.NAME}" if part else f"out/series/{versions.NAME}"
                                                     for part in texts) or "all of it is new"))


def cmd_tree(_args):
    """make tree"""
    dest = BUILD / "tree"
    base = base_mod.ensure_base()
    gitform.refuse_unsaved(dest)
    patched_tree(dest, base=base)
    series = model.load()
    gitform.make_tree(series, base, model.compose(series, base), dest)
    say(f"{dest.relative_to(ROOT)}: branch {gitform.BRANCH}, one commit a patch on top of the commit 'base'.")
    say("Edit, commit (git commit --fixup, git rebase -i --autosquash base), then: make export")
    say("A kernel file that no patch touches yet, or a new one, joins with: git add -f FILE")
    built = next((objdir for objdir in (BUILD / "src" / f"o-{config}" for config in ("debug", "release")) if (objdir / "vmlinux.o").exists()), None)
    if built:
        say(f"compile_commands.json, for editors: {kbuild.compile_commands(built, dest)} files, as in {built.relative_to(ROOT)}")
    else:
        say("no compile_commands.json: it tells how a kernel was compiled, and make run or make test has to do that first")
    return 0


def _pinned_base():
    """The base, for what stores hashes of its files."""
    if os.environ.get("TREE"):
        raise HarnessError("the series is stored against the pinned base: run this without TREE")
    base = base_mod.ensure_base()
    if base.name != base_mod.read_pin()["version"]:
        raise HarnessError(f"the base {base.name} only stands in for the pinned one; to store the series against it, put its version\n"
                           "  and hashes into base/VERSION and the version into the first line of series/order")
    return base


def cmd_export(_args):
    """make export"""
    dest = BUILD / "tree"
    base = _pinned_base()
    if not (dest / ".git").exists():
        raise HarnessError("there is no build/tree: 'make tree' makes it ('make refresh' rewrites the stored diffs without it)")
    if gitform.made_from(dest) not in ("", base.name):
        raise HarnessError(f"{dest} was made from another base, {gitform.made_from(dest)}: what is there cannot be stored")
    gitform.refuse_dirty(dest, base)
    changed = gitform.export(dest, base, ROOT)
    gitform.mark_saved(dest)
    _report_changes(changed)
    return 0


def cmd_refresh(_args):
    """make refresh: rewrite the stored diffs, lists and hashes in the form that make export gives them."""
    _report_changes(gitform.refresh(ROOT, _pinned_base()))
    return 0


def _report_changes(changed):
    for path in changed:
        say(f"  {path}")
    say(f"{len(changed)} files of the repository changed" if changed else "the repository is up to date")


def cmd_clean(_args):
    """make clean"""
    for path in (BUILD, OUT):
        if path.exists():
            say(f"removing {path.relative_to(ROOT)}/")
            # rm is several times faster than shutil.rmtree on trees of this size
            subprocess.run(["rm", "-rf", "--", str(path)], check=True)
    return 0
