# SPDX-License-Identifier: GPL-2.0
"""make run without a kernel: what the modules say, and whether it is good."""

import unittest

from .. import story

LOG = """\
[    0.9] demo: loading out-of-tree module taints kernel.
[    1.0] demo: The format of /proc/version\r
[    1.0] prmem: no such cache or pool; refused, caller is f+0x1/0x2 [prmem_demo]
[    1.1] demo:    faults
[    1.2] demo: done
[    1.3] demo: Protected memory
[    1.4] demo: done
"""


class Story(unittest.TestCase):
    def test_lines(self):
        self.assertEqual(story.demo_lines(LOG), ["The format of /proc/version", "   faults", "done", "Protected memory",
                                                 "done"])

    def test_verdict(self):
        lines = story.demo_lines(LOG)
        self.assertEqual(story.verdict(lines, 2), "")
        self.assertIn("end", story.verdict(lines, 3))
        self.assertIn("end", story.verdict(lines[:-1], 2))
        self.assertIn("end", story.verdict([]))

    def test_failure_is_found_wherever_the_line_begins(self):
        for line in ("FAIL needs two CPUs", "  FAIL a store works"):
            self.assertEqual(story.verdict(["x", line, "done"]), line.strip())


if __name__ == "__main__":
    unittest.main()
