# SPDX-License-Identifier: GPL-2.0
"""What kbuild has written down about the objects that it made: what each was compiled from, and what is linked.

Each object has a .NAME.o.cmd beside it, by which make knows when to compile it again. The checks of the
series ask the same files: who includes this header?
"""

import json
import os
import re
import subprocess
from pathlib import Path

from .common import LOGS, HarnessError, replace_file, run

SOURCE = re.compile(r"^source_(\S+) := (\S+)$", re.M)
# Paths of the source begin with "../", since the object directory is always a folder of the tree.
DEPENDENCY = re.compile(r"^ +\.\./(\S+)", re.M)
# An option that the source or a header asks for is a file as well, which changes when the option does.
OPTION = re.compile(r"\$\(wildcard (include/config/\w+)\)")
# So many objects include a header that all of them can't be compiled for each patch.
WIDE = 100


def object_of(path):
    """The name of the object that a source file becomes."""
    return re.sub(r"\.[cS]$", ".o", path)


class Objects:
    """The objects of one object directory: what each depends on, by paths of the source tree.

    @members: those that count, which are the ones that vmlinux, or a module, is linked from. There are others: of the boot
    loader's part, of user space, of the EFI stub, which kbuild compiles with flags of their own and not by themselves.
    """

    def __init__(self, objdir, members):
        self.objdir = Path(objdir)
        self.members = set(members)
        self.sources, self.inputs, self.users = {}, {}, {}
        for top, _, files in os.walk(self.objdir):
            for name in files:
                if name.startswith(".") and name.endswith(".o.cmd"):
                    self._read(Path(top) / name)
        for name, paths in self.inputs.items():
            for path in paths:
                self.users.setdefault(path, set()).add(name)

    def _read(self, path):
        text = path.read_text(errors="replace")
        match = SOURCE.search(text)
        # Tools of the build are compiled elsewhere, and what is only linked has no source.
        if not match or match[1] not in self.members or not match[2].startswith("../") or not (self.objdir / match[1]).exists():
            return
        self.sources[match[1]] = match[2][3:]
        self.inputs[match[1]] = {match[2][3:], *DEPENDENCY.findall(text), *OPTION.findall(text)}

    def users_of(self, path):
        """The objects that are compiled from @path or include it."""
        return self.users.get(path, set())

    def affected(self, paths, depth=99):
        """The objects that a change of @paths concerns.

        Of a header that more than WIDE objects include, the largest object of each folder, down to so many levels, stands for
        those of that folder: it is likely to use most of what the header has.
        """
        chosen = set()
        for path in paths:
            users = self.users_of(path)
            if len(users) > WIDE:
                largest = {}
                for name in sorted(users, key=lambda name: ((self.objdir / name).stat().st_size, name)):
                    largest[Path(name).parts[:-1][:depth]] = name
                users = set(largest.values())
            chosen |= users
        return chosen


def archive_members(objdir):
    """The objects that vmlinux is linked from, in order."""
    archive = Path(objdir) / "vmlinux.a"
    proc = subprocess.run(["ar", "t", archive.name], cwd=objdir, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if proc.returncode or not proc.stdout.strip():
        raise HarnessError(f"{archive}: ar lists nothing: {proc.stdout.strip()}; the kernel has to be built first")
    return proc.stdout.split()


def module_members(objdir):
    """The objects that the modules are linked from, of the modules that are one object each."""
    order = Path(objdir) / "modules.order"
    return order.read_text().split() if order.exists() else []


def compile_commands(objdir, tree):
    """Write compile_commands.json for who edits the sources in @tree: how the objects in @objdir, of another tree, were made.

    Returns how many they are. What kbuild has generated is taken from where it is.
    """
    objdir, tree = Path(objdir), Path(tree)
    target = tree / "compile_commands.json"
    run(["python3", objdir.parent / "scripts/clang-tools/gen_compile_commands.py", "-d", objdir, "-o", target],
        log=LOGS / "compile-commands.log", what="compile_commands.json")
    found = []
    for item in json.loads(target.read_text()):
        path = Path(item["file"])
        if path.is_relative_to(objdir):
            continue
        command = re.sub(r"(?<![\w./])\.\./|(?<=-I)\.\./", f"{tree}/", item["command"])
        found.append({**item, "file": str(tree / path.relative_to(objdir.parent)), "command": command})
    replace_file(target, json.dumps(found, indent=1))
    return len(found)


LISTED = """\
srctree := ..
objtree := .
src := ../$(obj)
BITS := $(bits)
SRCARCH := x86
include include/config/auto.conf
include ../scripts/Kbuild.include
include ../$(obj)/$(file)
parts = $(foreach o,$(1),$(o) $($(o:.o=-y)) $($(o:.o=-objs)))
$(info KAS $(call parts,$(sort $(obj-y) $(lib-y))))
all: ;
"""


def listed(tree, objdir, folder, bits=64):
    """The objects of @folder that its Makefile names, for the configuration in @objdir; none where there is no such folder."""
    if not (Path(tree) / folder).exists():
        return set()
    name = "Kbuild" if (Path(tree) / folder / "Kbuild").exists() else "Makefile"
    proc = subprocess.run(["make", "-s", "-r", "-R", "-f", "-", f"obj={folder}", f"file={name}", f"bits={bits}", "all"], cwd=objdir, input=LISTED,
                          text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    match = re.search(r"^KAS (.*)$", proc.stdout, re.M)
    if proc.returncode or not match:
        raise HarnessError(f"{tree}/{folder}/{name} can't be read: {proc.stderr.strip() or 'it lists nothing'}")
    return {f"{folder}/{word}" for word in match[1].split() if word.endswith(".o")}
