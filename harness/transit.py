# SPDX-License-Identifier: GPL-2.0
"""What leads into a domain can't be skipped by speculation, and nothing behind it traps.

Code that goes on in a domain, or stays outside for a reason, gets there by a conditional branch. If that is mispredicted, what
follows would run ahead on the kernel's page table, though it is meant for the domain. So from each conditional branch before
the way into a domain, all ways to the end of the function have to pass an instruction that waits for the branch: a write
of CR3, an LFENCE, or an IRET, which serializes; or a call of a function for which the same is true of all ways through it.
A branch that has not yet left the domain does no harm: what runs ahead then has less than it should.

A hypervisor may intercept some instructions, and the guest gets an exception for it (#VC of SEV-ES and SEV-SNP, #VE of TDX). The
way back from that ends where it came from, so that none may follow the write of CR3 there: the exception would never end.
Nor may one come first in a function that leaves the domain: what it does is for the kernel's page table.

harness/transit.allow lists what is allowed all the same: "FUNCTION ahead|traps reason".
"""

import re

from . import allow, elf
from .common import ROOT
from .entryset import ALT_INSTR, ENDS, JUMP_ENTRY, WRITES_CR3, Kernel
from .report import entry

ALLOW = ROOT / "harness" / "transit.allow"
PROBLEMS = ("ahead", "traps")
# These return what to write to CR3, those have written it, and these have left the domain.
MAKE = frozenset(("asi_make_cr3", "asi_reenter"))
ENTER = frozenset(("__asi_resume", "__asi_schedule_in"))
LEAVE = frozenset(("asi_unload", "__asi_suspend", "__asi_schedule_out"))
# Patched in and out, and so never predicted.
KEY = "asi_key"
CONDITION = re.compile(r"^(?:(?:notrack|bnd|ds|cs|data16) )*(j(?!mp)[a-z]+|loop\w*)\b")
WAITS = re.compile(r"^(?:lfence|iretq?)\b")
RETURNS = re.compile(r"^(?:(?:bnd|cs|ds|repz?) )*(?:ret|sysret|sysexit)")
THUNK = "__x86_return_thunk"
NEVER_RETURN = frozenset(("__stack_chk_fail", "panic", "do_exit"))
LFENCE = b"\x0f\xae\xe8"
TRAPS = re.compile(r"^(?:rep\w* )?(?:mov\s.*%d[br]\d.*|rdmsr|wrmsr\w*|rdpmc|rdtscp?|cpuid|in|ins[bwl]|out|outs[bwl]|hlt|invd|"
                   r"wb(?:no)?invd|monitorx?|mwaitx?|xsetbv|vmmcall|vmcall|tdcall)(?:\s|$)")


def rules(path=ALLOW):
    def split(line):
        key, rest = allow.words(2)(line)
        if key[1] not in PROBLEMS:
            raise ValueError(f"no such problem (there are: {', '.join(PROBLEMS)})")
        return key, rest
    return allow.read(path, split)


class Code(Kernel):
    """The functions of vmlinux.o that have to do with it, wherever they are."""

    def __init__(self, objdir):
        self.object = elf.Elf(objdir / "vmlinux.o")
        self.ranges, self.functions = {}, {}
        self.chosen = [number for number, section in enumerate(self.object.sections)
                       if section.flags & elf.SHF_EXECINSTR and section.size]
        found = {}
        for number in self.chosen:
            relocations = self.object.relocations(number)
            callers = {self.where(number).at(item.offset) for item in relocations
                       if item.symbol.name in MAKE | ENTER | LEAVE} - {None}
            found[number] = relocations, callers
        names = {elf.plain(symbol.name) for _, callers in found.values() for symbol in callers} | MAKE | ENTER
        for number, (relocations, callers) in found.items():
            # Parts that the compiler has put elsewhere, and what is jumped to in the entry code.
            whole = self.object.sections[number].name == ".entry.text"
            callers |= {symbol for symbol in self.where(number).symbols
                        if symbol.section == number and (whole or elf.plain(symbol.name) in names)}
            for symbol in callers:
                self._read(number, relocations, (symbol.value, symbol.value + symbol.size))
        self._alternatives()
        self._jump_labels()
        self.keys, self.fences = self._keys(), self._fences()

    def _keys(self):
        """{(section, site): (section, target) of those who go there if there are domains}"""
        number, found = self.object.number("__jump_table"), {}
        for item in self.object.relocations(number) if number else []:
            label, place = divmod(item.offset, JUMP_ENTRY)
            found.setdefault(label, {})[place] = item.symbol, item.addend
        return {(site.section, site.value + at): (target.section, target.value + to)
                for label in found.values() if len(label) == 3 and label[8][0].name == KEY
                for (site, at), (target, to) in [(label[0], label[4])]}

    def _fences(self):
        """{(section, site)} of the instructions that an LFENCE takes the place of."""
        return {fields[0] for _, fields in self._pairs(".altinstructions", ALT_INSTR)
                for section in [self.object.sections[fields[4][0]]]
                if self.object.data.startswith(LFENCE, section.offset + fields[4][1])}


class Paths:
    """Where control goes while there are domains, over the borders of functions where it jumps; and what is on the way."""

    def __init__(self, code):
        self.code, self.next, self.text, self.target, self.calls = code, {}, {}, {}, {}
        for (section, _, _), function in code.functions.items():
            for address, end, text in function.code:
                self.next[section, address], self.text[section, address] = (section, end), text
            for reference in function.references:
                if not reference.control:
                    continue
                if reference.text.startswith("call") or reference.section == 0 or reference.name == THUNK:
                    self.calls.setdefault((section, reference.site), set()).add(reference.name)
                elif reference.text != "alternative":
                    self.target.setdefault((section, reference.site), []).append((reference.section, reference.offset))
                    if not function.holds(reference.offset) or reference.section != section:
                        self.calls.setdefault((section, reference.site), set()).add(reference.name)
            for site, places in function.extra.items():
                self.target.setdefault((section, site), []).extend((section, place) for place in places)
        self.patched = {(section, site) for (section, _, _), function in code.functions.items() for site in function.extra}
        self.closed, self.writers = frozenset(), frozenset()
        self.closed, self.writers = self._closed(), self._writers()

    def _writers(self):
        """The functions of MAKE that write CR3 themselves."""
        found, before = frozenset(), None
        while found != before:
            before = self.writers = found
            found = frozenset(function.name for (section, _, _), function in self.code.functions.items() if
                              function.name in MAKE and any(self.writes((section, address)) for address, _, _ in function.code))
        return found

    def _closed(self):
        """The functions of ENTER that wait whichever way is taken through them; those that call others come later."""
        found, before = frozenset(), None
        while found != before:
            before = self.closed = found
            found = frozenset(function.name for key, function in self.code.functions.items() if function.name in ENTER and
                              not self.ends([(key[0], function.symbol.value)]))
        return found

    def places(self, site):
        """Where control goes from there."""
        text = self.text[site]
        if site in self.code.keys:
            # What is a jump is patched to fall through, and a NOP to jump, where there are domains.
            return [self.next[site] if text.startswith("jmp") else self.code.keys[site]]
        found = list(self.target.get(site, []))
        if not ENDS.match(text) and not self.called(site, NEVER_RETURN):
            found.append(self.next[site])
        return found

    def waits(self, site):
        text = self.text[site]
        return bool(WRITES_CR3.match(text) or WAITS.match(text) or site in self.code.fences or self.called(site, self.closed))

    def called(self, site, names):
        return bool(self.calls.get(site, frozenset()) & names)

    def leads_on(self, site):
        """Is that the end of what can be seen, on a way that has not waited?"""
        text = self.text[site]
        if RETURNS.match(text) or self.called(site, {THUNK}):
            return True
        if not text.startswith(("jmp", "notrack jmp")):
            return False
        # A jump to elsewhere; but what an alternative takes the place of is not there.
        return not any(place in self.text for place in self.places(site)) and site not in self.patched

    def reachable(self, todo, stop=lambda site: False):
        todo, seen = list(todo), set()
        while todo:
            site = todo.pop()
            if site in seen or site not in self.text:
                continue
            seen.add(site)
            if not stop(site):
                todo += self.places(site)
        return seen

    def ends(self, todo):
        return sorted(site for site in self.reachable(todo, self.waits) if not self.waits(site) and self.leads_on(site))

    def ahead(self, section, function):
        """[branch] of those that may be mispredicted, so that what is meant for a domain runs ahead outside."""
        own = {(section, address) for address, _, _ in function.code}
        left = [site for site in own if self.called(site, LEAVE)]
        part = self.reachable([place for site in left for place in self.places(site)] or [(section, function.symbol.value)])
        enters = {site for site in own if WRITES_CR3.match(self.text[site]) or self.called(site, MAKE | ENTER)}
        return sorted(site for site in own & part if CONDITION.match(self.text[site]) and
                      self.reachable(self.places(site)) & enters and self.ends(self.places(site)))

    def traps(self, section, function):
        """[instruction] of those that trap behind the write of CR3 into a domain, or before a domain is left."""
        own = {(section, address) for address, _, _ in function.code}
        makes = [site for site in own if self.called(site, MAKE)]
        writes = {site for site in self.reachable(makes, self.writes) if self.writes(site)}
        part = self.reachable([place for site in writes for place in self.places(site)], self.iret)
        left = {site for site in own if self.called(site, LEAVE)}
        for site in self.reachable([(section, function.symbol.value)], left.__contains__) - left if left else ():
            if self.reachable([site]) & left:
                part.add(site)
        return sorted(site for site in part if TRAPS.match(self.text[site]))

    def writes(self, site):
        return bool(WRITES_CR3.match(self.text[site]) or self.called(site, self.writers))

    def iret(self, site):
        return self.text[site].startswith("iret")


def check(code):
    """{function: {problem: [instruction]}} of what leads into domains, or out of them."""
    paths, found = Paths(code), {}
    for (section, _, _), function in code.functions.items():
        own = [(section, address) for address, _, _ in function.code]
        enters = any(paths.called(site, MAKE | ENTER) for site in own)
        if not enters and not any(paths.called(site, LEAVE) for site in own):
            continue
        problems = found.setdefault(function.name, {})
        for problem, sites in (("ahead", paths.ahead(section, function) if enters and function.name not in MAKE else []),
                               ("traps", paths.traps(section, function))):
            if sites:
                problems.setdefault(problem, []).extend(paths.text[site].split("#")[0].strip() for site in sites)
    return found


MEANING = {
    "ahead": "may be mispredicted, so that what is meant for a domain runs ahead on the kernel's page table",
    "traps": "may be intercepted by a hypervisor, on the page table of a domain",
}


def transit_entries(objdirs, known=None):
    """One entry per build and function, and one for the list. @objdirs: {build: directory}."""
    known, used, entries = rules() if known is None else known, set(), []
    for build, objdir in objdirs.items():
        for name, problems in sorted(check(Code(objdir)).items()):
            used.update((name, problem) for problem in problems)
            why = [f"{name}(): {text} {MEANING[problem]}" for problem, texts in problems.items()
                   if (name, problem) not in known for text in texts]
            entries.append(entry(build, "none", "asi", f"transit:{name}", "fail" if why else "pass", "; ".join(why)))
    stale = [" ".join(key) for key in sorted(known.keys() - used)]
    entries.append(entry("+".join(objdirs), "none", "asi", "transit:allow", "fail" if stale else "pass",
                         stale and "harness/transit.allow allows what is not there: " + "; ".join(stale)))
    return entries
