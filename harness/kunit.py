# SPDX-License-Identifier: GPL-2.0
"""The kernel's own kunit.py runs a suite of the series as any developer of a patched tree would, without this harness."""

import re
import sys

from . import build, series
from .common import BUILD, JOBS, LOGS, ROOT, TEST_PACKAGES, PACKAGES, need, run, tail
from .report import entry

# The smallest kernel of those in the folders with a .kunitconfig; "make check" asks all of them for lost options.
FOLDER = "mm/tests/temp_mm"
TOTALS = re.compile(r"Testing complete\. Ran (\d+) tests: (.*)$", re.M)


def verdict(status, output):
    """"" or what is wrong with the end of kunit.py."""
    found = TOTALS.search(output)
    if not found:
        return f"kunit.py ended with {status} and no result"
    counts = {what: int(number) for what, number in re.findall(r"(\w+): (\d+)", found[2])}
    if status or counts.keys() - {"passed", "skipped"} or not counts.get("passed"):
        return f"kunit.py ended with {status}: {found[0]}"
    return ""


def kunit_entries():
    """One entry: kunit.py with the suite's own options and the machine of its own choice."""
    need({**PACKAGES, **TEST_PACKAGES})
    tree = series.patched_tree(BUILD / "src")
    log = LOGS / "kunit.log"
    status = run([sys.executable, "tools/testing/kunit/kunit.py", "run", "--arch=x86_64", f"--kunitconfig={FOLDER}",
                  f"--build_dir={tree / 'o-kunit'}", f"--jobs={JOBS}", "--make_options=CC=ccache gcc", "--make_options=HOSTCC=ccache gcc",
                  "--timeout=600"], cwd=tree, env=build.environment(tree), log=log, what=f"kunit.py run {FOLDER}", check=False)
    why = verdict(status, log.read_text(errors="replace"))
    item = entry("kunit", "tcg", "series", f"kunit.py:{FOLDER}", "fail" if why else "pass", why and f"{why}; log: {log.relative_to(ROOT)}")
    if why:
        item["tail"] = tail(log, 12)
    return [item]
