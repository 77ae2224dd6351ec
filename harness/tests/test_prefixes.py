# SPDX-License-Identifier: GPL-2.0
"""The proof of the prefixes, on a kernel of three objects: what is missing is found, and so is a proof of nothing."""

import subprocess
import tempfile
import time
import unittest
from pathlib import Path
from unittest import mock

from .. import kbuild, model, prefixes, warn
from ..common import HarnessError

OBJECTS = {
    "mm/old.c": "extern int printk(void); extern char _text[]; int old(void) { return printk() + _text[0]; }",
    "kernel/printk.c": "int printk(void) { return 1; }",
    "mm/ours.c": "extern int old(void); extern char __our_start[]; int ours(void) { return old() + __our_start[0]; }",
}
BEFORE = {"mm/old.c"}       # is edited by the series; mm/ours.c is added by it


class Kernel(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="kas-prefix.")
        self.addCleanup(folder.cleanup)
        self.build = Path(folder.name)
        self.base, self.tree = self.build / "pristine", self.build / "prefix"
        self.whole, self.objdir = self.build / "src/o-debug", self.tree / "o-debug"
        for path, text in OBJECTS.items():
            self.compile(self.whole, path, text)
            if path != "mm/ours.c":
                self.write(self.base / path, text)
            self.write(self.tree / path, text)
        names = [kbuild.object_of(path) for path in OBJECTS]
        subprocess.run(["ar", "rcsT", "vmlinux.a", *names], cwd=self.whole, check=True)
        subprocess.run(["ld", "-r", "-o", "vmlinux.o", *names], cwd=self.whole, check=True)
        self.write(self.whole / prefixes.SCRIPT, "_text = .; __our_start = .;")
        self.write(self.objdir / prefixes.SCRIPT, "_text = .; __our_start = .;")
        self.write(self.objdir / "include/config/auto.conf", "")
        self.write(self.objdir / ".config", "CONFIG_SMP=y\n")
        self.write(self.tree / "scripts/Kbuild.include", "")
        self.write(self.tree / "mm/Makefile", "obj-y := old.o ours.o\n")
        patch = mock.patch.multiple(prefixes, BUILD=self.build, TREE=self.tree, LOGS=self.build, ROOT=self.build)
        patch.start()
        self.addCleanup(patch.stop)
        self.prefix = prefixes.Prefix("debug", self.base)
        self.touched = {"mm/old.c", "mm/ours.c"}

    @staticmethod
    def write(path, text):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def compile(self, objdir, path, text):
        target = objdir / kbuild.object_of(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["gcc", "-fno-pie", "-O1", "-c", "-x", "c", "-o", str(target), "-"], input=text, text=True, check=True)
        name = kbuild.object_of(path)
        (target.parent / f".{target.name}.cmd").write_text(f"source_{name} := ../{path}\n")

    def judge(self, paths, **texts):
        """Judge a prefix whose compiler makes @texts, by name without folder, of the sources."""
        def build(_config, _tree, targets, log):
            for name in targets:
                if name != prefixes.SCRIPT:
                    path = name.replace(".o", ".c")
                    self.compile(self.objdir, path, texts.get(Path(path).stem, OBJECTS[path]))
        with mock.patch.multiple(prefixes.build, build=build, configure=lambda config, tree: self.objdir):
            return prefixes.judge(self.prefix, "slug", paths, self.touched, False)

    def test_all_is_there(self):
        self.assertEqual(self.judge(["mm/old.c", "mm/ours.c"]), "")

    def test_a_module(self):
        touched = {*self.touched, "samples/ours/module.c"}
        self.assertEqual(prefixes.uncompiled([self.prefix], touched), ["samples/ours/module.c"])
        self.compile(self.whole, "samples/ours/module.c", "int init(void) { return 0; }")
        self.write(self.whole / "modules.order", "samples/ours/module.o\n")
        prefix = prefixes.Prefix("debug", self.base)
        self.assertEqual(prefixes.uncompiled([prefix], touched), [])
        self.write(self.tree / "samples/ours/module.c", "")
        self.assertEqual(prefix.wanted(["samples/ours/module.c"]), ["samples/ours/module.o"])

    def test_a_folder_of_a_later_patch(self):
        """What the whole build has from there is no part of this prefix."""
        self.compile(self.whole, "samples/later/x.c", "int later(void) { return 0; }")
        names = [*map(kbuild.object_of, OBJECTS), "samples/later/x.o"]
        (self.whole / "vmlinux.a").unlink()
        subprocess.run(["ar", "rcsT", "vmlinux.a", *names], cwd=self.whole, check=True)
        subprocess.run(["ld", "-r", "-o", "vmlinux.o", *names], cwd=self.whole, check=True)
        self.prefix = prefixes.Prefix("debug", self.base)
        self.touched.add("samples/later/x.c")
        self.assertEqual(self.judge(["mm/old.c", "mm/ours.c"]), "")
        self.assertIn("nothing defines: later", self.judge(["mm/old.c"], old="extern int later(void); int old(void) { return later(); }"))

    def test_what_a_later_patch_defines(self):
        problem = self.judge(["mm/old.c", "mm/ours.c"], old="extern int later(void); int old(void) { return later(); }")
        self.assertIn("nothing defines: later", problem)

    def test_what_a_patch_takes_away(self):
        self.assertIn("nothing defines: old", self.judge(["mm/old.c", "mm/ours.c"], old="int new(void) { return 0; }"))

    def test_what_the_linker_script_of_a_later_patch_defines(self):
        (self.objdir / prefixes.SCRIPT).write_text("_text = .;")
        self.assertIn("nothing defines: __our_start", self.judge(["mm/old.c", "mm/ours.c"]))

    def test_defined_twice(self):
        self.assertIn("does not link", self.judge(["mm/old.c", "mm/ours.c"], ours="int old(void) { return 1; }"))

    def test_a_file_without_its_line_in_the_makefile(self):
        (self.tree / "mm/Makefile").write_text("obj-y := old.o\n")
        self.assertIn("nothing defines: ours", self.judge(["mm/old.c", "mm/ours.c"], old="extern int ours(void); int old(void) { return ours(); }"))

    def test_a_line_in_the_makefile_before_its_file(self):
        (self.tree / "mm/ours.c").unlink()
        self.assertIn("was not compiled", self.judge(["mm/old.c"]))

    def test_does_not_compile(self):
        with mock.patch.multiple(prefixes.build, build=mock.Mock(side_effect=HarnessError("make failed")),
                                 configure=lambda config, tree: self.objdir):
            self.assertIn("does not compile: make failed", prefixes.judge(self.prefix, "slug", ["mm/old.c"], self.touched, False))

    def test_a_header_compiles_those_who_include_it(self):
        path = self.whole / "mm/.old.o.cmd"
        path.write_text(path.read_text() + "deps_mm/old.o := \\\n  ../include/h.h \\\n")
        self.prefix = prefixes.Prefix("debug", self.base)
        self.assertIn("nothing defines: later", self.judge(["mm/ours.c", "include/h.h"], old="extern int later(void); int old(void) { return later(); }"))

    def test_an_option_compiles_those_who_ask_for_it(self):
        path = self.whole / "mm/.old.o.cmd"
        path.write_text(path.read_text() + "deps_mm/old.o := \\\n    $(wildcard include/config/OURS) \\\n")
        self.prefix = prefixes.Prefix("debug", self.base)
        with mock.patch.object(prefixes.build, "configure", lambda config, tree: self.objdir):
            self.prefix.changed_options()
        later = "extern int later(void); int old(void) { return later(); }"
        self.assertEqual(self.judge(["mm/ours.c"], old=later), "")
        self.write(self.objdir / ".config", "CONFIG_SMP=y\nCONFIG_OURS=y\n")
        self.assertIn("nothing defines: later", self.judge(["mm/ours.c"], old=later))

    def test_a_file_that_no_build_compiles(self):
        self.assertEqual(prefixes.uncompiled([self.prefix], {"mm/old.c", "mm/none.c", "include/none.h", "tools/testing/selftests/x/x.c", "mm/Makefile",
                                                             *prefixes.PREPARED, *prefixes.ELSEWHERE}),
                         ["include/none.h", "mm/none.c"])

    def test_nothing_was_built(self):
        (self.whole / "vmlinux.o").unlink()
        with self.assertRaisesRegex(HarnessError, "has to be built first"):
            prefixes.Prefix("debug", self.base)
        self.compile(self.whole, "mm/old.c", "int old;")
        subprocess.run(["ld", "-r", "-o", "vmlinux.o", "mm/old.o"], cwd=self.whole, check=True)
        (self.whole / "vmlinux.a").write_bytes(b"!<arch>\n")
        with self.assertRaisesRegex(HarnessError, "ar lists nothing"):
            prefixes.Prefix("debug", self.base)


class States(unittest.TestCase):
    """Of a series of three parts, of which the last needs the first alone."""
    TEXTS = {"one": {"a.c": "1"}, "two": {"b.c": "2"}, "three": {"a.c": "3"}, "join": {"b.c": "4"}}
    PARTS = {"low": [], "side": ["low"], "high": ["low"]}
    OF = {"one": "low", "two": "side", "three": "high", "join": "high"}

    def states(self):
        patches = [mock.Mock(slug=slug, part=part, joins=("side",) if slug == "join" else ()) for slug, part in self.OF.items()]
        stored = mock.Mock(parts=self.PARTS, patches=patches)

        def compose_parts(stored, _base, names):
            chosen = model.select(stored, names)
            return chosen, [self.TEXTS[patch.slug] for patch in chosen]
        with mock.patch.object(prefixes.model, "compose_parts", compose_parts):
            return prefixes.states(stored, None)

    def test_each_part_alone(self):
        self.assertEqual([(name, parts, slug) for name, parts, slug, _ in self.states()], [
            ("base", ["low", "side", "high"], ""), ("one", ["low", "side", "high"], "one"), ("two", ["low", "side", "high"], "two"),
            ("three", ["low", "side", "high"], "three"), ("join", ["low", "side", "high"], "join"),
            ("high-alone:three", ["low", "high"], "three")])

    def test_what_has_changed(self):
        # The last one lacks what two and join have made.
        self.assertEqual([files for *_, files in self.states()], [[], ["a.c"], ["b.c"], ["a.c"], ["b.c"], ["b.c"]])


class NoTime(unittest.TestCase):
    def entries(self, until):
        """The entries of a series of two patches, and for which prefixes a tree was made."""
        made = []
        found = [("base", ["part"], "", []), ("one", ["part"], "one", []), ("part-alone:two", ["part"], "two", [])]
        with mock.patch.multiple(prefixes, ensure_base=mock.DEFAULT, Prefix=lambda config, base: mock.Mock(config=config),
                                 judge=lambda *_: "", uncompiled=lambda *_: [], states=lambda *_: found), \
             mock.patch.multiple(prefixes.model, load=mock.DEFAULT, compose=mock.DEFAULT, overlay=lambda _: {}), \
             mock.patch.object(prefixes.series, "patched_tree", lambda _, upto, parts: made.append((upto, parts))):
            return prefixes.prefix_entries(until), made

    def test_no_time_left(self):
        entries, made = self.entries(until=0)
        self.assertEqual(made, [])
        # The first one is about files that nothing compiles.
        self.assertEqual([item["status"] for item in entries[1:]], ["skip"] * 6)
        self.assertEqual({item["case"] for item in entries[1:]}, {"prefix:base", "prefix:one", "prefix:part-alone:two"})
        self.assertIn("no time left", entries[-1]["why"])

    def test_time_left(self):
        for until in (None, time.monotonic() + 1000):
            entries, made = self.entries(until)
            self.assertEqual((made, {item["status"] for item in entries}, len(entries)),
                             ([("", ["part"]), ("one", ["part"]), ("two", ["part"])], {"pass"}, 7))


class Absent(unittest.TestCase):
    def test_suites_of_parts_that_are_left_out(self):
        suite = '\n\t.name = "%s",\n'
        texts = {("low", "high"): {"a.c": suite % "low", "b.c": suite % "high"}, ("low",): {"a.c": suite % "low"}}
        with mock.patch.object(prefixes.model, "compose_parts", lambda stored, base, names: (
                [], [{path: model.Text(text.encode()) for path, text in texts[tuple(names)].items()}])):
            self.assertEqual(prefixes.suites_without(mock.Mock(parts={"low": [], "high": []}), None, ["low"]), {"high"})

    def test_each_part_has_its_suites(self):
        self.assertEqual(set(prefixes.PART_SUITES), set(model.load().parts))


class Warnings(unittest.TestCase):
    LOG = ("  CC      mm/ours.o\n  CHECK   ../mm/ours.c\n../mm/ours.c:3:5: warning: symbol 'x' was not declared\n"
           "mm/ours.o: warning: objtool: f() falls through\n  DESCEND objtool\nmake[3]: *** [../scripts/Makefile.build:1: mm/ours.o] Error 1\n"
           "make: Entering directory '/a/tools/objtool'\n")

    def test_noise(self):
        self.assertEqual(len(warn.noise(self.LOG)), 3)
        self.assertEqual(warn.noise("  CC      lib/error.o\n  HOSTCC  tools/objtool/warn.o\n"), [])

    def test_whose(self):
        lines = ["../mm/ours.c:3: warning: a", "mm/ours.o: warning: objtool: b", "ld: warning: c", "lib/yours.o: warning: d"]
        found = warn.attribute(lines, ["mm/ours.c", "lib/yours.c"])
        self.assertEqual({path: len(found[path]) for path in found}, {"mm/ours.c": 2, "": 1, "lib/yours.c": 1})


if __name__ == "__main__":
    unittest.main()
