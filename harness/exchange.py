# SPDX-License-Identifier: GPL-2.0
"""The report in the forms that others read: JUnit's XML, for the pages of a CI, and KCIDB's JSON, for KernelCI."""

import calendar
import re
import time
import xml.etree.ElementTree as ElementTree

from .common import HarnessError

ORIGIN = "linux_kas"
STATUS = {"pass": "PASS", "fail": "FAIL", "skip": "SKIP"}
# XML has no place for most control characters, which a console can have.
UNPRINTABLE = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd]")


def _text(text):
    return UNPRINTABLE.sub("?", text)


def junit(entries, meta):
    """A test suite for each scenario; of a case that did not pass, why."""
    top = ElementTree.Element("testsuites", name=f"linux-kas {meta.get('run', '')}".strip())
    suites = {}
    for item in entries:
        suite = suites.get(item["scenario"])
        if suite is None:
            suite = suites[item["scenario"]] = ElementTree.SubElement(top, "testsuite", name=item["scenario"])
        case = ElementTree.SubElement(suite, "testcase", classname=f"{item['scenario']}.{_text(item['suite'])}", name=_text(item["case"]))
        if "seconds" in item:
            case.set("time", f"{item['seconds']:.1f}")
        if item["status"] != "pass":
            why = ElementTree.SubElement(case, {"fail": "failure", "skip": "skipped"}[item["status"]], message=_text(item["why"]))
            if item.get("tail"):
                why.text = _text(item["tail"])
    for name, suite in suites.items():
        states = [item["status"] for item in entries if item["scenario"] == name]
        suite.set("tests", str(len(states)))
        suite.set("failures", str(states.count("fail")))
        suite.set("skipped", str(states.count("skip")))
    ElementTree.indent(top)
    return ElementTree.tostring(top, encoding="unicode", xml_declaration=True) + "\n"


def _path(*words):
    """KCIDB's name of a test: words with dots between them."""
    return ".".join(re.sub(r"[^A-Za-z0-9_-]+", "_", word).strip("_") or "_" for word in words)


def _when(text):
    try:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(calendar.timegm(time.strptime(text, "%Y-%m-%d %H:%M:%S"))))
    except ValueError:
        return None


def _known(value):
    """@value if it could be found out: else it is a text that says why not."""
    return value if isinstance(value, dict) else {}


def _listed(value):
    return value if isinstance(value, list) else []


def kcidb(entries, meta, builds):
    """What was checked out and built, and each case that ran on a kernel. @builds: {scenario: configuration} of those that did."""
    commit = _known(meta.get("repository")).get("commit", "unknown")
    kernel = _known(meta.get("kernel"))
    tools = _known(meta.get("tools"))
    run = f"{ORIGIN}:{commit}-{re.sub('[^0-9]', '', meta.get('begin', ''))}"
    checkout = {"id": run, "origin": ORIGIN, "valid": True, "tree_name": "linux-kas",
                "misc": {"base": kernel.get("base"), "series": kernel.get("series"), "machine": meta.get("machine")}}
    if re.fullmatch("[0-9a-f]{40}", commit):
        checkout["git_commit_hash"] = commit
    if _when(meta.get("begin", "")):
        checkout["start_time"] = _when(meta["begin"])
    result = {"version": {"major": 4, "minor": 0}, "checkouts": [checkout], "builds": [], "tests": []}
    # A kernel is there if its build has passed, or anything that has run on it.
    there = {builds.get(item["scenario"], item["scenario"]) for item in entries if item["status"] == "pass" and
             (item["scenario"] in builds or item["case"].startswith("build:"))}
    for config in sorted({builds[item["scenario"]] for item in entries if item["scenario"] in builds}):
        result["builds"].append({"id": f"{run}-{config}", "checkout_id": run, "origin": ORIGIN, "architecture": "x86_64",
                                 "config_name": config, "valid": config in there, "compiler": "; ".join(_listed(tools.get("toolchain")))})
    for number, item in enumerate(entries):
        if item["scenario"] not in builds:
            continue
        test = {"id": f"{run}-{number}", "build_id": f"{run}-{builds[item['scenario']]}", "origin": ORIGIN,
                "path": _path(item["suite"], *item["case"].split(".")), "status": STATUS[item["status"]], "waived": False,
                "environment": {"comment": f"{item['scenario']}, {item['emulator']}: {tools.get('qemu', '')}; {tools.get('bochs', '')}"}}
        if "seconds" in item:
            test["duration"] = round(item["seconds"], 1)
        if item["why"]:
            test["misc"] = {"why": item["why"]}
        result["tests"].append(test)
    return result


def builds():
    """{scenario: configuration} of all that boot."""
    from . import boot
    found = {}
    for name in boot.names():
        try:
            scenario = boot.load(name)
        except HarnessError:
            continue
        found[name] = "base" if scenario.base == "yes" else scenario.build
    return found
