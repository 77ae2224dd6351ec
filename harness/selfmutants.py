# SPDX-License-Identifier: GPL-2.0
"""Breaks the harness on purpose, one line at a time: each must turn the unit test red that it names.

harness/selfmutants.ini lists them. Each is put into a copy of harness/, in a temporary folder, and there the test runs; so it
does once for all of them in a copy in which nothing is broken, where it has to be green.
"""

import configparser
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .common import ROOT, HarnessError

LIST = ROOT / "harness" / "selfmutants.ini"
KEYS = ("file", "find", "put", "red")
# The list may grow, but not vanish.
LEAST = 20
TIMEOUT = 60


@dataclass(frozen=True)
class SelfMutant:
    name: str
    file: str       # below harness/
    find: str       # a line of it, without its indentation
    put: str        # what takes its place
    red: str        # module, class or case of harness/tests


def load(path=LIST, least=LEAST):
    parser = configparser.ConfigParser(interpolation=None, delimiters=("=",), comment_prefixes=("#",))
    try:
        parser.read_string(path.read_text())
    except configparser.Error as err:
        raise HarnessError(f"{path.name}: {err}") from None
    found = []
    for name in parser.sections():
        values = dict(parser[name])
        if set(values) != set(KEYS) or not all(values.values()) or any("\n" in value for value in values.values()):
            raise HarnessError(f"{path.name}: [{name}] must have {', '.join(KEYS)}, each of one line")
        found.append(SelfMutant(name, **values))
    if len(found) < least:
        raise HarnessError(f"{path.name} has {len(found)} mutants, and should have {least} at least")
    return found


def targets():
    """The tests that have to be green without a mutant."""
    return sorted({mutant.red for mutant in load()})


def mutated(mutant, text):
    """@text with the line replaced; an error if it is not there, or not once."""
    lines = text.split("\n")
    places = [number for number, line in enumerate(lines) if line.strip() == mutant.find]
    if len(places) != 1:
        raise HarnessError(f"harness/{mutant.file} has {len(places)} lines like this one: {mutant.find}")
    line = lines[places[0]]
    lines[places[0]] = line[:len(line) - len(line.lstrip())] + mutant.put
    text = "\n".join(lines)
    if mutant.file.endswith(".py"):
        try:
            compile(text, mutant.file, "exec")
        except SyntaxError as err:
            raise HarnessError(f"harness/{mutant.file} is no Python with this line: {mutant.put}: {err.msg}") from None
    return text


@contextlib.contextmanager
def copied(root=ROOT):
    """A folder with a copy of harness/ and links to what is beside it."""
    with tempfile.TemporaryDirectory(prefix="kas-self.") as tmp:
        tmp = Path(tmp)
        for name in os.listdir(root):
            if name not in (".git", "build", "out", "harness"):
                (tmp / name).symlink_to(root / name)
        # With its __pycache__, which is good as long as the times are the same.
        shutil.copytree(root / "harness", tmp / "harness", symlinks=True)
        yield tmp


def failing(root, test):
    """"" if @test is green in @root; else what it prints."""
    try:
        proc = subprocess.run([sys.executable, "-m", "unittest", "-f", f"harness.tests.{test}"], cwd=root, text=True, errors="replace",
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        return f"no end after {TIMEOUT} s"
    ran = re.search(r"^Ran (\d+) tests? in", proc.stdout, re.M)
    if not proc.returncode and ran and int(ran[1]):
        return ""
    return proc.stdout.strip() or f"exit status {proc.returncode}"


def control(test, root=ROOT):
    """The reason of a failure if @test is not green in a copy that is whole."""
    with copied(root) as tmp:
        return failing(tmp, test) or None


def survives(mutant, root=ROOT):
    """The reason of a failure unless the mutant turns its test red."""
    with copied(root) as tmp:
        file = tmp / "harness" / mutant.file
        text = mutated(mutant, file.read_text())
        file.unlink()
        file.write_text(text)
        output = failing(tmp, mutant.red)
    if not output:
        return f"{mutant.red} is green with this line in harness/{mutant.file}: {mutant.put}"
    # A harness that cannot be loaded turns everything red.
    if "FAILED (" not in output or "Failed to import" in output or "ImportError" in output:
        return f"{mutant.red} does not run with this line in harness/{mutant.file}: {mutant.put}\n{output}"
    return None
