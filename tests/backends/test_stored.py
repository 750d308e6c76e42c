"""What is on disk of a prefix after an edit, damage, a stop or the death of the process, by logits in float32."""

from __future__ import annotations

import errno
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from longctx.backends.transformers.engine import TransformersBackend
from longctx.blocks import beside
from longctx.errors import Stopped
from longctx.jobs import Job
from longctx.planner.memory import SNAPSHOT_SHARE
from longctx.prefixes import _LEASE, _WRITING, SUFFIX, PrefixStore
from tests import tiny_engines
from tests.tiny_engines import job, tokens

ROOT = Path(__file__).parents[2]
KINDS = ["llama", "qwen3_5", "qwen3_5_moe"]
HYBRID = KINDS[1]
CHUNK, LENGTH = 64, 1_500
TOLERANCE = 1e-5
#: A process is killed so many times while it reads; the issue asks for 50 at release, and 5 each time.
KILLS = int(os.environ.get("LONGCTX_KILLS", "5"))
Models = Callable[[str], Path]


def backend(folder: Path, prefixes: Path | None, **more: Any) -> TransformersBackend:
    return tiny_engines.backend(folder, folder, prefix_folder=prefixes, chunk=CHUNK, **more)


def edited(head: list[int], at: int) -> list[int]:
    return [*head[:at], (head[at] + 1) % 512, *head[at + 1 :]]


def fresh(folder: Path, ids: list[int]) -> torch.Tensor:
    """The logits of a prefill that knows of no store."""
    return _fresh(folder, tuple(ids))


@cache
def _fresh(folder: Path, ids: tuple[int, ...]) -> torch.Tensor:
    engine = backend(folder, None)
    engine.prefill(list(ids), job(), marks=(len(ids),))
    return engine.logits.clone()


def snapshots(folder: Path) -> dict[str, int]:
    """Name and length of what stands beside the chain."""
    entries = PrefixStore(folder).entries()
    names = {beside(entry.name) for entry in entries}
    return {entry.name: entry.length for entry in entries if entry.name in names}


@pytest.mark.parametrize("kind", KINDS)
def test_an_edit_reads_again_from_the_last_snapshot_before_it(kind: str, tiny_models: Models, tmp_path: Path) -> None:
    folder, head = tiny_models(kind), tokens(LENGTH)
    backend(folder, tmp_path / "first").prefill(head, job(), marks=(LENGTH,))
    held = [0, *sorted(snapshots(tmp_path / "first").values())]
    for at in (100, 1_000, 1_400):
        changed = edited(head, at)
        for in_memory in (False, True):
            store = shutil.copytree(tmp_path / "first", tmp_path / f"{at} {in_memory}")
            engine = backend(folder, store)
            if in_memory:
                engine.prefill(head, job(), marks=(LENGTH,))
            reuse = engine.prefill(changed, job(), marks=(LENGTH,))
            if kind == "llama":
                assert reuse.tokens == (at if in_memory else at // CHUNK * CHUNK)
            else:
                assert reuse.tokens == max(length for length in held if length <= at)
            assert (engine.logits - fresh(folder, changed)).abs().max() < TOLERANCE


def test_snapshots_on_the_way_stay_small_against_the_kv(tiny_models: Models, tmp_path: Path) -> None:
    engine = backend(tiny_models(HYBRID), tmp_path)
    engine.prefill(tokens(3_000), job(), marks=(3_000,))
    beside_it = snapshots(tmp_path)
    sizes = {entry.name: entry.size for entry in PrefixStore(tmp_path).entries()}
    kv = sum(size for name, size in sizes.items() if name not in beside_it)
    on_the_way = [sizes[name] for name, length in beside_it.items() if length < 3_000]
    assert len(on_the_way) >= 3, "an edit would read everything again"
    assert sum(on_the_way) < 1.1 * SNAPSHOT_SHARE * kv
    assert 3_000 in beside_it.values()


@pytest.mark.parametrize("kind", KINDS)
def test_a_stopped_prefill_goes_on_from_its_last_chunk_in_a_new_process(kind: str, tiny_models: Models, tmp_path: Path) -> None:
    folder, head = tiny_models(kind), tokens(LENGTH)
    for stop_at in (5, 9, 17):
        stopping = Job(lambda job: None, title="test")
        engine = backend(folder, tmp_path / str(stop_at))
        done = [0]

        def check(done: list[int] = done, stop_at: int = stop_at) -> None:
            done[0] += 1
            if done[0] > stop_at:
                raise Stopped("stopped")

        stopping.check = check  # type: ignore[method-assign]
        with pytest.raises(Stopped):
            engine.prefill(head, stopping, marks=(LENGTH,))
        again = backend(folder, tmp_path / str(stop_at))
        reuse = again.prefill(head, job(), marks=(LENGTH,))
        assert (reuse.tokens, reuse.source) == (stop_at * CHUNK, "disk")
        assert (again.logits - fresh(folder, head)).abs().max() < TOLERANCE


def test_only_the_snapshot_of_the_last_chunk_rolls_along(tiny_models: Models, tmp_path: Path) -> None:
    folder, head = tiny_models(HYBRID), tokens(LENGTH)
    for stop_at in (3, 7):  # the second goes on from what the first left
        limited = Job(lambda job: None, title="test")
        left = iter(range(stop_at))

        def check(left: Any = left) -> None:
            if next(left, None) is None:
                raise Stopped("stopped")

        limited.check = check  # type: ignore[method-assign]
        with pytest.raises(Stopped):
            backend(folder, tmp_path).prefill(head, limited, marks=(LENGTH,))
        assert len(snapshots(tmp_path)) == 1
    backend(folder, tmp_path).prefill(head, job(), marks=(LENGTH,))
    kept = sorted(snapshots(tmp_path).values())
    whole = backend(folder, tmp_path / "whole")
    whole.prefill(head, job(), marks=(LENGTH,))
    assert kept == sorted(snapshots(tmp_path / "whole").values())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("what", ["block", "snapshot"])
def test_a_damaged_file_costs_a_recompute_and_a_note_never_an_answer(
    kind: str, what: str, tiny_models: Models, tmp_path: Path
) -> None:
    folder, head = tiny_models(kind), tokens(LENGTH)
    backend(folder, tmp_path).prefill(head, job(), marks=(LENGTH,))
    entries = sorted(PrefixStore(tmp_path).entries(), key=lambda entry: entry.length)
    held = snapshots(tmp_path)
    chosen = [entry for entry in entries if (entry.name in held) == (what == "snapshot")]
    file = tmp_path / f"{chosen[len(chosen) // 2].name}{SUFFIX}"
    data = bytearray(file.read_bytes())
    data[len(data) // 2 + 100] ^= 4
    file.write_bytes(data)
    engine = backend(folder, tmp_path)
    question = [*head, 5, 6]
    reuse = engine.prefill(question, job(), marks=(LENGTH,))
    assert (engine.logits - fresh(folder, question)).abs().max() < TOLERANCE
    if what == "block":
        assert reuse.tokens < LENGTH
        assert reuse.miss_reason == "a stored block is damaged"
        assert any("damaged" in note for note in engine.take_notes())
    again = backend(folder, tmp_path)
    assert again.prefill(question, job(), marks=(LENGTH,)).tokens == LENGTH, "what was recomputed was not kept"


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_said_to_be_reused_is_what_was_not_read_again(kind: str, tiny_models: Models, tmp_path: Path) -> None:
    folder, head = tiny_models(kind), tokens(LENGTH)
    backend(folder, tmp_path).prefill(head, job(), marks=(LENGTH,))
    (second,) = [e for e in PrefixStore(tmp_path).entries() if e.length == 2 * CHUNK and e.name not in snapshots(tmp_path)]
    (tmp_path / f"{second.name}{SUFFIX}").write_bytes(b"no block")
    engine = backend(folder, None)
    engine.prefill(head[:100], job(), marks=(100,))
    engine.stored.store, read = PrefixStore(tmp_path), []
    forward = engine._forward
    engine._forward = lambda step, keys: (read.extend(keys), forward(step, keys))[1]  # type: ignore[method-assign,func-returns-value]
    reuse = engine.prefill(head, job(), marks=(LENGTH,))
    assert reuse.tokens + len(read) == LENGTH
    assert (reuse.source == "none") == (reuse.tokens == 0)
    assert (engine.logits - fresh(folder, head)).abs().max() < TOLERANCE


def test_a_stop_while_a_prefix_is_restored_leaves_a_state_that_goes_on(tiny_models: Models, tmp_path: Path) -> None:
    folder, head = tiny_models(HYBRID), tokens(LENGTH)
    backend(folder, tmp_path).prefill(head, job(), marks=(LENGTH,))
    engine = backend(folder, tmp_path)
    stopping = job()
    stopping.cancel()
    with pytest.raises(Stopped):
        engine.prefill(head, stopping, marks=(LENGTH,))
    reuse = engine.prefill(head, job(), marks=(LENGTH,))
    assert (reuse.tokens, reuse.source) == (LENGTH, "disk")
    assert (engine.logits - fresh(folder, head)).abs().max() < TOLERANCE


def test_a_disk_that_fills_up_on_the_way_costs_notes_and_keeps_what_fitted(
    tiny_models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, head = tiny_models(HYBRID), tokens(LENGTH)
    engine, written, write = backend(folder, tmp_path), [0], PrefixStore._write

    def full(store: PrefixStore, *arguments: Any) -> None:
        written[0] += 1
        if written[0] > 12:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(store, *arguments)

    monkeypatch.setattr(PrefixStore, "_write", full)
    engine.prefill(head, job(), marks=(LENGTH,))
    assert (engine.logits - fresh(folder, head)).abs().max() < TOLERANCE
    assert any("No space left" in note for note in engine.take_notes())
    monkeypatch.undo()
    again = backend(folder, tmp_path)
    reuse = again.prefill(head, job(), marks=(LENGTH,))
    assert 0 < reuse.tokens < LENGTH
    assert (again.logits - fresh(folder, head)).abs().max() < TOLERANCE


def test_a_folder_that_vanishes_between_questions_costs_nothing_but_what_was_in_it(tiny_models: Models, tmp_path: Path) -> None:
    folder, head, store = tiny_models(HYBRID), tokens(300), tmp_path / "store"
    engine = backend(folder, store)
    engine.prefill([*head, 1], job(), marks=(300,))
    shutil.rmtree(store)
    other = edited(head, 100)
    engine.prefill([*other, 2], job(), marks=(300,))
    assert (engine.logits - fresh(folder, [*other, 2])).abs().max() < TOLERANCE
    assert backend(folder, store).prefill([*other, 3], job(), marks=(300,)).tokens == 300


CHILD = """
import sys
from pathlib import Path
from longctx.jobs import Job
from tests.tiny_engines import backend, tokens

folder, store, length, chunk = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
engine = backend(folder, folder, prefix_folder=store, chunk=chunk)
class Telling(Job):
    def report(self, stage, done, *rest, **more):
        print(done, flush=True)
print("reads", flush=True)
engine.prefill(tokens(length), Telling(lambda job: None, title="test"), marks=(length,))
print("done", flush=True)
"""


@pytest.mark.long(20)
@pytest.mark.timeout(60 + 30 * KILLS)
def test_a_killed_process_leaves_what_it_has_read(tiny_models: Models, tmp_path: Path) -> None:
    folders = {kind: tiny_models(kind) for kind in ("llama", HYBRID)}
    logits = {kind: fresh(folder, tokens(LENGTH)) for kind, folder in folders.items()}
    rng = random.Random(0)
    went_on = 0
    for number in range(KILLS):
        kind = (HYBRID, "llama")[number % 2]
        store = tmp_path / str(number)
        finished = _killed(folders[kind], store, rng.randrange(LENGTH // CHUNK), rng.uniform(0.0, 0.01))
        engine = backend(folders[kind], store)
        reuse = engine.prefill(tokens(LENGTH), job(), marks=(LENGTH,))
        assert (engine.logits - logits[kind]).abs().max() < TOLERANCE
        assert reuse.tokens >= finished - CHUNK, "a finished chunk was lost"
        went_on += 0 < reuse.tokens < LENGTH
        left = [path.name for path in store.iterdir() if path.suffix != SUFFIX]
        assert all(name.startswith((_WRITING, _LEASE)) for name in left), "half a file lies under a block's name"
    assert went_on or KILLS < 5, "it was never killed on the way"


def _killed(folder: Path, store: Path, chunks: int, after: float) -> int:
    """Have a process read, and kill it some seconds after so many chunks; the tokens that it said it has read."""
    command = [sys.executable, "-c", CHILD, str(folder), str(store), str(LENGTH), str(CHUNK)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            told = [child.stdout.readline().strip() for _ in range(1 + chunks)]
            assert told[0] == "reads"
            time.sleep(after)
        finally:
            child.kill()
        told += [line.strip() for line in child.stdout]
    return max([int(line) for line in told if line.isdigit()], default=0)


@pytest.mark.parametrize("kind", KINDS)
def test_in_16_bits_a_restored_prefix_is_the_one_in_memory_bit_for_bit(kind: str, tiny_models: Models, tmp_path: Path) -> None:
    folder, head, question = tiny_models(kind), tokens(LENGTH), tokens(30, 1)
    engine = backend(folder, tmp_path, dtype="bfloat16")
    engine.prefill(head, job(), marks=(LENGTH,))
    assert engine.prefill([*head, *question], job(), marks=(LENGTH,)).source == "memory"
    again = backend(folder, tmp_path, dtype="bfloat16")
    assert again.prefill([*head, *question], job(), marks=(LENGTH,)).source == "disk"
    assert torch.equal(again.logits, engine.logits)


@pytest.mark.parametrize("kind", KINDS)
def test_kv_in_a_byte_a_number_is_restored_nearly_and_takes_a_quarter_of_float32(
    kind: str, tiny_models: Models, tmp_path: Path
) -> None:
    folder, head, question = tiny_models(kind), tokens(LENGTH), tokens(30, 1)
    sizes, logits = {}, {}
    for dtype in ("", "int8"):
        store = tmp_path / f"store{dtype}"
        backend(folder, store, disk_dtype=dtype).prefill(head, job(), marks=(LENGTH,))
        again = backend(folder, store, disk_dtype=dtype)
        reuse = again.prefill([*head, *question], job(), marks=(LENGTH,))
        assert (reuse.tokens, reuse.source) == (LENGTH, "disk")
        logits[dtype] = again.logits
        beside_it = snapshots(store)
        sizes[dtype] = sum(entry.size for entry in PrefixStore(store).entries() if entry.name not in beside_it)
    error = (logits["int8"] - logits[""]).abs().max()
    assert 0 < error < 0.05 * logits[""].std()
    assert sizes["int8"] < 0.32 * sizes[""]


def test_kv_as_it_is_and_in_a_byte_a_number_are_never_taken_for_each_other(tiny_models: Models, tmp_path: Path) -> None:
    folder, head = tiny_models("llama"), tokens(300)
    backend(folder, tmp_path, disk_dtype="int8").prefill(head, job(), marks=(300,))
    assert backend(folder, tmp_path).prefill(head, job(), marks=(300,)).tokens == 0


def test_kv_that_is_packed_anyway_is_not_squeezed_again(tiny_models: Models, tmp_path: Path) -> None:
    folder, head, question = tiny_models(HYBRID), tokens(300), tokens(30, 1)
    engine = backend(folder, tmp_path, kv_dtype="int4", disk_dtype="int8")
    engine.prefill([*head, *question], job(), marks=(300,))
    again = backend(folder, tmp_path, kv_dtype="int4", disk_dtype="int8")
    assert again.prefill([*head, *question], job(), marks=(300,)).tokens == 300
    assert (again.logits - engine.logits).abs().max() < TOLERANCE
