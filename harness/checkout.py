# SPDX-License-Identifier: GPL-2.0
"""A kernel that somebody has checked out, in place of the pinned base: TREE=FOLDER.

What is committed there is unpacked into the cache, once for each commit, so that nothing of the folder is a part of what is
built here, and no build leaves anything in it. Only one of these is kept.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

from .common import LOGS, PROGRESS, HarnessError, need, refuse_full_disk, say, start, tail

OLDEST = (6, 12)
FIELD = re.compile(r"^(VERSION|PATCHLEVEL|SUBLEVEL|EXTRAVERSION) *=[ \t]*(\S*)", re.M)
# Behind the name of a folder of the cache: the commit that is in it.
COMMIT = ".commit"


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
    """What git says of the repository @tree, of whomever that is; "" if it refuses."""
    proc = subprocess.run(["git", "-c", "safe.directory=*", "-C", str(tree), *args], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, errors="replace")
    return proc.stdout.strip() if proc.returncode == 0 else ""


def commit_of(base):
    """The commit that the folder @base of the cache was unpacked from; None if that is a package."""
    file = Path(f"{base}{COMMIT}")
    return file.read_text().strip() if file.exists() else None


def _forget(folder, keep):
    """Remove what was unpacked of other commits."""
    for file in folder.glob(f"*{COMMIT}"):
        name = file.name.removesuffix(COMMIT)
        if name != keep:
            for path in (folder / name, folder / f"{name}.files", file):
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def snapshot(tree, folder, whole, write_file_list):
    """The folder in @folder that has what is committed in @tree, unpacked if it is not @whole there."""
    tree = Path(tree).resolve()
    if not (tree / "Makefile").is_file():
        raise HarnessError(f"TREE: there is no source of Linux in {tree}")
    need({"git": "git", "tar": "tar"})
    commit = _git(tree, "rev-parse", "-q", "--verify", "HEAD^{commit}")
    if not commit or Path(_git(tree, "rev-parse", "--show-toplevel")).resolve() != tree:
        raise HarnessError(f"TREE: {tree} is not the top of a git repository with a commit. Of an unpacked tarball it is one after\n"
                           "  git init, git add -f . and git commit")
    if _git(tree, "status", "--porcelain", "--untracked-files=no"):
        say(f"note: {tree} has changes that are not committed; they are left out")
    target = folder / f"{version(_git(tree, 'show', f'{commit}:Makefile'), tree)}-{commit[:12]}"
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
        one = start(["git", "-c", "safe.directory=*", "-C", tree, "archive", commit], stdout=subprocess.PIPE, stderr=err)
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
    os.replace(tmp, target)
    Path(f"{target}{COMMIT}").write_text(commit + "\n")
    return target
