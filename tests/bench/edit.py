"""How much is read again after an edit: of a real repository, one of the files that changed last is edited.

The share of the prompt's tokens that are prefilled again in a new process, on a model with full attention and on a hybrid, both
small and random, with the vocabulary of Qwen3.5. Sources stand in the order of git's history, so that little follows what
changes often. Of the last files that changed, each is edited in turn; the median must be at most a fifth.

``python -m tests.bench edit [REPOSITORY [FOLDER_IN_IT]]``, by default this one and its package.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

LIMIT, FILES, CHUNK = 0.20, 5, 512


def run(repository: str = ".", folder: str = "longctx") -> dict[str, object]:
    from tests.bench._shared import random_model

    began = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        clone = Path(place, "clone")
        subprocess.run(["git", "clone", "--quiet", "--local", repository, str(clone)], check=True)
        os.environ["LONGCTX_CACHE"] = str(Path(place, "cache"))
        models = {kind: random_model(kind, Path(place, kind)) for kind in ("llama", "hybrid")}
        files = _changed_last(clone, folder)
        rows = {kind: _read_again(model, clone / folder, files) for kind, model in models.items()}
    shares = {kind: [row["share"] for row in found] for kind, found in rows.items()}
    return {
        "ratio": {kind: round(median(found), 4) for kind, found in shares.items()},
        "limit": LIMIT,
        "worst": {kind: max(found) for kind, found in shares.items()},
        "edits": rows,
        "seconds_in_all": round(time.monotonic() - began, 1),
        "holds": all(median(found) <= LIMIT for found in shares.values()),
    }


def _changed_last(clone: Path, folder: str) -> list[Path]:
    """The files of a folder that changed last and are still there."""
    log = ["git", "-C", str(clone), "log", "--name-only", "--format=", "--", folder]
    names = subprocess.run(log, capture_output=True, text=True, check=True).stdout.split("\n")
    there = (clone / name for name in dict.fromkeys(names) if name and (clone / name).is_file())
    return [file for file, _ in zip(there, range(FILES), strict=False)]


def _read_again(model: Path, folder: Path, files: list[Path]) -> list[dict[str, Any]]:
    """The share of the prompt that is read again after each edit; every edit is taken back."""
    _asked(model, folder)
    rows = []
    for file in files:
        text = file.read_bytes()
        file.write_bytes(text + b"\n# edited\n")
        usage = _asked(model, folder)
        file.write_bytes(text)
        share = 1 - usage.reused_tokens / usage.prompt_tokens
        rows.append(
            {"file": file.name, "share": round(share, 4), "prompt_tokens": usage.prompt_tokens, "why": usage.miss_reason}
        )
    return rows


def _asked(model: Path, folder: Path) -> Any:
    """What a question costs when the corpus is read, planned and loaded afresh: the engine of the last one is gone."""
    import longctx as lc

    plan = lc.plan(lc.read(folder), model=model, device="cpu", chunk=CHUNK)
    with lc.load(plan, show=False) as session:
        usage = session.ask("What is it?", max_tokens=1, show=False).usage
    lc.free()
    return usage
