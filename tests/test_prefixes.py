"""The prefix store: nothing wrong is ever given back, and no bad disk ends the work."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longctx.blocks import DTYPES, RawTensor, beside, names
from longctx.errors import UsageError
from longctx.prefixes import SUFFIX, PrefixStore

TOKENS = st.lists(st.integers(0, 300_000), min_size=1, max_size=60)
SIZES = {"bfloat16": 2, "float16": 2, "float32": 4, "float64": 8, "int16": 2, "int32": 4, "int64": 8}


def tensors(value: int = 7, dtype: str = "bfloat16") -> dict[str, RawTensor]:
    return {"keys.0": RawTensor(dtype, (2, 3), bytes([value]) * 6 * SIZES.get(dtype, 1))}


def chain(store: PrefixStore, count: int, value: int = 1) -> list[str]:
    made = names(np.full(count * 4, value, dtype=np.int64), range(4, count * 4 + 1, 4), "f")
    for i, name in enumerate(made):
        assert store.put(name, parent=made[i - 1] if i else "", length=4 * (i + 1), tensors=tensors())
    return made


@settings(deadline=None)
@given(TOKENS, TOKENS, st.text(max_size=4), st.text(max_size=4), st.data())
def test_chains_agree_exactly_as_far_as_tokens_and_fingerprint_do(
    a: list[int], b: list[int], f: str, g: str, data: st.DataObject
) -> None:
    step = data.draw(st.integers(1, 20))
    one, two = (names(np.array(t, dtype=np.int64), [*range(step, len(t), step), len(t)], s) for t, s in ((a, f), (b, g)))
    for i, (x, y) in enumerate(zip(one, two, strict=False)):
        ends = min((i + 1) * step, len(a)), min((i + 1) * step, len(b))
        assert (x == y) == (f == g and a[: ends[0]] == b[: ends[1]])


@pytest.mark.parametrize("dtype", sorted(DTYPES))
def test_a_block_comes_back_bit_for_bit(dtype: str, tmp_path: Path) -> None:
    store = PrefixStore(tmp_path / "store")
    given_ = tensors(200, dtype) | {"empty": RawTensor(dtype, (0, 3), b"")}
    assert store.put("p", parent="", length=4, tensors=tensors())
    assert store.put("a" * 64, parent="p", length=9, tensors=given_, meta={"model": "m"})
    block = PrefixStore(tmp_path / "store").get("a" * 64)
    assert block is not None
    assert (block.parent, block.length, block.meta) == ("p", 9, {"model": "m"})
    assert {k: (t.dtype, t.shape, bytes(t.view)) for k, t in block.tensors.items()} == {
        k: (t.dtype, t.shape, bytes(t.view)) for k, t in given_.items()
    }


def test_other_tools_can_read_a_block(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    PrefixStore(tmp_path).put("a" * 64, parent="", length=1, tensors=tensors(1, "int16"))
    assert load_file(tmp_path / f"{'a' * 64}.safetensors")["keys.0"].tolist() == [[257] * 3] * 2


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_flipped_bit_is_found(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    store = PrefixStore(tmp_path_factory.mktemp("store"))
    store.put("a" * 64, parent="", length=9, tensors=tensors())
    path = store.folder / f"{'a' * 64}.safetensors"
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    assert store.get("a" * 64) is None
    assert store.last_miss == "damaged"
    assert not path.exists()
    assert store.notes


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 100, b'{"not": "ours"}' * 20])
def test_a_truncated_or_foreign_file_is_a_miss(content: bytes, tmp_path: Path) -> None:
    store = PrefixStore(tmp_path)
    (tmp_path / f"{'a' * 64}.safetensors").write_bytes(content)
    assert store.get("a" * 64) is None
    assert store.size() == 0


def test_a_block_under_another_name_is_not_taken(tmp_path: Path) -> None:
    store = PrefixStore(tmp_path)
    store.put("a" * 64, parent="", length=1, tensors=tensors())
    (tmp_path / f"{'a' * 64}.safetensors").rename(tmp_path / f"{'b' * 64}.safetensors")
    assert store.get("b" * 64) is None


def test_pruning_takes_the_least_used_and_never_breaks_a_chain(tmp_path: Path) -> None:
    store = PrefixStore(tmp_path)
    old, new = chain(store, 4, 1), chain(store, 3, 2)
    for age, name in enumerate([*old, *new]):
        os.utime(tmp_path / f"{name}.safetensors", (1000 + age, 1000 + age))
    block = store.size() // 7
    store.prune(block * 5)
    left = {entry.name for entry in store.entries()}
    assert left == {*old[:2], *new}
    assert all(entry.parent in left | {""} for entry in store.entries())


def test_blocks_in_use_are_not_pruned(tmp_path: Path) -> None:
    store = PrefixStore(tmp_path)
    made = chain(store, 3)
    with store.using(made):
        assert store.prune(0) == 0
    assert store.prune(0) > 0
    assert not store.entries()


def test_the_cap_holds_while_writing(tmp_path: Path) -> None:
    store = PrefixStore(tmp_path, cap=1000)
    for value in range(1, 8):
        chain(store, 1, value)
    assert 0 < store.size() <= 1000


@pytest.mark.skipif(sys.platform == "win32", reason="permissions are of another kind")
def test_only_the_user_may_read_it(tmp_path: Path) -> None:
    store = PrefixStore(tmp_path / "store")
    chain(store, 1)
    assert stat.S_IMODE(store.folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in store.folder.iterdir()} == {0o600}


def test_a_folder_that_cannot_be_made_costs_a_note_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    store = PrefixStore(tmp_path / "file" / "store")
    assert not store.put("a" * 64, parent="", length=1, tensors=tensors())
    assert store.get("a" * 64) is None
    assert store.entries() == []
    assert store.notes


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    store = PrefixStore(tmp_path / "store")
    monkeypatch.setattr(os, "fsync", full)
    assert not store.put("a" * 64, parent="", length=1, tensors=tensors())
    assert list(store.folder.iterdir()) == []
    assert "No space left" in store.notes[0]


def test_two_stores_on_one_folder_see_each_others_blocks(tmp_path: Path) -> None:
    one, two = PrefixStore(tmp_path), PrefixStore(tmp_path)
    made = chain(one, 3)
    assert two.longest(made) == 3
    one.remove(made[1])
    assert two.longest(made) == 1
    assert two.get(made[1]) is None
    assert two.last_miss == "absent"


def test_a_block_of_another_format_is_foreign_not_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = PrefixStore(tmp_path)
    with monkeypatch.context() as other:
        other.setattr("longctx.blocks.FORMAT", "longctx-prefix-0")
        (name,) = chain(store, 1)
    assert store.get(name) is None
    assert store.last_miss == "foreign"
    assert not store.has(name)


def test_a_read_that_succeeds_forgets_the_miss_before_it(tmp_path: Path) -> None:
    store = PrefixStore(tmp_path)
    (name,) = chain(store, 1)
    assert store.get("b" * 64) is None
    assert store.get(name)
    assert store.last_miss == ""


def test_blocks_that_another_process_uses_are_not_pruned(tmp_path: Path) -> None:
    mine, other = PrefixStore(tmp_path), PrefixStore(tmp_path)
    made = chain(mine, 3)
    with mine.using(made[:2]):
        other.prune(0)
        assert mine.longest(made) == 2
    other.prune(0)
    assert mine.longest(made) == 0


def test_the_lease_of_a_process_that_died_does_not_last(tmp_path: Path) -> None:
    store = PrefixStore(tmp_path, cap=10_000)
    made = chain(store, 3)
    store._lease(made)
    for leftover in (*tmp_path.glob(".lease-*"), tmp_path / ".writing-half"):
        leftover.touch()
        os.utime(leftover, (1000, 1000))
    chain(store, 1, 9)
    store.prune(0)
    assert list(tmp_path.iterdir()) == []


def test_a_prefix_larger_than_the_cap_is_kept_as_far_as_it_fits(tmp_path: Path) -> None:
    store = PrefixStore(tmp_path, cap=2000)
    made = names(np.arange(40, dtype=np.int64), range(4, 41, 4), "f")
    kept = [
        store.put(name, parent=made[i - 1] if i else "", length=4 * (i + 1), tensors=tensors()) for i, name in enumerate(made)
    ]
    whole = store.longest(made)
    assert 0 < whole < len(made)
    assert kept == [True] * whole + [False] * (len(made) - whole)
    assert store.size() <= 2000
    assert len(store.notes) == 1


def test_a_block_that_nobody_could_reach_is_not_written(tmp_path: Path) -> None:
    store = PrefixStore(tmp_path)
    assert not store.put("b" * 64, parent="a" * 64, length=8, tensors=tensors())
    assert store.size() == 0


def test_tensors_of_an_unknown_kind_cost_a_note_only(tmp_path: Path) -> None:
    store = PrefixStore(tmp_path)
    assert not store.put("a" * 64, parent="", length=1, tensors={"x": RawTensor("complex64", (1,), bytes(8))})
    assert "complex64" in store.notes[0]


def test_files_that_are_no_blocks_count_and_can_be_pruned(tmp_path: Path) -> None:
    store = PrefixStore(tmp_path)
    (tmp_path / "junk.safetensors").write_bytes(b"x" * 500)
    assert store.size() == 500
    assert store.prune(0) == 500
    assert store.size() == 0


def test_a_folder_that_vanishes_costs_no_error(tmp_path: Path) -> None:
    import shutil

    store = PrefixStore(tmp_path / "store")
    made = chain(store, 2)
    with store.using(made):
        shutil.rmtree(store.folder)
    assert store.get(made[0]) is None
    assert (store.entries(), store.size(), store.prune(0), store.longest(made)) == ([], 0, 0, 0)
    assert chain(store, 2) == made


@settings(deadline=None, max_examples=50)
@given(
    parents=st.lists(st.integers(-1, 12), min_size=1, max_size=12),
    ages=st.lists(st.integers(0, 5), min_size=12, max_size=12),
    share=st.floats(0, 1),
    used=st.sets(st.integers(0, 11), max_size=3),
)
def test_pruning_never_leaves_a_block_that_nobody_can_reach(
    tmp_path_factory: pytest.TempPathFactory, parents: list[int], ages: list[int], share: float, used: set[int]
) -> None:
    store = PrefixStore(tmp_path_factory.mktemp("store"))
    label = "block{}".format
    for i, parent in enumerate(parents):
        assert store.put(label(i), parent=label(parent) if 0 <= parent < i else "", length=i, tensors=tensors())
        os.utime(store.folder / f"{label(i)}.safetensors", (1000 + ages[i], 1000 + ages[i]))
    most = int(store.size() * share)
    with store.using([label(i) for i in used]):
        store.prune(most)
    left = {entry.name: entry for entry in store.entries()}
    assert all(entry.parent in left or not entry.parent for entry in left.values())
    assert {label(i) for i in used if i < len(parents)} <= set(left)
    assert used or store.size() <= most


def test_writers_readers_and_pruners_at_the_same_time_see_whole_blocks_or_none(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    made = names(np.arange(24, dtype=np.int64), range(4, 25, 4), "f")

    def work(seed: int) -> list[str]:
        store = PrefixStore(tmp_path)
        for turn in range(25):
            for i, name in enumerate(made):
                store.put(name, parent=made[i - 1] if i else "", length=i, tensors=tensors(i))
                block = store.get(made[(i + seed) % len(made)])
                assert block is None or bytes(block.tensors["keys.0"].view) == bytes([(i + seed) % len(made)]) * 12
            if turn % 3 == seed % 3:
                store.prune(seed * 300)
        return store.notes

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(4))) == [[]] * 4
    assert not list(tmp_path.glob(".*"))


def grown(store: PrefixStore, ids: list[int], model: str = "m") -> list[str]:
    """A chain with a block for every four tokens, and a snapshot beside the last; its names."""
    ends = list(range(4, len(ids) + 1, 4))
    chain = names(np.asarray(ids, dtype=np.int64), ends, "f")
    data = RawTensor("uint8", (100,), bytes(100))
    for number, name in enumerate(chain):
        parent = chain[number - 1] if number else ""
        store.put(name, parent=parent, length=ends[number], tensors={"keys": data}, meta={"model": model})
    store.put(beside(chain[-1]), parent=chain[-1], length=ends[-1], tensors={"state": data}, meta={"model": model})
    return chain


def test_prefixes_are_listed_with_what_they_share_and_dropped_without_it(tmp_path: Path) -> None:
    store = PrefixStore(tmp_path)
    one, other = grown(store, [1] * 12), grown(store, [1] * 8 + [2] * 8)
    chains = {chain.name: chain for chain in store.chains()}
    assert {name: chain.tokens for name, chain in chains.items()} == {one[-1]: 12, other[-1]: 16}
    assert [entry.name for entry in chains[one[-1]].blocks] == one
    assert [entry.length for entry in chains[one[-1]].snapshots] == [12]
    shared = sum((tmp_path / f"{name}{SUFFIX}").stat().st_size for name in one[:2])
    assert chains[one[-1]].shared == chains[other[-1]].shared == shared
    with store.using(one):
        assert store.drop(chains[one[-1]]) == 0, "it is in use"
    before = store.size()
    assert store.drop(store.chain(one[-1][:10])) == before - store.size() > 0
    assert [chain.name for chain in store.chains()] == [other[-1]]
    assert all(map(store.has, other))
    store.drop(store.chain(other[-1]))
    assert (store.chains(), store.size()) == ([], 0)
    with pytest.raises(UsageError, match=r"no prefixes in .* begins with"):
        store.chain(one[-1])
