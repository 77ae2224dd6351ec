# SPDX-License-Identifier: GPL-2.0
"""README.md against what was measured."""

import json
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from harness import claims

README = """\
    make test    # all proofs, in 2 scenarios; ends with `N passed, N failed, N skipped`
When this was written, that was `10 passed, 0 failed, 1 skipped`.

## Costs

Of 1000 rounds:

| | 6.12 | patched |
|---|---|---|
| `text_poke()` of one byte | 602, 2 | 605, 2 |
| `set_memory_rw()` on 1, 2 and 4 CPUs | 8122, 14956; 0, 2, 6 IPIs | 8156, 14990 |
| 100,000 protected objects, all in | | 6,614,528 |

No times. 333 is no figure.

## Map

| folder | 444 | 555 |
"""
ROWS = [{"kernel": "base", "bench": "a", "instructions_median": value} for value in (602, 8122, 14956)] + \
       [{"kernel": "patched", "bench": "a", "instructions_median": value} for value in (605, 8156, 14990)] + \
       [{"kernel": "patched", "bench": "b", "bytes": 6614528}]


class Claims(unittest.TestCase):
    def test_scenarios(self):
        self.assertIsNone(claims.scenarios(README, ["one", "two"]))
        self.assertIn("there are [2] scenarios; make test boots 3", claims.scenarios(README, ["one", "two", "three"]))
        self.assertIn("no scenarios", claims.scenarios("nothing", ["one"]))

    def test_closing(self):
        self.assertIsNone(claims.closing(README, {"meta": {"closing": "10 passed, 0 failed, 1 skipped"}}))
        other = {"meta": {"closing": "11 passed, 0 failed, 1 skipped"}}
        self.assertIn("says 10 passed, 0 failed, 1 skipped; the last whole run had 11 passed", claims.closing(README, other))

        self.assertIn("says nothing; the last", claims.closing("", other))

    def test_costs(self):
        self.assertEqual([(kernel, number) for _, kernel, number in claims.costs(README)],
                         [("base", 602), ("patched", 605), ("base", 8122), ("base", 14956), ("patched", 8156), ("patched", 14990),
                          ("patched", 6614528)])
        self.assertTrue(claims.costs(claims.README.read_text()))

    def test_figures(self):
        self.assertIsNone(claims.figures(README, {"rows": ROWS}))
        for row in ROWS:
            why = claims.figures(README, {"rows": [other for other in ROWS if other is not row]})
            self.assertRegex(why, r"^nobody has measured these figures: README.md: [^;]*$")
        # One of the other kernel is none of this.
        self.assertIn("base 602", claims.figures(README, {"rows": [{**row, "kernel": "patched"} for row in ROWS]}))
        self.assertIn("no table", claims.figures("## Costs\n", {"rows": ROWS}))

    def test_figures_of_documents(self):
        document = """\
Costs
=====

===================== ============ ==========
Operation             Instructions Elsewhere
===================== ============ ==========
wr_assign(), 16 bytes 394          1,342
the same, 4 CPUs      28           342
===================== ============ ==========

There are 7777 others.

Testing
=======

===================== ============
wr_assign(), 16 bytes 555
===================== ============
"""
        self.assertEqual(claims.document_costs(document, "Costs"), [("wr_assign(), 16 bytes", "either", 394),
                         ("wr_assign(), 16 bytes", "either", 1342), ("the same, 4 CPUs", "either", 342)])
        rows = [*ROWS, {"kernel": "base", "median": 394, "most": 1342}, {"kernel": "patched", "median": 342}]
        self.assertIsNone(claims.figures(README, {"rows": rows}, [("a.rst", document, "Costs")]))
        self.assertIn("a.rst: the same, 4 CPUs: either 342", claims.figures(README, {"rows": rows[:-1]}, [("a.rst", document, "Costs")]))
        self.assertIn("a.rst has no table", claims.figures(README, {"rows": rows}, [("a.rst", document, "Cost")]))
        for name, text, heading in claims.documents():
            self.assertTrue(claims.document_costs(text, heading), name)

    def test_last(self):
        with tempfile.TemporaryDirectory(prefix="kas-claims.") as tmp, \
                mock.patch.object(claims.report, "sources", lambda: "these"):
            out = Path(tmp)

            def last(content):
                (out / "report.json").write_text(json.dumps(content))
                return claims.last("report.json", out)
            self.assertIn("there is no out/report.json", claims.last("report.json", out)[1])
            self.assertIn("there is no out/report.json", last([])[1])
            self.assertIn("did not come to its end", last({"meta": {"ended": "Stopped: SIGTERM", "sources": "these"}})[1])
            self.assertIn("other sources", last({"meta": {"ended": "complete", "sources": "others"}})[1])
            self.assertIn("other sources", last({"meta": {"ended": "complete"}})[1])
            good = {"meta": {"ended": "complete", "sources": "these"}}
            self.assertEqual(last(good), (good, ""))


if __name__ == "__main__":
    unittest.main()
