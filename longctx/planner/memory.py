"""Memory: bytes of weights, K/V, state and the activations of one prefill step, by formula. Measures nothing.

Every figure is ``"computed"``. The peak is that of the last step of a prefill, when K/V is longest; one layer's temporaries
live at a time. On CUDA the sum carries 10 % and 1 GB of headroom, because it was never measured there.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from longctx.errors import UsageError
from longctx.planner.geometry import Geometry, Linear, Recurrence

BITS = (4, 8, 16)
ELEMENT = {"bfloat16": 2, "float16": 2, "float32": 4}
#: NF4: an 8-bit constant per block of weights, a float32 per block of constants (bitsandbytes 0.50, functional.quantize_4bit).
BLOCK, NESTED_BLOCK = 64, 256
#: Per matrix: NF4 code (16 float32), code of the nested constants (256 float32), their offset (1 float32).
NF4_TABLES = 64 + 1024 + 4
#: Anonymous memory of a process that has imported torch, transformers and bitsandbytes and loaded nothing: measured 462 MiB.
RUNTIME = 512 * 2**20
#: A CUDA context with the kernels of cuBLAS: 300 to 600 MB by card and driver.
CUDA_CONTEXT = 600_000_000
CUDA_HEADROOM, CUDA_SHARE = 1_000_000_000, 0.10
#: Copies of the recurrent state that are kept beside the live one: after the corpus and after the question before.
SNAPSHOTS = 2
#: Gated DeltaNet's reference code works on blocks of this many tokens.
DELTA_BLOCK = 64


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes by component, and what they are set against.

    Args:
        weights: at their bits, quantisation constants and unquantised parts included.
        kv_cache: keys and values.
        state: recurrent and convolution state, with its snapshots.
        activations: temporaries of one prefill step.
        overhead: libraries and allocator; on CUDA the context and the headroom.
        available: what the device has for all of this.
        basis: how the figures were found.
    """

    weights: int
    kv_cache: int
    state: int
    activations: int
    overhead: int
    available: int
    basis: str = "computed"

    @property
    def total(self) -> int:
        """The sum of the components."""
        return self.weights + self.kv_cache + self.state + self.activations + self.overhead

    @property
    def fits(self) -> bool:
        """Whether the total is there."""
        return self.total <= self.available

    def to_json(self) -> dict[str, int | str]:
        """The figures as the JSON contract has them."""
        parts = asdict(self)
        available, basis = parts.pop("available"), parts.pop("basis")
        return {**parts, "total": self.total, "available": available, "basis": basis}


@dataclass(frozen=True, slots=True)
class Precision:
    """How numbers are held.

    Args:
        bits: 4 (NF4, double quantisation), 8 (LLM.int8) or 16 (not quantised) per weight.
        dtype: of everything that is not quantised, and of K/V.

    Raises:
        UsageError: neither is one that the backend runs.
    """

    bits: int
    dtype: str = "bfloat16"

    def __post_init__(self) -> None:
        if isinstance(self.bits, bool) or self.bits not in BITS:
            raise UsageError(f"bits={self.bits!r} is not one of {BITS}", hint="take 4, 8 or 16 bits per weight")
        if self.dtype not in ELEMENT:
            raise UsageError(f"dtype={self.dtype!r} is not one of {tuple(ELEMENT)}")

    @property
    def element(self) -> int:
        """Bytes of a number that is not quantised."""
        return ELEMENT[self.dtype]


def estimate(geometry: Geometry, precision: Precision, kind: str, *, tokens: int, chunk: int, available: int) -> Memory:
    """The peak while a prompt of so many tokens is read.

    Args:
        geometry: of the model.
        precision: of weights and K/V.
        kind: ``"cuda"``, ``"mps"`` or ``"cpu"``.
        tokens: that the K/V will hold at the end.
        chunk: tokens of one prefill step.
        available: bytes that the device has.
    """
    parts = (
        weights(geometry, precision),
        kv_cache(geometry, tokens, precision.element),
        (1 + SNAPSHOTS) * geometry.state_bytes(precision.element),
        activations(geometry, precision, kind, tokens=tokens, chunk=chunk),
    )
    return Memory(*parts, overhead(kind, sum(parts)), available)


def weights(geometry: Geometry, precision: Precision) -> int:
    """Bytes of all weights. Embedding, head, vision, norms, biases and experts are not quantised."""
    total = geometry.parameters.total * precision.element
    if precision.bits == 16:
        return total
    quantize = nf4 if precision.bits == 4 else int8
    return total + sum(quantize(linear) - linear.numbers * precision.element for linear in geometry.quantized)


def nf4(linear: Linear) -> int:
    """Bytes of matrices in NF4 with double quantisation: about 0.516 per weight.

    >>> nf4(Linear(1024, 1024))
    542020
    """
    numbers = linear.outputs * linear.inputs
    blocks = -(-numbers // BLOCK)
    return linear.count * (-(-numbers // 2) + blocks + 4 * -(-blocks // NESTED_BLOCK) + NF4_TABLES)


def int8(linear: Linear) -> int:
    """Bytes of matrices in LLM.int8: one per weight and a float32 per output."""
    return linear.numbers + 4 * linear.outputs * linear.count


def kv_cache(geometry: Geometry, tokens: int, element: int = 2) -> int:
    """Bytes of K/V after so many tokens. Sliding layers keep one token less than their window (transformers 5.23)."""
    per_layer = 2 * geometry.kv_heads * geometry.head_dim * element
    sliding = min(tokens, max(0, geometry.sliding_window - 1))
    return per_layer * (geometry.count("full_attention") * tokens + geometry.count("sliding_attention") * sliding)


def prefix(geometry: Geometry, tokens: int, element: int = 2) -> int:
    """Bytes on disk of a prefix: its K/V and one snapshot of the state."""
    return kv_cache(geometry, tokens, element) + geometry.state_bytes(element)


def overhead(kind: str, parts: int) -> int:
    """Bytes besides the components: libraries on a CPU; context, 10 % and 1 GB on CUDA."""
    if kind != "cuda":
        return RUNTIME
    return CUDA_CONTEXT + CUDA_HEADROOM + int(CUDA_SHARE * parts)


def activations(geometry: Geometry, precision: Precision, kind: str, *, tokens: int, chunk: int) -> int:
    """Peak bytes of temporaries in one prefill step of ``chunk`` tokens that ends at ``tokens``.

    The residual stream, the mask (one byte per query and key, made once), and the most hungry of attention, MLP, linear
    attention, one dequantised matrix and the logits of the last token.
    """
    chunk, element = min(chunk, max(1, tokens)), precision.element
    residual = chunk * geometry.hidden * (3 * element + 8)  # stream, normed, branch; the norm works on two float32 copies
    mask = chunk * tokens if tokens > chunk else 0
    temporaries = (
        _attention(geometry, element, kind, tokens, chunk) + _dequantized(geometry, precision),
        3 * chunk * geometry.mlp_width * element + _dequantized(geometry, precision),
        _linear_attention(geometry.recurrence, element, chunk) if geometry.recurrence else 0,
        geometry.vocabulary * (element + 4),
    )
    return residual + mask + max(temporaries)


def _attention(geometry: Geometry, element: int, kind: str, tokens: int, chunk: int) -> int:
    """Queries, keys and values with their rotated copies and the output. No score matrix: SDPA's kernels work in tiles.

    With a mask, SDPA gets keys and values repeated to every query head (transformers 5.23, ``use_gqa_in_sdpa``; not on MPS) and
    turns the boolean mask into one of the dtype.
    """
    queries, keys = geometry.heads * geometry.head_dim, geometry.kv_heads * geometry.head_dim
    own = chunk * element * ((6 if geometry.gated_query else 5) * queries + 4 * keys)
    if tokens <= chunk:
        return own
    repeated = 2 * tokens * queries * element if geometry.heads > geometry.kv_heads and kind != "mps" else 0
    return own + repeated + chunk * tokens * element


def _linear_attention(sizes: Recurrence, element: int, chunk: int) -> int:
    """Projections and convolution in the dtype; the delta rule in float32: q, k, v, weighted copies, block matrices."""
    keys, values = sizes.value_heads * sizes.key_dim, sizes.value_heads * sizes.value_dim
    projected = chunk * element * (3 * sizes.channels + 2 * values)
    rule = 4 * chunk * (5 * keys + 5 * values + 4 * sizes.value_heads * DELTA_BLOCK)
    return projected + rule


def _dequantized(geometry: Geometry, precision: Precision) -> int:
    """The largest matrix in the dtype: what a quantised product unpacks to."""
    if precision.bits == 16:
        return 0
    return max((linear.outputs * linear.inputs for linear in geometry.quantized), default=0) * precision.element
