# SPDX-License-Identifier: GPL-2.0
"""The checks of built kernels without one: who writes CR3, and what entry code refers to."""

import tempfile
import unittest
from pathlib import Path
from unittest import mock

from .. import allow, cr3, elf, entryset
from ..common import HarnessError

TEXT, DATA, RODATA = 1, 2, 3
SIZE = 64


class Section:
    def __init__(self, name, flags):
        self.name, self.flags = name, flags


class File:
    path = "vmlinux.o"
    sections = [Section("", 0), Section(".entry.text", elf.SHF_EXECINSTR), Section(".data", entryset.SHF_WRITE),
                Section(".rodata.str1.1", entryset.SHF_MERGE), Section(".noinstr.text", elf.SHF_EXECINSTR)]

    def number(self, name):
        return next((number for number, section in enumerate(self.sections) if section.name == name), 0)


class Kernel(entryset.Kernel):
    """Functions of 64 bytes, an instruction of 4 bytes each, given as texts with what they refer to.

    That is a function, NAME+N (an instruction of one), +N (one of its own), &N (its address), "string" or a variable.
    """

    VARIABLES = {"mapped": 0x1000, "asi_cr3": 0x1004, "other": 0x2000}

    def __init__(self, **functions):
        self.object, self.functions, self.places = File(), {}, {}
        for number, name in enumerate(functions):
            section = self.object.number(".noinstr.text" if name.startswith("c_") else ".entry.text")
            self.places[name] = section, number * SIZE
        for name, lines in functions.items():
            section, start = self.places[name]
            function = entryset.Function(elf.Symbol(name, start, SIZE, 2, section))
            for index, line in enumerate(lines):
                text, _, target = line.partition(" @")
                site = start + 4 * index
                function.code.append((site, site + 4, text))
                callee, _, place = target.partition("+")
                if callee in self.places:
                    number, offset = self.places[callee]
                    function.references.append(
                        entryset.Reference(site, text, number, offset + 4 * int(place or 0), callee, True))
                elif target[:1] in ("+", "&"):
                    function.references.append(
                        entryset.Reference(site, text, section, start + 4 * int(target[1:]), name, target[0] == "+"))
                elif target == "string":
                    function.references.append(entryset.Reference(site, text, RODATA, 0, target, False))
                elif target:
                    known = target in self.VARIABLES
                    function.references.append(
                        entryset.Reference(site, text, DATA if known else 0, 0, target, not known))
            self.functions[section, start, name] = function
        self.look_around()

    def function_at(self, number, address):
        return next((function for key, function in self.functions.items()
                     if key[0] == number and function.holds(address)), None)

    def address(self, reference):
        return self.VARIABLES.get(reference.name)

    def extra(self, name, **places):
        """Give instructions of function @name, as in i2=5, another one to go to; and look again."""
        function = self.functions[*self.places[name], name]
        for site, place in places.items():
            function.extra.setdefault(function.symbol.value + 4 * int(site[1:]), []).append(function.symbol.value + 4 * place)
        self.look_around()
        return self

    def entry_set(self):
        return [("mapped", 0x1000, 0x1008)]


def check(kernel, *lines):
    """(functions, problems, lines of no use) of a kernel under rules."""
    rules = entryset.Rules({(words[0], tuple(words[1:])): "reason" for words in map(str.split, lines)})
    kernel.look_around()
    names, problems = entryset.check(kernel, rules)
    return names, problems, rules.stale()


class EntrySet(unittest.TestCase):
    def test_what_is_mapped(self):
        kernel = Kernel(error_entry=["push", "mov @mapped", "lea @string", "ret"])
        self.assertEqual(check(kernel), (["error_entry"], [], []))

    def test_what_is_not(self):
        kernel = Kernel(error_entry=["incl @other", "ret"])
        names, problems, _ = check(kernel)
        self.assertEqual(names, ["error_entry"])
        self.assertEqual(len(problems), 1)
        self.assertIn("error_entry() may run in a domain and refers to other", problems[0])
        self.assertIn("only before the write", check(kernel, "data before error_entry other")[1][0])
        self.assertEqual(check(kernel, "user error_entry"), ([], [], []))

    def test_a_variable_that_cannot_be_placed_is_not_mapped(self):
        kernel = Kernel(error_entry=["mov @mapped", "ret"])
        kernel.address = lambda reference: None
        self.assertEqual(len(check(kernel)[1]), 1)

    def test_what_is_called(self):
        kernel = Kernel(error_entry=["call @c_helper", "ret"], c_helper=["mov @other", "ret"],
                        c_unrelated=["mov @other", "ret"])
        names, problems, _ = check(kernel)
        self.assertEqual(names, ["c_helper", "error_entry"])
        self.assertEqual(len(problems), 1)
        self.assertEqual(check(kernel, "call any error_* c_h*"), (["error_entry"], [], []))

    def test_what_is_called_by_that(self):
        kernel = Kernel(error_entry=["jmp @c_one"], c_one=["call @c_two", "ret"], c_two=["mov @other", "ret"])
        self.assertIn("c_two()", check(kernel)[1][0])

    def test_instrumented_code(self):
        kernel = Kernel(error_entry=["call @printk", "ret"])
        self.assertIn("calls printk, which is outside", check(kernel)[1][0])

    def test_indirect_call(self):
        kernel = Kernel(error_entry=["call *%rax", "ret"])
        self.assertIn("to wherever a register", check(kernel)[1][0])

    def test_what_follows_the_write_of_cr3(self):
        before = Kernel(c_load=["incl @other", "mov    %rax,%cr3", "ret"])
        after = Kernel(c_load=["mov    %rax,%cr3", "incl @other", "ret"])
        self.assertEqual(check(before, "enters c_load"), (["c_load"], [], []))
        self.assertEqual(len(check(after, "enters c_load")[1]), 1)

    def test_what_follows_the_call_of_who_writes_it(self):
        load = ["mov    %rax,%cr3", "ret"]
        for lines, bad in ((["incl @other", "call @c_load", "ret"], 0), (["call @c_load", "incl @other", "ret"], 1),
                           (["call @c_load", "jne @+3", "incl @other", "ret"], 1),
                           (["call @c_load", "jmp @+3", "incl @other", "ret"], 0)):
            found = check(Kernel(c_load=load, c_enter=lines), "enters c_load", "enters c_enter")
            self.assertEqual(len(found[1]), bad, lines)

    def test_a_jump_label_may_go_either_way(self):
        kernel = Kernel(c_load=["mov    %rax,%cr3", "nop", "ret", "incl @other"])
        function = next(iter(kernel.functions.values()))
        self.assertEqual(check(kernel, "enters c_load")[1], [])
        function.extra[4] = [12]
        self.assertEqual(len(check(kernel, "enters c_load")[1]), 1)

    def test_who_is_said_to_enter_does(self):
        kernel = Kernel(c_load=["push", "ret"])
        self.assertIn("neither writes CR3", check(kernel, "enters c_load")[1][0])

    def test_what_precedes_the_way_out(self):
        unload = ["mov    %rax,%cr3", "incl @other", "ret"]
        for lines, bad in ((["call @c_unload", "incl @other", "ret"], 0), (["incl @other", "call @c_unload", "ret"], 1),
                           (["jne @+2", "call @c_unload", "incl @other", "ret"], 1)):
            found = check(Kernel(c_unload=unload, c_exit=lines), "leaves c_unload", "leaves c_exit")
            self.assertEqual(len(found[1]), bad, lines)
        self.assertIn("neither writes CR3", check(Kernel(c_exit=["ret"]), "leaves c_exit")[1][0])

    def test_one_that_does_both(self):
        lines = ["call @c_unload", "incl @other", "call @c_load", "ret"]
        kernel = Kernel(c_load=["mov    %rax,%cr3", "ret"], c_unload=["mov    %rax,%cr3", "ret"], c_exit=lines)
        rules = ("enters c_load", "leaves c_unload", "enters c_exit", "leaves c_exit")
        self.assertEqual(check(kernel, *rules)[1:], ([], []))

    def test_rule_of_no_use(self):
        kernel = Kernel(error_entry=["ret"])
        self.assertEqual(check(kernel, "data after error_entry gone")[2], ["data after error_entry gone"])

    def test_the_list(self):
        self.assertTrue(entryset.rules().lines)
        with tempfile.TemporaryDirectory() as tmp:
            path = Path(tmp) / "entry.allow"
            for line in ("data after error_entry x", "call after a", "other a b", "enters asi_unload", "data error_entry x reason",
                         "data any error_entry x reason", "call beside a b reason",
                         "user a reason\nuser a another reason"):
                path.write_text(line + "\n")
                with self.assertRaises(HarnessError, msg=line):
                    entryset.rules(path)


ASK = "mov    %gs:0x0(%rip),%rax @asi_cr3"
WRITE = "mov    %rax,%cr3"


class OneSide(unittest.TestCase):
    """A line allows something on one side of the write of CR3 and not on the other."""

    def allowed(self, rule, *more, kernel=None, **functions):
        return check(kernel or Kernel(**functions), rule, *more)[1] == []

    def after(self, *lines, more=(), **functions):
        return self.allowed("data after entry other", *more, entry=list(lines), **functions)

    def before(self, *lines, more=(), **functions):
        return self.allowed("data before entry other", *more, entry=list(lines), **functions)

    def test_after(self):
        self.assertTrue(self.after(ASK, "je @+3", WRITE, "mov @other", "ret"))
        self.assertTrue(self.after("push", WRITE, "mov @other", "ret"))

    def test_moved_before_the_write(self):
        self.assertFalse(self.after("mov @other", ASK, "je @+4", WRITE, "ret"))
        self.assertFalse(self.after(ASK, "je @+4", "mov @other", WRITE, "ret"))
        self.assertFalse(self.after(ASK, "mov @other", "je @+4", WRITE, "ret"))

    def test_a_way_around_the_question(self):
        self.assertFalse(self.after("je @+4", ASK, "je @+4", WRITE, "mov @other", "ret"))
        self.assertFalse(self.after("mov @mapped", "je @+3", WRITE, "mov @other", "ret"))
        # A question that no write of CR3 follows leaves no domain.
        self.assertFalse(self.after(ASK, "je @+3", "call @c_any", "mov @other", "ret", c_any=["ret"]))

    def test_question_that_is_an_alternative(self):
        lines = ["nop", "mov @other", "ret", ASK, "je @+1", WRITE, "jmp @+1"]
        self.assertTrue(self.allowed("data after entry other", kernel=Kernel(entry=lines).extra("entry", i0=3)))
        self.assertFalse(self.allowed("data after entry other", kernel=Kernel(entry=lines)))
        moved = ["mov @other", "nop", "ret", ASK, "je @+2", WRITE, "jmp @+2"]
        self.assertFalse(self.allowed("data after entry other", kernel=Kernel(entry=moved).extra("entry", i1=3)))

    def test_question_that_a_jump_leads_around(self):
        """Where there are domains, nothing takes the place of the jump."""
        lines = ["jmp @+4", ASK, "je @+2", WRITE, "mov @other", "ret"]
        self.assertTrue(self.allowed("data after entry other", kernel=Kernel(entry=lines).extra("entry", i0=1)))
        self.assertFalse(self.allowed("data after entry other", kernel=Kernel(entry=lines)))

    def test_user_mode(self):
        self.assertTrue(self.after("swapgs", "mov @other", "ret"))
        self.assertFalse(self.after("mov @other", "swapgs", "ret"))
        self.assertFalse(self.after("je @+2", "swapgs", "mov @other", "ret"))

    def test_whom_it_calls(self):
        leave = {"error_entry": [ASK, "je @+3", WRITE, "ret"]}
        self.assertTrue(self.after("call @error_entry", "mov @other", "ret", **leave))
        self.assertFalse(self.after("mov @other", "call @error_entry", "ret", **leave))
        self.assertFalse(self.after("call @c_any", "mov @other", "ret", c_any=["ret"]))
        # And back into the domain.
        self.assertFalse(self.after("call @error_entry", "call @c_load", "mov @other", "ret", more=["enters c_load"],
                                    c_load=[WRITE, "ret"], **leave))

    def test_the_write_that_enters(self):
        self.assertFalse(self.allowed("data after c_load other", "enters c_load", c_load=[WRITE, "mov @other", "ret"]))

    def test_where_others_come_in(self):
        lines = [WRITE, "mov @other", "ret"]
        self.assertTrue(self.after(*lines))
        self.assertFalse(self.after(*lines, another=["jmp @entry+1"]))
        # By an IRET to an address that was pushed.
        self.assertFalse(self.after("push @&3", WRITE, "iret", "mov @other", "ret"))
        # Nobody seen to come there does not mean that nobody does.
        self.assertFalse(self.after(WRITE, "ret", "mov @other", "ret"))

    def test_before(self):
        self.assertTrue(self.before("mov @other", WRITE, "ret"))
        self.assertFalse(self.before(WRITE, "mov @other", "ret"))
        self.assertFalse(self.before(WRITE, "mov @other", WRITE, "ret"))
        self.assertFalse(self.before("je @+3", WRITE, "ret", "mov @other", "ret"))
        self.assertFalse(self.before("mov @other", "swapgs", WRITE, "ret"))
        self.assertFalse(self.before("mov @other", "ret"))

    def test_before_the_call_of_who_writes(self):
        enters = ["enters c_load", "enters c_resume", "enters c_enter"]
        functions = {"c_load": [WRITE, "ret"], "c_resume": ["jmp @c_load"]}
        for back, good in (("ret", True), ("jmp @+0", False)):
            lines = ["incl @other", "je @+4", "call @c_load", back, "call @c_resume", "jmp @+0"]
            self.assertEqual(self.allowed("data before c_enter other", *enters, c_enter=lines, **functions), good)

    def test_calls(self):
        for lines, good in (([WRITE, "call @c_any", "ret"], True), (["call @c_any", WRITE, "ret"], False)):
            functions = {"entry": lines, "c_any": ["mov @other", "ret"]}
            self.assertEqual(self.allowed("call after entry c_any", **functions), good)
            self.assertTrue(self.allowed("call any entry c_any", **functions))

    def test_both_sides_have_lines_of_their_own(self):
        kernel = Kernel(entry=["mov @other", WRITE, "swapgs", "mov @other", "ret"])
        self.assertEqual(len(check(kernel, "data before entry other")[1]), 1)
        self.assertEqual(check(kernel, "data before entry other", "data after entry other")[1:], ([], []))


class Address(unittest.TestCase):
    """vmlinux.o and vmlinux have the pieces of a section in different orders."""

    def setUp(self):
        names = (("moved", 0, 8), ("twice", 8, 8), ("next", 16, 8), ("far", 24, 8), ("twice", 32, 8))
        self.kernel = Kernel()
        self.kernel.object.symbols = [elf.Symbol(name, value, size, 1, DATA) for name, value, size in names]
        self.kernel.addresses, self.kernel.bases = {"moved": 0x600, "next": 0x1010, "far": 0x1018}, {}

    def address(self, offset):
        return entryset.Kernel.address(self.kernel, entryset.Reference(0, "mov", DATA, offset, "", False))

    def test_by_the_symbol_itself(self):
        self.assertEqual([self.address(offset) for offset in (0, 4, 16, 28)], [0x600, 0x604, 0x1010, 0x101c])

    def test_by_neighbours_that_agree(self):
        self.kernel.addresses["moved"] = 0x1000
        self.assertEqual(self.address(8), 0x1008)

    def test_cannot_be_told(self):
        self.assertIsNone(self.address(8))
        self.assertIsNone(self.address(32))


class Neighbours(unittest.TestCase):
    """What is on the pages that each domain maps."""

    def problems(self, **symbols):
        kernel = Kernel()
        kernel.linked = File()
        kernel.linked.symbols = [elf.Symbol(name, value, size, 1, DATA) for name, (value, size) in symbols.items()]
        kernel.mapped = lambda: [("one", 0x1010, 0x1020, 0x1000), ("text", 0x200000, 0x2ff000, 0x200000)]
        return kernel.neighbours()

    def test_alone(self):
        self.assertEqual(self.problems(one=(0x1010, 16), part=(0x1018, 8), below=(0xff8, 8), above=(0x2000, 8), far=(0x400000, 8)), [])

    def test_on_the_same_page(self):
        self.assertEqual(self.problems(one=(0x1010, 16), other=(0x1ff8, 8)), ["each domain maps other, which is next to one"])

    def test_half_on_it(self):
        self.assertEqual(len(self.problems(one=(0x1010, 16), below=(0xff8, 16))), 1)
        self.assertEqual(len(self.problems(one=(0x1010, 16), above=(0x1018, 0x1000))), 1)

    def test_where_a_large_entry_begins_and_ends(self):
        self.assertEqual(self.problems(code=(0x2fe000, 8), gap=(0x3ffff8, 8)), ["each domain maps gap, which is next to text"])


class Writers(unittest.TestCase):
    def test_both_ways(self):
        known = {"known": {"": 1}, "gone": {"": 1}}
        wrong = dict(cr3.judge({"debug": {"known": 1, "new": 2}, "release": {"known": 1}}, known))
        self.assertEqual(sorted(wrong), ["gone", "new"])
        self.assertIn("debug build", wrong["new"])

    def test_a_second_write(self):
        known = {"a": {"": 1}}
        self.assertEqual(cr3.judge({"debug": {"a": 1}, "release": {"a": 1}}, known), [])
        self.assertIn("2 times", dict(cr3.judge({"debug": {"a": 2}, "release": {"a": 1}}, known))["a"])
        self.assertIn("0 times", dict(cr3.judge({"debug": {"a": 1}, "release": {}}, known))["a"])

    def test_builds_that_differ(self):
        known = {"a": {"debug": 1}, "b": {"debug": 1, "release": 2}}
        self.assertEqual(cr3.judge({"debug": {"a": 1, "b": 1}, "release": {"b": 2}}, known), [])
        self.assertEqual([name for name, _ in cr3.judge({"debug": {"b": 1}, "release": {"a": 1, "b": 1}}, known)],
                         ["a", "a", "b"])

    def test_writes_of_modules_count_as_well(self):
        with tempfile.TemporaryDirectory() as tmp, mock.patch.object(cr3, "writers", lambda path: {"asi_unload": 1}):
            objdir = Path(tmp)
            self.assertEqual(self.status(objdir), "pass")
            (objdir / "some.ko").write_text("")
            self.assertEqual(self.status(objdir), "fail")

    @staticmethod
    def status(objdir):
        return next(item["status"] for item in cr3.cr3_entries({"debug": objdir}) if item["case"] == "cr3_writer:asi_unload")

    def test_what_the_compiler_makes_of_a_function(self):
        for name in ("f", "f.constprop.0", "f.part.0.isra.0", "f.cold", "f.2"):
            self.assertEqual(elf.plain(name), "f")

    def test_instruction(self):
        self.assertTrue(cr3.WRITE.match("mov    %rax,%cr3"))
        self.assertFalse(cr3.WRITE.match("mov    %cr3,%rax"))

    def test_the_list(self):
        self.assertEqual(cr3.allowed()["asi_unload"], {"": 1})
        with tempfile.TemporaryDirectory() as tmp:
            path = Path(tmp) / "cr3.allow"
            for text in ("a\n", "a 1\n", "a 1 reason\na 2 reason\n", "a many reason\n", "a 0 reason\n", "a debug=1,debug=2 reason\n"):
                path.write_text(text)
                with self.assertRaises(HarnessError, msg=text):
                    cr3.allowed(path)
            path.write_text("# comment\n\na debug=1,release=2 reason\n")
            self.assertEqual(cr3.allowed(path), {"a": {"debug": 1, "release": 2}})


class Lists(unittest.TestCase):
    def read(self, text, split):
        with tempfile.TemporaryDirectory() as tmp:
            path = Path(tmp) / "a.allow"
            path.write_text(text)
            return allow.read(path, split)

    def test_words(self):
        self.assertEqual(self.read("# c\n\na b some reason \n", allow.words(1, 1)), {("a",): ("b", "some reason")})
        for text in ("a b\n", "a\n", "a b reason\na c reason\n"):
            with self.assertRaises(HarnessError, msg=text):
                self.read(text, allow.words(1, 1))

    def test_regex(self):
        self.assertEqual(self.read("a b|c ## why\n", allow.regex), {"a b|c": ("why",)})
        for text in ("a b\n", "a ## \n", " ## why\n", "a ## why\na ## why\n"):
            with self.assertRaises(HarnessError, msg=text):
                self.read(text, allow.regex)


class Objdump(unittest.TestCase):
    def test_an_error_is_one(self):
        with self.assertRaisesRegex(HarnessError, "objdump"):
            list(elf.instructions("/nowhere/vmlinux"))


if __name__ == "__main__":
    unittest.main()
