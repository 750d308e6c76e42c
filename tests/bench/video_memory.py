"""Ten times as many frames take no more memory than their K/V: the anonymous peak of reading a video, less the analytic K/V.

``python -m tests.bench video_memory [FRAMES [FEWER [whole]]]``: 3,600 frames against 360 at 448x256 on a tiny Qwen3.5, each in
a process of its own, that of its decoder included. The baseline is taken after the weights are loaded. With ``whole`` every
frame is decoded before the first is read, as other engines do it; that must not hold. The peak lasts for moments, of which the
short run has few; it is made three times, and its highest counts.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.peaks import below, peak

FRAMES, FEWER = 3600, 360
WIDTH, HEIGHT, FPS = 448, 256, 10
LIMIT = 1.10
SHORT_RUNS = 3


def run(frames: str = str(FRAMES), fewer: str = str(FEWER), variant: str = "streaming") -> dict[str, object]:
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        many = _measured(Path(folder), int(frames), variant)
        short = [_measured(Path(folder), int(fewer), variant) for _ in range(SHORT_RUNS)]
    few = max(short, key=lambda one: one["beyond_kv"])
    ratio = many["beyond_kv"] / few["beyond_kv"]
    return {
        "ratio": round(ratio, 4),
        "limit": LIMIT,
        "variant": variant,
        "frames": [many["frames"], few["frames"]],
        "tokens": [many["tokens"], few["tokens"]],
        "beyond_kv_mb": [round(m["beyond_kv"] / 1e6, 1) for m in (many, few)],
        "kv_mb": [round(m["kv"] / 1e6, 1) for m in (many, few)],
        "seconds_in_all": round(time.monotonic() - began, 1),
        "holds": ratio <= LIMIT,
    }


def _measured(folder: Path, frames: int, variant: str) -> dict[str, Any]:
    """One run in a process of its own; its last line is the result."""
    command = [sys.executable, "-m", "tests.bench.video_memory", str(folder), str(frames), variant]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def main(folder: str, frames: str, variant: str) -> None:
    import longctx as lc
    from longctx import planner
    from longctx.assembly import assemble
    from longctx.backends.transformers.engine import TransformersBackend
    from longctx.jobs import Job
    from longctx.planner import Geometry
    from longctx.planner.memory import Precision

    count, job = int(frames), Job(lambda job: None, title="bench")
    video, model = _video(Path(folder), count), _model(Path(folder))
    plan = lc.plan(lc.read(video), model=model, frames=count, pixels=WIDTH * HEIGHT, dtype="float32", store=False)
    assert plan.whole, plan.text
    prompt = assemble(plan, plan.stream, "What is shown?")
    assert prompt.visuals is not None
    engine = TransformersBackend(plan.spec(plan.files))
    engine.load(job)
    baseline = _anonymous()
    with peak(_anonymous) as highest:
        visuals: Any = prompt.visuals if variant == "streaming" else _Whole(prompt.visuals)
        engine.prefill(prompt.ids, job, marks=prompt.marks, visuals=visuals)
    kv = planner.kv_cache(Geometry.from_config(plan.files.config), len(prompt.ids), Precision(16, plan.figures.dtype))
    shown = sum(len(look.places) for _, look in plan.stream.looks)
    print(json.dumps({"frames": shown, "tokens": len(prompt.ids), "kv": kv, "beyond_kv": highest[0] - baseline - kv}))


class _Whole:
    """The way of other engines: every frame at once, then a look into what is there."""

    def __init__(self, visuals: Any) -> None:
        self._visuals = visuals
        self.spans, self.keys, self.positions, self.close = visuals.spans, visuals.keys, visuals.positions, visuals.close
        self._inputs = [visuals.inputs(number, number + 1, _go_on) for number in range(len(visuals.spans))]

    def inputs(self, first: int, stop: int, check: object) -> dict[str, Any]:
        import numpy as np

        names = self._inputs[first]
        return {name: np.concatenate([self._inputs[number][name] for number in range(first, stop)]) for name in names}


def _go_on() -> None:
    """Nobody stops a benchmark."""


def _anonymous() -> int:
    """Bytes that only this process and its children hold; a child that has yet to begin its own program shares its parent's."""
    own = Path("/proc/self")
    children = [Path(f"/proc/{child.pid}") for child in below()]
    command = (own / "cmdline").read_bytes()
    return sum(_held(process) for process in (own, *children) if process is own or _command(process) not in (command, b""))


def _command(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""  # it has just ended


def _held(process: Path) -> int:
    try:
        status = (process / "status").read_text()
    except OSError:
        return 0
    return sum(1024 * int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon:"))


def _video(folder: Path, frames: int) -> Path:
    from tests.videos import make_video

    path = folder / f"{frames}.mp4"
    make_video(path, [i / FPS for i in range(frames)], (WIDTH, HEIGHT), gop=50)
    return path


def _model(folder: Path) -> Path:
    """A tiny random model of Qwen3.5's shape; its window takes an hour of frames."""
    target = folder / "model"
    if not target.is_dir():
        from tests.conftest import make_tiny_model, make_tiny_tokenizer

        make_tiny_model("qwen3_5", target, make_tiny_tokenizer(), max_position_embeddings=262_144)
    return target


if __name__ == "__main__":
    main(*sys.argv[1:])
