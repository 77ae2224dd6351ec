# SPDX-License-Identifier: GPL-2.0
"""Breaks the harness on purpose, one line at a time: each must turn the unit test red that it names.

harness/selfmutants.ini lists them. Each is put into a copy of harness/, in a temporary folder, and there the test runs, and
then taken out again; each test runs once in a copy in which nothing is broken as well, where it has to be green.
"""

import configparser
import contextlib
import itertools
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

from .common import ROOT, HarnessError

LIST = ROOT / "harness" / "selfmutants.ini"
KEYS = ("file", "find", "put", "red")
# The list may grow, but not vanish.
LEAST = 20
TIMEOUT = 180


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


class Copies:
    """A folder for each thread, with a copy of harness/ and links to what is beside it. They go at the end of the with block."""

    def __init__(self, root=ROOT):
        self.root = root
        self.mine = threading.local()
        self.stack = contextlib.ExitStack()
        self.folders = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stack.close()

    def leftovers(self):
        """The files that tests have left in a folder, or changed: each mutant after that may be red for that."""
        bad = []
        for tmp in self.folders:
            for path in sorted(tmp.rglob("*")):
                name = path.relative_to(tmp)
                if path.is_dir() or "__pycache__" in name.parts or any((tmp / part).is_symlink() for part in name.parents if part.name):
                    continue
                if not (self.root / name).exists() or path.read_bytes() != (self.root / name).read_bytes():
                    bad.append(str(name))
        return bad

    def folder(self):
        """That of the thread that calls, in which nothing is broken."""
        if not hasattr(self.mine, "folder"):
            tmp = Path(self.stack.enter_context(tempfile.TemporaryDirectory(prefix="kas-self.")))
            for name in os.listdir(self.root):
                if name not in (".git", "build", "out", "harness"):
                    (tmp / name).symlink_to(self.root / name)
            shutil.copytree(self.root / "harness", tmp / "harness", symlinks=True)
            self.mine.folder, self.mine.times = tmp, itertools.count(1)
            self.folders.append(tmp)
        return self.mine.folder

    @contextlib.contextmanager
    def broken(self, mutant):
        """The same with @mutant in it, until the end of the with block."""
        file = self.folder() / "harness" / mutant.file
        text = mutated(mutant, file.read_text())
        file.unlink()
        file.write_text(text)
        # Python takes what it has compiled before for good if the file has the same size and the same second.
        second = next(self.mine.times)
        os.utime(file, (second, second))
        try:
            yield self.mine.folder
        finally:
            file.unlink()
            shutil.copy2(self.root / "harness" / mutant.file, file)
            # A broken harness may go on to build something.
            for name in ("build", "out"):
                shutil.rmtree(self.mine.folder / name, ignore_errors=True)


def failing(root, tests):
    """"" if @tests are green in @root; else what they print."""
    try:
        # -S: nothing that is installed beside Python's own library is needed.
        proc = subprocess.run([sys.executable, "-S", "-m", "unittest", "-f", *[f"harness.tests.{test}" for test in tests]], cwd=root,
                              text=True, errors="replace", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        return f"no end after {TIMEOUT} s"
    ran = re.search(r"^Ran (\d+) tests? in", proc.stdout, re.M)
    if not proc.returncode and ran and int(ran[1]):
        return ""
    return proc.stdout.strip() or f"exit status {proc.returncode}"


def control(module, copies):
    """The reason of a failure if a test of @module that mutants name is not green in a copy that is whole."""
    return failing(copies.folder(), [test for test in targets() if test.split(".")[0] == module]) or None


def survives(mutant, copies):
    """The reason of a failure unless the mutant turns its test red."""
    with copies.broken(mutant) as tmp:
        output = failing(tmp, [mutant.red])
    if not output:
        return f"{mutant.red} is green with this line in harness/{mutant.file}: {mutant.put}"
    # A harness that cannot be loaded turns everything red.
    if "FAILED (" not in output or "Failed to import" in output or "ImportError" in output:
        return f"{mutant.red} does not run with this line in harness/{mutant.file}: {mutant.put}\n{output}"
    return None
