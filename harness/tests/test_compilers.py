# SPDX-License-Identifier: GPL-2.0
"""What other compilers and the kernel's own tools are asked, and what is made of their answers."""

import json
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from harness import build, kbuild, kunit, warn


class KunitPy(unittest.TestCase):
    GOOD = "[12:00:00] Testing complete. Ran 44 tests: passed: 41, skipped: 3\n"

    def test_good(self):
        self.assertEqual(kunit.verdict(0, self.GOOD), "")

    def test_status(self):
        self.assertIn("ended with 1", kunit.verdict(1, self.GOOD))

    def test_no_result(self):
        self.assertIn("no result", kunit.verdict(0, "Configuring KUnit Kernel ...\n"))

    def test_bad_counts(self):
        for counts in ("passed: 41, failed: 1", "passed: 41, crashed: 1", "passed: 41, errors: 1", "skipped: 44", "passed: 0"):
            self.assertIn(counts, kunit.verdict(0, f"Testing complete. Ran 44 tests: {counts}\n"))


class CompileCommands(unittest.TestCase):
    def test_paths(self):
        with tempfile.TemporaryDirectory() as root:
            objdir, tree = Path(root, "src", "o-debug"), Path(root, "tree")
            tree.mkdir()
            made = [{"directory": str(objdir), "file": f"{root}/src/mm/a.c",
                     "command": "gcc -I../include -I./include -I ../mm -include ../include/k.h -c -o mm/a.o ../mm/a.c -DX=a/../b"},
                    {"directory": str(objdir), "file": f"{objdir}/init/version.c", "command": "gcc -c init/version.c"}]
            with mock.patch.object(kbuild, "run", lambda command, **_: Path(command[-1]).write_text(json.dumps(made))):
                self.assertEqual(kbuild.compile_commands(objdir, tree), 1)
            item, = json.loads((tree / "compile_commands.json").read_text())
            self.assertEqual(item["file"], f"{tree}/mm/a.c")
            self.assertEqual(item["directory"], str(objdir))
            self.assertEqual(item["command"], f"gcc -I{tree}/include -I./include -I {tree}/mm -include {tree}/include/k.h "
                             f"-c -o mm/a.o {tree}/mm/a.c -DX=a/../b")


class Variables(unittest.TestCase):
    def test_of_a_configuration(self):
        clang = [str(word) for word in build.make(Path("/t"), Path("/t/o-clang"), "a.o")]
        self.assertIn("LLVM=1", clang)
        # The last one counts for make.
        self.assertEqual([word for word in clang if word.startswith("CC=")][-1], "CC=ccache clang")
        self.assertIn("ARCH=i386", build.make(Path("/t"), Path("/t/o-i386"), "a.o"))
        self.assertNotIn("LLVM=1", build.make(Path("/t"), Path("/t/o-debug"), "a.o"))


class Compiled(unittest.TestCase):
    """compile_entries(), with a compiler that makes what it is told to."""

    def entries(self, makes, says="", fails=False):
        with tempfile.TemporaryDirectory() as root:
            tree, logs = Path(root, "src"), Path(root, "logs")
            (tree / "o-clang" / "mm").mkdir(parents=True)
            logs.mkdir()
            (tree / "o-clang" / "mm" / "a.o").write_text("old")

            def make(_config, _tree, targets, log, variables):
                self.assertEqual((targets, variables), (["mm/a.o", "mm/b.o"], ["-k", "W=1"]))
                self.assertFalse((tree / "o-clang" / "mm" / "a.o").exists())
                log.write_text(says)
                for name in makes:
                    (tree / "o-clang" / name).write_text("new")
                if fails:
                    raise warn.HarnessError("build failed")
            with mock.patch.object(build, "build", make), mock.patch.object(warn, "LOGS", logs), mock.patch.object(warn, "ROOT", Path(root)):
                found = warn.compile_entries("clang", tree, ["mm/a.c", "mm/b.c"], ["W=1"])
            return {item["case"].partition(":")[2] or "other": item["status"] for item in found}

    def test_silent(self):
        self.assertEqual(self.entries(["mm/a.o", "mm/b.o"]), {"mm/a.c": "pass", "mm/b.c": "pass", "other": "pass"})

    def test_warns(self):
        self.assertEqual(self.entries(["mm/a.o"], "../mm/b.c:1:2: error: unused [-Werror]\n", True),
                         {"mm/a.c": "pass", "mm/b.c": "fail", "other": "pass"})

    def test_not_compiled(self):
        self.assertEqual(self.entries(["mm/a.o"]), {"mm/a.c": "pass", "mm/b.c": "fail", "other": "pass"})

    def test_fails_without_a_word(self):
        self.assertEqual(self.entries(["mm/a.o", "mm/b.o"], fails=True), {"mm/a.c": "pass", "mm/b.c": "pass", "other": "fail"})


if __name__ == "__main__":
    unittest.main()
