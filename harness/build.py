# SPDX-License-Identifier: GPL-2.0
"""Configures and builds kernels from fragments in configs/, one object directory a configuration."""

import hashlib
import json
import lzma
import os
import re
import time
from pathlib import Path

from .base import locked
from .common import (BUILD, CACHE, JOBS, LIMIT, LOGS, PACKAGES, ROOT, TEST_PACKAGES, HarnessError, need, replace_file, run,
                     toolchain)
from .series import MANIFEST

CONFIG_DIR = ROOT / "configs"

# A configuration is a list of fragments, later ones win. FEATURES stands for every fragment that
# a distribution would merge: all files in configs/ whose name does not begin with "harness-".
FEATURES = "*"
# Complete configurations that are not in configs/, and the package that has them. A kernel without Debian's patches
# lacks some of their options, and what is made without their packages others: that is no error.
DEBIAN = "debian"
DEBIAN_CONFIG = Path("/usr/src/linux-config-6.12/config.amd64_none_cloud-amd64.xz")
CONFIGS = {
    "debug": ["harness-base", "harness-debug", "harness-lockdep", FEATURES, "harness-tests"],
    "lint": ["harness-base", "harness-debug", "harness-lockdep", FEATURES, "harness-tests"],
    "kasan": ["harness-base", "harness-debug", "harness-kasan", FEATURES, "harness-tests"],
    "kcsan": ["harness-base", "harness-debug", "harness-kcsan", FEATURES, "harness-tests"],
    "release": ["harness-base", "harness-release", FEATURES],
    "off": ["harness-base", "harness-release"],
    "debian": [DEBIAN, FEATURES, "harness-debian"],
    "gdb": ["harness-base", "harness-debug", FEATURES, "harness-tests", "harness-gdb"],
    "clang": ["harness-base", "harness-debug", "harness-lockdep", FEATURES, "harness-tests"],
    "i386": ["harness-i386"],
}
# What make is told of a configuration, Kconfig included, besides.
VARIABLES = {"clang": ("LLVM=1", "CC=ccache clang"), "i386": ("ARCH=i386",)}

# Trees that hold the whole series: there, a symbol of ours that Kconfig does not know is an error.
# In any other tree (the base, a prefix) such a symbol is left out.
MUTANT_TREES = (BUILD / "mutant-0", BUILD / "mutant-1")
COMPLETE = (BUILD / "src", *MUTANT_TREES)

# Folders below arch/x86 that arch/x86/Makefile names beside arch/x86 itself.
TWICE = tuple(f"arch/x86/{folder}/" for folder in ("lib", "pci", "power", "video", "math-emu"))

SYMBOL = re.compile(r"^(?:# )?(CONFIG_\w+)(?:=(.*)| is not set)$")


def environment(tree=None):
    """What makes a build repeatable and lets ccache hit in any clone.

    A mutant is compiled by the compiler alone. Once the object of one was found in the kernel of another that was
    built at the same time, and the cache is all that two of their trees share.
    """
    return {
        **({"CCACHE_DISABLE": "1"} if tree in MUTANT_TREES else {}),
        "KBUILD_BUILD_TIMESTAMP": "Thu Jan  1 00:00:00 UTC 2026",
        "KBUILD_BUILD_USER": "harness", "KBUILD_BUILD_HOST": "harness",
        "CCACHE_DIR": str(CACHE / "ccache"), "CCACHE_NOHASHDIR": "1", "CCACHE_MAXSIZE": "5G",
        # By the headers that the compiler names: a compilation that the cache can't answer is not preprocessed twice.
        "CCACHE_DEPEND": "1",
        # Hard links change the ctime of the base's headers; generated headers are always new.
        "CCACHE_SLOPPINESS": "include_file_ctime,include_file_mtime",
    }


def parse(text):
    """{symbol: value} of a .config or a fragment; None is "not set"."""
    found = {}
    for line in text.splitlines():
        match = SYMBOL.match(line.strip())
        if match:
            found[match[1]] = None if match[2] in (None, "n") else match[2]
    return found


def feature_fragments():
    return sorted(path.stem for path in CONFIG_DIR.glob("*.config") if not path.stem.startswith("harness-"))


def debian_config():
    """The text of the configuration of Debian's kernel for virtual machines."""
    need({str(DEBIAN_CONFIG): "linux-config-6.12"})
    return lzma.decompress(DEBIAN_CONFIG.read_bytes()).decode()


def requested(config):
    """{symbol: (value, fragment)} of a configuration, and the set of symbols that are ours."""
    if config not in CONFIGS:
        raise HarnessError(f"no such configuration: {config} (there are: {', '.join(CONFIGS)})")
    wanted, ours = {}, set()
    for entry in CONFIGS[config]:
        for name in feature_fragments() if entry == FEATURES else [entry]:
            symbols = parse(debian_config() if name == DEBIAN else (CONFIG_DIR / f"{name}.config").read_text())
            wanted.update({symbol: (value, name) for symbol, value in symbols.items()})
            if entry == FEATURES or name == "harness-tests":
                ours.update(symbols)
    return wanted, ours


def known_symbols(tree):
    """Every symbol that a Kconfig file of ours or of the places we edit defines in @tree."""
    text = ""
    for pattern in ("mm/**/Kconfig*", "lib/Kconfig*", "arch/Kconfig", "arch/x86/Kconfig*", "security/**/Kconfig*"):
        for path in tree.glob(pattern):
            text += path.read_text(errors="replace")
    return {"CONFIG_" + name for name in re.findall(r"^\s*(?:menu)?config (\w+)", text, re.M)}


def make(tree, objdir, *args):
    """The make command line of kbuild. The source is always "..": no absolute path enters an object."""
    return ["make", "-C", tree, f"O={objdir.name}", f"-j{JOBS}", "CC=ccache gcc", "HOSTCC=ccache gcc",
            *VARIABLES.get(objdir.name.removeprefix("o-"), ()), *args]


def lost_options(config, tree, wanted):
    """HarnessError if .config is not what was asked for."""
    dotconfig = tree / f"o-{config}" / ".config"
    final = parse(dotconfig.read_text())
    lost = [f"  {symbol}: wanted {value or 'n'} ({fragment}.config), got {final.get(symbol) or 'n'}"
            for symbol, (value, fragment) in sorted(wanted.items())
            if fragment != DEBIAN and final.get(symbol) != value]
    if lost:
        raise HarnessError(f"configuration {config} of {tree.name} lost options:\n" + "\n".join(lost) + f"\n  .config: {dotconfig}")


def options(config, tree):
    """{symbol: (value, fragment)} of what @tree can have of a configuration."""
    wanted, ours = requested(config)
    if tree not in COMPLETE:
        unknown = ours - known_symbols(tree)
        wanted = {symbol: entry for symbol, entry in wanted.items() if symbol not in unknown}
    return wanted


def configure(config, tree):
    """Write .config in tree/o-CONFIG, only when it changes, and prove that nothing asked for was lost."""
    wanted = options(config, tree)
    objdir = tree / f"o-{config}"
    objdir.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{symbol}={value}\n" if value is not None else f"# {symbol} is not set\n"
                   for symbol, (value, _) in sorted(wanted.items()))
    merged, dotconfig, done = objdir / "harness.config", objdir / ".config", objdir / ".harness-configured"
    # An existing .config is right while what it was made from is the same, and while it is what was made.
    state = text + kconfig_state(tree)
    before = dotconfig.read_bytes() if dotconfig.exists() else b""
    if not done.exists() or done.read_text() != stamp(state, before):
        merged.write_text(text)
        stat = dotconfig.stat() if before else None
        run(make(tree, objdir, f"KCONFIG_ALLCONFIG={merged}", "allnoconfig"), log=LOGS / f"config-{tree.name}-{config}.log",
            what=f"configure {config}", env=environment(tree))
        after = dotconfig.read_bytes()
        if before == after:
            os.utime(dotconfig, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        done.write_text(stamp(state, after))
    lost_options(config, tree, wanted)
    return objdir


def stamp(state, dotconfig):
    return hashlib.sha256(state.encode() + dotconfig).hexdigest()


def kconfig_state(tree):
    """A text that changes whenever a Kconfig file in @tree does: which base it is, and what the series makes of it."""
    try:
        manifest = json.loads((tree / MANIFEST).read_text())
    except (OSError, ValueError):
        return f"{time.time_ns()}"      # nobody keeps this tree: it is configured each time
    files = sorted((path, entry[0]) for path, entry in manifest["files"].items() if Path(path).name.startswith("Kconfig"))
    return f"{manifest['base']} {files}"


def build_detail(log):
    """How many objects a running build has made, for the progress line."""
    try:
        with open(log, "rb") as file:
            return f"{sum(line.startswith(b'  ') for line in file)} steps"
    except OSError:
        return ""


def run_make(config, tree, *args, what, log, check=True):
    """Run kbuild in an object directory that is configured already."""
    return run(make(tree, tree / f"o-{config}", *args), log=log, what=what, env=environment(tree),
               timeout=LIMIT * (4 if DEBIAN in CONFIGS[config] else 1), detail=build_detail, check=check)


def inputs(tree, objdir, targets):
    """A text that names everything a build depends on, so that make need not look: it takes 10 s.

    Empty for a tree that series.patched_tree() does not keep: there, make always runs.
    """
    manifest = tree / MANIFEST
    if not manifest.exists():
        return ""
    state = hashlib.sha256(manifest.read_bytes() + (objdir / ".config").read_bytes())
    return f"{state.hexdigest()} {' '.join(targets)} {toolchain().splitlines()} {sorted(environment(tree).items())}\n"


def build(config, tree, targets=("bzImage",), variables=(), log=None):
    """Configure and build @targets of @config in @tree; returns the object directory."""
    need({**PACKAGES, **(TEST_PACKAGES if "C=2" in variables else {})})
    with locked(BUILD / f"lock-{tree.name}-{config}"):
        objdir = configure(config, tree)
        state, built = inputs(tree, objdir, targets), objdir / ".harness-built"
        if state and not variables and built.exists() and built.read_text() == state:
            return objdir
        built.unlink(missing_ok=True)
        log = log or LOGS / f"build-{tree.name}-{config}.log"
        # kbuild comes to a single object of these folders by two ways, with different flags (or without objtool) and at
        # the same time. One after the other, the same way always has the last word.
        twice = [target for target in targets if target.startswith(TWICE)]
        once = [target for target in targets if target not in twice]
        for jobs, some, file in (([], once, log), (["-j1"], twice, log.with_suffix(".twice.log"))):
            if some:
                run_make(config, tree, *jobs, *variables, *some, what=f"build {tree.name} {config}", log=file)
        # make runs Kconfig when it finds that .config is older than what it depends on.
        lost_options(config, tree, options(config, tree))
        if state and not variables:
            replace_file(built, state)
    return objdir
