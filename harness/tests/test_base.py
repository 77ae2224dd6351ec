# SPDX-License-Identifier: GPL-2.0
"""The base: what is accepted when the pinned version of the package is gone, and the cache."""

import os
import subprocess
import unittest
from unittest import mock

from .. import base
from ..common import HarnessError
from .sample import Sample, write


class WithSample(unittest.TestCase):
    def setUp(self):
        self.sample = Sample()
        self.sample.__enter__()
        # The one that this run is on is none of theirs.
        self.enterContext(mock.patch.dict(os.environ))
        os.environ.pop("TREE", None)
        self.addCleanup(self.sample.__exit__)
        self.addCleanup(base._checked.clear)
        self.root, self.base = self.sample.root, self.sample.base

    def edit(self, path, old, new):
        file = self.base / path
        write(self.base, {path: file.read_text().replace(old, new)})


class Drift(WithSample):
    def test_edited_files_are_the_same(self):
        self.edit("kernel/other.c", "other", "changed")
        self.assertEqual(base.drifted(self.base, self.root), [])
        with mock.patch.object(base, "say") as said:
            base.accept(self.base, "6.12.1-1", self.root)
        said.assert_not_called()

    def test_changed_away_from_the_edits(self):
        self.edit("mm/memory.c", "int line39;", "int line39;\nint line40;")
        self.assertEqual(base.drifted(self.base, self.root), ["mm/memory.c"])
        with mock.patch.object(base, "say") as said:
            base.accept(self.base, "6.12.1-1", self.root)
        self.assertIn("mm/memory.c changed", said.call_args[0][0])

    def test_lines_moved(self):
        self.edit("mm/memory.c", "int line10;\n", "int line10;\nint extra;\n")
        with mock.patch.object(base, "say"):
            base.accept(self.base, "6.12.1-1", self.root)

    def test_changed_at_the_edits(self):
        self.edit("mm/memory.c", "int line20;", "int drift20;")
        self.edit("mm/Makefile", "mmap.o", "mmap.o other.o")
        with self.assertRaises(HarnessError) as caught:
            base.accept(self.base, "6.12.1-1", self.root)
        for word in ("does not apply to 6.12.1-1", "series/one/first: mm/Makefile: hunk", "series/one/second: mm/memory.c: hunk",
                     "changed since the pinned base: mm/Makefile, mm/memory.c"):
            self.assertIn(word, str(caught.exception))

    def test_file_without_a_hash(self):
        write(self.root, {"base/PREIMAGES": ""})
        with mock.patch.object(base, "say") as said:
            base.accept(self.base, "6.12.1-1", self.root)
        self.assertIn("mm/Makefile, mm/memory.c changed", said.call_args[0][0])

    def test_file_is_gone(self):
        (self.base / "mm/Makefile").unlink()
        with self.assertRaisesRegex(HarnessError, "series/one/first: edits mm/Makefile, which neither"):
            base.accept(self.base, "6.12.1-1", self.root)


class Cache(WithSample):
    """ensure_base with a package made here; apt is never asked."""

    def setUp(self):
        super().setUp()
        self.cache = self.sample.top / "cache"

    def package(self, version):
        top = self.sample.top / f"deb-{version}"
        tarball = top / "usr/src/t.tar.xz"
        tarball.parent.mkdir(parents=True)
        subprocess.run(["tar", "-cJf", tarball, "-C", self.base.parent, self.base.name], check=True)
        write(top, {"DEBIAN/control": f"Package: linux-source-6.12\nVersion: {version}\nArchitecture: all\nMaintainer: nobody <n@localhost>\n"
                                      "Description: test\n"})
        deb = self.sample.top / f"{version}.deb"
        subprocess.run(["dpkg-deb", "-Zgzip", "-b", top, deb], check=True, stdout=subprocess.DEVNULL)
        return deb, base.sha256(tarball)

    def pin(self, deb, tarball):
        write(self.root, {"base/VERSION": "package: linux-source-6.12\nversion: 6.12.0-1\n"
                                          f"deb-sha256: {deb}\ntarball: usr/src/t.tar.xz\ntarball-sha256: {tarball}\n"})

    def ensure(self, deb):
        base._checked.clear()
        with mock.patch.dict(os.environ, {"KAS_BASE_DEB": str(deb)}), mock.patch.object(base, "say") as said:
            return base.ensure_base(self.root, self.cache), [call[0][0] for call in said.call_args_list]

    def test_pinned(self):
        deb, tarball = self.package("6.12.0-1")
        self.pin(base.sha256(deb), tarball)
        top, said = self.ensure(deb)
        self.assertEqual((top.name, said), ("6.12.0-1", []))
        self.assertEqual((top / "mm/mmap.c").read_text(), "int mmap;\n")
        with mock.patch.object(base, "_unpack", side_effect=AssertionError("unpacked twice")):
            self.ensure(deb)

    def test_changed_cache_is_unpacked_again(self):
        deb, tarball = self.package("6.12.0-1")
        self.pin(base.sha256(deb), tarball)
        top, _ = self.ensure(deb)
        write(top, {"mm/mmap.c": "int broken;\n"})
        top, said = self.ensure(deb)
        self.assertIn("mm/mmap.c", said[0])
        self.assertEqual((top / "mm/mmap.c").read_text(), "int mmap;\n")

    def test_wrong_hashes(self):
        deb, tarball = self.package("6.12.0-1")
        self.pin("0" * 64, tarball)
        with self.assertRaisesRegex(HarnessError, "base/VERSION says 0000"):
            self.ensure(deb)
        self.pin(base.sha256(deb), "1" * 64)
        with self.assertRaisesRegex(HarnessError, "base/VERSION says 1111"):
            self.ensure(deb)
        self.assertFalse((self.cache / "base/6.12.0-1").exists())

    def test_pinned_is_gone(self):
        self.pin("0" * 64, "0" * 64)
        self.edit("kernel/other.c", "other", "changed")
        deb, _ = self.package("6.12.1-1")
        top, said = self.ensure(deb)
        self.assertEqual((top.name, len(said)), ("6.12.1-1", 1))
        self.assertIn("the base is linux-source-6.12 6.12.1-1", said[0])
        with mock.patch.object(base, "_unpack", side_effect=AssertionError("unpacked twice")):
            self.ensure(deb)

    def test_pinned_is_gone_and_the_other_does_not_fit(self):
        self.pin("0" * 64, "0" * 64)
        self.edit("mm/memory.c", "int line20;", "int drift20;")
        deb, _ = self.package("6.12.1-1")
        for _ in range(2):
            with self.assertRaisesRegex(HarnessError, "changed since the pinned base: mm/memory.c"):
                self.ensure(deb)


class Offered(unittest.TestCase):
    def test_madison(self):
        text = ("linux-source-6.12 | 6.12.117-1~deb12u1 | http://x bookworm-security/main amd64 Packages\n"
                "linux-source-6.12 | 6.12.115-1~deb12u1 | http://x bookworm-security/main amd64 Packages\n"
                " linux-6.12 | 6.12.107-1 | http://x bookworm-security/main Sources\n")
        with mock.patch.object(base, "run", return_value=text):
            self.assertEqual(base._offered("linux-source-6.12"), ["6.12.117-1~deb12u1", "6.12.115-1~deb12u1"])


if __name__ == "__main__":
    unittest.main()
