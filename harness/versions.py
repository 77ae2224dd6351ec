# SPDX-License-Identifier: GPL-2.0
"""What has changed since the last version: git range-diff, beside the mboxes, for those who have read that one.

A version is a tag of this repository, like 6.12.117-kas2: the kernel, and the number of the series.
"""

import io
import tarfile
import tempfile
from pathlib import Path

from . import gitform, model
from .common import HarnessError

TAGS = "[0-9]*-kas[0-9]*"
NAME = "range-diff"


def last(root):
    """The newest version before what is checked out in @root; "" if there is none, or no git."""
    if not (Path(root) / ".git").exists():
        return ""
    return gitform.git(root, "describe", "--tags", "--abbrev=0", f"--match={TAGS}", "HEAD^", check=False).decode().strip()


def _stored(root, tag, folder):
    """The series as it was stored at @tag, unpacked into @folder."""
    paths = [name for name in gitform.git(root, "ls-tree", "--name-only", tag).decode().split("\n")
             if name in model.KERNEL_FOLDERS or name in ("series", "base")]
    with tarfile.open(fileobj=io.BytesIO(gitform.git(root, "archive", tag, *paths))) as archive:
        archive.extractall(folder, filter="data")
    return model.load(folder)


def _branch(repo, base, patches, steps, part):
    """The range of commits of those of @patches that are of @part, or all."""
    ids = gitform.commit_all(repo, base, [(patch.message, step) for patch, step in zip(patches, steps)])
    gitform.git(repo, "tag", "-d", "base")
    gitform.git(repo, "update-ref", "-d", f"refs/heads/{gitform.BRANCH}")
    skipped = sum(part not in ("", patch.part) for patch in patches)
    return f"{ids[skipped]}..{ids[-1]}"


def range_diff(series, base, parts, tag):
    """{part, or "" for @parts together: text} against @series as it was at @tag.

    A part that there was not yet has none. HarnessError says why there can be none at all.
    """
    texts = {}
    with tempfile.TemporaryDirectory(prefix="kas-version.") as tmp:
        old = _stored(series.root, tag, Path(tmp) / "old")
        chosen = {"": [part for part in parts if part in old.parts]}
        chosen.update((part, [*old.parts[part], part]) for part in chosen[""])
        try:
            before = {part: model.compose_parts(old, base, names) for part, names in chosen.items() if names}
        except HarnessError as err:
            raise HarnessError(f"what was stored at {tag} does not apply to {Path(base).name}: {err}") from None
        for part, composed in before.items():
            repo = Path(tmp) / (part or "all")
            gitform.init(repo)
            now = model.compose_parts(series, base, [*series.parts[part], part] if part else parts)
            texts[part] = gitform.git(repo, "range-diff", "--no-color", _branch(repo, base, *composed, part),
                                      _branch(repo, base, *now, part)).decode(errors="replace")
    return texts
