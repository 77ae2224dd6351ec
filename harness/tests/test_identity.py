# SPDX-License-Identifier: GPL-2.0
"""Off means off, on objects that are compiled here: what moves is equal, what changes is not."""

import tempfile
import unittest
from pathlib import Path
from unittest import mock

from .. import canonical, common, identity, kbuild
from ..common import HarnessError

SOURCE = """\
extern int report(const char *text, const void *what);
struct bug { int place, file; unsigned short line, flags; };
#define BUG() asm volatile("1: ud2\\n.pushsection __bug_table,\\"aw\\"\\n.long 1b - .\\n.long %c0 - .\\n.word %c1\\n.word 0\\n.popsection" \\
                           : : "i" (__FILE__), "i" (__LINE__))
static const unsigned char table[] = { 1, 2, 3, 4 };
static int calls = 7;
int (*hook)(const char *text, const void *what) = report;
static __attribute__((noinline)) int twice(int value) { return report("twice", table) + value; }
static inline void on_the_way_out(void) { }
int leave(int value)
{
	static int once;
	if (!value)
		BUG();
	if (!once++)
		report("the first message", &calls);
	else
		report("the second message", &calls);
	on_the_way_out();
	return twice(value) * table[value & 3];
}
"""
FLAGS = ["-O2", "-std=gnu11", "-mcmodel=kernel", "-fno-pie", "-fno-asynchronous-unwind-tables", "-ffreestanding", "-c"]


class Compiled(unittest.TestCase):
    """Two objects of almost the same source."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="kas-identity.")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.before = cls.compile(SOURCE)

    @classmethod
    def compile(cls, text):
        source = Path(cls.folder.name) / "sample.c"
        source.write_text(text)
        common.run(["gcc", *FLAGS, "-o", source.with_suffix(".o"), "sample.c"], cwd=cls.folder.name)
        return canonical.read(source.with_suffix(".o"))

    def differ(self, *edits, allowed=()):
        text = SOURCE
        for old, new in edits:
            self.assertIn(old, text)
            text = text.replace(old, new)
        return identity.differences(self.before, self.compile(text), allowed)

    def test_nothing_is_missing(self):
        self.assertLessEqual({"leave", "twice", "table", "calls", "hook", "once.N", "[__bug_table]"}, set(self.before))

    def test_what_only_moves_is_equal(self):
        self.assertEqual(self.differ(), (set(), set()))
        # Lines, strings that come first in the section, numbers of static variables.
        self.assertEqual(self.differ(("int leave(int value)", "\n\n\nint leave(int value)"))[0], set())
        bad, _ = self.differ(("static const unsigned char table", "int more(void) { static int once; return report(\"more\", &once); }\n"
                                                                  "static const unsigned char table"))
        # The new function is all that is new; its own reference to a static variable has the name of the other one.
        self.assertLessEqual(bad, {"more", "once.N'"})

    def test_a_body_in_a_stub(self):
        self.assertIn("leave", self.differ(("on_the_way_out(void) { }", "on_the_way_out(void) { calls++; }"))[0])

    def test_a_changed_constant(self):
        self.assertEqual(self.differ(("1, 2, 3, 4", "1, 2, 3, 5"))[0], {"table"})

    def test_an_initial_value(self):
        self.assertIn("calls", self.differ(("calls = 7", "calls = 8"))[0])

    def test_a_function_pointer(self):
        bad, _ = self.differ(("*what) = report;", "*what) = other;"), ("struct bug", "extern int other(const char *, const void *);\nstruct bug"))
        self.assertEqual(bad, {"hook"})

    def test_two_messages_swapped(self):
        bad, _ = self.differ(("the first message", "the x message"), ("the second message", "the first message"), ("the x message", "the second message"))
        self.assertEqual(bad, {"leave"})

    def test_a_table_that_lacks_an_entry(self):
        self.assertIn("[__bug_table]", self.differ(("\t\tBUG();", "\t\tasm volatile(\"ud2\");"))[0])

    def test_allowed_functions_only(self):
        edit = ("return twice(value) *", "return 1 + twice(value) *")
        self.assertEqual(self.differ(edit, allowed=["leave"]), (set(), {"leave"}))
        self.assertEqual(self.differ(edit, allowed=["twice"]), ({"leave"}, set()))

    def test_a_table_may_differ_for_an_allowed_function(self):
        before, after = "00\n2 leave+3\n2 twice+1", "00\n2 leave+9\n2 twice+1"
        self.assertFalse(identity.table_differs(before, after, {"leave"}))
        self.assertTrue(identity.table_differs(before, after, {"twice"}))
        self.assertTrue(identity.table_differs(before, after, set()))
        self.assertTrue(identity.table_differs("00\n2 twice+1", "01\n2 twice+1", {"leave"}))


class Chosen(unittest.TestCase):
    def test_what_is_edited_and_in_no_object_is_said(self):
        objects = mock.Mock(affected=lambda paths: {"mm/a.o"} if paths == ["mm/a.c"] else set())
        names, none = identity.chosen_objects(objects, ["mm/a.c", "mm/b.c", "include/c.h", "mm/Makefile"])
        self.assertEqual(names, ["mm/a.o"])
        self.assertEqual(set(none), {"mm/b.c", "include/c.h"})

    def test_nothing_to_compare_is_a_failure(self):
        with mock.patch.multiple(identity, ensure_base=lambda: Path("/nowhere"), series=mock.DEFAULT, model=mock.DEFAULT, build=mock.DEFAULT,
                                 kbuild=mock.DEFAULT) as mocks:
            mocks["model"].overlay.return_value = {}
            mocks["kbuild"].Objects.return_value.affected.return_value = set()
            self.assertEqual([item["status"] for item in identity.identity_entries()], ["fail"])


class Objects(unittest.TestCase):
    """What kbuild has written down."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="kas-kbuild.")
        self.addCleanup(folder.cleanup)
        self.tree = Path(folder.name)
        self.objdir, self.members = self.tree / "o-debug", set()

    def objects(self):
        return kbuild.Objects(self.objdir, self.members)

    def object(self, name, *paths, size=8):
        self.members.add(name)
        target = self.objdir / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(b"x" * size)
        lines = "".join(f"  ../{path} \\\n" for path in paths[1:])
        (target.parent / f".{target.name}.cmd").write_text(
            f"savedcmd_{name} := gcc -c ../{paths[0]}\n\nsource_{name} := ../{paths[0]}\n\ndeps_{name} := \\\n"
            f"    $(wildcard include/config/SMP) \\\n{lines}  include/generated/x.h \\\n\n{name}: $(deps_{name})\n")

    def test_who_includes(self):
        self.object("mm/a.o", "mm/a.c", "include/one.h")
        self.object("mm/b.o", "mm/b.c", "include/one.h", "include/two.h")
        objects = self.objects()
        self.assertEqual(objects.users_of("include/one.h"), {"mm/a.o", "mm/b.o"})
        self.assertEqual(objects.users_of("mm/b.c"), {"mm/b.o"})
        self.assertEqual(objects.affected(["include/two.h", "mm/a.c", "mm/none.c"]), {"mm/a.o", "mm/b.o"})

    def test_only_what_is_linked_counts(self):
        self.object("mm/a.o", "mm/a.c", "include/one.h")
        self.object("arch/x86/boot/b.o", "arch/x86/boot/b.c", "include/one.h")
        self.members.remove("arch/x86/boot/b.o")
        self.assertEqual(self.objects().users_of("include/one.h"), {"mm/a.o"})

    def test_an_object_that_is_gone_does_not_count(self):
        self.object("mm/a.o", "mm/a.c")
        (self.objdir / "mm/a.o").unlink()
        self.assertEqual(self.objects().users_of("mm/a.c"), set())

    def test_of_a_wide_header_the_largest_of_each_folder(self):
        for number in range(kbuild.WIDE):
            self.object(f"mm/{number}.o", f"mm/{number}.c", "include/wide.h", size=8 + (number == 5))
        self.object("fs/a.o", "fs/a.c", "include/wide.h")
        self.assertEqual(self.objects().affected(["include/wide.h"]), {"mm/5.o", "fs/a.o"})
        self.object("fs/proc/b.o", "fs/proc/b.c", "include/wide.h")
        self.assertEqual(self.objects().affected(["include/wide.h"]), {"mm/5.o", "fs/a.o", "fs/proc/b.o"})
        self.assertEqual(len(self.objects().affected(["include/wide.h"], depth=1)), 2)

    def test_listed_by_the_makefile(self):
        for path, text in {"scripts/Kbuild.include": "", "mm/Makefile": "obj-y := a.o $(MORE)\nobj-$(CONFIG_B) += b.o\nlib-y += l_$(BITS).o\n"
                                                                       "b-$(CONFIG_C) += part.o\nobj-$(CONFIG_NONE) += n.o\n",
                           "o-debug/include/config/auto.conf": "CONFIG_B=y\nCONFIG_C=y\n"}.items():
            (self.tree / path).parent.mkdir(parents=True, exist_ok=True)
            (self.tree / path).write_text(text)
        self.assertEqual(kbuild.listed(self.tree, self.objdir, "mm"), {"mm/a.o", "mm/b.o", "mm/part.o", "mm/l_64.o"})
        (self.tree / "mm/Makefile").write_text("$(error no)\n")
        with self.assertRaises(HarnessError):
            kbuild.listed(self.tree, self.objdir, "mm")


if __name__ == "__main__":
    unittest.main()
