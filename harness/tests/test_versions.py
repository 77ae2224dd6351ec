# SPDX-License-Identifier: GPL-2.0
"""What has changed since the last version."""

import unittest
from unittest import mock

from .. import gitform, model, series, versions
from ..common import HarnessError
from .sample import write
from .test_base import WithSample


class Versions(WithSample):
    def setUp(self):
        super().setUp()
        gitform.init(self.root)
        self.commit("6.12.0-kas1")

    def commit(self, *tags):
        gitform.git(self.root, "add", "-A", "-f")
        gitform.git(self.root, "commit", "-q", "--allow-empty", "-m", "some")
        for tag in tags:
            gitform.git(self.root, "tag", tag)

    def test_last(self):
        self.assertEqual(versions.last(self.root), "")      # there is none before the first one
        self.commit("something-else")
        self.assertEqual(versions.last(self.root), "6.12.0-kas1")
        self.commit("6.12.0-kas2")
        self.assertEqual(versions.last(self.root), "6.12.0-kas1")
        self.commit()
        self.assertEqual(versions.last(self.root), "6.12.0-kas2")
        self.assertEqual(versions.last(self.base), "")      # no git

    def texts(self, *parts):
        stored = model.load(self.root)
        return versions.range_diff(stored, self.base, list(parts or stored.parts), "6.12.0-kas1")

    def test_nothing_has(self):
        self.commit()
        texts = self.texts()
        self.assertEqual(set(texts), {"", "one", "two"})
        for part, subjects in (("", 3), ("one", 2), ("two", 1)):
            lines = texts[part].splitlines()
            self.assertEqual([line.split()[2] for line in lines], ["="] * subjects)

    def test_a_message_and_a_patch_have(self):
        write(self.root, {"series/one/second/msg": "mm: Use the thing\n\nSince it is there.\n", "mm/thing_test.c": "int thing_test = 1;\n"})
        self.commit()
        texts = self.texts()
        self.assertIn("    +    Since it is there.", texts["one"])
        self.assertIn("++int thing_test = 1;", texts["two"])
        self.assertNotIn("thing_test = 1", texts["one"])
        self.assertEqual(set(self.texts("one")), {"", "one"})

    def test_a_part_is_new(self):
        order = (self.root / "series/order").read_text()
        write(self.root, {"series/order": order + "three: one\nfourth\n", "series/three/cover.md": "# T\n\nText.\n",
                          "series/three/changes.md": "None.\n", "series/three/fourth/msg": "mm: More\n",
                          "series/three/fourth/new": "mm/more.c\n", "mm/more.c": "int x;\n"})
        self.commit()
        texts = self.texts()
        self.assertEqual(set(texts), {"", "one", "two"})
        self.assertIn("mm: More", texts[""])

    def test_another_base(self):
        self.commit()
        self.edit("mm/memory.c", "int line20;", "int drift20;")
        with self.assertRaisesRegex(HarnessError, "what was stored at 6.12.0-kas1 does not apply to 6.12.0-1: the series does not apply"):
            self.texts()

    def tell(self, *parts):
        out = self.sample.top / "out"
        for part in ("", "one", "two"):
            (out / part).mkdir(exist_ok=True)
        with mock.patch.object(series, "say") as said, mock.patch.object(series.base_mod, "ensure_base", return_value=self.base):
            series._tell_changes(self.root, out, list(parts))
        return said.call_args[0][0], sorted(str(path.relative_to(out)) for path in out.rglob("range-diff"))

    def test_beside_the_mboxes(self):
        self.assertEqual(self.tell(), ("no version before this one is tagged, so there is no range-diff", []))
        self.commit()
        self.assertEqual(self.tell("one"), ("what has changed since 6.12.0-kas1: out/series/range-diff, out/series/one/range-diff",
                                            ["one/range-diff", "range-diff"]))
        self.edit("mm/memory.c", "int line20;", "int drift20;")
        self.assertIn("note: no range-diff: what was stored at", self.tell()[0])


if __name__ == "__main__":
    unittest.main()
