# SPDX-License-Identifier: GPL-2.0
"""The report in the forms of others."""

import unittest
import xml.etree.ElementTree as ElementTree

from .. import exchange
from ..report import entry

META = {"run": "all", "begin": "2026-11-29 21:15:16", "repository": {"commit": "f" * 40, "clean": True}, "kernel": {"base": "6.12", "series": "s"},
        "tools": {"toolchain": ["gcc 12", "ld 2"], "qemu": "QEMU 7", "bochs": "Bochs 3"}, "machine": {"cpus": 2}}
ENTRIES = [{**entry("tcg-a", "tcg", "selftests", "boot", "pass"), "seconds": 12.34},
           entry("tcg-a", "tcg", "asi", "asi_test_x.round 1", "fail", "expected <1> & \x1b[0m"),
           {**entry("tcg-a", "tcg", "asi", "asi_test_y", "skip", "needs two CPUs"), "tail": "line"},
           entry("check", "none", "series", "load", "pass")]


class Junit(unittest.TestCase):
    def setUp(self):
        self.top = ElementTree.fromstring(exchange.junit(ENTRIES, META).encode())

    def test_counts(self):
        self.assertEqual([(suite.get("name"), suite.get("tests"), suite.get("failures"), suite.get("skipped")) for suite in self.top],
                         [("tcg-a", "3", "1", "1"), ("check", "1", "0", "0")])

    def test_why(self):
        failure = self.top.find("testsuite/testcase/failure")
        self.assertEqual(failure.get("message"), "expected <1> & ?[0m")
        skipped = self.top.find("testsuite/testcase/skipped")
        self.assertEqual((skipped.get("message"), skipped.text), ("needs two CPUs", "line"))

    def test_names_and_time(self):
        first = self.top.find("testsuite/testcase")
        self.assertEqual((first.get("classname"), first.get("name"), first.get("time")), ("tcg-a.selftests", "boot", "12.3"))


class Kcidb(unittest.TestCase):
    def report(self, meta=META):
        return exchange.kcidb(ENTRIES, meta, {"tcg-a": "debug", "tcg-b": "release"})

    def test_all_lead_to_the_checkout(self):
        report = self.report()
        checkout, = report["checkouts"]
        build, = report["builds"]
        self.assertEqual((checkout["git_commit_hash"], checkout["start_time"]), ("f" * 40, "2026-11-29T21:15:16Z"))
        self.assertEqual((build["checkout_id"], build["config_name"]), (checkout["id"], "debug"))
        self.assertEqual({test["build_id"] for test in report["tests"]}, {build["id"]})
        self.assertTrue(all(item["id"].startswith("linux_kas:") for kind in ("checkouts", "builds", "tests") for item in report[kind]))

    def test_tests(self):
        tests = self.report()["tests"]
        self.assertEqual([(test["path"], test["status"]) for test in tests],
                         [("selftests.boot", "PASS"), ("asi.asi_test_x.round_1", "FAIL"), ("asi.asi_test_y", "SKIP")])
        self.assertEqual(tests[0]["duration"], 12.3)
        self.assertEqual(tests[2]["misc"], {"why": "needs two CPUs"})
        self.assertEqual(len({test["id"] for test in tests}), 3)

    def test_what_could_not_be_found_out(self):
        report = self.report({"run": "all", "ended": "x", "begin": "never", "repository": "unknown: no git", "tools": "unknown: x"})
        self.assertNotIn("git_commit_hash", report["checkouts"][0])
        self.assertNotIn("start_time", report["checkouts"][0])
        self.assertEqual(len(report["tests"]), 3)

    def test_builds_that_failed(self):
        """A build is valid if it has passed, or something has that ran on it."""
        failed = entry("tcg-b", "tcg", "selftests", "boot", "fail", "no kernel: make has failed")
        passed = entry("release", "none", "series", "build:release", "pass")
        for entries, valid in (([*ENTRIES, failed], [True, False]), ([*ENTRIES, failed, passed], [True, True]),
                               ([ENTRIES[1]], [False]), ([ENTRIES[0]], [True])):
            report = exchange.kcidb(entries, META, {"tcg-a": "debug", "tcg-b": "release"})
            self.assertEqual([build["valid"] for build in report["builds"]], valid)

    def test_scenarios_have_builds(self):
        found = exchange.builds()
        self.assertEqual((found["tcg-asi"], found["tlb-base"]), ("debug", "base"))


if __name__ == "__main__":
    unittest.main()
