# SPDX-License-Identifier: GPL-2.0
"""The stored series, its composition, the tree to build, the patches and the branch."""

import os
import time
import unittest
from unittest import mock

from .. import base, diff, gitform, model, series, weave
from ..common import HarnessError
from .sample import Sample, write


class WithSample(unittest.TestCase):
    def setUp(self):
        self.sample = Sample()
        self.sample.__enter__()
        self.addCleanup(self.sample.__exit__)
        self.root, self.base = self.sample.root, self.sample.base

    def fails(self, words, function, *args, **kwargs):
        with self.assertRaises(HarnessError) as caught:
            function(*args, **kwargs)
        for word in words.split("|"):
            self.assertIn(word, str(caught.exception))

    def compose(self):
        stored = model.load(self.root)
        return stored, model.compose(stored, self.base)


class Guards(WithSample):
    def loading_fails(self, words, files):
        write(self.root, files)
        self.fails(words, model.load, self.root)

    def test_introduced_twice(self):
        self.loading_fails("mm/thing.c is introduced twice|first|third", {"series/two/third/new": "mm/thing.c\n"})

    def test_listed_but_missing(self):
        (self.root / "mm/thing_test.c").unlink()
        self.fails("series/two/third/new lists mm/thing_test.c", model.load, self.root)

    def test_listed_by_no_patch(self):
        self.loading_fails("no patch lists|mm/stray.c", {"mm/stray.c": "int s;\n"})

    def test_slug_not_in_order(self):
        self.loading_fails("series/two/fourth is not in series/order", {"series/two/fourth/msg": "x\n"})

    def test_slug_without_folder(self):
        self.loading_fails("names fourth", {"series/order": "# base: linux-source-6.12 6.12.0-1\none:\nfirst\nsecond\ntwo: one\nthird\nfourth\n"})

    def test_unknown_folder(self):
        self.loading_fails("unknown folder stuff/", {"stuff/a.c": "int a;\n"})

    def test_edit_of_another_path(self):
        text = (self.root / "series/one/second/edits/mm/memory.c.diff").read_text().replace("mm/memory.c", "mm/mmap.c")
        self.loading_fails("edits/mm/memory.c.diff: must edit mm/memory.c alone, but edits mm/mmap.c",
                           {"series/one/second/edits/mm/memory.c.diff": text})

    def test_edit_before_introduction(self):
        (self.root / "series/two/third/edits/mm/thing.c.diff").unlink()
        self.loading_fails("series/one/second edits mm/thing.c before third", {
            "series/one/first/new": "include/linux/thing.h\n", "series/two/third/new": "mm/thing_test.c\nmm/thing.c\n",
            "series/one/second/edits/mm/thing.c.diff": "--- a/mm/thing.c\n+++ b/mm/thing.c\n@@ -1 +1,2 @@\n int thing;\n+int more;\n"})

    def test_other_base(self):
        self.loading_fails("first line must name the base", {"series/order": "# base: linux-source-6.12 6.12.1-1\nfirst\n"})

    def test_messages(self):
        for text in ("\nbody\n", "[x] subject\n", "subject\nbody\n", "subject\n\ntrail \n", "subject\n\n---\nlost\n",
                     "subject\n\nFrom: a\n", "subject\n\nSigned-off-by: a\n", "subject\n\nSlug: a\n", "subject\n\n\nbody\n"):
            with self.subTest(text=text):
                self.loading_fails("series/one/second/msg", {"series/one/second/msg": text})


class Composition(WithSample):
    def test_introduction_text_is_recovered(self):
        _, steps = self.compose()
        self.assertEqual(steps[0]["mm/thing.c"].data, b"int thing;\n")
        self.assertEqual(steps[2]["mm/thing.c"].data, b"int thing;\nint more;\n")

    def test_edit_that_does_not_apply(self):
        write(self.base, {"mm/memory.c": (self.base / "mm/memory.c").read_text().replace("line21", "drift21")})
        self.fails("series/one/second: mm/memory.c: hunk @@ -18,7 +18,7 @@|expected|line21|found at line 18|drift21", self.compose)

    def test_moved_hunk(self):
        write(self.base, {"mm/memory.c": "int zero;\n" + (self.base / "mm/memory.c").read_text()})
        write(self.root, {"series/two/third/edits/mm/memory.c.diff":
                          "--- a/mm/memory.c\n+++ b/mm/memory.c\n@@ -5,2 +5,3 @@\n int line4;\n+int n;\n int line5;\n"})
        self.assertIn(b"int zero;\nint line0;", self.compose()[1][2]["mm/memory.c"].data)

    def test_ambiguous_place(self):
        item = diff.parse(b"--- a/f\n+++ b/f\n@@ -5 +5 @@\n-a\n+b\n")[0]
        with self.assertRaisesRegex(diff.DiffError, "more than one place: 1, 3"):
            diff.apply(item, b"a\nx\na\ny\nz\n")

    def test_no_newline_at_end(self):
        item = diff.parse(b"--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+b\n")[0]
        self.assertEqual(diff.apply(item, b"a")[0], b"b\n")
        self.assertEqual(diff.apply(diff.reverse(item), b"b\n")[0], b"a")

    def test_wrong_counts(self):
        with self.assertRaisesRegex(diff.DiffError, "belongs to no hunk"):
            diff.parse(b"--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n+c\n")
        with self.assertRaisesRegex(diff.DiffError, "ends too early"):
            diff.parse(b"--- a/f\n+++ b/f\n@@ -1,3 +1,3 @@\n-a\n+b\n")
        with self.assertRaisesRegex(diff.DiffError, "its header says otherwise"):
            diff.parse(b"--- a/f\n+++ b/f\n@@ -1 +1,2 @@\n-a\n-b\n+c\n+d\n")


class Weaves(unittest.TestCase):
    def weave(self, *texts):
        result = weave.Weave(texts[0].encode())
        for number, text in enumerate(texts[1:], 1):
            result.add(f"p{number}", text.encode())
        return result

    def test_all_gives_each_text(self):
        texts = ["a\nb\nc\n", "a\nx\nb\nc\n", "x\nb\ny\n", "x\nb\nz\ny\nw\n"]
        self.assertEqual(self.weave(*texts).texts(["p1", "p2", "p3"]), [text.encode() for text in texts[1:]])

    def test_one_is_left_out(self):
        made = self.weave("a\nb\n", "a\nmine\nb\n", "a\nmine\nother\nb\n", "a\nmine\nother\nmine too\nb\n")
        self.assertEqual(made.texts(["p1", "p3"]), [b"a\nmine\nb\n", b"a\nmine\nmine too\nb\n"])
        self.assertEqual(made.texts(["p2"]), [b"a\nother\nb\n"])
        self.assertEqual(made.texts([]), [])

    def test_what_it_removes_stays_without_it(self):
        made = self.weave("a\nb\nc\n", "a\nc\n", "a\nc\nx\n")
        self.assertEqual(made.texts(["p2"]), [b"a\nb\nc\nx\n"])

    def test_no_change_without_the_others(self):
        self.assertEqual(self.weave("a\n", "a\nb\n", "a\n").texts(["p1"]), [b"a\nb\n"])
        self.assertEqual(self.weave("a\n", "b\n", "b\nc\n").texts(["p1", "p2"]), [b"b\n", b"b\nc\n"])

    def test_needs_what_is_left_out(self):
        with self.assertRaises(ValueError) as caught:
            self.weave("a\n", "a\nb\n", "a\nB\n").texts(["p2"])
        self.assertEqual(caught.exception.args, ("p2", "p1"))


class Parts(WithSample):
    """The sample, with a part that needs neither of the others, and joins the second one."""

    def setUp(self):
        super().setUp()
        order = (self.root / "series/order").read_text().replace("# the end\n", "three:\nfourth\nfifth with two\n# the end\n")
        write(self.root, {
            "series/order": order, "series/three/cover.md": "# The third part\n\nText.\n", "series/three/changes.md": "None yet.\n",
            "series/three/fourth/msg": "mm: Something else\n", "series/three/fifth/msg": "mm: Join them\n",
            "series/three/fourth/edits/mm/Makefile.diff":
                "--- a/mm/Makefile\n+++ b/mm/Makefile\n@@ -1,3 +1,4 @@\n obj-y := memory.o\n obj-y += mmap.o\n obj-y += thing.o\n+obj-y += else.o\n",
            "series/three/fifth/edits/mm/thing_test.c.diff":
                "--- a/mm/thing_test.c\n+++ b/mm/thing_test.c\n@@ -1 +1,2 @@\n int thing_test;\n+int joined;\n",
            "mm/thing_test.c": "int thing_test;\nint joined;\n"})

    def parts(self, *names):
        return model.compose_parts(model.load(self.root), self.base, list(names))

    def test_needs(self):
        stored = model.load(self.root)
        self.assertEqual(stored.parts, {"one": [], "two": ["one"], "three": []})
        self.assertEqual([(patch.slug, patch.part, patch.joins) for patch in stored.patches][-2:],
                         [("fourth", "three", ()), ("fifth", "three", ("two",))])
        self.fails("the part two needs one as well", self.parts, "two")
        self.fails("no part four|one, two, three", self.parts, "four")

    def test_alone(self):
        patches, steps = self.parts("three")
        self.assertEqual([patch.slug for patch in patches], ["fourth"])
        self.assertEqual(steps[0]["mm/Makefile"].data, b"obj-y := memory.o\nobj-y += mmap.o\nobj-y += else.o\n")
        patches, steps = self.parts("one", "two")
        self.assertEqual(model.overlay(steps)["mm/thing_test.c"].data, b"int thing_test;\n")
        self.assertNotIn(b"else", model.overlay(steps)["mm/Makefile"].data)

    def test_all_is_the_series(self):
        patches, steps = self.parts("one", "two", "three")
        self.assertEqual([patch.slug for patch in patches], ["first", "second", "third", "fourth", "fifth"])
        self.assertEqual(model.overlay(steps)["mm/thing_test.c"].data, b"int thing_test;\nint joined;\n")

    def test_a_need_that_nobody_names(self):
        write(self.root, {"series/three/fourth/edits/mm/Makefile.diff":
                          "--- a/mm/Makefile\n+++ b/mm/Makefile\n@@ -1,3 +1,3 @@\n obj-y := memory.o\n obj-y += mmap.o\n-obj-y += thing.o\n+obj-y += else.o\n"})
        self.fails("mm/Makefile: fourth changes what first has added", self.parts, "three")
        self.assertEqual(len(self.parts("one", "three")[0]), 3)

    def test_a_file_that_nobody_adds(self):
        write(self.root, {"series/order": (self.root / "series/order").read_text().replace("fifth with two", "fifth")})
        self.fails("series/three/fifth edits mm/thing_test.c, which third adds", self.parts, "three")
        self.assertEqual(len(self.parts("one", "two", "three")[0]), 5)

    def test_order(self):
        top = "# base: linux-source-6.12 6.12.0-1\n"
        for words, lines in (("first belongs to no part", "first\none:\n"), ("the part one is there twice", "one:\nfirst\none:\n"),
                             ("two needs three, which no line above", "one:\nfirst\ntwo: three\n"), ("first is there twice", "one:\nfirst\nfirst\n"),
                             ("left out without one, which is no part above", "one:\nfirst with one\n"), ("'A' is no slug", "one:\nA\n"),
                             ("series/three is no part", "one:\nfirst\nsecond\n"), ("the part four has no patches", "one:\nfirst\nsecond\ntwo:\nthird\nthree:\nfourth\nfifth\nfour:\n")):
            with self.subTest(words=words):
                write(self.root, {"series/order": top + lines})
                self.fails(words, model.load, self.root)

    def test_patches_of_a_part(self):
        out = self.sample.top / "out"
        series.generate(self.root, out, self.base)
        self.assertEqual(sorted(os.listdir(out / "three")), ["0000-cover-letter.patch", "0001-mm-Something-else.patch", "series", "three.mbox"])
        cover = (out / "three/0000-cover-letter.patch").read_text()
        for words in ("[PATCH 0/1] The third part", "None yet.", "Depends on: nothing", 'Left out here, as it also needs two: "mm: Join them"'):
            self.assertIn(words, cover)
        self.assertIn("Depends on: one\n", (out / "two/0000-cover-letter.patch").read_text())
        self.assertIn(" obj-y += mmap.o\n+obj-y += else.o\n", (out / "three/three.mbox").read_text())
        self.assertEqual((out / gitform.MBOX).read_text().count("\nSubject: "), 5)

    def test_only_some(self):
        out = self.sample.top / "out"
        self.assertEqual(len(series.generate(self.root, out, self.base, ["one", "three", "one"])), 3)
        self.assertFalse((out / "two").exists())
        self.assertIn("Only these parts: one, three", (out / "0000-cover-letter.patch").read_text())
        self.fails("the part two needs one", series.generate, self.root, out, self.base, ["two"])
        self.assertTrue((out / gitform.MBOX).exists())

    def test_a_part_goes_with_its_last_patch(self):
        dest = self.sample.top / "tree"
        series.patched_tree(dest, root=self.root, base=self.base)
        stored, steps = self.compose()
        gitform.make_tree(stored, self.base, steps, dest)
        gitform.git(dest, "reset", "-q", "--hard", "HEAD~2")
        gitform.export(dest, self.base, self.root)
        self.assertEqual(list(model.load(self.root).parts), ["one", "two"])


class Tree(WithSample):
    def make(self, **kwargs):
        return series.patched_tree(self.sample.top / "src", root=self.root, base=self.base, **kwargs)

    def state(self, tree):
        return {name: (st.st_ino, st.st_mtime_ns) for name, st in base.walk(tree) if not name.startswith(".kas")}

    def test_whole_prefix_and_base(self):
        tree = self.make()
        self.assertEqual((tree / "mm/thing.c").read_text(), "int thing;\nint more;\n")
        self.make(upto="first")
        self.assertEqual((tree / "mm/thing.c").read_text(), "int thing;\n")
        self.assertFalse((tree / "mm/thing_test.c").exists())
        self.make(upto="")
        self.assertFalse((tree / "include").exists())
        for name, _ in base.walk(self.base):
            self.assertEqual((tree / name).read_bytes(), (self.base / name).read_bytes())
        self.fails("no patch nope", self.make, upto="nope")

    def test_nothing_changed_nothing_written(self):
        before = self.state(self.make())
        self.assertEqual(before, self.state(self.make()))

    def test_only_what_changed_is_written(self):
        tree = self.make()
        (tree / "o-debug").mkdir()
        (tree / "o-debug/vmlinux").write_text("x")
        before = self.state(tree)
        write(self.root, {"mm/thing_test.c": "int other_test;\n"})
        after = self.state(self.make())
        self.assertEqual([name for name in before if before[name] != after.get(name)], ["mm/thing_test.c"])

    def test_back_to_the_base_is_new_to_make(self):
        tree = self.make()
        begin = time.time_ns()
        time.sleep(0.05)
        self.make(upto="")
        self.assertGreater((tree / "mm/memory.c").stat().st_mtime_ns, begin)
        self.assertEqual((self.base / "mm/memory.c").stat().st_nlink, 1)

    def test_base_is_never_written(self):
        before = {name: (self.base / name).read_bytes() for name, _ in base.walk(self.base)}
        # The first one has links for all files.
        for upto in ("", None, "first", "", "second", None):
            self.make(upto=upto)
        self.assertEqual(before, {name: (self.base / name).read_bytes() for name, _ in base.walk(self.base)})

    def test_extra(self):
        mutant = self.sample.top / "m.diff"
        mutant.write_text("# test: x\n\n--- a/mm/thing.c\n+++ b/mm/thing.c\n@@ -1,2 +1,2 @@\n int thing;\n-int more;\n+int less;\n"
                          "--- a/kernel/other.c\n+++ b/kernel/other.c\n@@ -1 +1 @@\n-int other;\n+int mutant;\n")
        tree = self.make(extra=[mutant])
        self.assertIn("less", (tree / "mm/thing.c").read_text())
        self.assertIn("mutant", (tree / "kernel/other.c").read_text())
        self.make()
        self.assertIn("more", (tree / "mm/thing.c").read_text())
        self.assertEqual((tree / "kernel/other.c").read_text(), "int other;\n")

    def test_damage_is_repaired(self):
        tree = self.make()
        (tree / "mm/thing.c").write_text("broken\n")
        (tree / "kernel/other.c").unlink()
        (tree / "mm/memory.c").unlink()
        (tree / "mm/mmap.c").unlink()
        (tree / "mm/mmap.c").write_text("broken\n")
        self.make()
        self.assertEqual((tree / "mm/mmap.c").read_text(), "int mmap;\n")
        self.assertEqual((tree / "mm/thing.c").read_text(), "int thing;\nint more;\n")
        self.assertEqual((tree / "kernel/other.c").read_text(), "int other;\n")
        self.assertIn("changed20", (tree / "mm/memory.c").read_text())

    def test_interrupted_update_is_completed(self):
        tree = self.make(upto="")
        with mock.patch.object(series._Tree, "_write", side_effect=KeyboardInterrupt):
            with self.assertRaises(KeyboardInterrupt):
                self.make()
        self.make()
        self.assertEqual((tree / "mm/thing.c").read_text(), "int thing;\nint more;\n")


class Patches(WithSample):
    def generate(self, name):
        return series.generate(self.root, self.sample.top / name, self.base)

    def texts(self, name):
        return {path: (self.sample.top / name / path).read_bytes() for path, _ in base.walk(self.sample.top / name)}

    def test_names_and_order(self):
        self.assertEqual(self.generate("a"), ["0001-mm-Add-a-thing.patch", "0002-mm-Use-the-thing.patch", "0003-mm-Extend-the-thing.patch"])
        cover = self.texts("a")["0000-cover-letter.patch"].decode()
        self.assertIn("Subject: [PATCH 0/3] A sample\n", cover)
        self.assertIn("base: linux-source-6.12 6.12.0-1\n", cover)
        self.assertIn("create mode 100644 mm/thing.c\n", cover)

    def test_reproducible_whatever_the_user_has(self):
        self.generate("a")
        config = self.sample.top / "gitconfig"
        config.write_text("[user]\nname = Somebody\n[format]\nsignature = x\nsubjectPrefix = Y\n[diff]\nalgorithm = patience\nnoprefix = true\n")
        env = {"GIT_CONFIG_GLOBAL": str(config), "GIT_AUTHOR_NAME": "Else", "TZ": "Asia/Tokyo", "LC_ALL": "C.UTF-8", "GIT_DIR": "/nowhere"}
        mask = os.umask(0o077)
        self.addCleanup(os.umask, mask)
        with mock.patch.dict(os.environ, env):
            self.generate("b")
        self.assertEqual(self.texts("a"), self.texts("b"))
        self.assertEqual(oct((self.sample.top / "b/series").stat().st_mode)[-3:], "644")

    def test_git_am(self):
        self.generate("a")
        repo = self.sample.top / "am"
        gitform.init(repo)
        write(repo, {name: (self.base / name).read_bytes() for name, _ in base.walk(self.base)})
        gitform.git(repo, "add", ".")
        gitform.git(repo, "commit", "-q", "-m", "base")
        gitform.git(repo, "am", "-q", str(self.sample.top / "a" / gitform.MBOX))
        stored, steps = self.compose()
        for path, text in model.overlay(steps).items():
            self.assertEqual((repo / path).read_bytes(), text.data)
        messages = gitform.git(repo, "log", "--reverse", "--format=%B%x00", "HEAD~3..").decode().split("\0")
        self.assertEqual([text.strip() + "\n" for text in messages if text.strip()], [patch.message for patch in stored.patches])


class RoundTrip(WithSample):
    def tree(self):
        dest = self.sample.top / "tree"
        series.patched_tree(dest, root=self.root, base=self.base)
        stored, steps = self.compose()
        gitform.make_tree(stored, self.base, steps, dest)
        return dest

    def git(self, repo, *args):
        return gitform.git(repo, *args).decode()

    def test_export_of_tree_is_the_repository(self):
        before = self.sample.read()
        tree = self.tree()
        gitform.refuse_dirty(tree, self.base)
        self.assertEqual(gitform.export(tree, self.base, self.root), [])
        self.assertEqual(before, self.sample.read())

    def test_refresh_makes_the_same(self):
        self.assertEqual(gitform.refresh(self.root, self.base), [])
        path = "series/one/second/edits/mm/memory.c.diff"
        before = (self.root / path).read_bytes()
        write(self.root, {path: b"diff --git a/mm/memory.c b/mm/memory.c\nindex 1..2 100644\n" + before})
        self.assertEqual(gitform.refresh(self.root, self.base), [path])
        self.assertEqual((self.root / path).read_bytes(), before)

    def test_work_on_the_branch(self):
        tree = self.tree()
        self.assertEqual(self.git(tree, "status", "--porcelain"), "")
        (tree / "kernel/other.c").unlink()      # an editor that replaces files
        write(tree, {"kernel/other.c": "int other2;\n", "mm/fresh.c": "int fresh;\n"})
        self.fails("kernel/other.c (in no commit|mm/fresh.c (in no commit", gitform.refuse_dirty, tree, self.base)
        self.git(tree, "add", "-f", "kernel/other.c", "mm/fresh.c")
        self.fails("work that is not exported", gitform.refuse_unsaved, tree)
        self.fails("not committed", gitform.refuse_dirty, tree, self.base)
        self.git(tree, "commit", "-q", "-m", "mm: Add fresh things\n\nBody.")
        gitform.refuse_dirty(tree, self.base)
        self.fails("work that is not exported", gitform.refuse_unsaved, tree)
        gitform.export(tree, self.base, self.root)
        self.assertEqual((self.root / "series/order").read_text().splitlines()[-3:], ["third", "mm-add-fresh-things", "# the end"])
        self.assertIn("+int other2;", (self.root / "series/two/mm-add-fresh-things/edits/kernel/other.c.diff").read_text())
        self.assertEqual((self.root / "series/two/mm-add-fresh-things/new").read_text(), "mm/fresh.c\n")
        self.assertIn("kernel/other.c", (self.root / "base/PREIMAGES").read_text())
        self.assertEqual(gitform.refresh(self.root, self.base), [])

    def test_dropped_commit(self):
        tree = self.tree()
        self.git(tree, "reset", "-q", "--hard", "HEAD~2")
        gitform.export(tree, self.base, self.root)
        self.assertEqual((self.root / "series/order").read_text(),
                         "# base: linux-source-6.12 6.12.0-1\n#\n# first topic\n\none:\nfirst\n# second topic\n# the end\n")
        self.assertFalse((self.root / "series/one/second").exists())
        self.assertFalse((self.root / "mm/thing_test.c").exists())
        self.assertEqual((self.root / "mm/thing.c").read_text(), "int thing;\n")

    def test_refusals(self):
        tree = self.tree()
        self.git(tree, "commit", "-q", "--allow-empty", "-m", "fixup! mm: Use the thing")
        self.fails("not squashed", gitform.export, tree, self.base, self.root)
        self.git(tree, "reset", "-q", "--hard", "HEAD~1")
        self.git(tree, "commit", "-q", "--allow-empty", "--allow-empty-message", "-m", "")
        self.fails("has no subject", gitform.export, tree, self.base, self.root)
        self.git(tree, "reset", "-q", "--hard", "HEAD~1")
        write(self.root, {"mm/thing.c": "int thing;\nint more;\nint edited_here;\n"})
        self.fails("changed here since 'make tree'", gitform.export, tree, self.base, self.root)


if __name__ == "__main__":
    unittest.main()
