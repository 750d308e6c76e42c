from __future__ import annotations

import pytest

from longctx.errors import PlanError, UsageError
from longctx.planner import FAMILY, Candidate, Geometry, choose, imagined, plan

GEOMETRIES = {
    member.name.removeprefix("Qwen/Qwen3.5-"): Geometry.from_config(member.config, name=member.name) for member in FAMILY
}


def candidates(kind="cuda", size=16, *, here=()):
    device = imagined(kind, size * 10**9)
    return [Candidate(geometry, device, name in here) for name, geometry in GEOMETRIES.items()]


def choice(tokens, size=16, *, kind="cuda", here=(), **asked):
    sources = None if tokens is None else [("a.py", tokens - tokens // 3), ("b.py", tokens // 3)]
    return choose(candidates(kind, size, here=here), {"source_tokens": sources, "overhead_tokens": 400, **asked})


def chosen(tokens, size=16, **asked):
    """With K/V as it is."""
    got = choice(tokens, size, **{"kv_dtype": "bfloat16", **asked})
    return got.name.removeprefix("Qwen/Qwen3.5-"), got.bits, "\n".join(got.words)


def figures(name, bits, tokens, size, *, kind="cuda", **asked):
    device = imagined(kind, size * 10**9)
    given = {"source_tokens": [("a.py", tokens)], "overhead_tokens": 400, **asked}
    return plan(GEOMETRIES[name], model=name, bits=bits, device=device, **given)


@pytest.mark.parametrize(
    ("tokens", "size", "name", "bits"),
    [(3_000, 80, "9B", 16), (50_000, 24, "9B", 4), (50_000, 16, "9B", 4), (150_000, 16, "4B", 4), (150_000, 8, "2B", 4)],
)
def test_the_largest_that_holds_all_of_it_is_taken_in_the_most_bits(tokens, size, name, bits):
    assert chosen(tokens, size)[:2] == (name, bits)
    best = figures(name, bits, tokens, size)
    assert (best.mode, best.fits, best.lacking) == ("whole", True, 0)
    larger = [
        other for other in ("9B", "4B", "2B", "0.8B") if GEOMETRIES[other].parameters.total > GEOMETRIES[name].parameters.total
    ]
    better = [(name, more) for more in (16,) if more > bits] + [(other, width) for other in larger for width in (16, 4)]
    assert all(figures(*other, tokens, size).lacking for other in better)


def test_without_room_for_a_conversation_a_smaller_one_is_taken():
    last = max(n for n in range(150_000, 200_000, 250) if chosen(n)[0] == "4B")
    over = figures("4B", 4, last + 250, 16)
    assert over.lacking
    assert over.mode == "whole", "it could still be squeezed in"
    assert chosen(last + 250)[0] == "2B"


def test_where_none_holds_all_of_it_the_one_that_holds_most_is_taken():
    name, bits, words = chosen(900_000, 8)
    budgets = {other: figures(other, 4, 900_000, 8).segment_budget for other in ("4B", "2B", "0.8B")}
    assert name == max(budgets, key=budgets.get) == "0.8B"
    assert bits == 4
    assert f"holds most, {round(100 * budgets['0.8B'] / 900_000)} % at a time" in words


def test_where_all_hold_as_much_the_largest_is_taken():
    assert chosen(3_000_000, 80)[:2] == ("9B", 16)


def test_where_none_fits_the_one_that_lacks_least_is_taken():
    name, bits, words = chosen(3_000, 1)
    assert (name, bits) == ("0.8B", 4)
    assert words.startswith("none of the family fits; Qwen/Qwen3.5-0.8B in 4 bits lacks least, ")


def test_what_bitsandbytes_leaves_in_sixteen_bits_is_skipped_and_said_so():
    name, _, words = chosen(3_000, 80)
    assert name == "9B"
    assert "Qwen/Qwen3.5-35B-A3B is skipped: bitsandbytes leaves its experts in 16 bits" in words
    assert "take 68.1 GB in 4 bits" in words
    assert "with bits=16 it would fit, and be taken" in words
    assert chosen(3_000, 80, bits=16)[:2] == ("35B-A3B", 16)
    assert "with bits=16 it would lack" in chosen(3_000, 24)[2]


@pytest.mark.parametrize(
    ("tokens", "size", "name", "bits", "kv_dtype"),
    [
        (3_000, 80, "9B", 16, None),
        (50_000, 24, "9B", 16, "int8"),  # 8 bits of K/V lose less than 4 bits of weights
        (50_000, 16, "9B", 4, None),
        (150_000, 16, "9B", 4, "int8"),
        (900_000, 24, "4B", 4, "int8"),
    ],
)
def test_kv_is_packed_where_a_larger_member_or_more_bits_fit_by_it(tokens, size, name, bits, kv_dtype):
    got = choice(tokens, size)
    assert (got.name.removeprefix("Qwen/Qwen3.5-"), got.bits, got.kv_dtype) == (name, bits, kv_dtype)
    best = figures(name, bits, tokens, size, kv_dtype=kv_dtype)
    assert (best.mode, best.fits, best.lacking) == ("whole", True, 0)
    if kv_dtype:
        lacking = figures(name, bits, tokens, size).lacking
        assert lacking
        words = "\n".join(got.words)
        assert words.startswith(f"Qwen/Qwen3.5-{name} in {bits} bits with int8 K/V: the largest")
        assert f"in {bits} bits it would lack {lacking / 1e9:.1f} GB" in words


def test_kv_that_was_asked_for_is_obeyed():
    assert choice(3_000, 80, kv_dtype="int4").kv_dtype == "int4"
    assert choice(3_000, kind="mps").kv_dtype is None
    assert choice(150_000, 16, kv_device="cpu").kv_dtype is None


def test_bits_that_were_asked_for_are_obeyed():
    assert chosen(3_000, 24, bits=8)[:2] == ("9B", 8)
    assert chosen(3_000, 80, bits=4)[:2] == ("9B", 4)
    with pytest.raises(UsageError, match="bits=5"):
        chosen(3_000, 24, bits=5)
    moe = [candidate for candidate in candidates() if candidate.geometry.experts_kept]
    with pytest.raises(UsageError, match="bits=4: no member"):
        choose(moe, {"source_tokens": None, "overhead_tokens": 0, "bits": 4})


def test_the_next_larger_one_is_told_by_what_it_lacks():
    _, _, words = chosen(150_000, 16)
    lacking = figures("9B", 4, 150_000, 16).lacking
    need = f"{(16e9 + lacking) / 1e9:.1f} GB"
    assert f"not Qwen/Qwen3.5-9B in 4 bits: it would need {need}, {lacking / 1e9:.1f} GB more than there is" in words
    assert f"in 16 bits it would lack {figures('4B', 16, 150_000, 16).lacking / 1e9:.1f} GB" in words


def test_the_runner_up_is_told_by_how_much_less_it_is():
    _, _, words = chosen(50_000, 16, here={"4B"})
    total = figures("4B", 16, 50_000, 16).memory.total
    label = "Qwen/Qwen3.5-4B (on this machine already) in 16 bits"
    assert f"runner-up: {label} would hold it too, in {total / 1e9:.1f} GB, with 4.5B parameters instead of 9.4B" in words
    assert "not Qwen/Qwen3.5" not in words
    assert "runner-up" not in chosen(900_000, 8)[2], "nothing is smaller than the smallest"
    assert "would hold 8 % at a time, with 4.5B" in chosen(3_000_000, 80)[2]


def test_without_a_corpus_the_native_window_must_be_held():
    name, bits, words = chosen(None, 24)
    assert (name, bits) == ("4B", 4)
    assert "the largest of the family that holds a window of 262,144 tokens" in words
    assert "runner-up: Qwen/Qwen3.5-2B in 16 bits would hold 767,908 tokens, with" in words
    assert figures("4B", 4, 0, 24, source_tokens=None).window >= 262_144
    assert figures("9B", 4, 0, 24, source_tokens=None).window < 262_144


def test_without_a_corpus_a_window_that_was_asked_for_must_be_held():
    name, bits, words = chosen(None, 24, window=400_000)
    assert (name, bits) == ("2B", 16)
    assert "holds a window of 400,000 tokens" in words
    assert chosen(None, 8, window=1_000_000)[2].startswith("none of the family fits")
    assert chosen(None, 8)[2].startswith("none of the family holds all of it; Qwen/Qwen3.5-0.8B")


def test_a_device_of_its_own_counts_what_is_loaded_already():
    """A loaded model's memory is used again: run a second time, the same model is chosen."""
    free, loaded = imagined("cpu", 3 * 10**9), imagined("cpu", 16 * 10**9)
    family = [Candidate(geometry, loaded if name == "9B" else free) for name, geometry in GEOMETRIES.items()]
    got = choose(family, {"source_tokens": [("a.py", 3_000)], "overhead_tokens": 400})
    assert got.name == "Qwen/Qwen3.5-9B"


def test_a_window_without_room_for_sources_is_refused_by_all():
    with pytest.raises(PlanError, match="no room for sources"):
        chosen(5_000, 24, window=450)


def test_nonsense_is_refused_and_named():
    for asked in ({"window": 0}, {"window": 1_010_001}, {"memory": 0}, {"chunk": 0}, {"dtype": "int3"}):
        ((name, value),) = asked.items()
        with pytest.raises(UsageError) as caught:
            chosen(5_000, 24, **asked)
        assert name in caught.value.message
        assert str(value) in caught.value.message
