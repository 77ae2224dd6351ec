# SPDX-License-Identifier: GPL-2.0
"""The checks of built kernels without one: who writes CR3, and what entry code refers to."""

import tempfile
import unittest
from pathlib import Path

from .. import cr3, elf, entryset
from ..common import HarnessError

TEXT, DATA, RODATA = 1, 2, 3
SIZE = 16


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
    """Functions of 16 bytes, an instruction of 4 bytes each, given as texts with what they refer to."""

    VARIABLES = {"mapped": 0x1000, "other": 0x2000}

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
                if target in self.places:
                    function.references.append(entryset.Reference(site, text, *self.places[target], target, True))
                elif target in ("+2", "+3"):
                    function.references.append(
                        entryset.Reference(site, text, section, start + 4 * int(target), name, True))
                elif target == "string":
                    function.references.append(entryset.Reference(site, text, RODATA, 0, target, False))
                elif target:
                    known = target in self.VARIABLES
                    function.references.append(
                        entryset.Reference(site, text, DATA if known else 0, 0, target, not known))
            self.functions[section, start, name] = function

    def function_at(self, number, address):
        return next((function for key, function in self.functions.items()
                     if key[0] == number and function.holds(address)), None)

    def address(self, reference):
        return self.VARIABLES.get(reference.name)

    def entry_set(self):
        return [("mapped", 0x1000, 0x1008)]


def check(kernel, *lines):
    """(functions, problems, lines of no use) of a kernel under rules."""
    allow = entryset.Rules({(words[0], tuple(words[1:])): "reason" for words in map(str.split, lines)})
    names, problems = entryset.check(kernel, allow)
    return names, problems, allow.stale()


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
        self.assertEqual(check(kernel, "data error_entry other")[1:], ([], []))
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
        self.assertEqual(check(kernel, "call error_* c_h*"), (["error_entry"], [], []))

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
        self.assertEqual(check(kernel, "data error_entry gone")[2], ["data error_entry gone"])

    def test_the_list(self):
        self.assertTrue(entryset.rules().lines)
        with tempfile.TemporaryDirectory() as tmp:
            path = Path(tmp) / "entry.allow"
            for line in ("data error_entry x", "call a", "other a b", "enters asi_load"):
                path.write_text(line + "\n")
                with self.assertRaises(HarnessError):
                    entryset.rules(path)


class Writers(unittest.TestCase):
    def test_both_ways(self):
        allow = {"known": "reason", "gone": "reason"}
        wrong = dict(cr3.judge({"debug": {"known": 1, "new": 2}, "release": {"known": 1}}, allow))
        self.assertEqual(sorted(wrong), ["gone", "new"])
        self.assertIn("debug build", wrong["new"])

    def test_one_build_is_enough(self):
        self.assertEqual(cr3.judge({"debug": {"a": 1}, "release": {}}, {"a": "reason"}), [])

    def test_what_the_compiler_makes_of_a_function(self):
        for name in ("f", "f.constprop.0", "f.part.0.isra.0", "f.cold", "f.2"):
            self.assertEqual(elf.plain(name), "f")

    def test_instruction(self):
        self.assertTrue(cr3.WRITE.match("mov    %rax,%cr3"))
        self.assertFalse(cr3.WRITE.match("mov    %cr3,%rax"))

    def test_the_list(self):
        self.assertIn("asi_load", cr3.allowed())
        with tempfile.TemporaryDirectory() as tmp:
            path = Path(tmp) / "cr3.allow"
            for text in ("a\n", "a reason\na reason\n"):
                path.write_text(text)
                with self.assertRaises(HarnessError):
                    cr3.allowed(path)


if __name__ == "__main__":
    unittest.main()
