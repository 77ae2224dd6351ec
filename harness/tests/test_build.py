# SPDX-License-Identifier: GPL-2.0
"""What a build is made from: its configuration, which is compared each time, and the key by which it is not made again."""

import json
import lzma
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from .. import build
from ..common import HarnessError


class Configuration(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="kas-build.")
        self.addCleanup(folder.cleanup)
        self.top = Path(folder.name)
        self.tree, self.configs = self.top / "src", self.top / "configs"
        self.objdir = self.tree / "o-debug"
        for path in (self.tree, self.configs, self.tree / "mm"):
            path.mkdir(parents=True)
        self.fragment("harness-base", "CONFIG_SMP=y\n# CONFIG_KASAN is not set\n")
        self.fragment("thing", "CONFIG_THING=y\n")
        (self.tree / "mm/Kconfig").write_text("config THING\n")
        self.manifest({})
        self.gives = "CONFIG_SMP=y\nCONFIG_THING=y\n"
        self.configured = 0
        for name, value in {"CONFIG_DIR": self.configs, "CONFIGS": {"debug": ["harness-base", build.FEATURES]}, "BUILD": self.top,
                            "COMPLETE": (self.tree,), "run": self.run_make, "need": lambda packages: None, "LOGS": self.top,
                            "toolchain": lambda: "gcc 12"}.items():
            patch = mock.patch.object(build, name, value)
            patch.start()
            self.addCleanup(patch.stop)

    def fragment(self, name, text):
        (self.configs / f"{name}.config").write_text(text)

    def manifest(self, files):
        (self.tree / build.MANIFEST).write_text(json.dumps({"base": "6.12", "files": files}))

    def run_make(self, cmd, **_options):
        if "allnoconfig" in cmd:
            self.configured += 1
            (self.objdir / ".config").write_text(self.gives)

    def configure(self):
        return build.configure("debug", self.tree)

    def test_once_is_enough(self):
        self.configure()
        self.configure()
        self.assertEqual(self.configured, 1)

    def test_an_option_that_is_lost(self):
        self.gives = "CONFIG_SMP=y\n"
        for _ in range(2):      # the second time as well
            with self.assertRaisesRegex(HarnessError, r"CONFIG_THING: wanted y \(thing.config\), got n"):
                self.configure()
        self.gives = "CONFIG_SMP=y\nCONFIG_THING=y\nCONFIG_KASAN=y\n"
        (self.objdir / ".harness-configured").unlink()
        with self.assertRaisesRegex(HarnessError, "CONFIG_KASAN: wanted n"):
            self.configure()

    def test_what_is_debians_alone_may_be_lost(self):
        debian = self.top / "config.xz"
        debian.write_bytes(lzma.compress(b"CONFIG_SMP=y\nCONFIG_OF_A_PATCH=y\nCONFIG_THING=n\n"))
        with mock.patch.object(build, "DEBIAN_CONFIG", debian), \
                mock.patch.object(build, "CONFIGS", {"debug": [build.DEBIAN, build.FEATURES]}):
            self.configure()
            self.assertIn("CONFIG_OF_A_PATCH=y\n", (self.objdir / "harness.config").read_text())
            self.gives = "CONFIG_SMP=y\n"
            (self.objdir / ".harness-configured").unlink()
            with self.assertRaisesRegex(HarnessError, r"CONFIG_THING: wanted y \(thing.config\), got n"):
                self.configure()

    def test_a_configuration_edited_by_hand(self):
        self.configure()
        (self.objdir / ".config").write_text("CONFIG_SMP=y\n")
        self.configure()
        self.assertEqual((self.objdir / ".config").read_text(), self.gives)

    def test_a_kconfig_file_anywhere(self):
        self.configure()
        self.manifest({"security/integrity/ima/Kconfig": ["hash", 1, 1]})
        self.configure()
        self.assertEqual(self.configured, 2)
        self.manifest({"security/integrity/ima/Kconfig": ["other", 1, 1]})
        self.configure()
        self.assertEqual(self.configured, 3)
        self.manifest({"security/integrity/ima/Kconfig": ["other", 1, 1], "mm/memory.c": ["hash", 1, 1]})
        self.configure()
        self.assertEqual(self.configured, 3)

    def test_a_fragment(self):
        self.configure()
        self.fragment("harness-base", "CONFIG_SMP=y\n")
        self.configure()
        self.assertEqual(self.configured, 2)

    def test_what_make_has_lost_on_the_way(self):
        def lose(*_args, **_options):
            (self.objdir / ".config").write_text("CONFIG_SMP=y\n")
        with mock.patch.object(build, "run_make", side_effect=lose):
            with self.assertRaisesRegex(HarnessError, "CONFIG_THING: wanted y"):
                build.build("debug", self.tree)
        self.assertFalse((self.objdir / ".harness-built").exists())

    def made(self):
        """Does build() run make?"""
        with mock.patch.object(build, "run_make") as make:
            build.build("debug", self.tree)
        return make.called

    def test_a_build_is_made_again_when_anything_has_changed(self):
        self.assertTrue(self.made())
        self.assertFalse(self.made())
        self.manifest({"mm/memory.c": ["hash", 1, 1]})
        self.assertTrue(self.made())
        with mock.patch.object(build, "toolchain", lambda: "gcc 13"):
            self.assertTrue(self.made())
        self.assertTrue(self.made())
        with mock.patch.object(build, "environment", lambda tree: {"KCFLAGS": "-g"}):
            self.assertTrue(self.made())

    def test_mutants_share_no_cache(self):
        self.assertTrue(all("CCACHE_DISABLE" in build.environment(tree) for tree in build.MUTANT_TREES))
        self.assertNotIn("CCACHE_DISABLE", build.environment(self.tree))

    def test_a_tree_that_nobody_keeps_is_made_each_time(self):
        (self.tree / build.MANIFEST).unlink()
        self.assertTrue(self.made())
        self.assertTrue(self.made())

    def test_a_symbol_of_ours_that_another_tree_lacks(self):
        with mock.patch.object(build, "COMPLETE", ()):
            (self.tree / "mm/Kconfig").write_text("")
            self.gives = "CONFIG_SMP=y\n"
            self.configure()
        with self.assertRaises(HarnessError):
            self.configure()


if __name__ == "__main__":
    unittest.main()
