"""The table of windows: every cell is a plan that fits, and one token more would not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from longctx import planner
from longctx.planner import Geometry
from tests.bench import windows

ROOT = Path(__file__).parent.parent


def test_every_window_of_the_table_fits_and_one_token_more_does_not() -> None:
    cells = [line.strip("|").split("|") for line in windows.markdown().split("\n") if line.startswith("| Qwen3.5")]
    members = {f"Qwen3.5-{size}": size for size in ("0.8B", "2B", "4B", "9B", "35B-A3B")}
    assert [(row[0].split()[0], row[1].strip()) for row in cells] == [(name, kv) for name in members for kv in windows.KV]
    configs = {member.name.removeprefix("Qwen/"): member.config for member in planner.FAMILY}
    for name, kv, *row in cells:
        geometry = Geometry.from_config(configs[name.split()[0]])
        for size, text in zip(windows.SIZES, row, strict=True):
            asked = {"source_tokens": None, "overhead_tokens": 0, "device": planner.imagined("cuda", size * 10**9), "bits": 4}
            asked |= windows.KV[kv.strip()]
            if text.strip().startswith("–"):
                assert not planner.plan(geometry, model="m", **asked).fits
                continue
            window = int(text.split()[0].replace(",", ""))
            figures = planner.plan(geometry, model="m", window=window, **asked)
            assert figures.fits
            assert ("×" in text) == (figures.yarn_factor > 1)
            if window < 1_010_000:
                assert not planner.plan(geometry, model="m", window=window + 1, **asked).fits


def test_the_table_says_that_it_is_computed_with_headroom_and_what_the_experts_cost() -> None:
    table = windows.markdown()
    assert table.startswith("Computed, never measured")
    assert "with 10 % and 1 GB kept as headroom" in table
    assert "bitsandbytes leaves its experts in 16 bits: 68.1 GB" in table


@pytest.mark.parametrize("arguments", [["tests.bench.windows"], ["tests.bench", "windows"]])
def test_the_command_prints_it(arguments: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", *arguments], capture_output=True, text=True, cwd=ROOT, check=False)
    assert "Qwen3.5-35B-A3B" in done.stdout, done.stderr
