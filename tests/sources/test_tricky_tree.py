"""One tree with everything that stands in the way of a reader: one row each, everything else read, in flat memory, at once.

It is read in a process of its own that may not read what it has no permission to, which root may otherwise.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

SPARSE = 10 * 2**30
_DROP_FROM_BOUNDING_SET, _DAC_OVERRIDE, _DAC_READ_SEARCH = 24, 1, 2

READ = """
import json, resource, sys, time
from longctx.sources import read
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
before, began = peak(), time.monotonic()
corpus = read(sys.argv[1])
rows = [[row.path, row.kind, row.status, row.reason] for row in corpus.manifest]
print(json.dumps({"rows": rows, "grown": peak() - before, "seconds": time.monotonic() - began}))
"""


def without_privileges() -> None:
    """After this, what is executed may not look behind permissions, whoever runs it."""
    libc = ctypes.CDLL(None)
    for capability in (_DAC_OVERRIDE, _DAC_READ_SEARCH):
        libc.prctl(_DROP_FROM_BOUNDING_SET, capability, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_CPU, (60, 60))


@pytest.fixture
def tricky(write, tmp_path, monkeypatch) -> Iterator[Path]:
    top = write({
        "good.txt": "good\n", "sub/good.py": "x = 1\n", "locked.txt": "locked\n", "closed/hidden.txt": "hidden\n",
        "huge.txt": "", "huge.py": "x = 1\n", "huge.pdf": "%PDF-1.7\n", "huge.mp4": "", "huge.zip": "PK\x03\x04",
        b"\xff\xfe.txt": "bytes\n", "new\nline.txt": "newline\n", " space .txt": "space\n",
        "/".join(["deep"] * 60) + "/end.txt": "end\n", "binary.dat": b"\x00\x01\x02",
    })  # fmt: skip
    (tmp_path / "secret.txt").write_text("secret\n")
    links = {
        "dangling": "nowhere",
        "loop": "loop",
        "ping": "pong",
        "pong": "ping",
        "out": "../secret.txt",
        "up": "..",
        "same": "good.txt",
    }
    for name, target in links.items():
        (top / name).symlink_to(target)
    for name in ("huge.txt", "huge.py", "huge.pdf", "huge.mp4", "huge.zip"):
        os.truncate(top / name, SPARSE)
    os.mkfifo(top / "pipe")
    monkeypatch.chdir(top)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        if os.geteuid() == 0:
            os.mknod(top / "device", 0o600 | 0o020000, os.makedev(1, 3))
        (top / "locked.txt").chmod(0)
        (top / "closed").chmod(0)
        yield top
        (top / "closed").chmod(0o700)


def outcome(top: Path) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-c", READ, str(top)], capture_output=True, text=True, check=False, timeout=120,
        preexec_fn=without_privileges if sys.platform == "linux" else None,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


#: What git never lists and a walk does.
ONLY_WALKED = {"pipe", "socket", "device"}
READ_WHOLE = {"good.txt", "sub/good.py", os.fsdecode(b"\xff\xfe.txt"), "new\nline.txt", " space .txt"}
READ_WHOLE |= {"/".join(["deep"] * 60) + "/end.txt"}
REASONS = {
    "dangling": "a link to nothing: nowhere",
    "loop": "a link loop",
    "ping": "a link loop",
    "pong": "a link loop",
    "out": "a link out of the folder: ../secret.txt",
    "up": "a link out of the folder: ..",
    "same": "a link, duplicate of good.txt",
    "locked.txt": "cannot be read: Permission denied",
    "closed": "the folder cannot be listed: Permission denied",
    "huge.pdf": f"too large: {SPARSE:,} bytes",
    "huge.mp4": f"too large: {SPARSE:,} bytes",
    "binary.dat": "binary",
    "pipe": "a named pipe: never opened",
    "socket": "a socket: never opened",
    "device": "a device: never opened",
}


@pytest.mark.skipif(sys.platform != "linux", reason="privileges are dropped by Linux's own call")
@pytest.mark.parametrize("place", ["outside of git", "untracked", "tracked"])
def test_every_path_has_one_row_and_everything_else_is_read_in_flat_memory(tricky, git, place):
    if place != "outside of git":
        git(tricky, "init", "-q")
    if place == "tracked":
        (tricky / "closed").chmod(0o700)
        git(tricky, "add", "good.txt", "sub", "closed", "dangling", "out", "deep")
        git(tricky, "commit", "-q", "-m", "some")
        (tricky / "closed").chmod(0)
    found = outcome(tricky)
    rows = {path: (kind, status, reason) for path, kind, status, reason in found["rows"]}
    assert len(rows) == len(found["rows"]), "two rows for one path"
    missing = ONLY_WALKED if place != "outside of git" else set() if os.geteuid() == 0 else {"device"}
    closed = {"closed/hidden.txt"} if place == "tracked" else set()
    huge = {"huge.txt", "huge.py", "huge.zip"}
    assert set(rows) == (READ_WHOLE | huge | set(REASONS) | closed) - missing
    assert {path for path, row in rows.items() if row[1] == "read"} == READ_WHOLE
    assert {path: row[2] for path, row in rows.items() if path in REASONS} == {
        path: reason for path, reason in REASONS.items() if path not in missing
    }
    assert all(rows[path][1] in ("skipped", "failed") and rows[path][2] for path in huge | closed)
    assert found["grown"] < 100e6
    assert found["seconds"] < 20


def test_a_file_that_changes_while_it_is_read_gives_what_stood_there_and_a_row(write, rows, monkeypatch):
    from longctx.sources import files, read

    top = write({"a.txt": "a\n", "log.txt": "line\n" * 1000, "shrinks.txt": "line\n" * 1000})
    parsed = files.FileReader._parsed

    def while_read(reader, opened, *rest):
        if opened.path == "log.txt":
            with open(opened.file, "a") as more:
                more.write("more\n")
        if opened.path == "shrinks.txt":
            os.truncate(opened.file, 7)
        return parsed(reader, opened, *rest)

    monkeypatch.setattr(files.FileReader, "_parsed", while_read)
    manifest = rows(read(top))
    assert (manifest["log.txt"].status, manifest["log.txt"].reason) == ("read", "it changed while it was read")
    assert manifest["shrinks.txt"].status == "truncated"
    assert manifest["shrinks.txt"].reason.endswith("; it changed while it was read")
    assert manifest["a.txt"].reason == ""


def test_a_folder_that_vanishes_while_it_is_walked_does_not_end_the_read(write, rows, monkeypatch):
    from longctx.sources import read

    top = write({"a.txt": "a\n", "gone/b.txt": "b\n"})
    scan = os.scandir

    def vanish(folder):
        if str(folder).endswith("gone"):
            (top / "gone" / "b.txt").unlink(missing_ok=True)
            (top / "gone").rmdir()
        return scan(folder)

    monkeypatch.setattr(os, "scandir", vanish)
    manifest = rows(read(top))
    assert manifest["a.txt"].status == "read"
    assert manifest["gone"].reason == "the folder cannot be listed: No such file or directory"


def test_files_that_are_written_all_the_time_do_not_make_a_read_hang(write, rows):
    from longctx.sources import read

    top = write({"a.txt": "a\n", "log.txt": "line\n"})
    stop = threading.Event()

    def grow():
        with open(top / "log.txt", "a") as log:
            while not stop.is_set():
                log.write("line\n" * 100)
                log.flush()
                if log.tell() > 50_000_000:
                    return

    writer = threading.Thread(target=grow)
    writer.start()
    try:
        manifest = rows(read(top))
    finally:
        stop.set()
        writer.join()
    assert manifest["a.txt"].status == "read"
    assert manifest["log.txt"].status in ("read", "truncated")
