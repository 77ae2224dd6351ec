# SPDX-License-Identifier: GPL-2.0
"""The series as git sees it: patches, a branch with one commit a patch, and the way back into the repository.

git never gets the 87,000 files of the kernel: its repositories here track only the files that the series
touches. Nothing depends on the configuration of the user's git.
"""

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from . import base as base_mod
from . import checkout, model
from .common import HarnessError, replace_file

BRANCH = "kas"
MBOX = "linux-kas.mbox"
NAME, MAIL = "linux-kas project", "linux-kas@localhost.invalid"
EPOCH = 1767225600          # 2026-01-01 00:00 UTC is the date of the base; each patch is a minute later
ZERO = "0" * 40
SLUG_LINE = re.compile(r"^Slug: *(\S+) *\n?", re.M)


def git(repo, *args, data=None, check=True, merge=False):
    """Run git in @repo without the user's configuration; returns its output (with @merge its warnings too) as bytes."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    env.update(LC_ALL="C", TZ="UTC", GIT_CONFIG_GLOBAL="/dev/null", GIT_CONFIG_SYSTEM="/dev/null", GIT_ATTR_NOSYSTEM="1",
               GIT_CEILING_DIRECTORIES=str(Path(repo).parent), GIT_PAGER="cat",
               GIT_AUTHOR_NAME=NAME, GIT_AUTHOR_EMAIL=MAIL, GIT_COMMITTER_NAME=NAME, GIT_COMMITTER_EMAIL=MAIL)
    cmd = ["git", "-c", "core.attributesFile=/dev/null", "-c", "core.excludesFile=/dev/null",
           "-c", "core.hooksPath=/dev/null", "-c", "safe.directory=*", *[str(arg) for arg in args]]
    source = {"stdin": subprocess.DEVNULL} if data is None else {"input": data}
    proc = subprocess.run(cmd, cwd=repo, env=env, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT if merge else subprocess.PIPE, **source)
    if check and proc.returncode:
        raise HarnessError(f"git {args[0]} failed in {repo}:\n{(proc.stderr or proc.stdout).decode(errors='replace').rstrip()}")
    return proc.stdout


def init(repo):
    """An empty repository that shows the functions in hunk headers as the kernel's .gitattributes asks for."""
    Path(repo).mkdir(parents=True, exist_ok=True)
    git(repo, "init", "-q", "--template=", "-b", BRANCH, ".")
    info = Path(repo) / ".git" / "info"
    info.mkdir(exist_ok=True)
    (info / "attributes").write_text("*.[ch] diff=cpp\n")


def _commit(stream, number, message, files):
    who = f"{NAME} <{MAIL}> {EPOCH + 60 * number} +0000"
    text = message.encode()
    stream.append(f"commit refs/heads/{BRANCH}\nmark :{number + 1}\nauthor {who}\ncommitter {who}\n"
                  f"data {len(text)}\n".encode() + text)
    if number:
        stream.append(f"from :{number}\n".encode())
    for path, text in sorted(files.items()):
        mode = "100755" if text.executable else "100644"
        stream.append(f"M {mode} inline {path}\ndata {len(text.data)}\n".encode() + text.data + b"\n")


def commit_all(repo, base, patches):
    """In the new repository @repo: a commit 'base' with the touched files, then one a patch.

    @patches is a list of (message, {path: Text}). The work tree is left alone. Returns the ids of the commits.
    """
    before = {}
    for _, files in patches:
        for path in files:
            file = Path(base) / path
            if path not in before and file.is_file():
                before[path] = model.Text(file.read_bytes(), model.is_executable(file))
    stream = []
    _commit(stream, 0, "base\n", before)
    for number, (message, files) in enumerate(patches, 1):
        _commit(stream, number, message, files)
    git(repo, "fast-import", "--quiet", data=b"".join(stream))
    ids = git(repo, "rev-list", "--reverse", BRANCH).decode().split()
    git(repo, "tag", "base", ids[0])
    return ids


# ---- patches ----

def write_patches(out, series, base, patches, steps, part=""):
    """Write to the folder @out the numbered patches, the cover letter, the mbox and quilt's list of @patches, or of those
    among them that belong to @part, on top of the others. Returns the names of the patches."""
    ours = [patch for patch in patches if part in ("", patch.part)]
    skipped = len(patches) - len(ours)
    with tempfile.TemporaryDirectory(prefix="kas-series.") as tmp:
        repo, made = Path(tmp) / "repo", Path(tmp) / "out"
        init(repo)
        before = commit_all(repo, base, [(patch.message, step) for patch, step in zip(patches, steps)])[skipped]
        git(repo, "format-patch", "-q", "-o", str(made), "-n", "--zero-commit", "--no-signature", "--full-index", "--no-renames",
            "--diff-algorithm=histogram", "--stat=72", "--subject-prefix=PATCH", f"{before}..{BRANCH}")
        stat = git(repo, "diff", "--stat=72", "--summary", "--no-renames", before, BRANCH).decode()
        names = sorted(os.listdir(made))
        texts = {name: (made / name).read_bytes() for name in names}
    mbox = b"".join(texts[name] for name in names)
    # Not in the mbox: git am stops at a mail without a patch.
    texts["0000-cover-letter.patch"] = cover(series, base, ours, stat, part).encode()
    texts[f"{part}.mbox" if part else MBOX] = mbox
    texts["series"] = "".join(name + "\n" for name in names).encode()
    out.mkdir(parents=True)
    for name, text in texts.items():
        (out / name).write_bytes(text)
        (out / name).chmod(0o644)
    return names


def _read(path):
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        raise HarnessError(f"there is no {path}") from None


def cover(series, base, patches, stat, part=""):
    """The cover letter of @part, or of all: cover.md, what has changed, what it needs, the subjects, the diffstat and the base."""
    folder = series.root / "series" / part
    title, _, body = _read(folder / "cover.md").partition("\n")
    body = body.strip("\n")
    if not part and {patch.part for patch in patches} != set(series.parts):
        body += f"\n\nOnly these parts: {', '.join(dict.fromkeys(patch.part for patch in patches))}"
    if part:
        body += "\n\n" + _read(folder / "changes.md")
        body += f"\n\nDepends on: {', '.join(series.parts[part]) or 'nothing'}"
        for patch in series.patches:
            if patch.part == part and patch.joins:
                body += f"\nLeft out here, as it also needs {', '.join(patch.joins)}: \"{patch.subject}\""
    count = len(patches)
    subjects = "\n".join("  " + patch.subject for patch in patches)
    head = (f"From {ZERO} Mon Sep 17 00:00:00 2001\nFrom: {NAME} <{MAIL}>\nDate: Thu, 1 Jan 2026 00:00:00 +0000\n"
            f"Subject: [PATCH {'0' * len(str(count))}/{count}] {title.lstrip('# ')}\n")
    text = f"{body}\n\n{NAME} ({count}):\n{subjects}\n\n{stat}\n{_base_lines(series.root, base)}"
    if not (head + text).isascii():
        head += "MIME-Version: 1.0\nContent-Type: text/plain; charset=UTF-8\nContent-Transfer-Encoding: 8bit\n"
    return head + "\n" + text


def _base_lines(root, base):
    """What the cover letter says of the base: git's own word where that is a commit."""
    commit = checkout.commit_of(base)
    if commit:
        return f"base: Linux {Path(base).name.rpartition('-')[0]}\nbase-commit: {commit}\n"
    pin = base_mod.read_pin(root)
    return f"base: {pin['package']} {pin['version']}\nbase-sha256: {pin['tarball-sha256']} {Path(pin['tarball']).name}\n"


# ---- the branch to work on ----

def fingerprint(root):
    """A hash of the stored series, to see whether it changed."""
    digest = hashlib.sha256()
    root = Path(root)
    for folder in ["series", *sorted(model.KERNEL_FOLDERS)]:
        if (root / folder).is_dir():
            for path, _ in sorted(base_mod.walk(root / folder)):
                digest.update(f"{folder}/{path}\n{base_mod.sha256(root / folder / path)}\n".encode())
    return digest.hexdigest()


def make_tree(series, base, steps, dest):
    """Make the branch in @dest, whose files are those of the composed series already (or none: for tests)."""
    shutil.rmtree(dest / ".git", ignore_errors=True)
    init(dest)
    (dest / ".git" / "info" / "exclude").write_text("*\n")
    commit_all(dest, base, [(f"{patch.message}\nSlug: {patch.slug}\n", step) for patch, step in zip(series.patches, steps)])
    git(dest, "config", "user.name", NAME)
    git(dest, "config", "user.email", MAIL)
    git(dest, "config", "kas.source", fingerprint(series.root))
    git(dest, "config", "kas.base", Path(base).name)
    git(dest, "reset", "-q")
    mark_saved(dest)


def made_from(dest):
    """The name of the base of the branch in @dest, "" if it does not say."""
    return git(dest, "config", "kas.base", check=False).decode().strip()


def mark_saved(dest):
    git(dest, "update-ref", "refs/kas/saved", "HEAD")


def _uncommitted(dest):
    return git(dest, "status", "--porcelain", "--untracked-files=no").decode()


def refuse_unsaved(dest):
    """Stop when @dest holds work that making it again would lose."""
    if not (dest / ".git").exists():
        return
    saved = git(dest, "rev-parse", "-q", "--verify", "refs/kas/saved", check=False)
    if _uncommitted(dest) or saved != git(dest, "rev-parse", "HEAD"):
        raise HarnessError(f"{dest} holds work that is not exported: commit it and run 'make export', or remove the folder")


def refuse_dirty(dest, base):
    """Stop when files of @dest differ from its last commit, or from the base and are in no commit."""
    dirty = [line[3:] for line in _uncommitted(dest).splitlines()]
    tracked = set(git(dest, "ls-files", "-z").decode().split("\0"))
    pristine = base_mod.read_file_list(base)
    for entry in os.scandir(dest):
        if entry.name == ".git" or entry.name.startswith((".kas-", "o-")):
            continue
        if entry.is_dir(follow_symlinks=False):
            found = [(f"{entry.name}/{name}", st) for name, st in base_mod.walk(entry.path)]
        else:
            found = [(entry.name, entry.stat(follow_symlinks=False))]
        for path, st in found:
            if path in tracked or path.endswith(("~", ".orig", ".rej", ".swp", ".tmp")):
                continue
            if pristine.get(path) == (st.st_size, st.st_mtime_ns):
                continue
            if path not in pristine or (dest / path).read_bytes() != (base / path).read_bytes():
                dirty.append(f"{path} (in no commit: git add -f)")
    if dirty:
        more = f"\n  and {len(dirty) - 10} more" if len(dirty) > 10 else ""
        raise HarnessError(f"{dest} has changes that are not committed:\n  " + "\n  ".join(sorted(dirty)[:10]) + more)


# ---- the way back ----

def _derive_slug(subject):
    return re.sub(r"[^a-z0-9]+", "-", subject.lower()).strip("-")


def read_commits(repo, base):
    """[(slug, message, {path: Text})] of the commits of the branch."""
    root = git(repo, "rev-parse", "base^{commit}").decode().strip()
    if git(repo, "merge-base", "base", "HEAD", check=False).decode().strip() != root:
        raise HarnessError(f"{repo}: HEAD does not descend from the commit 'base'")
    if git(repo, "rev-list", "--merges", f"{root}..HEAD").strip():
        raise HarnessError(f"{repo}: there is a merge between 'base' and HEAD; a series has none")
    result = []
    for commit in git(repo, "rev-list", "--reverse", f"{root}..HEAD").decode().split():
        raw = git(repo, "show", "-s", "--format=%B", commit).decode()
        named = SLUG_LINE.search(raw)
        message = SLUG_LINE.sub("", raw).strip() + "\n"
        if not message.strip():
            raise HarnessError(f"{repo}: commit {commit[:12]} has no subject")
        subject = message.split("\n", 1)[0]
        if subject.startswith(("fixup!", "squash!", "amend!")):
            raise HarnessError(f"{repo}: '{subject}' is not squashed yet: git rebase -i --autosquash base")
        slug = named[1] if named else _derive_slug(subject)
        if slug in [item[0] for item in result]:
            raise HarnessError(f"{repo}: two commits are called {slug}; give '{subject}' another 'Slug:' line")
        model.check_message(f"the commit of {slug}", message)
        result.append((slug, message, _changes(repo, commit, subject)))
    if not result:
        raise HarnessError(f"{repo}: there is no commit after 'base'")
    return result


def _changes(repo, commit, subject):
    fields = git(repo, "diff-tree", "-r", "-z", "--no-renames", "--no-commit-id", commit).decode().split("\0")
    files = {}
    for info, path in zip(fields[0::2], fields[1::2]):
        old_mode, mode, _, blob, status = info.lstrip(":").split()
        if status not in "AM" or mode not in ("100644", "100755") or (status == "M" and old_mode != mode):
            raise HarnessError(f"'{subject}' removes {path} or changes its kind or mode: a patch of this series cannot")
        files[path] = model.Text(git(repo, "cat-file", "blob", blob), mode == "100755")
        if b"\0" in files[path].data:
            raise HarnessError(f"'{subject}' adds the binary file {path}")
    return files


def _order(old_lines, slugs):
    """series/order for @slugs: what is above a patch stays above it, or above the next one that is left."""
    known = {slug for slug, _, _ in model.parse_order(old_lines)[1]}
    above, block, written = {}, [], {}
    for line in old_lines:
        slug = line.partition(" with ")[0]
        if slug in slugs:
            above[slug], written[slug], block = block, line, []
        elif slug not in known:
            block.append(line)
    lines = []
    for slug in slugs:
        lines += above.get(slug, []) + [written.get(slug, slug)]
    lines += block
    used = {part for _, part, _ in model.parse_order(lines)[1]}
    return [line for line in lines if not model.HEADING.match(line) or model.HEADING.match(line)[1] in used]


def stored_form(root, base, patches):
    """{path in the repository: Text} of everything that @patches, as read_commits() returns them, are stored as."""
    order = (root / "series" / "order").read_text().splitlines()[1:] if (root / "series" / "order").exists() else []
    lines = _order(order, [slug for slug, _, _ in patches])
    folders = {slug: f"series/{part}/{slug}" for slug, part, _ in model.parse_order(lines)[1]}
    lines = [model.base_line(root), *lines]
    stored = {"series/order": model.Text("".join(line + "\n" for line in lines).encode())}
    edited, new = set(), {}
    with tempfile.TemporaryDirectory(prefix="kas-export.") as repo:
        init(repo)
        ids = commit_all(repo, base, [(message, files) for _, message, files in patches])
        for (slug, message, files), commit in zip(patches, ids[1:]):
            folder = folders[slug]
            stored[f"{folder}/msg"] = model.Text(message.encode())
            added = sorted(path for path in files if path not in new and not (base / path).is_file())
            for path in added:
                if path.split("/")[0] not in model.KERNEL_FOLDERS or "/" not in path:
                    raise HarnessError(f"{slug} adds {path}, which is in no folder of the kernel")
            if added:
                stored[f"{folder}/new"] = model.Text("".join(path + "\n" for path in added).encode())
            for path in files:
                if (base / path).is_file():
                    edited.add(path)
                else:
                    new[path] = files[path]
            diffs = git(repo, "diff-tree", "-p", "--no-commit-id", "--no-renames", "--diff-algorithm=histogram", commit)
            for path, text in _split(diffs).items():
                if path not in added:
                    stored[f"{folder}/edits/{path}.diff"] = model.Text(text)
            if not added and not any(name.startswith(f"{folder}/edits/") for name in stored):
                raise HarnessError(f"{slug} changes nothing")
    stored.update(new)
    stored["base/PREIMAGES"] = model.Text(base_mod.format_preimages(base, edited).encode())
    return stored


def _split(diffs):
    """{path: unified diff} of git's output: without git's own lines, whose hashes would change with every patch before."""
    result = {}
    for part in re.split(rb"^(?=diff --git )", diffs, flags=re.M)[1:]:
        path = part.split(b"\n", 1)[0].split(b" b/")[1].decode()
        body = part.find(b"\n--- ")
        if body >= 0:
            result[path] = part[body + 1:]
    return result


def write_source(root, base, patches):
    """Store @patches in the repository @root; returns the paths that changed."""
    root, base = Path(root), Path(base)
    stored = stored_form(root, base, patches)
    old = {f"series/{name}" for name, _ in base_mod.walk(root / "series") if name.count("/") > 1}
    for listing in (root / "series").glob("*/*/new"):
        old.update(listing.read_text().split())
    parts = model.parse_order(stored["series/order"].data.decode().splitlines()[1:])[0]
    for folder in (root / "series").iterdir():
        # Of a part that has lost its last patch.
        if folder.is_dir() and folder.name not in parts:
            old.update(f"series/{folder.name}/{name}" for name in model.PART_FILES if (folder / name).exists())
    changed = []
    for path, text in sorted(stored.items()):
        file = root / path
        if not file.is_file() or file.read_bytes() != text.data or model.is_executable(file) != text.executable:
            replace_file(file, text.data)
            file.chmod(0o755 if text.executable else 0o644)
            changed.append(path)
    for path in sorted(old - set(stored)):
        file = root / path
        file.unlink(missing_ok=True)
        changed.append(path + " (removed)")
        folder = file.parent
        while folder != root and not any(folder.iterdir()):
            folder.rmdir()
            folder = folder.parent
    return changed


def export(repo, base, root):
    """Store the branch of @repo in the repository @root; returns the paths that changed."""
    repo, root = Path(repo), Path(root)
    if git(repo, "config", "kas.source", check=False).decode().strip() != fingerprint(root):
        raise HarnessError("series/ or a new kernel file changed here since 'make tree'; export would overwrite that.\n"
                           "  Put the changes aside (git stash), run 'make export', then 'git stash pop'")
    changed = write_source(root, base, read_commits(repo, base))
    git(repo, "config", "kas.source", fingerprint(root))
    return changed


def refresh(root, base):
    """Write the stored series again in the form that export gives it; returns the paths that changed."""
    series = model.load(root)
    steps = model.compose(series, base)
    return write_source(root, base, [(patch.slug, patch.message, step) for patch, step in zip(series.patches, steps)])
