"""Memory: bytes of weights, K/V, state, and the activations of one prefill step and what it sees, by formula. Measures nothing.

Every figure is ``"computed"``. The peak is that of the last step of a prefill, when K/V is longest; one layer's temporaries
live at a time. On CUDA the sum carries 10 % and 1 GB of headroom, because it was never measured there.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import gcd

from longctx.errors import UsageError
from longctx.planner.geometry import Geometry, Linear, Recurrence
from longctx.planner.towers import Sight

BITS = (4, 8, 16)
ELEMENT = {"bfloat16": 2, "float16": 2, "float32": 4}
#: NF4: an 8-bit constant per block of weights, a float32 per block of constants (bitsandbytes 0.50, functional.quantize_4bit).
BLOCK, NESTED_BLOCK = 64, 256
#: Per matrix: NF4 code (16 float32), code of the nested constants (256 float32), their offset (1 float32).
NF4_TABLES = 64 + 1024 + 4
#: Anonymous memory of a process that has imported torch, transformers and bitsandbytes and loaded nothing: measured 462 MiB.
RUNTIME = 512 * 2**20
#: On a CPU a model in 4 bits and bf16 keeps a copy of its head in 8 bits beside, where it has at most so many numbers.
HEAD_COPY_MOST = 1 << 26
#: A CUDA context with the kernels of cuBLAS: 300 to 600 MB by card and driver.
CUDA_CONTEXT = 600_000_000
CUDA_HEADROOM, CUDA_SHARE = 1_000_000_000, 0.10
#: Copies of the recurrent state that are kept beside the live one: after the corpus and after the question before.
SNAPSHOTS = 2
#: Of the bytes of K/V on disk: what snapshots of the state on the way may take.
SNAPSHOT_SHARE = 0.15
#: Gated DeltaNet's reference code works on blocks of this many tokens.
DELTA_BLOCK = 64
#: How K/V may be held besides as the rest: a byte a number, or half a byte. Where it is packed, or kept in the CPU's memory, so
#: many tokens are unpacked at a time; in 4 bits so many numbers share a scale, at most.
KV_DTYPES = ("int8", "int4")
KV_BLOCK, KV_GROUP = 4_096, 32
#: Learned positions from which that of one patch is mixed.
TAPS = 4
#: Freed blocks of less than 32 MiB stay with glibc, in holes too small for the next. What a prefill on a CPU holds for each
#: byte of temporaries that live at once: 1.5 to 2.3 were measured (``python -m tests.bench memory``).
HELD_BY_MALLOC = 1.8
#: More by LLM.int8 (bitsandbytes 0.50), whose products keep something small above what they free: a part for each layer, 0.6
#: to 1.0 on models of up to 0.4B parameters.
HELD_BY_INT8 = 0.7
#: The same of a vision tower: 35 to 90 MB were measured in bf16, 65 to 170 in float32. This is for each byte of a number.
KEPT_BY_MALLOC = 24 * 2**20
#: What a process on a CPU holds of each token besides: its id as a number of Python, in several lists. 190 were measured from
#: 65,536 to 1,000,000 tokens (``python -m tests.bench million``).
IDS = 190


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes by component, and what they are set against.

    Args:
        weights: at their bits, quantisation constants and unquantised parts included.
        kv_cache: keys and values.
        state: recurrent and convolution state, with its snapshots.
        activations: temporaries of one prefill step; on a CPU the ids of the tokens too.
        vision: what a step that sees takes besides: pixels and encoded pictures beside the text, or as much as encoding them,
            which comes before, is hungrier than the text.
        overhead: libraries and allocator; on CUDA the context and the headroom.
        available: what the device has for all of this.
        basis: how the figures were found.
        host: K/V that is kept in the CPU's memory instead, beside a GPU; not in the sum.
    """

    weights: int
    kv_cache: int
    state: int
    activations: int
    vision: int
    overhead: int
    available: int
    basis: str = "computed"
    host: int = 0

    @property
    def total(self) -> int:
        """The sum of the components."""
        return self.weights + self.kv_cache + self.state + self.activations + self.vision + self.overhead

    @property
    def fits(self) -> bool:
        """Whether the total is there."""
        return self.total <= self.available

    def to_json(self) -> dict[str, int | str]:
        """The figures as the JSON contract has them."""
        parts = asdict(self)
        available, basis, host = parts.pop("available"), parts.pop("basis"), parts.pop("host")
        return {**parts, "total": self.total, "available": available, "basis": basis, "host": host}


@dataclass(frozen=True, slots=True)
class Precision:
    """How numbers are held.

    Args:
        bits: 4 (NF4, double quantisation), 8 (LLM.int8) or 16 (not quantised) per weight.
        dtype: of everything that is not quantised.
        kv_dtype: of K/V in full-attention layers: ``"int8"``, ``"int4"``, or empty for that of the rest. State of recurrent
            layers is never packed.
        kv_host: whether K/V of full-attention layers is kept in the CPU's memory, beside a GPU.

    Raises:
        UsageError: one is none that the backend runs.
    """

    bits: int
    dtype: str = "bfloat16"
    kv_dtype: str = ""
    kv_host: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.bits, bool) or self.bits not in BITS:
            raise UsageError(f"bits={self.bits!r} is not one of {BITS}", hint="take 4, 8 or 16 bits per weight")
        if self.dtype not in tuple(ELEMENT):
            raise UsageError(f"dtype={self.dtype!r} is not one of {tuple(ELEMENT)}")
        if self.kv_dtype not in ("", *KV_DTYPES):
            able = (self.dtype, *KV_DTYPES)
            raise UsageError(
                f"kv_dtype={self.kv_dtype!r} is not one of {able}", hint="leave it out for K/V in the dtype of the rest"
            )

    @staticmethod
    def known(bits: int, dtype: str) -> bool:
        """Whether the backend runs weights like that."""
        return bits in BITS and dtype in ELEMENT

    @property
    def element(self) -> int:
        """Bytes of a number that is not quantised."""
        return ELEMENT[self.dtype]

    @property
    def packs(self) -> bool:
        """Whether K/V is unpacked, or brought to the device, block by block."""
        return bool(self.kv_dtype) or self.kv_host

    def kv_bytes(self, head_dim: int) -> int:
        """Bytes that a head's keys, or values, of one token take in full-attention layers, with their scales.

        >>> [Precision(4, kv_dtype=name).kv_bytes(256) for name in ("", "int8", "int4")]
        [512, 260, 160]
        """
        if self.kv_dtype == "int8":
            return head_dim + 4  # a float32 scale
        if self.kv_dtype == "int4":
            return head_dim // 2 + 4 * (head_dim // gcd(head_dim, KV_GROUP))  # float16: the least number, and the step
        return head_dim * self.element


BF16 = Precision(16)


def estimate(
    geometry: Geometry, precision: Precision, kind: str, *, tokens: int, chunk: int, available: int, largest_item: int = 0
) -> Memory:
    """The peak while a prompt of so many tokens is read.

    Args:
        geometry: of the model.
        precision: of weights and K/V.
        kind: ``"cuda"``, ``"mps"`` or ``"cpu"``.
        tokens: that the K/V will hold at the end.
        chunk: tokens of one prefill step.
        available: bytes that the device has.
        largest_item: tokens of the largest picture or temporal patch, which no step cuts; 0 where there is nothing to see.
    """
    step = max(chunk, largest_item)
    kv = kv_cache(geometry, tokens, precision)
    host = kv_packable(geometry, tokens, precision) if precision.kv_host and kind != "cpu" else 0
    text = activations(geometry, precision, kind, tokens=tokens, chunk=step)
    seen = min(step, max(1, tokens)) if largest_item else 0
    parts = (
        weights(geometry, precision) + (head_copy(geometry, precision) if kind == "cpu" else 0),
        kv - host,
        (1 + SNAPSHOTS) * geometry.state_bytes(precision.element),
        text + (IDS * tokens if kind == "cpu" else 0),
        vision(geometry, precision, kind, tokens=seen, text=text),
    )
    return Memory(*parts, overhead(kind, sum(parts)), available, host=host)


def weights(geometry: Geometry, precision: Precision) -> int:
    """Bytes of all weights. Embedding, head, vision, norms, biases and experts are not quantised."""
    total = geometry.parameters.total * precision.element
    if precision.bits == 16:
        return total
    quantize = nf4 if precision.bits == 4 else int8
    return total + sum(quantize(linear) - linear.numbers * precision.element for linear in geometry.quantized)


def head_copy(geometry: Geometry, precision: Precision) -> int:
    """Bytes of the head's copy in 8 bits on a CPU, by which tokens are spoken: a byte a number, a scale for each output."""
    numbers = geometry.vocabulary * geometry.hidden
    kept = precision.bits == 4 and precision.dtype == "bfloat16" and numbers <= HEAD_COPY_MOST
    return numbers + precision.element * geometry.vocabulary if kept else 0


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


def kv_cache(geometry: Geometry, tokens: int, precision: Precision = BF16) -> int:
    """Bytes of K/V after so many tokens. Sliding layers keep one token less than their window (transformers 5.23)."""
    sliding = min(tokens, max(0, geometry.sliding_window - 1)) * geometry.count("sliding_attention")
    unpacked = 2 * geometry.kv_heads * geometry.head_dim * precision.element * sliding
    return kv_packable(geometry, tokens, precision) + unpacked


def kv_packable(geometry: Geometry, tokens: int, precision: Precision) -> int:
    """Bytes of K/V of full-attention layers after so many tokens."""
    return 2 * geometry.kv_heads * precision.kv_bytes(geometry.head_dim) * geometry.count("full_attention") * tokens


def prefix(geometry: Geometry, tokens: int, precision: Precision = BF16, *, squeezed_by: int = 0) -> int:
    """Bytes on disk of a prefix: its K/V, and snapshots of the state on the way and at its end.

    Args:
        geometry: of the model.
        tokens: of the prefix.
        precision: of weights and K/V.
        squeezed_by: tokens that share the scales where K/V that is not packed is kept in a byte a number; 0 where it is not.
    """
    kv, state = kv_cache(geometry, tokens, precision), geometry.state_bytes(precision.element)
    if squeezed_by and not precision.kv_dtype:
        numbers = 2 * geometry.kv_heads * geometry.head_dim * geometry.count("full_attention")
        scales = precision.element * -(-tokens // squeezed_by)
        kv += numbers * (tokens + scales) - kv_packable(geometry, tokens, precision)
    return kv + (state * (1 + int(SNAPSHOT_SHARE * kv / state)) if state else 0)


def overhead(kind: str, parts: int) -> int:
    """Bytes besides the components: libraries on a CPU; context, 10 % and 1 GB on CUDA."""
    if kind != "cuda":
        return RUNTIME
    return CUDA_CONTEXT + CUDA_HEADROOM + int(CUDA_SHARE * parts)


def activations(geometry: Geometry, precision: Precision, kind: str, *, tokens: int, chunk: int) -> int:
    """Peak bytes of temporaries in one prefill step of ``chunk`` tokens that ends at ``tokens``.

    The residual stream, the mask where there is one (one byte per query and key, made once), and the most hungry of attention,
    MLP, linear attention, one dequantised matrix and the logits of the last token; on a CPU with what malloc keeps of them.
    """
    chunk, element = min(chunk, max(1, tokens)), precision.element
    residual = chunk * geometry.hidden * (3 * element + 8)  # stream, normed, branch; the norm works on two float32 copies
    masked = geometry.count("sliding_attention") > 0 if precision.packs else _masked(geometry, kind)
    mask = chunk * tokens if tokens > chunk and masked else 0
    attention = _attention_in_blocks if precision.packs and kind != "mps" else _attention
    temporaries = (
        attention(geometry, element, kind, tokens, chunk) + _dequantized(geometry, precision),
        3 * chunk * geometry.mlp_width * element + _dequantized(geometry, precision),
        _linear_attention(geometry.recurrence, element, chunk) if geometry.recurrence else 0,
        geometry.vocabulary * (element + 4),
    )
    if kind != "cpu":
        return residual + mask + max(temporaries)
    return int(HELD_BY_MALLOC * (residual + mask + max(temporaries))) + _held_by_int8(geometry, precision, chunk)


def _held_by_int8(geometry: Geometry, precision: Precision, chunk: int) -> int:
    """What LLM.int8 leaves with malloc on a CPU: of each layer a part of what its largest product works on, in float32."""
    if precision.bits != 8 or not geometry.quantized:
        return 0
    largest = max(geometry.quantized, key=lambda linear: linear.inputs * linear.outputs)
    product = 4 * (chunk * (largest.inputs + 2 * largest.outputs) + largest.inputs * largest.outputs)
    return int(HELD_BY_INT8 * len(geometry.layers) * product)


def _attention(geometry: Geometry, element: int, kind: str, tokens: int, chunk: int) -> int:
    """Queries, keys and values with their rotated copies and the output. No score matrix: SDPA's kernels work in tiles.

    Without a mask, a chunk after a past has two outputs, merged in float32. With one, SDPA gets keys and values repeated
    to every query head (transformers 5.23, ``use_gqa_in_sdpa``; not on MPS) and turns the boolean mask into one of the dtype.
    """
    queries, keys = geometry.heads * geometry.head_dim, geometry.kv_heads * geometry.head_dim
    own = chunk * element * ((6 if geometry.gated_query else 5) * queries + 4 * keys)
    if tokens <= chunk:
        return own
    if not _masked(geometry, kind):
        return own + chunk * queries * (2 * element + 3 * 4 + 2 * element)
    repeated = 2 * tokens * queries * element if geometry.heads > geometry.kv_heads and kind != "mps" else 0
    return own + repeated + chunk * tokens * element


def _attention_in_blocks(geometry: Geometry, element: int, kind: str, tokens: int, chunk: int) -> int:
    """As without a mask; besides, a block of the past as it is unpacked: codes and numbers in float32, and the result."""
    queries, keys = geometry.heads * geometry.head_dim, geometry.kv_heads * geometry.head_dim
    own = chunk * element * ((6 if geometry.gated_query else 5) * queries + 4 * keys)
    if tokens <= chunk:
        return own
    return own + chunk * queries * (2 * element + 3 * 4 + 2 * element) + min(tokens, KV_BLOCK) * keys * (2 * element + 12)


def _masked(geometry: Geometry, kind: str) -> bool:
    """Whether a chunk after a past is given a mask: not on CPUs, where longctx attends without, but for sliding windows."""
    return kind != "cpu" or geometry.count("sliding_attention") > 0


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


# -- what is seen ------------------------------------------------------------------------------------------------------
def vision(geometry: Geometry, precision: Precision, kind: str, *, tokens: int, text: int) -> int:
    """Bytes that a step which sees takes besides the text's activations; 0 where the vision tower is not known.

    Pictures are encoded before the text is read, so the two peaks are never there at once.

    Args:
        geometry: of the model.
        precision: of what is not quantised; a vision tower is not.
        kind: ``"cuda"``, ``"mps"`` or ``"cpu"``.
        tokens: placeholders of the step; 0 where it sees nothing.
        text: bytes of the text's activations.
    """
    sight, element = geometry.sight, precision.element
    if sight is None or not tokens:
        return 0
    patches = tokens * sight.merge**2
    pixels = 4 * patches * sight.patch_values
    embedded = tokens * geometry.hidden * element
    merged = tokens * sight.out * element * (1 + sight.taps)
    beside = pixels + patches * sight.hidden * element + 2 * merged + embedded  # the tower's last layer; merged, and joined
    return max(beside, pixels + embedded + merged + encoder(sight, element, kind, patches) - text)


def encoder(sight: Sight, element: int, kind: str, patches: int) -> int:
    """Peak bytes of a vision tower over so many patches, its pixels (float32) and its result not among them.

    The hungriest of: learned positions, four mixed in float32 for each patch; attention, whose queries and keys turn in
    float32; the MLP. SDPA sees each temporal patch alone and works in tiles: no score matrix (transformers 5.23,
    models/qwen3_5/modeling_qwen3_5.py). On CPUs within 5 % of what lives at once; what the process holds varies by 20 %.

    >>> encoder(Sight(hidden=768, heads=12, mlp_width=3072), 2, "cpu", 4096) / 1e6
    197.132288
    """
    wide = 4 if element < 4 else 0  # a float32 copy of what is narrower
    mixed = TAPS * (element + 4 + (wide if kind == "cpu" else 0)) + element
    # through the layers: their input, the sum after attention, the mixed positions (float32), which live on
    stream = 2 * element + 4
    turned = (1 + 3) * element + 2 * wide + 4 + 3 * 4  # normed; q, k, v; one turned; what the other one is turned with
    attended = (1 + 3 + 2 + 2) * element
    widened = element + 2 * element * sight.mlp_width / sight.hidden
    hungriest = max(mixed, stream + max(turned, attended, widened))
    own = sight.patch_values * (element if wide else 0) + 2 * 4 * (sight.hidden // sight.heads)  # pixels cast; cos and sin
    kept = KEPT_BY_MALLOC * element if kind == "cpu" else 0
    return patches * (int(hungriest * sight.hidden) + own) + kept
