# SPDX-License-Identifier: GPL-2.0
"""The judge gets judged: small logs, and what has to be said of each."""

import tempfile
import unittest
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

from harness import boot, expected, judge, report
from harness.common import HarnessError

LIST = """\
step load
    open
    close
step load:static
    refused
suite alpha
    alpha_test_one
    alpha_test_two
        skip sample: needs two CPUs
    alpha_test_three
    alpha_test_four.round 1
suite alpha_more
    more_test_one
    more_test_two
suite other
    other_test_one
"""
ALPHA = ["alpha_test_one", "alpha_test_two # SKIP needs two CPUs", "alpha_test_three", ["alpha_test_four", "round 1"]]
MORE = ["more_test_one", "more_test_two"]


def results(cases, indent=""):
    """KTAP lines of cases; one that is a list is a case with parameters, which are the rest of it."""
    lines = []
    for number, case in enumerate(cases, 1):
        if isinstance(case, list):
            lines += suite(case[0], case[1:], number, indent)
            continue
        verdict = "not ok" if case.startswith("!") else "ok"
        if case.startswith("!"):
            lines.append(f"{indent}# {case[1:]}: EXPECTATION FAILED at lib/test_alpha.c:10")
        lines.append(f"{indent}{verdict} {number} {case.lstrip('!')}")
    return lines


def suite(name, cases, number=1, indent="", verdict=None):
    inner = indent + "    "
    bad = any(isinstance(case, str) and case.startswith("!") for case in cases)
    return [f"{inner}KTAP version 1", f"{inner}# Subtest: {name}", f"{inner}1..{len(cases)}", *results(cases, inner),
            f"{indent}{verdict or ('not ok' if bad else 'ok')} {number} {name}"]


def ktap(*suites):
    """@suites: (name, cases) or (name, cases, verdict)"""
    lines = ["KTAP version 1", f"1..{len(suites)}"]
    for number, (name, cases, *verdict) in enumerate(suites, 1):
        lines += suite(name, cases, number, verdict=verdict[0] if verdict else None)
    return lines


def console(*lines, end="reboot: Power down"):
    return "".join(f"[{n:5d}.000000] {line}\n" for n, line in enumerate(["Linux version 6.12", *lines, end]))


def steps(*groups, end="# end of results"):
    return "\n".join([*ktap(*groups), end]) + "\n"


class WithLogs(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        patch = mock.patch.object(judge, "LOGS", self.folder)
        patch.start()
        self.addCleanup(patch.stop)
        self.listed = expected.parse(LIST)

    def judge(self, log, said="", ended="exit", trouble="", listed=None, **keys):
        """The entries of a boot that left these logs."""
        keys = {"kunit": "alpha*", **keys}
        (self.folder / "log").write_text(log)
        (self.folder / "results").write_text(said)
        run = SimpleNamespace(scenario=boot.Scenario("sample", **keys), log=self.folder / "log", label="sample",
                              results=self.folder / "results", ended=ended, trouble=trouble, seconds=1.5)
        return judge.judge(run, self.listed if listed is None else listed)

    def failures(self, *args, **keys):
        """{suite.case: why} of what fails."""
        return {f"{e['suite']}.{e['case']}": e["why"] for e in self.judge(*args, **keys) if e["status"] == "fail"}


class Cases(WithLogs):
    def test_all_is_well(self):
        entries = self.judge(console(*ktap(("alpha", ALPHA), ("alpha_more", MORE))))
        self.assertEqual(report.count(entries), {"pass": 6, "fail": 0, "skip": 1})
        self.assertEqual([e["why"] for e in entries if e["status"] == "skip"], ["needs two CPUs"])

    def test_another_line_in_a_header(self):
        """Wherever it comes in, it is no failure."""
        lines = ktap(("alpha", ALPHA), ("alpha_more", MORE))
        for place in range(len(lines) + 1):
            entries = self.judge(console(*lines[:place], "tsc: Refined TSC clocksource calibration: 2096.006 MHz", *lines[place:]))
            self.assertEqual(report.count(entries), {"pass": 6, "fail": 0, "skip": 1}, place)

    def test_a_suite_is_missing(self):
        self.assertEqual(self.failures(console(*ktap(("alpha", ALPHA)))), {
            f"selftests.expected:alpha_more.{case}": "did not run; if that is meant: make expected" for case in MORE})

    def test_each_suite_is_cut_to_its_first_case(self):
        found = self.failures(console(*ktap(("alpha", ALPHA[:1]), ("alpha_more", MORE[:1]))))
        self.assertEqual(sorted(found), ["selftests.expected:alpha.alpha_test_four.round 1",
                                         "selftests.expected:alpha.alpha_test_three", "selftests.expected:alpha.alpha_test_two",
                                         "selftests.expected:alpha_more.more_test_two"])

    def test_nearly_all_are_skipped(self):
        cut = [ALPHA[0], ALPHA[1], "alpha_test_three # SKIP no memory", ALPHA[3]]
        found = self.failures(console(*ktap(("alpha", cut), ("alpha_more", [f"{case} # SKIP no memory" for case in MORE]))))
        self.assertEqual(sorted(found), ["selftests.expected:alpha.alpha_test_three",
                                         "selftests.expected:alpha_more.more_test_one",
                                         "selftests.expected:alpha_more.more_test_two"])
        self.assertIn("must pass here, and is skipped: no memory", found["selftests.expected:alpha.alpha_test_three"])

    def test_a_case_is_new(self):
        found = self.failures(console(*ktap(("alpha", [*ALPHA, "alpha_test_five"]), ("alpha_more", MORE), ("alpha_new", ["a"]))))
        self.assertEqual(sorted(found), ["selftests.expected:alpha.alpha_test_five", "selftests.expected:alpha_new.a"])
        self.assertIn("is new", found["selftests.expected:alpha_new.a"])

    def test_a_skip_that_passes_or_has_another_reason(self):
        for case, words in (("alpha_test_two", "passes, and should be skipped: needs two CPUs"),
                            ("alpha_test_two # SKIP no memory", "for another reason: no memory, not: needs two CPUs")):
            found = self.failures(console(*ktap(("alpha", [ALPHA[0], case, *ALPHA[2:]]), ("alpha_more", MORE))))
            self.assertEqual(list(found), ["selftests.expected:alpha.alpha_test_two"])
            self.assertIn(words, found["selftests.expected:alpha.alpha_test_two"])

    def test_a_skip_elsewhere_is_none_here(self):
        self.listed = expected.parse(LIST.replace("skip sample", "skip another"))
        found = self.failures(console(*ktap(("alpha", ALPHA), ("alpha_more", MORE))))
        self.assertEqual(list(found), ["selftests.expected:alpha.alpha_test_two"])

    def test_a_case_is_there_twice(self):
        found = self.failures(console(*ktap(("alpha", ALPHA), ("alpha_more", [MORE[0], *MORE]))))
        self.assertEqual(list(found), ["selftests.expected:alpha_more.more_test_one"])

    def test_a_skip_without_a_reason(self):
        found = self.failures(console(*ktap(("alpha", [ALPHA[0], "alpha_test_two # SKIP", *ALPHA[2:]]), ("alpha_more", MORE))))
        self.assertEqual(found["selftests.alpha.alpha_test_two"], "skipped without a reason")

    def test_a_failure_says_why(self):
        found = self.failures(console(*ktap(("alpha", ALPHA), ("alpha_more", ["!more_test_one", MORE[1]]))))
        self.assertEqual(list(found), ["selftests.alpha_more.more_test_one"])
        self.assertIn("# more_test_one: EXPECTATION FAILED at lib/test_alpha.c:10; log: ",
                      found["selftests.alpha_more.more_test_one"])

    def test_a_case_that_is_missing_has_not_failed_itself(self):
        # A mutant must turn a case red, not make it vanish.
        found = self.failures(console(*ktap(("alpha", ALPHA), ("alpha_more", MORE[:1]))))
        self.assertNotIn("selftests.alpha_more.more_test_two", found)

    def test_a_suite_fails_when_its_cases_are_over(self):
        found = self.failures(console(*ktap(("alpha", ALPHA), ("alpha_more", MORE, "not ok"))))
        self.assertIn("suite alpha_more", found["selftests.boot"])
        self.assertIn("though none of its cases did", found["selftests.boot"])

    def test_wrong_numbers(self):
        log = console(*ktap(("alpha", ALPHA), ("alpha_more", MORE))).replace("ok 2 more_test_two", "ok 3 more_test_two")
        self.assertIn("kunit.py finds 1 error", self.failures(log)["selftests.boot"])

    def test_a_log_that_ends_anywhere(self):
        lines = console(*ktap(("alpha", ALPHA), ("alpha_more", MORE))).splitlines(keepends=True)
        for length in range(len(lines)):
            found = self.failures("".join(lines[:length]))
            self.assertIn("selftests.boot", found, length)
            self.assertFalse([name for name in found if name.endswith(".")], length)

    def test_an_emulator_that_fails(self):
        good = console(*ktap(("alpha", ALPHA), ("alpha_more", MORE)))
        self.assertIn("emulator ended with exit 1", self.failures(good, ended="exit 1")["selftests.boot"])
        self.assertIn("swtpm ended with 1", self.failures(good, trouble="swtpm ended with 1")["selftests.boot"])

    def test_a_verdict_and_no_case(self):
        log = console(*ktap(("alpha", ALPHA), ("alpha_more", MORE)), "ok 3 alpha_empty").replace("] 1..2\n", "] 1..3\n", 1)
        self.assertIn("suite alpha_empty in ", self.failures(log)["selftests.boot"])

    def test_what_never_ran_is_said_in_one_line(self):
        found = self.failures(console(*ktap(("alpha", ALPHA)), end="no end"), ended="timeout")
        self.assertEqual(list(found), ["selftests.boot"])
        self.assertIn("no end after 600 s", found["selftests.boot"])
        self.assertIn("2 case(s) did not run, first: alpha_more.more_test_one", found["selftests.boot"])


class Steps(WithLogs):
    GOOD = (("load", ["- open", "- close"]), ("load", ["- refused"]))

    def failures(self, *args, **keys):
        return super().failures(*args, **{"kunit": "", "run": ["load:5", "load:static"], **keys})

    def test_all_is_well(self):
        self.assertEqual(self.failures(console(), steps(*self.GOOD)), {})

    def test_a_kernel_that_says_nothing(self):
        found = self.failures("$ qemu -append 'console=ttyS0'\nSeaBIOS\n", "", ended="timeout")
        self.assertIn("no end after 600 s; the kernel has printed nothing", found["selftests.boot"])
        self.assertNotIn("printed nothing", str(self.failures(console(end=""), steps(*self.GOOD))))

    def test_an_emulator_that_refuses(self):
        found = self.failures("$ qemu -m 1\nqemu: too little memory\n", "", ended="exit 1")
        self.assertIn("emulator ended with exit 1: qemu: too little memory; ", found["selftests.boot"])

    def test_steps_of_one_name_are_told_apart(self):
        self.assertEqual(sorted(self.failures(console(), steps(*reversed(self.GOOD)))), [
            "selftests.expected:load.close", "selftests.expected:load.open", "selftests.expected:load.refused"] )

    def test_a_case_or_a_step_is_missing(self):
        self.assertEqual(list(self.failures(console(), steps(("load", ["- open"]), self.GOOD[1]))),
                         ["selftests.expected:load.close"])
        self.assertEqual(list(self.failures(console(), steps(self.GOOD[0]))), ["selftests.expected:load.refused"])

    def test_a_step_that_is_not_listed(self):
        found = self.failures(console(), steps(*self.GOOD, ("fresh", ["- one"])), run=["load:5", "load:static", "fresh"])
        self.assertEqual(list(found), ["selftests.expected:fresh.one"])
        found = self.failures(console(), steps(*self.GOOD), run=["load:5", "load:static", "fresh"])
        self.assertEqual(list(found), ["selftests.expected:fresh.(any case)"])

    def test_another_step_with_the_same_cases(self):
        found = self.failures(console(), steps(("other", self.GOOD[0][1])), run=["load:5"])
        self.assertEqual(sorted(found), ["selftests.expected:load.close", "selftests.expected:load.open",
                                         "selftests.expected:other.close", "selftests.expected:other.open"])

    def test_results_are_cut_off(self):
        self.assertIn("cut off", self.failures(console(), steps(*self.GOOD, end=""))["selftests.boot"])

    def test_a_step_that_dies(self):
        # What init writes for a step without a plan.
        said = steps(self.GOOD[0], ("load", ["- refused"], "not ok")).replace("1..1", "1..999")
        self.assertIn("selftests.boot", self.failures(console(), said))

    def test_what_is_run_again_is_a_machine_of_its_own(self):
        run = {"kunit": "", "run": ["rerun:alpha"]}
        said = steps(("rerun", ALPHA))
        self.assertEqual(list(self.failures(console(), said, **run)), ["selftests.expected:rerun.alpha_test_two"])
        self.listed["suite alpha"]["alpha_test_two"].skips = {"sample/rerun": "needs two CPUs"}
        self.assertEqual(self.failures(console(), said, **run), {})


class Splats(WithLogs):
    def rules(self, deny, allow):
        (self.folder / "splats.deny").write_text(deny)
        (self.folder / "splats.allow").write_text(allow)
        patch = mock.patch.object(judge, "SCENARIOS", self.folder)
        patch.start()
        self.addCleanup(patch.stop)

    def test_without_a_rule_nothing_is_allowed(self):
        self.rules("BUG:\n", "# none\n")
        self.assertEqual(judge.find_splats("[ 1.0] BUG: here\n"), ["[ 1.0] BUG: here"])

    def test_a_rule_that_matches_each_line(self):
        for allow in (" ## a reason\n", "x* ## a reason\n", "BUG| ## a reason\n", "( ## a reason\n", "BUG:\n", "BUG: ## \n"):
            self.rules("BUG:\n", allow)
            with self.assertRaises(HarnessError, msg=allow):
                judge.find_splats("BUG:")

    def test_nothing_to_look_for(self):
        for deny in ("", "# BUG:\n", "BUG|\n"):
            self.rules(deny, "")
            with self.assertRaises(HarnessError, msg=deny):
                judge.find_splats("BUG:")

    def test_what_is_allowed_and_what_not(self):
        self.rules("BUG:\nWARNING:\n", "^\\[ *[0-9.]+\\] MDS: WARNING: ## not ours\n")
        log = ("$ qemu -append 'BUG: x'\n[    0.0] Command line: BUG: x\n[    0.1] Kernel command line: BUG: x\n"
               "[    0.2] MDS: WARNING: open\n    # test_BUG: BUG: expected\n[    1.0]     ok 1 test_BUG: x\n"
               "[    2.0] BUG: bad command line: x\n[    3.0] WARNING: at mm/a.c\n")
        self.assertEqual(judge.find_splats(log), ["[    2.0] BUG: bad command line: x", "[    3.0] WARNING: at mm/a.c"])
        self.assertEqual(judge.find_splats(log, ["bad command"]), ["[    3.0] WARNING: at mm/a.c"])

    def test_one_splat_fails_the_boot(self):
        good = ktap(("alpha", ALPHA), ("alpha_more", MORE))
        found = self.failures(console(*good, "WARNING: CPU: 0 PID: 1 at mm/a.c:1 f+0x1/0x2"))
        self.assertEqual(list(found), ["selftests.boot"])
        self.assertIn("1 line(s) of trouble, first: ", found["selftests.boot"])
        self.assertEqual(self.failures(console(*good, "WARNING: here"), expect_splat=["WARNING: here"]), {})

    def test_what_is_provoked_must_come(self):
        found = self.failures(console(*ktap(("alpha", ALPHA), ("alpha_more", MORE))), expect_splat=["WARNING: here"])
        self.assertIn("not in the log: WARNING: here", found["selftests.boot"])

    def test_what_is_provoked_can_be_counted(self):
        good = ktap(("alpha", ALPHA), ("alpha_more", MORE))
        for lines, said in ((1, "1 line(s) of the log, not 2, match: WARNING: here"), (2, None),
                            (3, "3 line(s) of the log, not 2, match: WARNING: here"), (0, "not in the log: WARNING: here")):
            found = self.failures(console(*good, *["WARNING: here"] * lines), expect_splat=["2 x WARNING: here"])
            if said:
                self.assertIn(said, found["selftests.boot"])
            else:
                self.assertEqual(found, {})

    def test_a_busy_host_is_no_trouble_of_the_kernel(self):
        self.assertEqual(judge.find_splats(
            "[    9.1] clocksource: timekeeping watchdog on CPU1: hpet wd-wd read-back delay of 2604000ns\n"), [])
        # So that there is none, and no panic because ticks were late.
        words = boot.kernel_cmdline(boot.Scenario("sample")).split()
        self.assertLessEqual({"tsc=nowatchdog", "no_timer_check"}, set(words))


class Oopses(WithLogs):
    OOPS = ["BUG: unable to handle page fault for address: ffffffff99aa7f18", "Oops: Oops: 0003 [#1] PREEMPT SMP NOPTI",
            "RIP: 0010:{}+0x2e/0x40", "Call Trace:", "RIP: 0010:first+0x2e/0x40"]
    ALLOWED = ["BUG: unable to handle page fault", "Oops: Oops: 0003", "Call Trace:"]

    def failures(self, *functions, wanted):
        lines = [line.format(function) for function in functions for line in self.OOPS]
        found = super().failures(console(*lines), kunit="", expect_splat=self.ALLOWED,
                                 oopses=[f"Oops: 0003 in {function}" for function in wanted])
        self.assertLessEqual(set(found), {"selftests.boot"})
        return found.get("selftests.boot", "")

    def test_each_in_its_function(self):
        self.assertEqual(self.failures("first", "second", wanted=["first", "second"]), "")

    def test_another_function(self):
        self.assertIn("2 oopses, and 2 were provoked; the first that differs, 2, is Oops: 0003 in ima_add_template_entry, "
                      "not Oops: 0003 in second", self.failures("first", "ima_add_template_entry", wanted=["first", "second"]))

    def test_one_more_or_less(self):
        self.assertIn("differs, 2, is Oops: 0003 in second, not none", self.failures("first", "second", wanted=["first"]))
        self.assertIn("differs, 2, is none, not Oops: 0003 in second", self.failures("first", wanted=["first", "second"]))

    def test_another_kind(self):
        log = console("Oops: Oops: 0002 [#1] PREEMPT SMP NOPTI", "RIP: 0010:first+0x2e/0x40", "Oops: Oops: 0003 [#2] SMP")
        self.assertEqual(judge.find_oopses(log), ["Oops: 0002 in first", "Oops: 0003 in (nobody)"])


class Expect(WithLogs):
    def test_the_command_line_is_no_evidence(self):
        good = ktap(("alpha", ALPHA), ("alpha_more", MORE))
        for line in ("[    0.0] Command line: asi: on\n", "[    0.1] Kernel command line: asi: on\n", "$ qemu -append 'asi: on'\n",
                     '[    0.1] Unknown kernel command line parameters "asi: on", will be passed to user space.\n'):
            found = self.failures(line + console(*good), expect=["asi: on"])
            self.assertIn("not in the log: asi: on", found["selftests.boot"], line)
        self.assertEqual(self.failures(console(*good, "asi: on, by the command line"), expect=["^\\[.*asi: on"]), {})

    def test_a_scenario_may_not_expect_nothing(self):
        for key in ("expect", "expect_splat", "allow_splat"):
            (self.folder / "sample.ini").write_text(f"[scenario]\nabout = x\n{key} =\n  (a|)\n")
            with mock.patch.object(boot, "SCENARIOS", self.folder), mock.patch.object(boot, "ROOT", self.folder):
                with self.assertRaisesRegex(HarnessError, "matches each line"):
                    boot.load("sample")


class Names(unittest.TestCase):
    def test_report_names(self):
        self.assertEqual(judge.report_name("prmem", "a"), ("prmem", "a"))
        self.assertEqual(judge.report_name("prmem_list", "a"), ("prmem", "prmem_list.a"))
        self.assertEqual(judge.report_name("lkdtm", "WRITE_RO"), ("prmem", "lkdtm.WRITE_RO"))
        self.assertEqual(judge.report_name("rerun", "temp_mm_test_a"), ("temp_mm", "rerun.temp_mm_test_a"))
        self.assertEqual(judge.report_name("rerun", "prmem_test_a"), ("prmem", "rerun.prmem_test_a"))
        self.assertEqual(judge.report_name("poke", "a"), ("selftests", "poke.a"))

    def test_entry(self):
        self.assertEqual(report.entry("s", "tcg", "asi", "c", "skip")["status"], "fail")
        self.assertEqual(report.entry("s", "tcg", "asi", "c", "fail", " ")["why"], "no reason given")
        self.assertEqual(report.entry("s", "tcg", "asi", "c", "skip", "why")["status"], "skip")
        for status in ("ok", "", None):
            with self.assertRaises(ValueError):
                report.entry("s", "tcg", "asi", "c", status)


class TheList(unittest.TestCase):
    def problems(self, text, *scenarios):
        return expected.problems(expected.parse(text), scenarios)

    def test_ours(self):
        """Each case passes on a machine of make test, or the list says why it can't."""
        text = expected.LIST.read_text()
        listed = expected.parse(text)
        self.assertEqual(expected.unlisted(listed) + expected.problems(listed, expected.machines()), [])
        self.assertEqual(expected.form(listed), text, "not as 'make expected' writes it")

    def test_each_passes_somewhere_or_says_why(self):
        text = "suite a\n    one\n        skip m: no KFENCE\n"
        where = boot.Scenario("m", kunit="a*"), boot.Scenario("n", kunit="a"), boot.Scenario("long", kunit="a", extra="yes")
        self.assertEqual(self.problems(text, *where), [])
        self.assertRegex(self.problems(text, where[0])[0], "a.one: passes on no machine")
        self.assertRegex(self.problems(text, where[0], where[2])[0], "a.one: passes on no machine")
        self.assertEqual(self.problems(text + "        nowhere: no emulator has it\n", where[0]), [])
        self.assertRegex(self.problems(text + "        nowhere: no emulator has it\n", *where)[0], "passes, though")

    def test_list_and_scenarios_fit(self):
        one = boot.Scenario("m", kunit="a*", run=["poke:3"])
        self.assertEqual(self.problems("suite a\n    one\nstep poke\n    x\n", one), [])
        self.assertRegex(self.problems("suite a\n    one\n", one)[0], "m runs step poke, of which no case is listed")
        self.assertRegex(self.problems("suite b\n    one\nstep poke\n    x\n", one)[0], "m runs suites a\\*, and none is listed")
        self.assertRegex(self.problems("suite a\n    one\nsuite b\n    one\nstep poke\n    x\n", one)[0], "b.one: passes on no")
        self.assertRegex(self.problems("suite a\n    one\nstep poke\n", one)[0], "step poke: has no case")
        self.assertRegex(self.problems("suite a\n    one\n        skip q: w\nstep poke\n    x\n", one)[0], "does not run on q")

    def test_cases_that_nobody_ever_runs(self):
        text = ("static struct kunit_case a_cases[] = {\n\tKUNIT_CASE(one),\n\tKUNIT_CASE_PARAM_ATTR(two, x, { .y = z }),\n\t{}\n};\n"
                "static struct kunit_suite a_suite = {\n\t.name = \"a\",\n\t.test_cases = a_cases,\n};\n")
        self.assertEqual(expected.cases_of(text), {"a": ["one", "two"]})
        listed = expected.load()
        del listed["suite asi"]["asi_test_suspend"], listed["suite splat_prmem"]
        self.assertEqual(expected.unlisted(listed), ["asi.asi_test_suspend: is in arch/x86/mm/tests/asi/test_asi.c, but not in the list",
                         "splat_prmem.prmem_test_list_corrupted: is in mm/tests/prmem/test_prmem_list.c, but not in the list",
                         "splat_prmem.prmem_test_list_corrupted_inside: is in mm/tests/prmem/test_prmem_list.c, but not in the list"])

    def test_what_is_no_list(self):
        for text in ("other a\n", "    one\n", "suite a\nsuite a\n", "suite a\n    one\n    one\n", "suite a\n   one\n",
                     "suite a\n    one\n        skip m\n", "suite a\n    one\n        skip : why\n",
                     "suite a\n    one\n        skip m: \n", "suite a\n    one\n        skip m: x\n        skip m: y\n",
                     "suite a\n        skip m: x\n", "suite a\n    one\n        nowhere: x\n        nowhere: y\n"):
            with self.assertRaises(HarnessError, msg=text):
                expected.parse(text)

    def test_written_and_read_again(self):
        text = expected.form(expected.parse(LIST))
        self.assertEqual(expected.parse(text), expected.parse(LIST))
        self.assertEqual(expected.form(expected.parse(text)), text)

    def test_update(self):
        old = expected.parse("suite a\n    one\n        skip m: why\n    two\n        nowhere: x\n    gone\nsuite dead\n    x\n"
                             "step s\n    kept\n        skip n gone: y\n")
        boots = [(boot.Scenario("m", kunit="a"), [expected.Group("a", [("one", "pass", ""), ("two", "skip", "no X"),
                                                                       ("new", "fail", "bad")])], [], 2),
                 (boot.Scenario("k", kunit="a"), [expected.Group("a", [("gone", "pass", "")])], [], 1),
                 (boot.Scenario("n", run=["s:3"]), None, None, 0)]
        new = expected.update(old, boots)
        self.assertEqual(new, expected.parse("suite a\n    one\n    two\n        skip m: no X\n        nowhere: x\n    new\n"
                                             "step s\n    kept\n        skip n: y\n"))
        self.assertEqual(expected.changes(old, new), [
            "  s.kept on gone: is skipped no longer", "- a.gone", "+ a.new", "  a.one on m: is skipped no longer",
            "  a.two on m: skipped: no X", "- dead.x"])


class Rewriting(WithLogs):
    """make expected"""

    def run_it(self, *scenarios, only=""):
        told = []
        with mock.patch.multiple(expected, LOGS=self.folder, ROOT=self.folder, LIST=self.folder / "expected", unlisted=lambda _: [],
                                 machines=lambda: scenarios, say=told.append):
            self.assertEqual(expected.cmd_expected([only]), 0)
        return told

    def written(self):
        return expected.parse((self.folder / "expected").read_text())

    def boot(self, name, log, results=None):
        (self.folder / f"boot-{name}.log").write_text(log)
        if results is not None:
            (self.folder / f"boot-{name}.results").write_text(results)

    def test_what_a_developer_sees(self):
        scenario = boot.Scenario("sample", kunit="alpha*", run=["load:5"])
        log, said = console(*ktap(("alpha", ALPHA), ("alpha_more", MORE))), steps(("load", ["- open"]))
        self.boot("sample", log, said)
        told = self.run_it(scenario)
        self.assertIn("+ alpha_more.more_test_one", told)
        self.assertIn("  alpha.alpha_test_two on sample: skipped: needs two CPUs", told)
        self.assertIn("to do: alpha.alpha_test_two: passes on no machine of make test, and no reason is given (nowhere: ...)", told)
        self.assertEqual(self.failures(log, said, run=["load:5"], listed=self.written()), {})

        self.boot("sample", console(*ktap(("alpha", ALPHA[:1]), ("alpha_more", [*MORE, "fresh"]))), said)
        self.assertEqual(self.run_it(scenario)[:-1], ["- alpha.alpha_test_four.round 1", "- alpha.alpha_test_three",
                         "- alpha.alpha_test_two", "  alpha.alpha_test_two on sample: is skipped no longer", "+ alpha_more.fresh"])

    def test_a_log_that_is_no_evidence_changes_nothing(self):
        scenario = boot.Scenario("sample", kunit="alpha*", run=["load:5"])
        whole = console(*ktap(("alpha", ALPHA), ("alpha_more", MORE)))
        for log, said in ((whole[:-30], steps(("load", ["- open"]))), (whole, steps(("load", ["- open"]), end="")),
                          (whole, steps(("other", ["- open"]))), (whole, None)):
            (self.folder / "expected").write_text(LIST)
            (self.folder / "boot-sample.results").unlink(missing_ok=True)
            self.boot("sample", log, said)
            self.assertRegex(self.run_it(scenario)[0], "left as it is: sample: ")
            self.assertEqual(self.written()["suite alpha"], self.listed["suite alpha"])

    def test_only_one(self):
        self.boot("one", console(*ktap(("alpha", ["a"]))))
        self.boot("two", console(*ktap(("beta", ["b"]))))
        told = self.run_it(boot.Scenario("one", kunit="alpha"), boot.Scenario("two", kunit="beta"), only="two")
        self.assertIn("+ beta.b", told)
        self.assertNotIn("+ alpha.a", told)


class Threads(unittest.TestCase):
    def test_one_log_at_a_time(self):
        """The kernel's parser prints to one place, and mutants are judged by two threads."""
        held = []
        with tempfile.TemporaryDirectory() as tmp, mock.patch.object(judge, "LOGS", Path(tmp)):
            log = Path(tmp) / "log"
            log.write_text("\n".join(["KTAP version 1", "1..1", *suite("alpha", ["alpha_test_one"])]) + "\n")
            parse = judge.kunit_parser().parse_run_tests
            with mock.patch.object(judge.kunit_parser(), "parse_run_tests",
                                   lambda lines: (held.append(judge.PARSING.locked()), parse(lines))[1]):
                groups, wrong = judge.parse_ktap(log, "log")
        self.assertEqual((held, wrong, groups[0].name), ([True], [], "alpha"))


if __name__ == "__main__":
    unittest.main()
