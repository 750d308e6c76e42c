"""The process in which PDF is read may die or hang; its file has a row, everything else is read."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from longctx.errors import Stopped
from longctx.jobs import Job
from longctx.sources import process as process_module
from longctx.sources import read
from longctx.sources.pdf.parse import parse_pdf
from longctx.sources.process import ParserProcess

#: The real worker, except that files of these names do to it what a broken library would.
TROUBLED = """
import os, signal, sys, time
from longctx.sources import worker
from longctx.sources.pdf import pages as pdf
real = pdf.pages
with open(os.environ["WORKER_LOG"], "a") as log: log.write(f"{os.getpid()} ")
def pages(file, password=""):
    name = os.path.basename(file)
    replies = real(file, password)
    yield next(replies)
    if name == "crash.pdf": os.kill(os.getpid(), signal.SIGSEGV)
    if name == "exit.pdf": os._exit(3)
    if name == "hang.pdf": time.sleep(600)
    if name == "bug.pdf": raise KeyError("unforeseen")
    if name == "noisy.pdf": print("noise"); os.system("echo more; echo noise >&2")
    yield from replies
pdf.pages = pages
worker.main()
"""


def _go_on():
    pass


@pytest.fixture
def page_of_text(pymupdf):
    with pymupdf.open() as document:
        document.new_page().insert_text((72, 72), "text")
        return document.tobytes()


@pytest.fixture
def troubled(monkeypatch, tmp_path):
    """Have every read use a worker that is in trouble with some files; tells the ids of the processes that were started."""
    log = tmp_path / "started"
    log.touch()
    monkeypatch.setenv("WORKER_LOG", str(log))
    monkeypatch.setattr(process_module, "COMMAND", (sys.executable, "-W", "ignore", "-c", TROUBLED))
    return lambda: [int(line) for line in log.read_text().split()]


def _ended(process_id):
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("crash.pdf", "the PDF reader crashed (signal 11, Segmentation fault)"),
        ("exit.pdf", "the PDF reader crashed (exit code 3)"),
        ("bug.pdf", "the PDF reader failed: KeyError: 'unforeseen'"),
    ],
)
def test_a_worker_that_dies_costs_its_own_file_only(write, rows, page_of_text, troubled, name, reason):
    manifest = rows(read(write({"a.pdf": page_of_text, name: page_of_text, "z.pdf": page_of_text, "z.txt": "z\n"})))
    assert (manifest[name].status, manifest[name].reason) == ("failed", reason)
    assert {manifest[other].status for other in ("a.pdf", "z.pdf", "z.txt")} == {"read"}
    assert len(troubled()) == 2


def test_a_worker_that_hangs_is_stopped_and_replaced(write, page_of_text, troubled):
    top = write({"hang.pdf": page_of_text, "z.pdf": page_of_text})
    with ParserProcess(silence=5, total=60) as parser:
        parsed = parse_pdf("hang.pdf", parser.ask("pdf", _go_on, file=str(top / "hang.pdf")), ends_early=False)
        assert parsed.status == "failed"
        assert parsed.reason.startswith("the PDF reader did not finish in time and was stopped (limits: 5 s")
        assert parse_pdf("z.pdf", parser.ask("pdf", _go_on, file=str(top / "z.pdf")), ends_early=False).status == "read"
        assert _ended(troubled()[0])
    assert len(troubled()) == 2


def test_a_file_may_take_only_so_long_in_all(write, page_of_text, troubled):
    top = write({"hang.pdf": page_of_text})
    with ParserProcess(silence=600, total=3) as parser:
        *_, last = parser.ask("pdf", _go_on, file=str(top / "hang.pdf"))
    assert "3 s for a file" in last["error"]


def test_what_libraries_print_does_not_garble_the_replies(write, rows, page_of_text, troubled, capfd):
    assert rows(read(write({"noisy.pdf": page_of_text})))["noisy.pdf"].status == "read"
    assert capfd.readouterr() == ("", "")


def test_one_worker_reads_all_files_and_ends_with_the_read(write, page_of_text, troubled):
    read(write({f"{number}.pdf": page_of_text for number in range(5)}))
    (worker,) = troubled()
    assert _ended(worker)


def test_text_alone_starts_no_worker(write, troubled):
    read(write({"a.txt": "a\n"}))
    assert troubled() == []


def test_a_real_worker_killed_in_the_middle_of_a_file_is_replaced(write, pymupdf):
    with pymupdf.open() as document:
        for number in range(300):
            document.new_page().insert_text((72, 72), f"page {number}")
        top = write({"long.pdf": document.tobytes()})
    with ParserProcess() as parser:
        replies = []
        for reply in parser.ask("pdf", _go_on, file=str(top / "long.pdf")):
            replies.append(reply)
            if len(replies) == 5:
                os.kill(parser.pid, signal.SIGKILL)
        killed = parser.pid
        assert replies[-1] == {"error": "the PDF reader crashed (signal 9, Killed)"}
        assert sum("page" in reply for reply in parser.ask("pdf", _go_on, file=str(top / "long.pdf"))) == 300
        assert parser.pid != killed


def test_a_worker_that_died_between_two_files_is_replaced(write, page_of_text):
    top = write({"a.pdf": page_of_text})
    with ParserProcess() as parser:
        assert [*parser.ask("pdf", _go_on, file=str(top / "a.pdf"))][-1]["page"] == 1
        os.kill(parser.pid, signal.SIGKILL)
        os.waitid(os.P_PID, parser.pid, os.WEXITED | os.WNOWAIT)
        assert [*parser.ask("pdf", _go_on, file=str(top / "a.pdf"))][-1]["page"] == 1


def test_an_interrupt_at_the_keyboard_is_not_the_worker_s_to_hear(write, page_of_text):
    top = write({"a.pdf": page_of_text})
    with ParserProcess() as parser:
        list(parser.ask("pdf", _go_on, file=str(top / "a.pdf")))
        assert os.getpgid(parser.pid) != os.getpgrp()


def test_a_stop_is_heard_while_the_worker_is_silent(write, page_of_text, troubled):
    top = write({"hang.pdf": page_of_text})
    job = Job(lambda job: read(top, job=job), title="read")
    thread = threading.Thread(target=job.run)
    thread.start()
    while not troubled():
        thread.join(0.05)
    job.cancel()
    thread.join(60)
    assert job.state == "stopped"
    with pytest.raises(Stopped):
        job.result()
    assert _ended(troubled()[0])


def test_a_worker_that_does_not_start_is_an_error_of_the_file(write, page_of_text):
    top = write({"a.pdf": page_of_text})
    with ParserProcess([str(top / "no-such-program")]) as parser:
        assert [*parser.ask("pdf", _go_on, file=str(top / "a.pdf"))] == [{"error": "the PDF reader did not start"}]


def test_files_of_the_current_folder_do_not_shadow_what_the_worker_imports(write, rows, page_of_text, monkeypatch):
    top = write({"a.pdf": page_of_text, "json.py": "raise SystemExit\n", "longctx/__init__.py": "raise SystemExit\n"})
    monkeypatch.chdir(top)
    assert rows(read("."))["a.pdf"].status == "read"


def test_the_worker_imports_no_torch_and_no_layout_model(write, page_of_text):
    top = write({"a.pdf": page_of_text})
    program = (
        "import sys, atexit; from longctx.sources import worker;"
        "atexit.register(lambda: open(sys.argv[1], 'w').write(' '.join(sys.modules)));"
        "worker.main()"
    )
    request = json.dumps({"do": "pdf", "file": str(top / "a.pdf"), "seconds": 60})
    home = str(Path(process_module.__file__).resolve().parents[2])
    command = [sys.executable, "-W", "ignore", "-c", program, str(top / "modules")]
    environment = {**os.environ, "PYTHONPATH": home}
    done = subprocess.run(command, input=request + "\n", text=True, capture_output=True, env=environment, check=True)
    keys = [set(json.loads(line)) for line in done.stdout.splitlines()]
    page = {"page", "label", "size", "shown", "scan", "parts", "hidden", "figures", "small", "lost", "unknown", "more"}
    assert keys == [{"pages", "repaired", "attached", "off"}, page, {"end"}]
    assert not {"torch", "pymupdf.layout.pymupdf_util", "transformers"} & set((top / "modules").read_text().split())


# -- replies with raw bytes ------------------------------------------------------------------------------------------
#: A worker that can count, a hundred replies with a megabyte behind each, and drip, without an end.
COUNTING = """
import os, sys, time, types
from longctx.sources import worker
def count(log):
    for number in range(100):
        with open(log, "a") as stream: stream.write(".")
        yield {"number": number}, number.to_bytes(1, "big") * 2**20
def drip():
    while True:
        time.sleep(0.1)
        yield {"drop": 1}
made = types.ModuleType("made"); made.count, made.drip = count, drip; sys.modules["made"] = made
worker.TABLE |= {"count": "made:count", "drip": "made:drip"}
worker.main()
"""


@pytest.fixture
def counting():
    return [sys.executable, "-W", "ignore", "-c", COUNTING]


def test_raw_bytes_arrive_whole_and_belong_to_whoever_gets_them(counting, tmp_path):
    with ParserProcess(counting) as parser:
        for number, reply in enumerate(parser.ask("count", _go_on, log=str(tmp_path / "log"))):
            assert (reply["number"], reply["data"]) == (number, bytes([number]) * 2**20)
            reply["data"][0] = 255
    assert number == 99


def test_a_worker_that_is_faster_than_it_is_asked_waits(counting, tmp_path):
    log = tmp_path / "log"
    with ParserProcess(counting) as parser:
        replies = parser.ask("count", _go_on, log=str(log))
        next(replies)
        made = 0
        while made != (made := log.stat().st_size):
            time.sleep(0.3)
        assert made < 1 + process_module.READY + 4
        assert sum(1 for _ in replies) == 99


def test_time_in_which_nobody_waits_does_not_count(counting, tmp_path):
    with ParserProcess(counting, silence=1.5, total=1.5) as parser:
        replies = parser.ask("count", _go_on, log=str(tmp_path / "log"))
        next(replies)
        time.sleep(2)
        assert [reply for reply in replies if "error" in reply] == []


def test_many_small_waits_add_up(counting):
    with ParserProcess(counting, silence=60, total=1) as parser:
        *drops, last = parser.ask("drip", _go_on)
    assert drops
    assert "1 s for a file" in last["error"]


def test_a_worker_to_which_nobody_listens_any_more_ends(counting, tmp_path):
    request = {"do": "count", "seconds": 60, "log": str(tmp_path / "log")}
    home = str(Path(process_module.__file__).resolve().parents[2])
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(counting, env={**os.environ, "PYTHONPATH": home}, **pipes) as worker:
        worker.stdin.write(json.dumps(request).encode() + b"\n")
        worker.stdin.flush()
        assert json.loads(worker.stdout.readline()) == {"number": 0, "bytes": 2**20}
        worker.stdout.close()
        worker.wait(60)


def test_what_the_worker_does_not_know_is_an_error(counting):
    with ParserProcess(counting) as parser:
        assert [*parser.ask("fly", _go_on)] == [{"error": "the fly reader failed: KeyError: 'fly'"}]
