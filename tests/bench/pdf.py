"""PDF text with origins, against PyMuPDF's own text and against pymupdf4llm; memory over 2,000 pages.

``python -m tests.bench pdf [FILE ...]``: without files those that are found on the machine, and one of 2,000 pages that is made
of them, of prose, tables and figures. CPU seconds of whole processes, their start and the worker's included:

- ``longctx.read`` may take three times as long as ``get_text("text")`` of every page; ``get_text("words")``, which has boxes,
  is told as well;
- pymupdf4llm, as it is by default, must take twenty times as long for each page; it reads a sample, evenly spread, and its
  start is left out. Skipped where it is not installed;
- a second read in a new process may take a tenth of the first;
- the process tree that reads the document of 2,000 pages must stay below 500 MB (proportional set size).
"""

from __future__ import annotations

import importlib.util
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from tests.peaks import below, peak, proportional

PAGES = 2000
#: Times as long as get_text; times faster than pymupdf4llm; bytes.
MOST_TIMES, LEAST_TIMES, MOST_MEMORY = 3.0, 20.0, 500_000_000
#: Of the CPU seconds of a first read, those of a second one in a new process.
AGAIN = 0.10
#: Pages that the slow peer reads.
SAMPLE = 24
PLACES = ("/usr/share/doc", "/usr/share/matplotlib", str(Path(sys.prefix, "lib")))


def run(*files: str) -> dict[str, object]:
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        real = [str(Path(file).resolve()) for file in files] or _found()
        made = _made(Path(folder, "made.pdf"), real)
        every = [*real, made]
        caches = [str(Path(folder, f"cache {number}")) for number in range(2)]
        times = {name: min(_cpu(name, every, cache) for cache in caches) for name in ("longctx", "text", "words")}
        again = _cpu("longctx", every, caches[0])
        pages = sum(map(_pages, every))
        memory = _memory(made)
        slow = _slow(Path(folder, "sample.pdf"), every)
    ratio = times["longctx"] / times["text"]
    faster = slow / (times["longctx"] / pages) if slow else None
    return {
        "ratio": round(ratio, 3),
        "limit": MOST_TIMES,
        "ratio_to_words": round(times["longctx"] / times["words"], 3),
        "again_of_first": round(again / times["longctx"], 3),
        "limit_again": AGAIN,
        "faster_than_pymupdf4llm": round(faster, 1) if faster else "skipped: pymupdf4llm is not installed",
        "limit_faster": LEAST_TIMES,
        "peak_mb": round(memory / 1e6, 1),
        "limit_mb": MOST_MEMORY // 1_000_000,
        "files": len(every),
        "pages": pages,
        "cpu_s": {name: round(value, 2) for name, value in times.items()},
        "ms_a_page": {name: round(1000 * value / pages, 2) for name, value in times.items()}
        | ({"pymupdf4llm": round(1000 * slow, 1)} if slow else {}),
        "seconds_in_all": round(time.monotonic() - began, 1),
        "holds": ratio <= MOST_TIMES
        and again <= AGAIN * times["longctx"]
        and (faster is None or faster >= LEAST_TIMES)
        and memory < MOST_MEMORY,
    }


# -- what is measured ------------------------------------------------------------------------------------------------
def _cpu(name: str, files: Sequence[str], cache: str = "") -> float:
    """CPU seconds of one process and its children, its start included, with a cache folder of its own."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-W", "ignore", "-m", "tests.bench.pdf", name, *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"LONGCTX_CACHE": cache})
    if done.returncode:
        raise RuntimeError(f"{name}: {done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _slow(sample: Path, files: Sequence[str]) -> float:
    """CPU seconds that pymupdf4llm takes for a page, its start left out; 0 where it is not installed."""
    if importlib.util.find_spec("pymupdf4llm") is None:
        return 0.0
    import pymupdf

    with pymupdf.open() as cut:
        for file in files:
            with pymupdf.open(file) as document:
                count = document.page_count
                for number in range(0, count, max(1, count * len(files) // SAMPLE)):
                    cut.insert_pdf(document, from_page=number, to_page=number)
        cut.save(sample)
        pages = cut.page_count
        cut.select([0])
        cut.save(sample.with_name("one.pdf"))
    start = _cpu("pymupdf4llm", [str(sample.with_name("one.pdf"))])
    return (_cpu("pymupdf4llm", [str(sample)]) - start) / max(1, pages - 1)


def _memory(file: str) -> int:
    """Highest memory of the process that reads a document and of all its children."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.bench.pdf", "longctx", file]
    environment = os.environ | {"LONGCTX_CACHE": str(Path(file).with_name("cache of memory"))}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment) as process:
        with peak(lambda: _tree(process.pid), every=0.05) as highest:
            process.wait()
        if process.returncode:
            raise RuntimeError(f"reading {file} failed")
    return highest[0]


def _tree(pid: int) -> int:
    """Bytes of a process and all its children; 0 once it has ended."""
    try:
        return sum(map(proportional, [psutil.Process(pid), *below(pid)]))
    except psutil.Error:
        return 0


# -- in processes of their own ---------------------------------------------------------------------------------------
def main(name: str, *files: str) -> None:
    if name == "longctx":
        from longctx.sources import read

        corpus = read(*files)
        print(json.dumps({"segments": len(corpus.segments), "chars": sum(len(s.text) for s in corpus.segments.values())}))
    elif name == "pymupdf4llm":
        import pymupdf4llm

        for file in files:
            pymupdf4llm.to_markdown(file)
    else:
        import pymupdf

        for file in files:
            with pymupdf.open(file) as document:
                for page in document:
                    page.get_text(name)


# -- documents -------------------------------------------------------------------------------------------------------
def _found() -> list[str]:
    """Documents of the machine that have text, the largest first."""
    files = {file.resolve() for place in PLACES for file in Path(place).rglob("*.pdf") if os.access(file, os.R_OK)}
    return [str(file) for file in sorted(files, key=lambda file: -file.stat().st_size) if _pages(str(file))][:20]


def _pages(file: str) -> int:
    import pymupdf

    try:
        with pymupdf.open(file) as document:
            return int(document.page_count)
    except (RuntimeError, ValueError):
        return 0


def _made(target: Path, files: Sequence[str]) -> str:
    """A document of 2,000 pages: half of them the pages of other documents, half made."""
    import pymupdf

    with pymupdf.open() as document:
        while document.page_count < PAGES:
            for file in files:
                with pymupdf.open(file) as other:
                    document.insert_pdf(other)
            have = document.page_count
            for number in range(max(40, have // 2)):
                _page(document, have + number)
        document.delete_pages(range(PAGES, document.page_count))
        document.save(target, deflate=True, garbage=1)
    return str(target)


def _page(document: Any, seed: int) -> None:
    """A page of prose in one or two columns; now and then a table, a form, a figure."""
    import pymupdf

    chance = random.Random(seed)
    page = document.new_page()
    page.insert_text((50, 50), f"{seed} A heading", fontsize=16)
    boxes = [(50, 70, 290, 500), (305, 70, 545, 500)] if seed % 2 else [(50, 70, 545, 500)]
    for box in boxes:
        page.insert_textbox(box, _prose(chance, 320 // len(boxes)), fontsize=9)
    if seed % 4 == 0:
        shape = page.new_shape()
        for row in range(9):
            shape.draw_line((50, 520 + 20 * row), (450, 520 + 20 * row))
        for column in range(5):
            shape.draw_line((50 + 100 * column, 520), (50 + 100 * column, 680))
            for row in range(8 if column < 4 else 0):
                page.insert_text((54 + 100 * column, 534 + 20 * row), _prose(chance, 2), fontsize=9)
        shape.finish()
        shape.commit()
    elif seed % 10 == 1:
        samples = chance.randbytes(120 * 60 * 3)
        page.insert_image((50, 520, 290, 640), pixmap=pymupdf.Pixmap(pymupdf.csRGB, 120, 60, samples, False))


def _prose(chance: random.Random, words: int) -> str:
    return " ".join("".join(chance.choices("etaoinshrdlu", k=chance.randint(2, 9))) for _ in range(words)).capitalize() + "."


if __name__ == "__main__":
    main(*sys.argv[1:])
