"""What a plan says in words: steps of YaRN, what was given up, what would fit, what a model or device is known to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.util import find_spec

from longctx.errors import DISTRIBUTION
from longctx.planner.devices import Device, named
from longctx.planner.geometry import Geometry
from longctx.planner.memory import Memory, Precision
from longctx.planner.timing import Speed
from longctx.planner.yarn import Rope

#: What makes Gated DeltaNet fast on CUDA: modules of flash-linear-attention and causal-conv1d.
FAST_LINEAR = ("fla", "causal_conv1d")


def tight(reserve: int) -> str:
    """That there is little room for a conversation."""
    return f"only {reserve:,} tokens are left for conversation and answer"


def yarn(geometry: Geometry, factor: float) -> list[str]:
    """The crossing of a step."""
    if factor <= 1:
        return []
    return [
        f"beyond the native window of {geometry.native_window:,}: YaRN factor {factor:g}; "
        "static YaRN costs some quality on short texts"
    ]


def chosen(corpus_tokens: int, budget: int) -> str:
    """That segments are chosen, and what each question costs."""
    return (
        f"the corpus ({corpus_tokens:,} tokens) is not read whole: for each question the segments that match it best are "
        f"chosen, {min(budget, corpus_tokens):,} tokens at most, and read anew"
    )


def past_maximum(geometry: Geometry, wanted: int, maximum: int) -> str:
    """That no window is large enough."""
    scaled = f"already scaled by {geometry.rope.scaling!r}, which is not done twice"
    reasons = {"": "with YaRN", "per layer": "its layers rotate differently", "unstated": "its config states no rotation"}
    how = reasons.get(geometry.rope.scaling, scaled)
    return f"read whole it would need a window of {wanted:,}; this model reaches {maximum:,} ({how})"


def past_memory(memory: Memory, wanted: int, tighter: Sequence[tuple[str, Memory]] = ()) -> str:
    """That the memory is too small for all of it, and which K/V would do."""
    would = next((f"; {way} would fit{_beside(held)}" for way, held in tighter if held.fits), "")
    return f"read whole ({wanted:,} tokens) it would need {gb(memory.total)}; {gb(memory.available)} are there{would}"


def _beside(memory: Memory) -> str:
    """What the CPU's memory holds, where it holds K/V."""
    return f" with {gb(memory.host)} in the CPU's memory" if memory.host else ""


def host(memory: Memory) -> Iterator[str]:
    """That K/V is kept in the CPU's memory, and at what price."""
    if memory.host:
        yield (
            f"K/V is kept in the CPU's memory ({gb(memory.host)}, besides) and brought to the GPU for every step: prefill and "
            "each token of an answer wait for the bus; never run on a GPU yet"
        )


def untimed(device: Device, precision: Precision, speed: Speed | None) -> Iterator[str]:
    """How to learn the time that it takes, where it could be known."""
    if speed is not None or not device.here:
        return
    if precision.packs:
        yield "how long it takes on this device is not known with K/V that is packed or kept elsewhere"
    else:
        command = f"longctx calibrate --bits {precision.bits} --dtype {precision.dtype} --device {device.kind}"
        yield f"how long it takes on this device is not known until it was measured once: lc.calibrate(plan), or {command}"


def alternatives(
    memory: Memory,
    tokens: int,
    *,
    lighter: Sequence[tuple[int, Memory]],
    tighter: Sequence[tuple[str, Memory]] = (),
    shorter: int,
    device: Device,
    larger: int,
) -> Iterator[str]:
    """What would do instead: fewer bits, other K/V, a smaller window, a larger device, another model.

    Args:
        memory: that so many tokens take.
        tokens: that were wanted.
        lighter: fewer bits, and the memory with them.
        tighter: other ways to keep K/V, as arguments of a plan, and the memory with them.
        shorter: a window that would fit, or 0.
        device: which is too small.
        larger: bytes of one of its kind that would do, or 0.
    """
    yield f"needed: {gb(memory.total)} ({memory.total} bytes) for {tokens:,} tokens; there: {gb(memory.available)}"
    if shorter:
        yield f"window={shorter} would fit"
    for bits, lighter_memory in lighter:
        verdict = "would fit" if lighter_memory.fits else f"would still need {gb(lighter_memory.total)}"
        yield f"bits={bits} {verdict}"
    yield from (f"{way} would fit{_beside(held)}" for way, held in tighter if held.fits)
    if larger:
        yield f"{named(device.kind, larger)} would do"
    yield "or take a smaller model, or free memory" if device.here else "or take a smaller model"


def windows(rope: Rope, needs: Sequence[tuple[float, Memory]]) -> str:
    """What each step of YaRN takes, filled to its last token.

    Args:
        rope: of the model.
        needs: steps, with the memory that the window of each takes.
    """
    steps = (
        f"{rope.window(factor):,} tokens ({'no YaRN' if factor <= 1 else f'YaRN factor {factor:g}'}) take {gb(memory.total)}"
        + ("" if memory.fits else f", {gb(memory.total - memory.available)} too much")
        for factor, memory in needs
    )
    return "; ".join(steps)


def place(device: Device) -> Iterator[str]:
    """That a plan is for a device that is not in this machine."""
    if not device.here:
        yield f"planned for {device.name}, which is not in this machine"


def beyond(device: Device) -> Iterator[str]:
    """That more memory was asked for than there is."""
    if device.memory_available > device.memory_total:
        yield f"planned for {gb(device.memory_available)}; this machine has {gb(device.memory_total)}"


def model(geometry: Geometry, precision: Precision, device: Device, chunk: int, *, sees: bool = False) -> Iterator[str]:
    """What is known of this model, these bits and this device together, and whether there is something to see."""
    if not geometry.known:
        followed = "parameters and memory follow" if geometry.basis == "computed" else "K/V and activations follow"
        yield (
            f"the architecture {geometry.model_type!r} is not known to the planner: {followed} the formula "
            "of a dense decoder and are estimates"
        )
    if precision.bits < 16 and geometry.experts_kept:
        experts = geometry.parameters.experts * precision.element
        yield (
            f"bitsandbytes leaves the experts of this model in 16 bits ({gb(experts)}): bits={precision.bits} saves little; "
            "the weights above are the honest size"
        )
    if sees and geometry.sight is None:
        yield "the vision encoder of this model is not known to the planner: the memory that pictures take is not counted"
    if geometry.state is not None and any(geometry.state):
        yield (
            "how the recurrent or convolution layers of this model work is not known to the planner: their state is counted, "
            "what they take while they read is not"
        )
    if device.kind == "cuda" and geometry.recurrence is not None:
        missing = not device.here or not all(find_spec(name) for name in FAST_LINEAR)
        where = "here" if device.here else "there unless it is installed"
        if missing:
            yield (
                f"linear attention runs as slow reference code {where}: "
                f"pip install '{DISTRIBUTION}[cuda]' (flash-linear-attention, causal-conv1d)"
            )
    if device.kind == "cuda":
        yield "figures for CUDA are computed and were never measured; 10 % and 1 GB are kept as headroom"
    if chunk % 64:
        yield f"chunk={chunk} is no multiple of 64: in bf16, chunked prefill differs slightly from reading at once"


def gb(size: int) -> str:
    """Bytes as GB.

    >>> gb(15_340_000_000)
    '15.3 GB'
    """
    return f"{size / 1e9:.1f} GB"
