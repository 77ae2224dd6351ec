# SPDX-License-Identifier: GPL-2.0
"""A kernel that somebody has checked out, in place of the pinned base: TREE=FOLDER.

What is committed there is unpacked into the cache, once for each commit, so that nothing of the folder is a part of what is
built here, and no build leaves anything in it. Only one of these is kept.
"""

import fcntl
import os
import re
import shutil
import subprocess
from pathlib import Path

from .common import LOGS, PROGRESS, HarnessError, need, refuse_full_disk, say, start, tail

OLDEST = (6, 12)
FIELD = re.compile(r"^(VERSION|PATCHLEVEL|SUBLEVEL|EXTRAVERSION) *=[ \t]*(\S*)", re.M)
# Behind the name of a folder of the cache: the commit that is in it, and the lock of those who use it.
COMMIT, LOCK = ".commit", ".lock"
GIT = ["git", "--no-optional-locks", "-c", "core.fsmonitor=false"]
_held = []


def version(makefile, tree):
    """The version of the kernel whose top Makefile has the text @makefile."""
    found = dict(FIELD.findall(makefile))
    try:
        numbers = int(found["VERSION"]), int(found["PATCHLEVEL"])
        text = "{VERSION}.{PATCHLEVEL}.{SUBLEVEL}{EXTRAVERSION}".format(**found)
    except (KeyError, ValueError):
        raise HarnessError(f"TREE: {tree} is no source of Linux: its Makefile has no version") from None
    if numbers < OLDEST:
        raise HarnessError(f"TREE: {tree} is Linux {text}; the series is for {'.'.join(map(str, OLDEST))} and newer")
    return text


def _git(tree, *args):
    """What git says of the repository @tree. It starts no monitor that the repository's settings name, and takes no lock."""
    proc = subprocess.run([*GIT, "-C", str(tree), *args], stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
    if proc.returncode:
        raise HarnessError(f"TREE: git says of {tree}: {proc.stderr.strip()}\n"
                           "  It has to be the top of a git repository with a commit, and yours. Of an unpacked tarball it is one after\n"
                           "  git init, git add -f . and git commit")
    return proc.stdout.strip()


def commit_of(base):
    """The commit that the folder @base of the cache was unpacked from; None if that is a package."""
    file = Path(f"{base}{COMMIT}")
    return file.read_text().strip() if file.exists() else None


def _hold(base, how):
    """Lock the folder @base of the cache for as long as this process lives; False if another one has it."""
    lock = open(f"{base}{LOCK}", "w")
    try:
        fcntl.flock(lock, how | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return False
    _held.append(lock)
    return True


def _forget(folder, keep):
    """Remove what was unpacked of other commits, but for what another run uses, and what was not unpacked to its end."""
    for path in folder.glob("*.unpack"):
        shutil.rmtree(path)
    for file in folder.glob(f"*{COMMIT}"):
        name = file.name.removesuffix(COMMIT)
        if name != keep and _hold(folder / name, fcntl.LOCK_EX):
            for path in (folder / name, folder / f"{name}.files", file, folder / f"{name}{LOCK}"):
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def snapshot(tree, folder, whole, write_file_list):
    """The folder in @folder that has what is committed in @tree, unpacked if it is not @whole there."""
    tree = Path(tree).resolve()
    if not (tree / "Makefile").is_file():
        raise HarnessError(f"TREE: there is no source of Linux in {tree}")
    need({"git": "git", "tar": "tar"})
    commit = _git(tree, "rev-parse", "--verify", "HEAD^{commit}")
    top = _git(tree, "rev-parse", "--show-toplevel")
    if Path(top).resolve() != tree:
        raise HarnessError(f"TREE: {tree} is not the top of the git repository that it is in, which is {top}")
    if _git(tree, "status", "--porcelain", "--untracked-files=no"):
        say(f"note: {tree} has changes that are not committed; they are left out")
    target = folder / f"{version(_git(tree, 'show', f'{commit}:Makefile'), tree)}-{commit[:12]}"
    _hold(target, fcntl.LOCK_SH)
    if commit_of(target) == commit and whole(target):
        return target
    _forget(folder, target.name)
    log = LOGS / "base-tree.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    tmp = target.with_name(f"{target.name}.unpack")
    shutil.rmtree(tmp, ignore_errors=True)
    tmp.mkdir(parents=True)
    PROGRESS.tick("unpacking", f"{commit[:12]} of {tree}")
    with open(log, "wb") as err:
        one = start([*GIT, "-C", tree, "archive", commit], stdout=subprocess.PIPE, stderr=err)
        two = start(["tar", "-x", "--no-same-owner", "-C", tmp], stdin=one.stdout, stderr=err)
        one.stdout.close()
        bad = any([one.wait(), two.wait()])
    PROGRESS.done("unpacking")
    if bad:
        shutil.rmtree(tmp, ignore_errors=True)
        refuse_full_disk(log)
        raise HarnessError(f"unpacking {commit[:12]} of {tree} failed\n  log: {log}\n{tail(log)}")
    shutil.rmtree(target, ignore_errors=True)
    write_file_list(tmp, Path(f"{target}.files"))
    Path(f"{target}{COMMIT}").write_text(commit + "\n")
    os.replace(tmp, target)
    return target
