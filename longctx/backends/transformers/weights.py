"""Weights: loaded by transformers, in 4 bits by bitsandbytes, kept pre-quantised; YaRN is applied, then verified."""

from __future__ import annotations

import hashlib
import logging
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from longctx.backends.base import LoadSpec
from longctx.backends.transformers import attention, delta, lean
from longctx.backends.transformers.measure import given_back
from longctx.errors import DoesNotFitError, ModelDamagedError, ModelError
from longctx.jobs import Job
from longctx.places import settle
from longctx.planner.yarn import inverse_frequencies

#: bitsandbytes crashes on CPU for other sizes (FACTS of 0.50): out_features by 32, in_features by 64.
OUT_STEP, IN_STEP = 32, 64
#: What vision towers are called in the models of transformers; they stay in 16 bits.
VISION = frozenset({"visual", "vision_tower", "vision_model", "vision_encoder"})
#: Where kernels are said to be missing that no CPU has, once or for every matrix, in the middle of an answer.
KERNELS = logging.getLogger("transformers.integrations.hub_kernels")
ADVISERS = (KERNELS, *map(logging.getLogger, ("bitsandbytes.autograd._functions", "bitsandbytes.backends.cpu.ops")))
ADVICE = ("reference PyTorch implementation", "to float16 during quantization", "from kernels-community")
#: Bytes read at evenly spread places of each weight file to tell one model from another.
SAMPLES, SAMPLE_BYTES = 16, 1 << 16


@dataclass(frozen=True)
class Loaded:
    """A model ready to run.

    Args:
        model: the transformers model, in evaluation mode.
        dtype: of what is not quantised.
        fingerprint: of the weights, their precision and the rope parameters.
    """

    model: Any
    dtype: torch.dtype
    fingerprint: str


def load(spec: LoadSpec, job: Job[Any]) -> Loaded:
    """Load the weights of a spec.

    Raises:
        ModelDamagedError: a weight is missing or unreadable.
        DoesNotFitError: the device's memory ran out.
        ModelError: YaRN was asked for and is not in force.
    """
    dtype = choose_dtype(spec)
    config = _config(spec)
    with _translated(spec), quiet():
        model = _quantized(spec, config, dtype, job) if spec.bits < 16 else _from_folder(spec, spec.folder, config, dtype)
    model.eval().requires_grad_(False)
    if spec.device != "cuda":
        for adviser in ADVISERS:
            adviser.addFilter(_no_advice)  # the same one again is not added
    attention.use(model, packed=bool(spec.kv_dtype) or spec.kv_host)
    with given_back():  # of matrices that are packed, and of the head's copy
        lean.use(model, head=spec.bits == 4)
    delta.use(model)
    if spec.rope_parameters:
        verify_rope(model, spec.rope_parameters, spec.name)
    job.check()
    return Loaded(model, dtype, fingerprint(spec, dtype))


def _no_advice(record: logging.LogRecord) -> bool:
    """Whether a record is anything but advice that is of no use on this device."""
    return not any(words in record.getMessage() for words in ADVICE)


def choose_dtype(spec: LoadSpec) -> torch.dtype:
    """What the spec names; else, on CUDA, bf16 where it is native and fp16 where not, fp16 on MPS, float32 on a CPU."""
    if spec.dtype is not None:
        return getattr(torch, spec.dtype)  # type: ignore[no-any-return]
    if spec.device == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if native else torch.float16
    return torch.float16 if spec.device == "mps" else torch.float32


def fingerprint(spec: LoadSpec, dtype: torch.dtype) -> str:
    """What a prefix depends on besides its tokens: weights, precision, K/V, rope parameters, prompt version."""
    digest = hashlib.sha256()
    rope = sorted((spec.rope_parameters or {}).items())
    digest.update(repr((spec.bits, str(dtype), spec.kv_dtype, spec.disk_dtype, rope, spec.prompt_version)).encode())
    digest.update((spec.folder / "config.json").read_bytes())
    for file in sorted(spec.folder.glob("*.safetensors")):
        digest.update(_sample(file))
    return digest.hexdigest()


def verify_rope(model: Any, parameters: Mapping[str, Any], name: str) -> None:
    """Compare the loaded model's rotary embedding with the YaRN formula; several engines ignore the setting silently.

    Raises:
        ModelError: type, frequencies or attention scaling differ.
    """
    rotary = next((m for n, m in model.named_modules() if n.endswith("rotary_emb") and "visual" not in n), None)
    if rotary is None:
        raise ModelError(f"{name}: the model has no rotary embedding, so YaRN cannot be applied", hint="plan a smaller window")
    text = model.config.get_text_config(decoder=True)
    head = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    wanted, scaling = inverse_frequencies(dict(parameters), head)
    found = rotary.inv_freq.float().cpu()
    same = found.shape == (len(wanted),) and torch.allclose(found, torch.tensor(wanted), rtol=1e-5, atol=0)
    if rotary.rope_type != parameters["rope_type"] or not same or abs(rotary.attention_scaling - scaling) > 1e-6:
        raise ModelError(
            f"{name}: YaRN factor {parameters.get('factor')} is not in force after loading "
            f"(type {rotary.rope_type!r}, attention scaling {rotary.attention_scaling})",
            hint="plan a window without YaRN: lc.plan(..., window=NATIVE)",
        )


def _config(spec: LoadSpec) -> Any:
    from transformers import AutoConfig

    with _translated(spec), quiet():
        config = AutoConfig.from_pretrained(spec.folder, local_files_only=True)
    if spec.rope_parameters:  # only the complete text parameters, given before construction, are obeyed
        config.get_text_config(decoder=True).rope_parameters = dict(spec.rope_parameters)
    return config


def _from_folder(spec: LoadSpec, folder: Path, config: Any, dtype: torch.dtype, quantization: Any = None) -> Any:
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

    sees = getattr(config, "vision_config", None) is not None
    loader = AutoModelForImageTextToText if sees else AutoModelForCausalLM
    options: dict[str, Any] = {"config": config, "dtype": dtype, "local_files_only": True, "output_loading_info": True}
    if quantization is not None:
        options["quantization_config"] = quantization
    model, info = loader.from_pretrained(folder, device_map=_device_map(spec.device), **options)
    if info["missing_keys"]:
        some = ", ".join(sorted(info["missing_keys"])[:3])
        raise ModelDamagedError(
            f"{spec.name}: {len(info['missing_keys'])} weights are missing in {folder}: {some}", hint="download the model again"
        )
    return model


def _device_map(device: str) -> Any:
    return "auto" if device == "cuda" else {"": device}


def _quantized(spec: LoadSpec, config: Any, dtype: torch.dtype, job: Job[Any]) -> Any:
    """The pre-quantised weights of the cache folder, made on the first use."""
    from transformers import AutoConfig

    kept = spec.cache_folder / "quantized" / f"{_weights_name(spec)}-{spec.bits}bit-{str(dtype).removeprefix('torch.')}"
    if not kept.is_dir():
        job.report("quantize (once)", 0, 0, "weights")
        with given_back():
            model = _from_folder(spec, spec.folder, config, dtype, _quantization(spec.bits, config, dtype))
            _keep(model, kept)  # before any forward: afterwards a CPU's packed weights could not be saved
            del model
        job.check()
    stored = AutoConfig.from_pretrained(kept, local_files_only=True)
    if spec.rope_parameters:
        stored.get_text_config(decoder=True).rope_parameters = dict(spec.rope_parameters)
    return _from_folder(spec, kept, stored, dtype)


def _keep(model: Any, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=".saving-"))
    try:
        model.save_pretrained(temporary)
        settle(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _quantization(bits: int, config: Any, dtype: torch.dtype) -> Any:
    from transformers import BitsAndBytesConfig

    skip = unquantizable(config)
    if bits == 8:
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=skip)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
        llm_int8_skip_modules=skip,
    )


def unquantizable(config: Any) -> list[str]:
    """Names of the linear modules that stay in 16 bits: the head, the vision tower, and sizes on which the kernels crash."""
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

    sees = getattr(config, "vision_config", None) is not None
    with torch.device("meta"):
        model = (AutoModelForImageTextToText if sees else AutoModelForCausalLM).from_config(config)
    linears = {name: m for name, m in model.named_modules() if isinstance(m, torch.nn.Linear)}
    odd = {name for name, m in linears.items() if m.out_features % OUT_STEP or m.in_features % IN_STEP}
    seen = {name for name in linears if not VISION.isdisjoint(name.split("."))}
    return sorted({"lm_head", *odd, *seen})


def _weights_name(spec: LoadSpec) -> str:
    digest = hashlib.sha256((spec.folder / "config.json").read_bytes())
    for file in sorted(spec.folder.glob("*.safetensors")):
        digest.update(_sample(file))
    return f"{spec.folder.name}-{digest.hexdigest()[:16]}"


def _sample(file: Path) -> bytes:
    size = file.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with file.open("rb") as stream:
        for i in range(SAMPLES):
            stream.seek(max(0, size - SAMPLE_BYTES) * i // (SAMPLES - 1))
            digest.update(stream.read(SAMPLE_BYTES))
    return digest.digest()


@contextmanager
def _translated(spec: LoadSpec) -> Iterator[None]:
    """Foreign errors of loading as our own, with the user's model beside them."""
    from safetensors import SafetensorError

    try:
        yield
    except torch.OutOfMemoryError as error:
        raise DoesNotFitError(
            f"{spec.name}: the memory of {spec.device} ran out while loading", hint="use fewer bits or a smaller model"
        ) from error
    except (OSError, ValueError, KeyError, AttributeError, RuntimeError, SafetensorError) as error:
        reason = (str(error).strip().splitlines() or [""])[0]
        raise ModelDamagedError(
            f"{spec.name}: the model in {spec.folder} cannot be loaded: {reason}",
            hint="download the model again; transformers 5 must know its architecture",
        ) from error


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars, no chatter, no look-up of a hub while a local folder is loaded; everything is set back afterwards."""
    import huggingface_hub.constants as hub
    from transformers.utils import logging

    verbosity, offline, bars = logging.get_verbosity(), hub.HF_HUB_OFFLINE, logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    hub.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        hub.HF_HUB_OFFLINE = offline
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
