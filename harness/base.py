# SPDX-License-Identifier: GPL-2.0
"""The base: Debian's pinned kernel source package, hash-checked and unpacked once into the cache.

base/VERSION names the package, its version and the hashes of the .deb and of the tarball in it.
base/PREIMAGES has a hash of each kernel file that the series edits, in the format of sha256sum, so that
another version of the package can be told usable or not when the pinned one is gone from the archive.

CACHE/base holds VERSION/ (the source), VERSION.files (size and time of each file: a tree that was changed
by accident, for instance through a hard link, is unpacked again) and the .deb.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import time
from pathlib import Path

from . import checkout
from .common import (CACHE, LOGS, PROGRESS, ROOT, HarnessError, end_process, need, no_network, refuse_full_disk, run, say, start,
                     tail)

UNPACK_PACKAGES = {"xz": "xz-utils", "tar": "tar", "dpkg-deb": "dpkg"}
MIB = 1 << 20


def read_pin(root=ROOT, name="VERSION", keys=("package", "version", "deb-sha256", "tarball", "tarball-sha256")):
    """A file of base/ that pins a package, as a dict."""
    pin = {}
    for line in (Path(root) / "base" / name).read_text().splitlines():
        if line and not line.startswith("#"):
            key, _, value = line.partition(":")
            pin[key] = value.strip()
    missing = set(keys) - set(pin)
    if missing:
        raise HarnessError(f"base/{name} lacks " + ", ".join(sorted(missing)))
    return pin


def read_preimages(root=ROOT):
    """base/PREIMAGES as {path: sha256}."""
    path = Path(root) / "base" / "PREIMAGES"
    lines = path.read_text().splitlines() if path.exists() else []
    return {name: digest for digest, name in (line.split("  ", 1) for line in lines)}


def format_preimages(base, paths):
    """The text of base/PREIMAGES for the files @paths of the source in @base."""
    return "".join(f"{sha256(Path(base) / path)}  {path}\n" for path in sorted(paths))


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as data:
        while chunk := data.read(MIB):
            digest.update(chunk)
    return digest.hexdigest()


@contextlib.contextmanager
def locked(path):
    """Hold an exclusive lock on the file @path, so that two runs do not do the same work over each other."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                PROGRESS.tick("waiting for another run", f"(lock {path})")
                time.sleep(0.5)
        PROGRESS.done("waiting for another run")
        yield


# ---- the unpacked source and its file list ----

def walk(top):
    """(path, stat) of every file and symlink below @top; paths are relative."""
    top = str(top)
    stack = [""]
    while stack:
        folder = stack.pop()
        with os.scandir(os.path.join(top, folder)) as entries:
            for entry in entries:
                path = folder + entry.name
                if entry.is_dir(follow_symlinks=False):
                    stack.append(path + "/")
                else:
                    yield path, entry.stat(follow_symlinks=False)


def write_file_list(top, path):
    rows = sorted(f"{name}\t{st.st_size}\t{st.st_mtime_ns}\n" for name, st in walk(top))
    tmp = Path(str(path) + ".tmp")
    tmp.write_text("".join(rows))
    os.replace(tmp, path)


def read_file_list(base):
    """{path: (size, mtime_ns)} of the pristine source in @base; made for a tree that has no list (tests)."""
    path = Path(str(base) + ".files")
    if not path.exists():
        return {name: (st.st_size, st.st_mtime_ns) for name, st in walk(base)}
    files = {}
    with open(path) as rows:
        for row in rows:
            name, size, mtime = row.rstrip("\n").split("\t")
            files[name] = (int(size), int(mtime))
    return files


def changed_files(base):
    """Files of the unpacked source that are not as they were unpacked."""
    want = read_file_list(base)
    have = {name: (st.st_size, st.st_mtime_ns) for name, st in walk(base)}
    return sorted(name for name in want.keys() | have.keys() if want.get(name) != have.get(name))


# ---- fetching ----

def _apt():
    # As root apt would switch to a user that cannot write to the cache, and warn about it.
    return ["-o", "APT::Sandbox::User=root"] if os.geteuid() == 0 else []


def apt_update():
    if os.geteuid() == 0:
        run(["apt-get", "update"], log=LOGS / "apt-update.log", what="apt-get update", check=False)


def _offered(package):
    """Versions of @package that apt offers, newest first as apt lists them."""
    out = run(["apt-cache", "madison", package], check=False)
    rows = [[col.strip() for col in line.split("|")] for line in out.splitlines() if "|" in line]
    return [row[1] for row in rows if len(row) >= 3 and row[0] == package and "Sources" not in row[2]]


class DownloadError(HarnessError):
    """apt-get download failed: a second try with fresh lists may help."""


def _deb_name(package, version):
    return f"{package}_{version.replace(':', '%3a')}.deb"


def _download(package, version, folder):
    """apt-get download of one version into @folder; returns the path of the .deb."""
    tmp = Path(folder) / "download"
    shutil.rmtree(tmp, ignore_errors=True)      # of a run that was interrupted
    tmp.mkdir(parents=True)

    def detail(_log):
        return f"{sum(f.stat().st_size for f in tmp.iterdir()) // MIB} MiB"

    try:
        run(["apt-get", "download", *_apt(), f"{package}={version}"], cwd=tmp, what=f"downloading {package} {version}",
            log=LOGS / "base-download.log", detail=detail)
        target = Path(folder) / _deb_name(package, version)
        os.replace(next(tmp.glob("*.deb")), target)
        return target
    except HarnessError as err:
        no_network(LOGS / "base-download.log", f"fetch {package}; KAS_BASE_DEB=FILE takes it from a file")
        raise DownloadError(f"{err}\n  Is there a network? KAS_BASE_DEB=FILE takes the package from a file.") from None
    finally:
        shutil.rmtree(tmp, ignore_errors=True)


def _choices(pin, folder):
    """[(version, .deb or None when it must be downloaded)] in the order to try: the pinned one, or what apt has instead."""
    package, version = pin["package"], pin["version"]
    given = os.environ.get("KAS_BASE_DEB")
    if given:
        deb = Path(given)
        if not deb.is_file():
            raise HarnessError(f"KAS_BASE_DEB: there is no file {deb}")
        name = run(["dpkg-deb", "-f", deb, "Package"]).strip()
        if name != package:
            raise HarnessError(f"KAS_BASE_DEB: {deb} is the package {name}, not {package}")
        return [(run(["dpkg-deb", "-f", deb, "Version"]).strip(), deb)]
    deb = folder / _deb_name(package, version)
    if deb.exists() and sha256(deb) == pin["deb-sha256"]:
        return [(version, deb)]
    offered = _offered(package)
    if version not in offered:
        apt_update()
        offered = _offered(package)
    if not offered:
        no_network(LOGS / "apt-update.log", f"find {package}; KAS_BASE_DEB=FILE takes it from a file")
        raise HarnessError(f"apt knows no package {package}.\n"
                           "  The base is a package of Debian 12: enable bookworm and bookworm-security in the sources of apt,\n"
                           "  run 'apt-get update' as root, and try again; or set KAS_BASE_DEB to the file of the package.")
    return [(version, None)] if version in offered else [(other, None) for other in offered[:3]]


def _unpack(deb, pin, version, target):
    """Unpack the tarball of @deb as @target: into a temporary name first, so that target is whole or absent."""
    log = LOGS / "base-unpack.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    tmp = target.with_name(f"{target.name}.unpack")
    shutil.rmtree(tmp, ignore_errors=True)
    tmp.mkdir(parents=True)
    total = deb.stat().st_size
    digest = hashlib.sha256()
    done = 0
    with open(log, "wb") as err:
        one = start(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE, stderr=err)
        two = start(["tar", "-xO", "./" + pin["tarball"]], stdin=one.stdout, stdout=subprocess.PIPE, stderr=err)
        xz = start(["xz", "-dc", "-T0"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=err)
        tar = start(["tar", "-x", "--strip-components=1", "--no-same-owner", "-C", tmp], stdin=xz.stdout, stderr=err)
        one.stdout.close()
        xz.stdout.close()
        procs = [one, two, xz, tar]
        try:
            with contextlib.suppress(BrokenPipeError):
                while chunk := two.stdout.read(MIB):
                    digest.update(chunk)
                    xz.stdin.write(chunk)
                    done += len(chunk)
                    PROGRESS.tick(f"unpacking {pin['package']} {version}", f"{min(99, 100 * done // total)} %")
            with contextlib.suppress(BrokenPipeError):
                xz.stdin.close()
            codes = [proc.wait() for proc in procs]
        finally:
            two.stdout.close()
            for proc in procs:
                if proc.poll() is None:
                    end_process(proc)
    PROGRESS.done(f"unpacking {pin['package']} {version}")
    if any(codes):
        shutil.rmtree(tmp, ignore_errors=True)
        refuse_full_disk(log)
        raise HarnessError(f"unpacking {deb} failed\n  log: {log}\n{tail(log)}")
    if version == pin["version"] and digest.hexdigest() != pin["tarball-sha256"]:
        shutil.rmtree(tmp, ignore_errors=True)
        raise HarnessError(f"{pin['tarball']} in {deb} has the sha256 {digest.hexdigest()},\n"
                           f"  base/VERSION says {pin['tarball-sha256']}")
    files = Path(str(target) + ".files")
    files.unlink(missing_ok=True)
    if target.exists():
        shutil.rmtree(target)
    write_file_list(tmp, files.with_suffix(".new"))
    os.replace(tmp, target)
    os.replace(files.with_suffix(".new"), files)


# ---- a base that is not the pinned one ----

def drifted(base, root=ROOT):
    """The edited files whose text in @base is not the one that base/PREIMAGES names."""
    return [path for path, digest in sorted(read_preimages(root).items())
            if not (Path(base) / path).is_file() or sha256(Path(base) / path) != digest]


PORT = ("  Set KAS_BASE_DEB to a file of the pinned package, or port the series: put the new version (and its hashes)\n"
        "  into base/VERSION and series/order, correct the named edits, and run 'make refresh'.")
# Where the pinned base can be had, git can do most of it: it has the old text of the files.
MERGE = ("  Without TREE, 'make series' and 'make tree' have what git needs to merge:\n"
         "  git -C {tree} fetch {root}/build/tree kas && git -C {tree} am -3 {root}/out/series/linux-kas.mbox")


def accept(base, version, root=ROOT, why="the pinned base is gone from the archive, and ", advice=PORT):
    """Judge a base of another version: None when it can be used, else HarnessError names what drifted.

    Same text of all edited files: used as it is. Else the series is composed over it; a hunk may move, but its
    lines, context included, must be there word for word. (A three-way merge would need the old text of the
    files, which is what is gone.)
    """
    from . import model
    series = model.load(root)
    known = read_preimages(root)
    drift = sorted({*drifted(base, root), *(path for path in series.edited_files if path not in known)})
    if not drift:
        return
    failures = model.try_compose(series, base)
    if failures:
        raise HarnessError(
            f"{why}the series does not apply to {version}:\n" + "\n".join(failures) +
            "\n  changed since the pinned base: " + ", ".join(drift) + "\n" + advice)
    say(f"note: {', '.join(drift)} changed since the pinned base; every edit still applies word for word")


def _whole(target):
    """Whether @target was unpacked and is still as it was then."""
    if not target.is_dir() or not Path(str(target) + ".files").exists():
        return False
    changed = changed_files(target)
    if changed:
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        say(f"note: {', '.join(changed[:3])}{more} changed in the unpacked base: unpacking it again")
    return not changed


def _make(pin, folder, root, choices):
    """Unpack the first of @choices that will do."""
    first = None
    for version, deb in choices:
        target = folder / version
        pinned = version == pin["version"]
        if pinned or not _whole(target):
            deb = deb or _download(pin["package"], version, folder)
            if pinned and (have := sha256(deb)) != pin["deb-sha256"]:
                raise HarnessError(f"{deb} has the sha256 {have},\n  base/VERSION says {pin['deb-sha256']}: remove the file and try again")
            _unpack(deb, pin, version, target)
        if pinned:
            return target
        try:
            accept(target, version, root)
            return target
        except HarnessError as err:
            first = first or err
    raise first


_checked = {}


def is_there():
    """Whether ensure_base() has succeeded already: then it takes no time, and no network."""
    return bool(_checked)


def ensure_base(root=ROOT, cache=CACHE):
    """The pristine unpacked source: CACHE/base/VERSION, fetched and unpacked when it is not there; or that of TREE."""
    pin, tree = read_pin(root), os.environ.get("TREE")
    key = (str(root), str(cache), pin["version"], tree)
    if key in _checked:
        return _checked[key]
    folder = Path(cache) / "base"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "lock").touch()
    except OSError as err:
        raise HarnessError(f"the cache {cache} cannot be written: {err.strerror}; XDG_CACHE_HOME=FOLDER puts it elsewhere") from None
    instead = folder / f"{pin['version']}.instead"      # names the version that stands in for one that is gone
    if tree:
        with locked(folder / "lock"):
            target = checkout.snapshot(tree, folder, _whole, write_file_list)
        accept(target, f"{target.name}, which is TREE", root, "", MERGE.format(tree=tree, root=root))
        _checked[key] = target
        return target
    with locked(folder / "lock"):
        target = folder / pin["version"]
        if not _whole(target):
            stand_in = folder / instead.read_text().strip() if instead.exists() and not os.environ.get("KAS_BASE_DEB") else None
            if stand_in and _whole(stand_in):
                accept(stand_in, stand_in.name, root)
                target = stand_in
            else:
                need(UNPACK_PACKAGES)
                try:
                    target = _make(pin, folder, root, _choices(pin, folder))
                except DownloadError:
                    apt_update()       # the lists named a file that the archive has replaced since
                    target = _make(pin, folder, root, _choices(pin, folder))
        if target.name != pin["version"]:
            say(f"note: the base is {pin['package']} {target.name}; the pinned {pin['version']} is not to be had")
            instead.write_text(target.name + "\n")
    _checked[key] = target
    return target
