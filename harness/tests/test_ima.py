# SPDX-License-Identifier: GPL-2.0
"""Unit tests of how two measurement lists are compared."""

import tempfile
import unittest
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

from harness import ima

RESULTS = """    # list ascii_sha1 sha256:11
    ok 1 - list_ascii_sha1
    # list entries 3
"""


class Lists(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="kas-ima.")
        self.addCleanup(folder.cleanup)
        patched = mock.patch.object(ima, "ROOT", Path(folder.name))
        patched.start()
        self.addCleanup(patched.stop)
        self.boots = {}
        for kernel in ima.KERNELS:
            run = SimpleNamespace(results=Path(folder.name) / f"{kernel}.results", dump=Path(folder.name) / f"{kernel}.dump")
            run.results.write_text(RESULTS)
            run.dump.write_bytes(b"10 aa one\n10 bb two\n10 cc three\n")
            self.boots[kernel] = run

    def verdicts(self):
        return {item["case"]: (item["status"], item["why"]) for item in ima.compare(self.boots)}

    def test_equal(self):
        self.assertEqual(self.verdicts(), {"same_list:ascii_sha1": ("pass", ""), "same_list:entries": ("pass", "")})

    def test_other_digest(self):
        self.boots["patched"].results.write_text(RESULTS.replace(":11", ":12"))
        self.boots["patched"].dump.write_bytes(b"10 aa one\n10 bB two\n")
        verdicts = self.verdicts()
        self.assertEqual(verdicts["same_list:entries"][0], "pass")
        status, why = verdicts["same_list:ascii_sha1"]
        self.assertEqual(status, "fail")
        self.assertIn("line 2: base '10 bb two', patched '10 bB two'", why)
        self.assertIn("base.dump and patched.dump", why)

    def test_shorter_list(self):
        self.boots["patched"].results.write_text(RESULTS.replace("entries 3", "entries 2"))
        self.boots["patched"].dump.write_bytes(b"10 aa one\n10 bb two\n")
        self.assertIn("line 3: base '10 cc three', patched ''", self.verdicts()["same_list:entries"][1])

    def test_missing_list(self):
        self.boots["base"].results.write_text("")
        self.assertEqual({status for status, _ in self.verdicts().values()}, {"fail"})
        self.boots["patched"].results.write_text("")
        self.assertEqual(self.verdicts()["same_list"][0], "fail")
