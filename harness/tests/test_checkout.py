# SPDX-License-Identifier: GPL-2.0
"""TREE: somebody's own checkout in place of the pinned base."""

import os
import subprocess
from unittest import mock

from .. import base, checkout, gitform, model, series
from ..common import HarnessError
from .sample import write
from .test_base import WithSample

MAKEFILE = "# SPDX\nVERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 200\nEXTRAVERSION = -rc1\nNAME = x\n"


class Tree(WithSample):
    def setUp(self):
        super().setUp()
        self.cache, self.tree = self.sample.top / "cache", self.sample.top / "linux"
        self.base.rename(self.tree)
        self.base = self.tree
        write(self.tree, {"Makefile": MAKEFILE, ".gitignore": "*.o\n"})
        gitform.init(self.tree)
        self.commit()
        self.addCleanup(self.let_go)

    def let_go(self):
        while checkout._held:
            checkout._held.pop().close()

    def commit(self):
        gitform.git(self.tree, "add", "-A")
        gitform.git(self.tree, "commit", "-q", "-m", "some")
        return gitform.git(self.tree, "rev-parse", "HEAD").decode().strip()

    def ensure(self, tree=None):
        base._checked.clear()
        with mock.patch.dict(os.environ, {"TREE": str(tree or self.tree)}), mock.patch.object(base, "say") as said, \
                mock.patch.object(checkout, "say", said), mock.patch.object(base, "_make", side_effect=AssertionError("the pinned one")):
            return base.ensure_base(self.root, self.cache), [call[0][0] for call in said.call_args_list]

    def fails(self, pattern, tree=None):
        with self.assertRaisesRegex(HarnessError, pattern):
            self.ensure(tree)

    def test_what_is_committed(self):
        write(self.tree, {"mm/mmap.o": "built", "mm/mmap.c": "int dirty;\n"})
        found, said = self.ensure()
        commit = gitform.git(self.tree, "rev-parse", "HEAD").decode().strip()
        self.assertEqual(found.name, f"6.12.200-rc1-{commit[:12]}")
        self.assertEqual((found / "mm/mmap.c").read_text(), "int mmap;\n")
        self.assertFalse((found / "mm/mmap.o").exists())
        self.assertIn("not committed", said[0])
        self.assertEqual(checkout.commit_of(found), commit)
        self.assertEqual(base.changed_files(found), [])

    def test_once_for_each_commit(self):
        first, _ = self.ensure()
        with mock.patch.object(checkout, "start", side_effect=AssertionError("unpacked twice")):
            self.assertEqual(self.ensure(), (first, []))
        checkout._held.pop().close()
        checkout._held.pop().close()
        write(first, {"mm/mmap.c": "int broken;\n"})
        self.ensure()
        self.assertEqual((first / "mm/mmap.c").read_text(), "int mmap;\n")
        checkout._held.pop().close()
        self.edit("kernel/other.c", "other", "changed")
        self.commit()
        second, _ = self.ensure()
        self.assertEqual((second / "kernel/other.c").read_text(), "int changed;\n")
        self.assertEqual(sorted(path.name for path in (self.cache / "base").iterdir()),
                         sorted([second.name, *(second.name + end for end in (".files", ".commit", ".lock")), "lock"]))

    def test_what_another_run_uses_stays(self):
        first, _ = self.ensure()
        self.edit("kernel/other.c", "other", "changed")
        self.commit()
        # This process has it, and so has another one: a lock of an open file is not of the process.
        self.ensure()
        self.assertTrue((first / "kernel/other.c").exists())
        for lock in checkout._held:
            lock.close()
        (first.parent / "6.13-x.unpack").mkdir()
        self.edit("kernel/other.c", "changed", "more")
        self.commit()
        self.ensure()
        self.assertFalse(first.exists())
        self.assertEqual(list(first.parent.glob("*.unpack")), [])

    def test_what_does_not_fit_is_named(self):
        self.edit("mm/memory.c", "int line20;", "int drift20;")
        self.commit()
        self.fails(r"(?s)\Athe series does not apply to 6.12.200-rc1-\w+, which is TREE:\nseries/one/second: mm/memory.c: hunk .*"
                   r"changed since the pinned base: mm/memory.c\n.*am -3")

    def test_the_merge_that_it_tells_of(self):
        """A hunk whose context has changed, which only git's three ways can place."""
        self.edit("mm/memory.c", "int line18;", "int drift18;")
        self.commit()
        self.fails("mm/memory.c: hunk")
        work, out = self.sample.top / "work", self.sample.top / "out"
        stored, pinned = model.load(self.root), self.sample.top / "6.12.0-1"
        subprocess.run(["git", "-C", self.tree, "worktree", "add", "-q", "--detach", pinned, "HEAD~1"], check=True)
        steps = model.compose(stored, pinned)
        gitform.write_patches(out, stored, pinned, stored.patches, steps)
        gitform.make_tree(stored, pinned, steps, work)
        gitform.git(self.tree, "fetch", "-q", work, gitform.BRANCH)
        gitform.git(self.tree, "am", "-q", "-3", out / gitform.MBOX)
        text = (self.tree / "mm/memory.c").read_text()
        self.assertIn("int drift18;\nint line19;\nint changed20;\n", text)

    def test_no_tree(self):
        self.fails("there is no source of Linux in", self.sample.top)
        self.fails("git says of .*not a git repository(?s:.*)has to be the top of a git repository", self.plain({"Makefile": MAKEFILE}))
        write(self.tree, {"below/Makefile": MAKEFILE})
        self.fails("below is not the top of the git repository that it is in, which is", self.tree / "below")

    def plain(self, files):
        top = self.sample.top / "plain"
        write(top, files)
        return top

    def test_another_version(self):
        write(self.tree, {"Makefile": MAKEFILE.replace("PATCHLEVEL = 12", "PATCHLEVEL = 6")})
        self.commit()
        self.fails("is Linux 6.6.200-rc1; the series is for 6.12 and newer")
        write(self.tree, {"Makefile": "all:\n"})
        self.commit()
        self.fails("its Makefile has no version")

    def test_nothing_is_stored_against_it(self):
        with mock.patch.dict(os.environ, {"TREE": str(self.tree)}), self.assertRaisesRegex(HarnessError, "run this without TREE"):
            series._pinned_base()
        found, _ = self.ensure()
        work, stored = self.sample.top / "build" / "tree", model.load(self.root)
        gitform.make_tree(stored, found, model.compose(stored, found), work)
        self.assertEqual(gitform.made_from(work), found.name)
        with mock.patch.object(series, "BUILD", work.parent), mock.patch.object(series, "_pinned_base", return_value=self.sample.top / "6.12.0-1"), \
                self.assertRaisesRegex(HarnessError, f"was made from another base, {found.name}: "):
            series.cmd_export(None)

    def test_cover_letter(self):
        found, _ = self.ensure()
        stored = model.load(self.root)
        gitform.write_patches(self.sample.top / "out", stored, found, stored.patches, model.compose(stored, found))
        text = (self.sample.top / "out/0000-cover-letter.patch").read_text()
        self.assertTrue(text.endswith(f"base: Linux 6.12.200-rc1\nbase-commit: {checkout.commit_of(found)}\n"), text)


if __name__ == "__main__":
    import unittest
    unittest.main()
