# SPDX-License-Identifier: GPL-2.0
"""The check of what leads into domains, without a kernel."""

import tempfile
import unittest
from pathlib import Path
from unittest import mock

from .. import transit
from ..common import HarnessError
from . import test_entry

WRITE = "mov    %rax,%cr3"
MAKE = "call @asi_make_cr3"
RESUME = ["je @+2", "lfence", WRITE, "ret"]         # wrong for a kernel, but whichever way is taken waits


class Code(test_entry.Kernel):
    """Functions as in test_entry.py; @keys and @fences are {function: {instruction: instruction}} and {function: instructions}."""

    def __init__(self, keys=None, fences=None, **functions):
        super().__init__(**functions)
        self.keys = {self.at(name, here): self.at(name, there)
                     for name, labels in (keys or {}).items() for here, there in labels.items()}
        self.fences = {self.at(name, index) for name, indexes in (fences or {}).items() for index in indexes}

    def at(self, name, index):
        section, start = self.places[name]
        return section, start + 4 * index


def found(**functions):
    """{function: [problem]}"""
    return {name: sorted(problems) for name, problems in transit.check(Code(**functions)).items()}


class Ahead(unittest.TestCase):
    def test_way_around_the_write(self):
        for skip, bad in (("nop", True), ("lfence", False), ("iretq", False)):
            self.assertEqual(found(f=[MAKE, "je @+4", WRITE, "ret", skip, "ret"]), {"f": ["ahead"] if bad else []}, skip)

    def test_straight_on(self):
        self.assertEqual(found(f=[MAKE, WRITE, "je @+3", "ret"]), {"f": []})

    def test_a_branch_behind_the_fence(self):
        self.assertEqual(found(f=["lfence", "je @+5", MAKE, WRITE, "nop", "ret"]), {"f": ["ahead"]})

    def test_a_fence_that_is_patched_in(self):
        lines = [MAKE, "je @+4", WRITE, "ret", "nop", "ret"]
        self.assertEqual(found(f=lines, fences={"f": [4]}), {"f": []})

    def test_return_thunk(self):
        self.assertEqual(found(f=[MAKE, "je @+4", WRITE, "ret", "jmp @__x86_return_thunk"]), {"f": ["ahead"]})

    def test_who_never_returns(self):
        self.assertEqual(found(f=[MAKE, "je @+4", WRITE, "ret", "call @__stack_chk_fail", "ret"]), {"f": []})
        self.assertEqual(found(f=[MAKE, "je @+4", WRITE, "ret", "call @other_function", "ret"]), {"f": ["ahead"]})

    def test_goes_on_elsewhere(self):
        for rest, bad in ((["nop", "iretq"], False), (["nop", "ret"], True)):
            self.assertEqual(found(f=[MAKE, "je @+4", WRITE, "ret", "jmp @g"], g=rest), {"f": ["ahead"] if bad else []}, rest)
        self.assertEqual(found(f=[MAKE, "je @+4", WRITE, "ret", "jmp *%rax"]), {"f": ["ahead"]})

    def test_who_calls_what_waits(self):
        good = found(f=["je @+2", "nop", "call @__asi_resume", "ret"], __asi_resume=[MAKE, *RESUME])
        self.assertEqual(good, {"f": [], "__asi_resume": []})
        self.assertEqual(found(f=["je @+3", "nop", "call @__asi_resume", "ret"], __asi_resume=[MAKE, *RESUME])["f"], ["ahead"])

    def test_who_calls_what_does_not_wait(self):
        bad = found(f=["je @+2", "nop", "call @__asi_resume", "ret"], __asi_resume=[MAKE, "je @+3", WRITE, "ret"])
        self.assertEqual(bad, {"f": ["ahead"], "__asi_resume": ["ahead"]})

    def test_what_waits_through_another(self):
        functions = {"__asi_schedule_in": ["je @+1", "jmp @__asi_resume"], "__asi_resume": [MAKE, *RESUME]}
        self.assertEqual(found(f=["je @+1", "call @__asi_schedule_in", "ret"], **functions),
                         {"f": [], "__asi_schedule_in": [], "__asi_resume": []})

    def test_only_what_has_left_the_domain(self):
        resume = {"__asi_resume": [MAKE, *RESUME]}
        self.assertEqual(found(f=["je @+3", "call @__asi_suspend", "call @__asi_resume", "ret"], **resume)["f"], [])
        self.assertEqual(found(f=["call @__asi_suspend", "je @+3", "call @__asi_resume", "ret"], **resume)["f"], ["ahead"])

    def test_no_domains_no_question(self):
        resume = {"__asi_resume": [MAKE, *RESUME]}
        lines = ["je @+1", "nop", "ret", "call @__asi_resume", "ret"]
        self.assertEqual(found(f=lines, keys={"f": {1: 3}}, **resume)["f"], [])
        lines = ["je @+1", "jmp @+3", "call @__asi_resume", "ret"]
        self.assertEqual(found(f=lines, keys={"f": {1: 3}}, **resume)["f"], [])

    def test_what_only_makes_it(self):
        self.assertEqual(found(asi_reenter=["je @+2", MAKE, "ret"]), {"asi_reenter": []})


class Traps(unittest.TestCase):
    def test_behind_the_write(self):
        for text in ("mov    %rax,%db7", "mov    %db7,%rax", "rdmsr", "wrmsr", "cpuid", "in     (%dx),%al",
                     "rep insb (%dx),%es:(%rdi)", "out    %al,(%dx)", "rdtsc", "rdtscp", "rdpmc", "hlt", "wbinvd", "mwait  %rax,%rcx"):
            self.assertEqual(found(f=[MAKE, WRITE, text, "ret"])["f"], ["traps"], text)
            self.assertEqual(found(f=[text, MAKE, WRITE, "ret"])["f"], [], text)
        for text in ("mov    %rax,%rdx", "mov    %cr2,%rax", "inc    %rax", "pause", "invlpg (%rax)", "swapgs", "wrgsbase %rbx"):
            self.assertEqual(found(f=[MAKE, WRITE, text, "ret"])["f"], [], text)

    def test_on_the_way_to_the_iret(self):
        self.assertEqual(found(f=[MAKE, WRITE, "jmp @g"], g=["rdmsr", "iretq"])["f"], ["traps"])
        self.assertEqual(found(f=[MAKE, WRITE, "jmp @g"], g=["iretq", "rdmsr"])["f"], [])

    def test_what_writes_and_returns(self):
        made = {"asi_make_cr3": [WRITE, "ret"]}
        self.assertEqual(found(f=[MAKE, "wrmsr", "iretq"], **made)["f"], ["traps"])
        self.assertEqual(found(f=["call @asi_reenter", "wrmsr", "iretq"], asi_reenter=[MAKE, "mov    %rax,%db7", "ret"], **made),
                         {"f": ["traps"], "asi_reenter": ["traps"]})

    def test_before_the_domain_is_left(self):
        self.assertEqual(found(f=["rdmsr", "call @__asi_suspend", "ret"])["f"], ["traps"])
        self.assertEqual(found(f=["call @__asi_suspend", "rdmsr", "ret"])["f"], [])
        self.assertEqual(found(f=["je @+3", "rdmsr", "ret", "call @__asi_suspend", "ret"])["f"], [])


class List(unittest.TestCase):
    FUNCTIONS = {"f": [MAKE, "je @+4", WRITE, "ret", "ret"]}

    def statuses(self, known):
        with mock.patch.object(transit, "Code", lambda objdir: Code(**self.FUNCTIONS)):
            return [item["status"] for item in transit.transit_entries({"debug": Path("nowhere")}, known)]

    def test_exact(self):
        self.assertEqual(self.statuses({}), ["fail", "pass"])
        self.assertEqual(self.statuses({("f", "ahead"): ("why",)}), ["pass", "pass"])
        self.assertEqual(self.statuses({("f", "traps"): ("why",)}), ["fail", "fail"])

    def test_read(self):
        self.assertIn(("asi_exit", "ahead"), transit.rules())
        with tempfile.TemporaryDirectory() as tmp:
            path = Path(tmp) / "transit.allow"
            for text in ("f\n", "f ahead\n", "f sideways reason\n", "f ahead why\nf ahead why\n"):
                path.write_text(text)
                with self.assertRaises(HarnessError, msg=text):
                    transit.rules(path)


if __name__ == "__main__":
    unittest.main()
