"""Quantised weights, and YaRN that is really in force."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from longctx.backends.base import LoadSpec
from longctx.backends.transformers import weights
from longctx.errors import ModelError
from longctx.jobs import Job
from longctx.models import ModelFiles
from longctx.planner import rope_parameters


def spec(folder: Path, cache: Path, **options: object) -> LoadSpec:
    settings = {"bits": 16, "device": "cpu", "chunk": 64, "cache_folder": cache, "dtype": "float32", **options}
    return LoadSpec(name=folder.name, folder=folder, **settings)  # type: ignore[arg-type]


def load(made: LoadSpec) -> weights.Loaded:
    return weights.load(made, Job(lambda job: None, title="test"))


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.inference_mode():
        output: torch.Tensor = model(input_ids=torch.arange(3, 67).unsqueeze(0)).logits[0, -1].float()
        return output


@pytest.mark.parametrize("kind", ["llama", "qwen3_5"])
def test_four_bits_are_kept_and_load_again_as_they_were(kind: str, tiny_models: Callable[[str], Path], tmp_path: Path) -> None:
    made = spec(tiny_models(kind), tmp_path, bits=4)
    first = logits(load(made).model)
    (kept,) = (tmp_path / "quantized").iterdir()
    stamp = kept.stat().st_mtime_ns
    assert torch.equal(first, logits(load(made).model))
    assert kept.stat().st_mtime_ns == stamp
    full = logits(load(replace(made, bits=16)).model)
    assert 0 < (first - full).abs().max() < full.abs().max()


@pytest.mark.parametrize("kind", ["llama", "qwen3_5"])
def test_yarn_is_in_force_on_the_loaded_model(kind: str, tiny_models: Callable[[str], Path], tmp_path: Path) -> None:
    folder = tiny_models(kind)
    scaled = rope_parameters(ModelFiles.read(folder, name=kind).config, 4.0)
    made = spec(folder, tmp_path, rope_parameters=scaled)
    assert not torch.allclose(logits(load(made).model), logits(load(spec(folder, tmp_path)).model))


def test_yarn_that_is_ignored_is_an_error(tiny_models: Callable[[str], Path], tmp_path: Path) -> None:
    folder = tiny_models("qwen3_5")
    plain = load(spec(folder, tmp_path)).model
    scaled = rope_parameters(ModelFiles.read(folder, name="m").config, 2.0)
    assert scaled is not None
    with pytest.raises(ModelError, match="not in force"):
        weights.verify_rope(plain, scaled, "m")


def test_a_prefix_name_depends_on_precision_and_rope(tiny_models: Callable[[str], Path], tmp_path: Path) -> None:
    made = spec(tiny_models("llama"), tmp_path)
    scaled = replace(made, rope_parameters={"rope_type": "yarn", "factor": 2.0})
    names = {weights.fingerprint(made, torch.float32), weights.fingerprint(made, torch.bfloat16)}
    names |= {weights.fingerprint(scaled, torch.float32), weights.fingerprint(replace(made, bits=8), torch.float32)}
    names.add(weights.fingerprint(replace(made, prompt_version="other"), torch.float32))
    assert len(names) == 5


def test_no_advice_for_gpus_stands_in_the_middle_of_an_answer_on_a_cpu(
    tiny_models: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    said: list[str] = []
    caplog.set_level(logging.WARNING, logger=weights.KERNELS.name)
    watch = logging.Handler()
    monkeypatch.setattr(watch, "emit", lambda record: said.append(record.getMessage()))
    weights.KERNELS.addHandler(watch)
    try:
        for filtered in (True, False):
            logging.Logger.warning_once.cache_clear()  # type: ignore[attr-defined]
            model = load(spec(tiny_models("qwen3_5"), tmp_path)).model
            if not filtered:
                weights.KERNELS.removeFilter(weights._no_advice)
            logits(model)
            assert bool(said) is not filtered
    finally:
        weights.KERNELS.removeHandler(watch)
