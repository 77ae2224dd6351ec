# SPDX-License-Identifier: GPL-2.0
"""The entries of out/report.json and the closing line that counts them."""

import json

from .common import OUT, replace_file, say

KEYS = ("scenario", "emulator", "suite", "case", "status", "why")


def entry(scenario, emulator, suite, case, status, why=""):
    """One case; a skip and a failure have a reason."""
    if status not in ("pass", "fail", "skip"):
        raise ValueError(f"status {status}")
    if status != "pass" and not why.strip():
        status, why = "fail", "no reason given"
    return {"scenario": scenario, "emulator": emulator, "suite": suite, "case": case, "status": status, "why": why}


def count(entries):
    return {status: sum(e["status"] == status for e in entries) for status in ("pass", "fail", "skip")}


def show_failures(entries):
    for item in entries:
        if item["status"] == "fail":
            say(f"FAIL {item['scenario']} {item['suite']}.{item['case']}: {item['why']}")
            if item.get("tail"):
                say(item["tail"])


def write(entries):
    """Write out/report.json, without what is only for the terminal."""
    clean = [{key: item[key] for key in KEYS} for item in entries]
    OUT.mkdir(parents=True, exist_ok=True)
    replace_file(OUT / "report.json", json.dumps(clean, indent=1) + "\n")


def closing_line(entries):
    numbers = count(entries)
    return f"{numbers['pass']} passed, {numbers['fail']} failed, {numbers['skip']} skipped"
