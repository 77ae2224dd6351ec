# SPDX-License-Identifier: GPL-2.0
"""make check: everything that can be judged without building a kernel.

A case is a function that returns None (pass) or the reason of its failure; it raises Skip with a reason
when it cannot run here. make test reports the same cases.
"""

import fnmatch
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import base as base_mod
from . import brackets, claims, gitform, layers, model, quotes, report, selfmutants, series
from .common import BUILD, CACHE, CHECK_PACKAGES, JOBS, OUT, PROGRESS, ROOT, HarnessError, first_line, need, say

# Words that codespell takes for misspelled, each with what it is here.
KNOWN_WORDS = [
    "upto",     # a parameter of the harness: the last patch of a prefix
    "extraversion",     # a line of the kernel's Makefile
]
SOURCE_SUFFIXES = (".py", ".c", ".h", ".S", ".sh")
MAX_LINES = 1000
MACHINE_PATH = re.compile(r"(?<![\w.$}])/(?:root|home|work|Users)/\w")


class Skip(Exception):
    """A case cannot run here; the text says why."""


class Context:
    """What the cases share."""

    def __init__(self, copies):
        self.copies = copies
        self.perl = first_line("perl", "-e", "print $^V")
        self.base = base_mod.ensure_base()
        self.series = model.load()
        self.steps = model.compose(self.series, self.base)
        self.final = model.overlay(self.steps)
        self.tree = series.patched_tree(BUILD / "check", base=self.base)
        self.patches = series.generate(base=self.base)
        self.files = repo_files()


def repo_files():
    """The files of the repository, whether git knows them yet or not."""
    skip = {".git", "build", "out"}
    found = []
    for entry in sorted(os.listdir(ROOT)):
        if entry in skip:
            continue
        if (ROOT / entry).is_dir():
            found += [f"{entry}/{name}" for name, _ in base_mod.walk(ROOT / entry)]
        else:
            found.append(entry)
    return sorted(name for name in found if "__pycache__" not in name)


def call(cmd, cwd=ROOT, env=None):
    """Exit status and output of @cmd."""
    proc = subprocess.run([str(c) for c in cmd], cwd=cwd, env={**os.environ, "LC_ALL": "C.UTF-8", **(env or {})}, text=True,
                          errors="replace", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return proc.returncode, proc.stdout.strip()


def silent(cmd, cwd=ROOT):
    """The reason of a failure unless @cmd succeeds and prints nothing."""
    status, output = call(cmd, cwd)
    if status or output:
        return output or f"exit status {status}"
    return None


# ---- lint ----

def passed(kind, *what):
    """The file that is there when a judgement of this kind, of just this, had nothing to object to."""
    return CACHE / kind / hashlib.sha256(repr((Path(__file__).read_bytes(), *what)).encode()).hexdigest()


def keep(path):
    path.parent.mkdir(exist_ok=True)
    path.touch()


# FILE_PATH_CHANGES asks whether MAINTAINERS needs an update: the case get_maintainer knows.
# Headers of macros for the assembler, which checkpatch reads as C: a block of its output about one is no objection if it
# is of one of these types.
ASSEMBLER = re.compile(r"\A(CHECK|ERROR|WARNING):(SPACING|CAMELCASE|LINE_SPACING): .*\n#\d+: FILE: arch/x86/entry/calling\.h:\d+:")
# UNKNOWN_COMMIT_ID looks a commit that a message names up in git, and here is no history of the kernel.
CHECKPATCH = ["--strict", "--no-signoff", "--quiet", "--no-summary", "--show-types", "--ignore", "FILE_PATH_CHANGES,UNKNOWN_COMMIT_ID"]


def checkpatch(ctx, name):
    """What it had nothing to say about, it has nothing to say about: that is kept, by patch, base, options and perl."""
    patch = OUT / "series" / name
    before = passed("checkpatch", patch.read_bytes(), ctx.base.name, CHECKPATCH, ctx.perl)
    if before.exists():
        return None
    # Judged before the base, as by a maintainer who is about to apply it: over the patched tree it would want generic headers in
    # place of ours of the architecture. It keeps a cache where it runs, and would read one that another run is writing.
    folder = BUILD / threading.current_thread().name
    folder.mkdir(parents=True, exist_ok=True)
    why = silent(["perl", ctx.base / "scripts/checkpatch.pl", *CHECKPATCH, patch], cwd=folder)
    why = objections(why) if why else None
    if not why:
        keep(before)
    return why


def objections(output):
    """What of checkpatch's @output is to be taken for what it says, or None."""
    return "\n\n".join(block for block in output.split("\n\n") if not ASSEMBLER.match(block.strip())).strip() or None


def kernel_doc(ctx):
    files = [path for path in ctx.series.new_files if path.endswith((".c", ".h"))]
    return silent(["perl", "scripts/kernel-doc", "-Wall", "-Werror", "-none", *files], cwd=ctx.tree) if files else None


def codespell(ctx):
    """Every file of the repository; of the edits only what they add, since the rest is the kernel's.

    checkpatch --codespell would find the same in the kernel's part, in a hundred times the time.
    """
    command = ["codespell", "--quiet-level=3", "-L", ",".join(KNOWN_WORDS)]
    edits = [name for name in ctx.files if name.startswith("series/") and name.endswith(".diff")]
    with tempfile.TemporaryDirectory(prefix="kas-spell.") as tmp:
        for name in edits:
            (Path(tmp) / name).parent.mkdir(parents=True, exist_ok=True)
            lines = (ROOT / name).read_text(errors="replace").splitlines()
            (Path(tmp) / name).write_text("\n".join(line if line.startswith("+") else "" for line in lines))
        found = [silent([*command, *[name for name in ctx.files if name not in edits]]),
                 silent([*command, *edits], cwd=tmp) if edits else None]
    return "\n".join(text for text in found if text) or None


def shellcheck(_ctx):
    return silent(["shellcheck", ".ci/run"])


def pyflakes(_ctx):
    """Names that nobody uses or has defined."""
    return silent(["pyflakes3", "harness"])


def spdx(ctx):
    """The license in the first lines of each source file, as the kernel asks for."""
    bad = []
    for name in ctx.files:
        mirrored = name.split("/")[0] in model.KERNEL_FOLDERS
        if (mirrored and Path(name).name != "config") or name.endswith(SOURCE_SUFFIXES) or Path(name).name in ("Makefile", "run"):
            head = (ROOT / name).read_text(errors="replace").splitlines()[:3]
            if not any("SPDX-License-Identifier: " in line for line in head):
                bad.append(name)
    return "no SPDX-License-Identifier: " + ", ".join(bad) if bad else None


def spdxcheck(ctx):
    """The kernel's own check wants a git tree with LICENSES/ in it."""
    python = next((p for p in ("python3", "/usr/bin/python3") if shutil.which(p) and call([p, "-c", "import git, ply"])[0] == 0), None)
    if not python:
        raise Skip("needs the packages python3-ply and python3-git")
    with tempfile.TemporaryDirectory(prefix="kas-spdx.") as repo:
        gitform.init(repo)
        shutil.copytree(ctx.base / "LICENSES", Path(repo) / "LICENSES")
        for path in ctx.series.new_files:
            (Path(repo) / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / path, Path(repo) / path)
        gitform.git(repo, "add", "-f", ".")
        gitform.git(repo, "commit", "-q", "-m", "all")
        return silent([python, ctx.base / "scripts/spdxcheck.py", *ctx.series.new_files], cwd=repo)


def kunit_options(ctx):
    """kunit.py finds, and Kconfig does not drop, what each .kunitconfig of the series asks for."""
    bad, asked = [], sorted(path for path in ctx.final if path.endswith("/.kunitconfig"))
    with tempfile.TemporaryDirectory(prefix="kas-kunit.") as objdir:
        for path in asked:
            status, output = call([sys.executable, "tools/testing/kunit/kunit.py", "config", "--arch=x86_64", f"--build_dir={objdir}",
                                   f"--kunitconfig={path}"], cwd=ctx.tree)
            if status:
                bad += [f"{path}:", output]
    return "\n".join(bad) or (None if asked else "the series has no .kunitconfig")


def kselftests(ctx):
    """The tests of the series in tools/testing/selftests build as the kernel builds them, without a word of the compiler."""
    asked = sorted(path.rpartition("/")[0] for path in ctx.series.new_files if re.fullmatch(rf"{model.PROGRAMS}[^/]+/Makefile", path))
    listed = re.findall(r"^TARGETS \+= (\S+)$", ctx.final[f"{model.PROGRAMS}Makefile"].data.decode(), re.M) if asked else []
    bad = [f"{folder} is not in TARGETS" for folder in asked if folder.rpartition("/")[2] not in listed]
    for folder in asked:
        with tempfile.TemporaryDirectory(prefix="kas-kselftest.") as objdir:
            status, output = call(["make", "-C", ctx.tree / folder, f"OUTPUT={objdir}"])
            if status or "warning:" in output:
                bad += [f"{folder}:", output]
            made = {path.name for path in Path(objdir).iterdir()}
            wanted = {path.stem for path in (ctx.tree / folder).glob("*.c")}
            ignored = set(ctx.final[f"{folder}/.gitignore"].data.decode().splitlines()[1:])
            if not made == wanted == ignored:
                bad.append(f"{folder}: makes {sorted(made)} of {sorted(wanted)}, and git ignores {sorted(ignored)}")
    return "\n".join([*bad, *lost_options(ctx)]) or (None if asked else "the series has no selftests")


def lost_options(ctx):
    """What the kernel's own default configuration does not take of what the series has in the config of a test."""
    bad = []
    with tempfile.TemporaryDirectory(prefix="kas-kselftest.") as objdir:
        config, make = Path(objdir) / ".config", ["make", "-s", "-C", ctx.tree, f"O={objdir}", "ARCH=x86_64"]
        status, output = call([*make, "x86_64_defconfig"])
        if status:
            return [f"make x86_64_defconfig: {output}"]
        default = config.read_text()
        for path in sorted(path for path in ctx.final if re.fullmatch(rf"{model.PROGRAMS}[^/]+/config", path)):
            asked = ctx.final[path].data.decode()
            before = (ctx.base / path).read_text() if (ctx.base / path).exists() else ""
            config.write_text(default + asked)
            status, output = call([*make, "olddefconfig"])
            lost = sorted(set(asked.splitlines()) - set(before.splitlines()) - set(config.read_text().splitlines()))
            if status or lost:
                bad.append(f"{path}: Kconfig drops {' '.join(lost)}; {output}")
        return bad


def _sections(text):
    """{title: [patterns]} of MAINTAINERS."""
    result, title, last = {}, None, ""
    for line in text.splitlines():
        if re.match(r"[A-Z]:\t", line):
            if not re.match(r"[A-Z]:\t", last):
                title = last
                result[title] = []
            if line.startswith("F:"):
                result[title].append(line[2:].strip())
        last = line
    return result


def get_maintainer(ctx):
    """The MAINTAINERS entry of the series covers each of its files, and each of its patterns names a file."""
    if not ctx.series.new_files:
        return None
    before = _sections((ctx.base / "MAINTAINERS").read_text(errors="replace"))
    after = _sections((ctx.tree / "MAINTAINERS").read_text(errors="replace"))
    ours = {title: patterns for title, patterns in after.items() if title not in before}
    if not ours:
        return "the series adds no entry to MAINTAINERS"
    before = passed("maintainers", (ctx.tree / "MAINTAINERS").read_bytes(), sorted(ctx.series.new_files), ctx.base.name, ctx.perl)
    if before.exists():
        return None
    bad = []
    known = [*ctx.final, *base_mod.read_file_list(ctx.base)]
    for title, patterns in ours.items():
        for pattern in patterns:
            glob = pattern + "*" if pattern.endswith("/") else pattern
            if not fnmatch.filter(known, glob):
                bad.append(f"{title}: F: {pattern} names no file")
    for path in ctx.series.new_files:
        _, out = call(["perl", "scripts/get_maintainer.pl", "--no-git", "--no-git-fallback", "--sections", "-f", path], cwd=ctx.tree)
        if not any(title in out.splitlines() for title in ours):
            bad.append(f"{path} is in no entry that the series adds")
    if not bad:
        keep(before)
    return "\n".join(bad) or None


def quoted_code(ctx):
    """The examples of the documents are compiled, and run."""
    texts = {path: text.data.decode(errors="replace") for path, text in ctx.final.items()}
    documents = {path: texts[path] for path in ctx.series.new_files if path.endswith(".rst")}
    sources = {path: text for path, text in texts.items() if path.endswith((".c", ".h"))}
    return "\n".join(quotes.wrong(documents, sources)) or None


def errors_of_prmem(ctx):
    """The table of errors in its document and the code agree."""
    texts = {path: text.data.decode(errors="replace") for path, text in ctx.final.items()}
    return "\n".join(quotes.wrong_errors(texts["Documentation/core-api/prmem.rst"],
                                         [text for path, text in texts.items() if re.fullmatch(r"mm/prmem\w*\.[ch]", path)])) or None


def layered(ctx):
    """No file of a part uses one that is above it."""
    return "\n".join(layers.wrong({path: ctx.final[path].data.decode(errors="replace") for path in ctx.series.new_files
                                   if path.endswith((".c", ".h"))})) or None


def length(ctx):
    # A list that is written by a command is nobody's to read from its beginning to its end.
    bad = [f"{name} has {count} lines" for name in ctx.files if name != "harness/scenarios/expected" and
           (count := (ROOT / name).read_bytes().count(b"\n")) >= MAX_LINES]
    return ", ".join(bad) or None


def machine_paths(ctx):
    """Nothing in the repository depends on where it lies."""
    bad = []
    for name in ctx.files:
        for number, line in enumerate((ROOT / name).read_text(errors="replace").splitlines(), 1):
            if MACHINE_PATH.search(line) or (len(ROOT.parts) > 2 and str(ROOT) in line):
                bad.append(f"{name}:{number}: {line.strip()}")
    return "\n".join(bad) or None


# ---- series ----

def _am(mbox, before, after, messages):
    """What is wrong when git am gets @mbox in a tree of the files @before, where @after and @messages have to come of it."""
    with tempfile.TemporaryDirectory(prefix="kas-am.") as repo:
        gitform.init(repo)
        for path, text in before.items():
            (Path(repo) / path).parent.mkdir(parents=True, exist_ok=True)
            (Path(repo) / path).write_bytes(text.data)
            (Path(repo) / path).chmod(0o755 if text.executable else 0o644)
        gitform.git(repo, "add", "-f", ".")
        gitform.git(repo, "commit", "-q", "--allow-empty", "-m", "base")
        gitform.git(repo, "tag", "base")
        try:
            output = gitform.git(repo, "am", "-q", mbox, merge=True).decode(errors="replace").strip()
        except HarnessError as err:
            return str(err)
        if output:
            return output
        have = {path for path in gitform.git(repo, "ls-files", "-z").decode().split("\0") if path}
        want = {**before, **after}
        bad = sorted(have ^ set(want))
        bad += [path for path in sorted(have & set(want)) if (Path(repo) / path).read_bytes() != want[path].data
                or model.is_executable(Path(repo) / path) != want[path].executable]
        if bad:
            return "git am and the composed tree differ in " + ", ".join(bad)
        log = gitform.git(repo, "log", "--reverse", "--format=%B%x00", "base..HEAD").decode().split("\0")
        if [text.strip() + "\n" for text in log if text.strip()] != messages:
            return "git am changes a message, or makes another number of commits"
    return None


def _edited(ctx):
    """The files of the base that the series edits, as they are there."""
    return {path: model.Text((ctx.base / path).read_bytes(), model.is_executable(ctx.base / path)) for path in ctx.series.edited_files}


def git_am(ctx):
    """git am takes the mbox without a word, and gives the tree and the messages that the repository stands for."""
    return _am(OUT / "series" / gitform.MBOX, _edited(ctx), ctx.final, [patch.message for patch in ctx.series.patches])


def git_am_of_parts(ctx):
    """The same for each part on a tree that has what it needs, and nothing else."""
    bad = []
    for part, needs in ctx.series.parts.items():
        _, before = model.compose_parts(ctx.series, ctx.base, needs) if needs else ([], [])
        patches, after = model.compose_parts(ctx.series, ctx.base, [*needs, part])
        problem = _am(OUT / "series" / part / f"{part}.mbox", {**_edited(ctx), **model.overlay(before)}, model.overlay(after),
                      [patch.message for patch in patches if patch.part == part])
        if problem:
            bad.append(f"{part}: {problem}")
    return "\n".join(bad) or None


def balanced(ctx):
    """Each prefix of the series and of its parts has as many closing brackets and #endif as it opens."""
    return "\n".join(brackets.unbalanced(ctx.series, ctx.base)) or None


def composed_tree(ctx):
    """The tree that is built is the base, but for the files of the series."""
    pristine = base_mod.read_file_list(ctx.base)
    bad = []
    for path, (size, mtime) in pristine.items():
        if path in ctx.final:
            continue
        st = os.lstat(ctx.tree / path)
        if (st.st_size, st.st_mtime_ns) != (size, mtime) and (ctx.tree / path).read_bytes() != (ctx.base / path).read_bytes():
            bad.append(path)
    bad += [path for path, text in ctx.final.items() if (ctx.tree / path).read_bytes() != text.data]
    return f"{ctx.tree} differs in " + ", ".join(sorted(bad)[:10]) if bad else None


def reproducible(ctx):
    """A second run under another user's settings gives the same bytes."""
    with tempfile.TemporaryDirectory(prefix="kas-again.") as tmp:
        config = Path(tmp) / "gitconfig"
        config.write_text("[user]\n\tname = Other\n\temail = other@localhost\n[format]\n\tsubjectPrefix = OTHER\n\tsignature = other\n"
                          "[diff]\n\talgorithm = patience\n\tcontext = 8\n\tnoprefix = true\n[core]\n\tabbrev = 7\n")
        code = "import os, sys; os.umask(0o077); from harness import series; series.generate(out=sys.argv[1])"
        env = {"GIT_CONFIG_GLOBAL": str(config), "GIT_AUTHOR_NAME": "Other", "GIT_COMMITTER_DATE": "1", "TZ": "Asia/Tokyo",
               "PYTHONHASHSEED": "7"}
        status, output = call([sys.executable, "-c", code, Path(tmp) / "series"], env=env)
        if status:
            return output
        again = {name: (Path(tmp) / "series" / name).read_bytes() for name, _ in base_mod.walk(Path(tmp) / "series")}
    first = {name: (OUT / "series" / name).read_bytes() for name, _ in base_mod.walk(OUT / "series")}
    bad = sorted(name for name in first.keys() | again.keys() if first.get(name) != again.get(name))
    return "another run gives other bytes: " + ", ".join(bad) if bad else None


def round_trip(ctx):
    """export(tree(repository)) is the repository."""
    with tempfile.TemporaryDirectory(prefix="kas-trip.") as tmp:
        root = Path(tmp) / "repo"
        for name in ["base", "series", *sorted(model.KERNEL_FOLDERS)]:
            if (ROOT / name).exists():
                shutil.copytree(ROOT / name, root / name)
        branch = Path(tmp) / "tree"
        gitform.make_tree(ctx.series, ctx.base, ctx.steps, branch)
        changed = gitform.export(branch, ctx.base, root)
        if ctx.base.name != base_mod.read_pin()["version"]:
            changed = [path for path in changed if path != "base/PREIMAGES"]
    return "export(tree) changes " + ", ".join(changed) + ": run 'make refresh'" if changed else None


def preimages(ctx):
    if ctx.base.name != base_mod.read_pin()["version"]:
        raise Skip(f"the base is {ctx.base.name}, which stands in for the pinned version")
    want = base_mod.format_preimages(ctx.base, ctx.series.edited_files)
    return None if (ROOT / "base" / "PREIMAGES").read_text() == want else "base/PREIMAGES is out of date: run 'make refresh'"


def mutant(ctx, path):
    """A mutant that no longer applies would be found only after a kernel build."""
    series.with_extra(ctx.final, ctx.base, [path])


def self_mutant(ctx, item):
    """A defect of the harness that no unit test sees is one that the next change may bring."""
    return selfmutants.survives(item, ctx.copies)


def self_control(ctx, module):
    return selfmutants.control(module, ctx.copies)


def copies_are_whole(ctx):
    bad = ctx.copies.leftovers()
    return f"tests leave in the harness: {', '.join(bad[:5])}" if bad else None


def unit_tests(_ctx, module):
    status, output = call([sys.executable, "-W", "error::SyntaxWarning", "-m", "unittest", f"harness.tests.{module}"])
    return output if status else None


# ---- README.md ----

def readme_scenarios(_ctx):
    from . import boot
    return claims.scenarios(claims.README.read_text(), [name for name in boot.names() if boot.load(name).extra != "yes"])


def _claim(name, function):
    found, why = claims.last(name)
    if not found:
        raise Skip(why)
    return function(claims.README.read_text(), found)


def readme_closing(_ctx):
    return _claim("report.json", claims.closing)


def readme_figures(_ctx):
    return _claim("bench.json", lambda readme, found: claims.figures(readme, found, claims.documents()))


# ---- running them ----

def _cases(ctx):
    """(suite, case, function, arguments), the long ones first."""
    for path in sorted((ROOT / "harness" / "tests").glob("test_*.py")):
        yield "series", f"unit {path.stem[5:]}", unit_tests, (path.stem,)
    yield "lint", "kunit_options", kunit_options, ()
    yield "lint", "kselftests", kselftests, ()
    yield "lint", "codespell", codespell, ()
    yield "lint", "get_maintainer", get_maintainer, ()
    for name in sorted(ctx.patches, key=lambda name: -(OUT / "series" / name).stat().st_size):
        yield "lint", f"checkpatch {name[:-6]}", checkpatch, (name,)
    for case in (kernel_doc, pyflakes, shellcheck, spdx, spdxcheck, quoted_code, errors_of_prmem, layered, length, machine_paths, readme_scenarios):
        yield "lint", case.__name__, case, ()
    for case in (reproducible, round_trip, git_am, git_am_of_parts, balanced, composed_tree, preimages):
        yield "series", case.__name__, case, ()
    for module in sorted({test.split(".")[0] for test in selfmutants.targets()}):
        yield "mutants", f"harness: control {module}", self_control, (module,)
    for item in selfmutants.load():
        yield "mutants", f"harness: {item.name}", self_mutant, (item,)
    for path in sorted((ROOT / "harness" / "mutants").glob("*.diff")):
        yield "mutants", f"{path.stem} applies", mutant, (path,)


def _judge(ctx, suite, case, function, args):
    begin = time.monotonic()
    try:
        why = function(ctx, *args)
        status = "fail" if why else "pass"
    except Skip as skip:
        status, why = "skip", str(skip)
    except HarnessError as err:
        status, why = "fail", str(err)
    except Exception as err:    # a defect of the case itself must not hide the other cases
        status, why = "fail", f"{type(err).__name__}: {err}"
    return {**report.entry("check", "none", suite, case, status, why or ""), "seconds": time.monotonic() - begin}


def check_entries():
    """One report entry a case."""
    need(CHECK_PACKAGES)
    with selfmutants.Copies() as copies:
        shared = []

        def load(_):
            shared.append(Context(copies))

        entries = [_judge(None, "series", "load", load, ())]
        if not shared:
            return entries
        with ThreadPoolExecutor(max(2, JOBS), thread_name_prefix="check") as pool:
            jobs = [pool.submit(_judge, shared[0], *case) for case in _cases(shared[0])]
            while not all(job.done() for job in jobs):
                PROGRESS.tick("checking", f"{sum(job.done() for job in jobs)} of {len(jobs)}")
                time.sleep(0.1)
        PROGRESS.done("checking")
        entries += [job.result() for job in jobs]
        return [*entries, _judge(shared[0], "mutants", "harness: nothing is left", copies_are_whole, ())]


def cmd_check(_args):
    """make check"""
    begin = time.monotonic()
    entries = check_entries()
    # make test, which reports all others, has no report of a whole run before it ends.
    entries += [_judge(None, "lint", case.__name__, case, ()) for case in (readme_closing, readme_figures)]
    if os.environ.get("V"):
        for item in entries:
            say(f"  {item['seconds']:5.1f} s  {item['status']}  {item['suite']}: {item['case']}")
    for item in entries:
        if item["status"] != "pass":
            lines = item["why"].splitlines()
            say(f"{item['status'].upper()} {item['suite']}: {item['case']}: {lines[0]}")
            for line in lines[1:]:
                say("    " + line)
    say(f"checked in {time.monotonic() - begin:.0f} s")
    say(report.closing_line(entries))
    return 1 if any(item["status"] == "fail" for item in entries) else 0
