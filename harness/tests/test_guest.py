# SPDX-License-Identifier: GPL-2.0
"""Unit tests of what runs in the guest: how it is built, and on the host what of it needs no kernel of ours."""

import os
import re
import subprocess
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from harness import boot, guest


def run_on_host(program, arg="", **files):
    """The output of C text, compiled here; @files are what it finds below DEBUGFS, with __ for a slash."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for path, text in files.items():
            path = folder / path.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        (folder / "test.c").write_text(program)
        subprocess.run(["gcc", "-w", f'-DDEBUGFS="{folder}/"', f"-I{guest.SOURCES}", *guest.include_flags(), "-o", folder / "test",
                        folder / "test.c"], check=True)
        return subprocess.run([folder / "test", *([arg] if arg else [])], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, check=False)


class Programs(unittest.TestCase):
    """Compiled anew if anything has changed that goes into them, and only then."""

    def setUp(self):
        folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.sources, self.target = folder / "guest", folder / "built" / "hello"
        self.sources.mkdir()
        (self.sources / "hello.c").write_text('#include "hello.h"\nint main(void) { return ANSWER; }\n')
        (self.sources / "hello.h").write_text("#define ANSWER 1\n")
        (folder / "kselftest.h").write_text("")
        for name, value in (("SOURCES", self.sources), ("PROGRAMS", folder / "built"), ("LOGS", folder), ("SELFTESTS", folder / "none"),
                            ("kselftest_header", lambda: folder / "kselftest.h")):
            self.enterContext(mock.patch.object(guest, name, value))
        self.assertEqual(self.answer(), 1)

    def answer(self):
        guest.programs()
        return subprocess.run([self.target], check=False).returncode

    def change(self, name, text):
        """As a checkout of an older commit, or a copy with its times, does it."""
        (self.sources / name).write_text(text)
        os.utime(self.sources / name, (1, 1))

    def test_a_source_that_is_older(self):
        self.change("hello.c", "int main(void) { return 2; }\n")
        self.assertEqual(self.answer(), 2)

    def test_a_header_that_is_older(self):
        self.change("hello.h", "#define ANSWER 3\n")
        self.assertEqual(self.answer(), 3)

    def test_another_compiler(self):
        before = self.target.stat().st_mtime_ns
        real = guest.run
        with mock.patch.object(guest, "run", lambda cmd, **more: "gcc 99" if "--version" in cmd else real(cmd, **more)):
            guest.programs()
        self.assertNotEqual(self.target.stat().st_mtime_ns, before)

    def test_nothing_has_changed(self):
        before = self.target.stat().st_mtime_ns
        for path in self.sources.iterdir():
            path.touch()
        self.assertEqual(self.answer(), 1)
        self.assertEqual(self.target.stat().st_mtime_ns, before)

    def test_what_a_killed_compiler_leaves_is_not_taken(self):
        source = (self.sources / "hello.c").read_text()
        self.change("hello.c", "int main(void) { syntax error }\n")
        with self.assertRaises(guest.HarnessError):
            guest.programs()
        self.target.write_bytes(b"half")
        self.change("hello.c", source)
        self.assertEqual(self.answer(), 1)


class Needs(unittest.TestCase):
    """What a scenario says about its machine."""

    def setUp(self):
        table = (guest.SOURCES / "machine.c").read_text().partition("features[] = {")[2].partition("};")[0]
        self.known = re.findall(r'^\t\{ "(\w+)",', table, re.M)
        self.scenarios = [boot.load(name) for name in boot.names()]

    def test_each_is_known_to_the_guest(self):
        self.assertIn("pcid", self.known)
        for scenario in self.scenarios:
            self.assertLessEqual(set(scenario.needs), set(self.known), scenario.name)

    def test_each_guest_is_asked_first(self):
        for scenario in self.scenarios:
            first = scenario.run[0].split("+")
            self.assertEqual(first, [f"machine:{scenario.smp}", *scenario.needs], scenario.name)
            self.assertIn(f"steps={scenario.run[0]}", boot.kernel_cmdline(scenario))

    def test_each_feature_is_there_and_is_not(self):
        """Otherwise nobody would notice that the guest can't tell."""
        for name in self.known:
            self.assertEqual({name in scenario.needs for scenario in self.scenarios}, {True, False}, name)

    def test_its_programs_are_there(self):
        """Those that its steps name, and those that another one starts for it, as probes does."""
        known = {path.stem: path for path in guest.sources()}
        with mock.patch.object(guest, "programs", lambda: list(known.values())):
            for scenario in self.scenarios:
                found = {path.stem for path in guest.named(scenario)}
                steps = {step.partition(":")[0] for step in " ".join(scenario.run).split()}
                self.assertLessEqual({"init", "machine", *(steps & known.keys())}, found, scenario.name)
            self.assertEqual({"init", "machine", "probes", "poke", "prmem_load", "prmem_check"},
                             {path.stem for path in guest.named(boot.load("tcg-probes"))})
            self.assertEqual(guest.named(None), list(known.values()))

    def test_they_follow_from_what_is_asked_for(self):
        for scenario in self.scenarios:
            words, needs = scenario.cmdline.split(), scenario.needs
            self.assertEqual("asi" in needs, "asi=on" in words, scenario.name)
            self.assertEqual("prmem" in needs, not scenario.base and "prmem=off" not in words, scenario.name)
            self.assertEqual("la57" in needs, "la57=on" in scenario.cpu, scenario.name)
            if scenario.emulator != "bochs":
                self.assertEqual("pti" in needs, "pti=on" in words, scenario.name)


MACHINE = """
#define main machine_main
#include "machine.c"
#undef main
int main(void)
{
	unsigned int i;

	cpus = nr_cr4 = 2;
	cr4[0] = %d;
	cr4[1] = %d;
	strcpy(cpuinfo, "\\nflags\\t\\t: fpu %s smep_not nopti\\nbugs\\t: pti\\nflags\\t\\t: fpu %s smep_not nopti\\n");
	for (i = 0; i < NR_FEATURES; i++)
		test_feature(&features[i], wanted(features[i].name, "%s"));
	return 0;
}
"""
PCIDE, SMEP = 1 << 17, 1 << 20


class Machine(unittest.TestCase):
    """guest/machine.c is red in both directions."""

    def failed(self, needs="", cr4=(0, 0), flags=("", ""), **files):
        out = run_on_host(MACHINE % (*cr4, *flags, needs), **files).stdout
        self.assertRegex(out, r"(?m)^(not )?ok 10 ")
        return re.findall(r"^not ok \d+ (\w+)", out, re.M)

    def test_nothing_wanted_and_nothing_there(self):
        self.assertEqual(self.failed(), [])

    def test_wanted_and_there(self):
        self.assertEqual(self.failed("pcid+asi", (PCIDE, PCIDE), ("pcid", "pcid"), asi__stats="enter 0\n"), [])

    def test_wanted_and_missing(self):
        self.assertEqual(self.failed("pcid+asi+pti"), ["pcid", "pti", "asi"])

    def test_there_and_not_wanted(self):
        self.assertEqual(self.failed("", (PCIDE, PCIDE), ("pcid", "pcid"), asi__stats="enter 0\n"), ["pcid", "asi"])

    def test_on_one_processor_only(self):
        self.assertEqual(self.failed("pcid", (PCIDE, 0), ("pcid", "pcid")), ["pcid"])
        self.assertEqual(self.failed("pcid", (PCIDE, PCIDE), ("pcid", "")), ["pcid"])

    def test_the_processor_has_it_and_the_kernel_has_not_turned_it_on(self):
        self.assertEqual(self.failed("smep", (0, 0), ("smep", "smep")), ["smep"])
        self.assertEqual(self.failed("smep", (SMEP, SMEP), ("smep", "smep")), [])


RESULTS = """\
KTAP version 1
1..1
    KTAP version 1
    # Subtest: prmem
    1..3
    # a remark
    ok 1 one
    ok 2 two # SKIP no memory
{}# prmem: pass:2 fail:0 skip:1 total:3
ok 1 prmem
"""


class Rerun(unittest.TestCase):
    """What a suite has is known from the suite, not from what came of it."""

    def rerun(self, last):
        found = run_on_host('#include "rerun.c"', "prmem", kunit__prmem__run="", kunit__prmem__results=RESULTS.format(last))
        return found.returncode, re.findall(r"^1\.\.\d+", found.stdout, re.M)

    def test_all(self):
        self.assertEqual(self.rerun("    ok 3 three\n"), (0, ["1..3"]))

    def test_cut_off(self):
        self.assertEqual(self.rerun(""), (1, ["1..3"]))

    def test_a_failure(self):
        self.assertEqual(self.rerun("    not ok 3 three\n"), (1, ["1..3"]))


FAULTS = """
#define main asi_user_main
#include "asi_user.c"
#undef main
int main(void)
{
	strcpy(text, "secret_is_at 0xf00\\n");
	test_faults(2, %d);
	return 0;
}
"""
READS = "cpu 0 domain 3 abort count 2 error 0 ip asi_user_read_secret+0x4/0x10 address f00 0xf00\n"
OTHER = "cpu 1 domain 3 abort count 1 error 2 ip serial8250_console_write+0x1/0x2 address abc 0xabc\n"


class Faults(unittest.TestCase):
    """A fault that no sequence is meant to have."""

    def failed(self, others, faults):
        out = run_on_host(FAULTS % others, asi__faults=faults).stdout
        # The file is no kernel's, and is not cleared.
        return [name for name in re.findall(r"^not ok \d+ (\w+)", out, re.M) if name != "clear_faults"]

    def test_none(self):
        self.assertEqual(self.failed(0, READS), [])

    def test_one(self):
        self.assertEqual(self.failed(0, READS + OTHER), ["no_other_fault"])

    def test_one_that_may_be(self):
        self.assertEqual(self.failed(1, READS + OTHER), [])

    def test_one_that_had_to_be(self):
        self.assertEqual(self.failed(1, READS), ["no_other_fault"])

    def test_too_few_reads(self):
        self.assertEqual(self.failed(0, READS.replace("count 2", "count 1")), ["fault_list"])


POKER = """
#include "poking.h"
int main(int argc, char **argv)
{
	struct poker p = { .status = 0 };
	bool poked;

	p.pokes = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	p.pid = fork();
	while (!p.pid) {
		usleep(1000);
		*p.pokes += %d;
	}
	poked = wait_for_pokes(&p, 5);
	printf("poked %%d lived %%d\\n", poked, stop_poker(&p));
	return 0;
}
"""


class Poker(unittest.TestCase):
    """A process that lives may poke, or be stuck."""

    def poker(self, step, patience):
        return run_on_host(f"#define POKE_PATIENCE {patience}\n" + POKER % step).stdout

    def test_busy(self):
        self.assertEqual(self.poker(1, 20), "poked 1 lived 1\n")

    def test_stuck(self):
        self.assertEqual(self.poker(0, 1), "poked 0 lived 1\n")


if __name__ == "__main__":
    unittest.main()
