# SPDX-License-Identifier: GPL-2.0
"""A small base and a small series over it, for the tests."""

import shutil
import tempfile
from pathlib import Path

BASE_FILES = {
    "Makefile": "VERSION = 6\n",
    "mm/Makefile": "obj-y := memory.o\nobj-y += mmap.o\n",
    "mm/memory.c": "".join(f"int line{n};\n" for n in range(40)),
    "mm/mmap.c": "int mmap;\n",
    "kernel/other.c": "int other;\n",
}
ROOT_FILES = {
    "base/VERSION": "package: linux-source-6.12\nversion: 6.12.0-1\ndeb-sha256: 0\ntarball: usr/src/t.tar.xz\ntarball-sha256: 00\n",
    "series/cover.md": "# A sample\n\nText of the cover.\n",
    "series/order": "# base: linux-source-6.12 6.12.0-1\n#\n# first topic\n\none:\nfirst\n# second topic\nsecond\ntwo: one\nthird\n# the end\n",
    "series/one/cover.md": "# The first part\n\nText of the first part.\n",
    "series/one/changes.md": "None yet.\n",
    "series/two/cover.md": "# The second part\n\nText of the second part.\n",
    "series/two/changes.md": "None yet.\n",
    "series/one/first/msg": "mm: Add a thing\n\nA body.\n\nA second paragraph.\n",
    "series/one/first/new": "include/linux/thing.h\nmm/thing.c\n",
    "series/one/first/edits/mm/Makefile.diff":
        "--- a/mm/Makefile\n+++ b/mm/Makefile\n@@ -1,2 +1,3 @@\n obj-y := memory.o\n obj-y += mmap.o\n+obj-y += thing.o\n",
    "series/one/second/msg": "mm: Use the thing\n",
    "series/one/second/edits/mm/memory.c.diff":
        "--- a/mm/memory.c\n+++ b/mm/memory.c\n@@ -18,7 +18,7 @@ int line16;\n int line17;\n int line18;\n int line19;\n-int line20;\n"
        "+int changed20;\n int line21;\n int line22;\n int line23;\n",
    "series/two/third/msg": "mm: Extend the thing\n\nWhy.\n",
    "series/two/third/new": "mm/thing_test.c\n",
    "series/two/third/edits/mm/thing.c.diff":
        "--- a/mm/thing.c\n+++ b/mm/thing.c\n@@ -1 +1,2 @@\n int thing;\n+int more;\n",
    "series/two/third/edits/mm/memory.c.diff":
        "--- a/mm/memory.c\n+++ b/mm/memory.c\n@@ -1,3 +1,4 @@\n+int first;\n int line0;\n int line1;\n int line2;\n",
    "include/linux/thing.h": "extern int thing;\n",
    "mm/thing.c": "int thing;\nint more;\n",
    "mm/thing_test.c": "int thing_test;\n",
    "README.md": "text\n",
}


def write(top, files):
    for name, text in files.items():
        path = Path(top) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())


class Sample:
    """A temporary repository and base; use as a context manager."""

    def __init__(self):
        self.top = Path(tempfile.mkdtemp(prefix="kas-test."))
        self.root = self.top / "repo"
        self.base = self.top / "6.12.0-1"
        write(self.base, BASE_FILES)
        write(self.root, ROOT_FILES)

    def __enter__(self):
        from .. import base, model
        edited = model.load(self.root).edited_files
        (self.root / "base" / "PREIMAGES").write_text(base.format_preimages(self.base, edited))
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.top)

    def read(self):
        """{path: bytes} of the repository."""
        from .. import base
        return {name: (self.root / name).read_bytes() for name, _ in base.walk(self.root)}
