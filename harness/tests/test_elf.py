# SPDX-License-Identifier: GPL-2.0
"""Object files that something is wrong with."""

import subprocess
import tempfile
import unittest
from pathlib import Path

from .. import elf
from ..common import HarnessError


class Damaged(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="kas-elf.")
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "a.o"
        subprocess.run(["gcc", "-c", "-x", "c", "-o", str(self.path), "-"], input=b"int a, b; int f(void) { return a + b; }", check=True)

    def test_whole(self):
        self.assertLessEqual({"a", "b", "f"}, {symbol.name for symbol in elf.Elf(self.path).symbols})

    def test_names_without_an_end(self):
        """As in a file that a linker was killed in the middle of: each name would be all of the rest of it."""
        whole = elf.Elf(self.path)
        names = next(section for section in whole.sections if section.name == ".strtab")
        text = bytearray(whole.data + b"x" * (2 * elf.LONGEST))
        # The names lie where nothing ends them; the headers stay as they are.
        header = whole.sections.index(names)
        at = int.from_bytes(whole.data[40:48], "little") + 64 * header + 24
        text[at:at + 8] = len(whole.data).to_bytes(8, "little")
        self.path.write_bytes(bytes(text))
        with self.assertRaisesRegex(HarnessError, "a.o is damaged"):
            elf.Elf(self.path)

    def test_half_of_it(self):
        self.path.write_bytes(self.path.read_bytes()[:200])
        with self.assertRaisesRegex(HarnessError, "a.o is damaged"):
            elf.Elf(self.path)

    def test_no_object(self):
        self.path.write_text("text")
        with self.assertRaisesRegex(HarnessError, "no 64-bit ELF file"):
            elf.Elf(self.path)


if __name__ == "__main__":
    unittest.main()
