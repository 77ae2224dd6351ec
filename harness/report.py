# SPDX-License-Identifier: GPL-2.0
"""The entries of out/report.json, what it says about the run that they are from, and the closing line that counts them."""

import hashlib
import json
import os
import re
import threading
import time

from . import common, emulator, exchange
from .common import CACHE, OUT, ROOT, HarnessError, first_line, replace_file, run, say, toolchain

KEYS = ("scenario", "emulator", "suite", "case", "status", "why")
# What is kept free for the report of a run that has filled the disk.
RESERVE = 4 << 20


def entry(scenario, emulator, suite, case, status, why=""):
    """One case; a skip and a failure have a reason."""
    if status not in ("pass", "fail", "skip"):
        raise ValueError(f"status {status}")
    if status != "pass" and not why.strip():
        status, why = "fail", "no reason given"
    return {"scenario": scenario, "emulator": played_by(emulator), "suite": suite, "case": case, "status": status, "why": why}


def accelerator():
    """What executes the guests' instructions in QEMU."""
    return os.environ.get("ACCEL", "tcg").partition(",")[0] or "tcg"


def played_by(emulator):
    """The emulator of a scenario, or what ACCEL has put in its place."""
    real = accelerator()
    return {"tcg": real, "ovmf": f"ovmf on {real}"}.get(emulator, emulator) if real != "tcg" else emulator


def count(entries):
    return {status: sum(e["status"] == status for e in entries) for status in ("pass", "fail", "skip")}


def show_failures(entries):
    for item in entries:
        if item["status"] == "fail":
            say(f"FAIL {item['scenario']} {item['suite']}.{item['case']}: {item['why']}")
            if item.get("tail"):
                say(item["tail"])


def closing_line(entries):
    numbers = count(entries)
    return f"{numbers['pass']} passed, {numbers['fail']} failed, {numbers['skip']} skipped"


# ---- what a run was of ----

def guarded(function):
    """What @function returns; what cannot be found out is no reason to lose a report."""
    try:
        return function()
    except (HarnessError, OSError, ValueError, KeyError) as err:
        return "unknown: " + (str(err).splitlines() or [type(err).__name__])[0]


def sources():
    """A hash of all files of the repository but the texts: what is the same before and after README.md is corrected."""
    from . import check
    state = hashlib.sha256()
    for name in check.repo_files():
        if not name.endswith(".md"):
            state.update(f"{name}\0{hashlib.sha256((ROOT / name).read_bytes()).hexdigest()}\n".encode())
    return state.hexdigest()


def kernel_text():
    """A hash of the files that the series makes of the base's."""
    from . import base, series
    if not base.is_there():
        raise HarnessError("there is no base")
    tree = base.ensure_base()
    files = sorted(series.composed_files(ROOT, tree).items())
    rows = (f"{path}\0{hashlib.sha256(text.data).hexdigest()}\n" for path, text in files)
    return {"base": tree.name, "series": hashlib.sha256("".join(rows).encode()).hexdigest()}


def commit():
    """The commit, and the files that are not as it has them."""
    git = ["git", "-c", "safe.directory=*", "-C", ROOT]
    head = run([*git, "rev-parse", "HEAD"]).strip()
    changed = run([*git, "status", "--porcelain"]).splitlines()
    return {"commit": head, "clean": not changed, "changed": [line[3:] for line in changed[:20]]}


def machine():
    """The machine, as far as it makes a difference."""
    with open("/proc/cpuinfo") as info:
        model = next((line.partition(":")[2].strip() for line in info if line.startswith("model name")), "unknown")
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {"cpu": model, "cpus": os.cpu_count(), "memory": f"{pages >> 20} MiB", "kernel": os.uname().release}


def ccache_counts():
    """What ccache counts since it was set up."""
    text = run(["ccache", "--print-stats"], env={"CCACHE_DIR": str(CACHE / "ccache")})
    rows = dict(line.split("\t") for line in text.splitlines() if line.count("\t") == 1)
    return {"hits": int(rows["direct_cache_hit"]) + int(rows["preprocessed_cache_hit"]), "misses": int(rows["cache_miss"])}


def since(before, now):
    """The difference of two counts."""
    return {key: now[key] - before[key] for key in now} if isinstance(before, dict) and isinstance(now, dict) else now


def tools():
    """Versions of all that builds and boots."""
    return {"toolchain": toolchain().splitlines(), "ccache": first_line("ccache", "--version"),
            "qemu": first_line("qemu-system-x86_64", "--version"), "swtpm": first_line("swtpm", "--version"),
            "bochs": guarded(emulator.version),
            "accelerator": accelerator()}


class Run:
    """One run and its report: the old one is gone when it begins, and a new one is there when it ends, however it does.

    A run of a part has a @name, and a report of its own beside the one of the whole.
    """

    def __init__(self, name=""):
        self.name = name
        self.path = OUT / (f"report-{re.sub('[^A-Za-z0-9._-]', '_', name)}.json" if name else "report.json")
        self.reserve = OUT / "report.reserve"
        self.entries = []
        self.lock = threading.Lock()
        self.written = False

    def __enter__(self):
        OUT.mkdir(parents=True, exist_ok=True)
        for old in (self.path, self.path.with_suffix(".xml"), self.path.with_suffix(".kcidb.json")):
            old.unlink(missing_ok=True)
        with open(self.reserve, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, RESERVE)
        self.begin = time.time()
        self.sources = guarded(sources)
        self.counts = guarded(ccache_counts)
        return self

    def add(self, entries):
        """What a stage has found; any thread may call it."""
        with self.lock:
            self.entries += entries

    def meta(self, ended):
        """What the run was of, and on."""
        same = self.sources == guarded(sources)
        return {
            "run": self.name or "all", "ended": ended,
            "begin": time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(self.begin)), "seconds": int(time.time() - self.begin),
            "repository": guarded(commit), "sources": self.sources if same else "changed during the run",
            "kernel": guarded(kernel_text), "tools": guarded(tools), "ccache": since(self.counts, guarded(ccache_counts)),
            "machine": guarded(machine), "closing": closing_line(self.entries),
        }

    def write(self, ended="complete"):
        """Write the report; first without what it takes a while to find out, and a second signal may prevent."""
        self.reserve.unlink(missing_ok=True)
        clean = [{key: item[key] for key in KEYS} for item in self.entries]
        replace_file(self.path, json.dumps({"meta": {"run": self.name or "all", "ended": ended}, "entries": clean}, indent=1) + "\n")
        meta = self.meta(ended)
        replace_file(self.path, json.dumps({"meta": meta, "entries": clean}, indent=1) + "\n")
        self.written = True
        kcidb = exchange.kcidb(self.entries, meta, exchange.builds())
        try:
            replace_file(self.path.with_suffix(".xml"), exchange.junit(self.entries, meta))
            replace_file(self.path.with_suffix(".kcidb.json"), json.dumps(kcidb, indent=1) + "\n")
        except OSError as err:
            # What the reserve was for has been written.
            say(f"{self.path.stem}.xml and .kcidb.json are not there: {err.strerror}")

    def __exit__(self, kind, err, _trace):
        if self.written:
            return
        number = common.stopped()
        common.stop(None)       # what is started from here on belongs to the report, and ends by itself
        self.write("complete" if kind is None else f"{kind.__name__}: {err}".splitlines()[0])
        common.stop(number)
