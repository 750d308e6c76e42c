"""Which window of Qwen3.5 fits which device, by the planner: the table of the README. Computed; nothing is loaded or measured.

``python -m tests.bench.windows`` prints it as Markdown; ``python -m tests.bench windows`` holds the README against it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from longctx import planner
from longctx.planner import Device, Figures, Geometry

SIZES = (8, 16, 24, 80)
BITS = 4
#: Ways to keep K/V: what a plan is asked for, and how the table names it.
KV: dict[str, dict[str, str]] = {
    "bf16": {},
    "int8": {"kv_dtype": "int8"},
    "int4": {"kv_dtype": "int4"},
    "bf16, on the CPU ²": {"kv_device": "cpu"},
}
CAPTION = f"""Computed, never measured: the largest window in {BITS} bits on one CUDA GPU, by how K/V is kept, for text alone,
with 10 % and 1 GB kept as headroom. GB are 10⁹ bytes; ×2 and ×4 are the steps of YaRN. Where nothing fits: what the weights and
a window of 2,048 tokens would need."""


def shopped(member: planner.Member, device: Device, **kv: str) -> Figures:
    """What a full window of a member takes on a device."""
    geometry = Geometry.from_config(member.config, name=member.name)
    return planner.plan(geometry, model=member.name, source_tokens=None, overhead_tokens=0, device=device, bits=BITS, **kv)


def cell(figures: Figures) -> str:
    """A window with its step of YaRN, or what is missing."""
    if not figures.fits:
        return f"– ({figures.memory.total / 1e9:.1f} GB)"
    step = "" if figures.yarn_factor <= 1 else f" ×{figures.yarn_factor:g}"
    return f"{figures.window:,}{step}"


def rows() -> Iterator[list[str]]:
    """A row for each member and each way to keep K/V, from the smallest."""
    devices = [planner.imagined("cuda", size * 10**9) for size in SIZES]
    for member in reversed(planner.FAMILY):
        name = member.name.removeprefix("Qwen/") + (" ¹" if member.experts else "")
        for label, kv in KV.items():
            yield [name, label, *(cell(shopped(member, device, **kv)) for device in devices)]


def markdown() -> str:
    """The table with its caption and its footnote."""
    head = ["", "K/V", *(f"{size} GB" for size in SIZES)]
    lines = [head, ["---", "---", *(["---:"] * len(SIZES))], *rows()]
    moe = next(member for member in planner.FAMILY if member.experts)
    weights = shopped(moe, planner.imagined("cuda", 80 * 10**9)).memory.weights
    large = next(member for member in planner.FAMILY if member.name.endswith("4B"))
    host = shopped(large, planner.imagined("cuda", 24 * 10**9), kv_device="cpu").memory.host
    notes = (
        f"¹ bitsandbytes leaves its experts in 16 bits: {weights / 1e9:.1f} GB of weights, which is the honest size.",
        f"² In the CPU's memory, besides: {host / 1e9:.1f} GB for the 4B at its full window. The bus is waited for; never run.",
    )
    return "\n".join([CAPTION, "", *(f"| {' | '.join(line)} |" for line in lines), "", "  \n".join(notes)])


def run() -> dict[str, Any]:
    """Whether the README has this very table."""
    readme = Path(__file__).parents[2] / "README.md"
    return {"table": markdown(), "basis": "computed", "holds": markdown() in readme.read_text(encoding="utf-8")}


if __name__ == "__main__":
    print(markdown())
