"""Plans from what there is besides a folder with a known config.json: the header of a GGUF file, a model that is measured."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import longctx as lc
from longctx import choosing, cli
from longctx.errors import ModelDamagedError, ModelError, PlanError, UsageError
from tests.gguf_files import LLAMA, header, write_model
from tests.tiny_configs import TINY, text

ROOT = Path(__file__).parent.parent
PLACE = {"device": "cuda", "memory": "24GB"}


@pytest.fixture
def qwen(tmp_path: Path) -> Path:
    """The file of a tiny Qwen3.5, in 8 bits."""
    file = tmp_path / "Tiny-Q8_0.gguf"
    write_model(file, "qwen35", TINY["qwen3.5 text"], "Q8_0")
    return file


def folder_of(config: dict[str, object], folder: Path) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_a_gguf_file_is_planned_for_as_the_model_it_was_made_of(qwen: Path, tmp_path: Path) -> None:
    plan = lc.plan(model=qwen, window=1024, bits=4, **PLACE)
    folder = folder_of(TINY["qwen3.5 text"], tmp_path / "model")
    same = lc.plan(model=folder, window=1024, bits=4, **PLACE)
    assert plan.figures.memory == same.figures.memory
    assert (plan.figures.yarn_factor, plan.window) == (2.0, 1024)
    (note,) = (note for note in plan.figures.notes if "GB of weights" in note)
    assert "(Q8_0, F32)" in note
    assert plan.rope_parameters["factor"] == 2.0


def test_the_command_line_plans_for_a_gguf_file(qwen: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plan", "--model", str(qwen), "--window", "512", "--memory", "24GB", "--device", "cuda", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["model"], told["window"], told["fits"]) == (str(qwen), 512, True)


def test_a_damaged_file_is_an_error_of_the_command_line_and_no_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "m.gguf").write_bytes(header(LLAMA)[:100])
    assert cli.main(["plan", "--model", str(tmp_path / "m.gguf"), "--window", "512"]) == 1
    assert "header is damaged at byte" in capsys.readouterr().err


def test_planning_for_a_gguf_file_imports_no_torch(qwen: Path) -> None:
    code = f"import sys, longctx as lc; lc.plan(model={str(qwen)!r}, window=512); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "False"


def test_a_gguf_file_is_served_by_llama_cpp_as_it_is(qwen: Path) -> None:
    plan = lc.plan(model=qwen, window=1024, **PLACE)
    line = plan.command("llama.cpp").splitlines()[-1]
    assert f"--model {qwen}" in line
    assert "--rope-scaling yarn --rope-scale 2 --yarn-orig-ctx 512" in line
    with pytest.raises(UsageError, match="is a GGUF file"):
        plan.command("vllm")


def test_a_file_of_any_name_is_served_under_its_own(qwen: Path, tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    blob = qwen.rename(tmp_path / "blobs" / "sha256-0123")
    (tmp_path / "linked.gguf").symlink_to(blob)
    for name in (blob, tmp_path / "linked.gguf"):
        plan = lc.plan(model=name, window=512, **PLACE)
        assert f"llama-server --model {name} " in plan.command("llama.cpp")
        with pytest.raises(UsageError, match="is a GGUF file"):
            plan.command("vllm")


def test_a_corpus_can_be_planned_with_a_gguf_file_and_is_not_loaded(qwen: Path, project: Path) -> None:
    plan = lc.plan(project, model=qwen)
    assert "GGUF" in plan.figures.counts_basis
    with pytest.raises(ModelError, match="plans for and does not load"):
        lc.load(plan)


def test_a_file_without_all_of_its_weights_is_planned_for_and_says_so(qwen: Path) -> None:
    with qwen.open("r+b") as stream:
        stream.truncate(qwen.stat().st_size - 4096)
    notes = lc.plan(model=qwen, window=512, **PLACE).figures.notes
    assert any("4096 bytes of its weights are missing" in note for note in notes)


def test_a_file_of_an_unknown_architecture_is_counted_and_the_rest_estimated(tmp_path: Path) -> None:
    keys = {key.replace("llama.", "brand_new."): value for key, value in LLAMA.items()}
    (tmp_path / "m.gguf").write_bytes(header({**keys, "general.architecture": "brand_new"}))
    plan = lc.plan(model=tmp_path / "m.gguf", window=512, **PLACE)
    assert any("'brand_new' is not known" in warning for warning in plan.figures.warnings)


# -- measured ----------------------------------------------------------------------------------------------------------
GPT2 = {"model_type": "gpt2", "n_embd": 64, "n_head": 4, "n_layer": 3, "vocab_size": 320, "n_positions": 256}


def test_a_model_without_a_formula_is_measured_and_the_plan_says_so(tmp_path: Path) -> None:
    plan = lc.plan(model=folder_of(GPT2, tmp_path / "model"), window=256, **PLACE)
    assert "parameters, K/V and state of 'gpt2' were measured on the meta device" in plan.figures.notes
    assert not any("not known to the planner" in warning for warning in plan.figures.warnings)
    assert plan.figures.memory.kv_cache == 256 * 3 * 2 * 64 * 2
    with pytest.raises(UsageError, match="256"):
        lc.plan(model=tmp_path / "model", window=257, **PLACE)


def test_what_was_not_measured_of_recurrent_layers_is_said(tmp_path: Path) -> None:
    config = text("lfm2", layer_types=["conv", "full_attention", "conv", "full_attention"])
    plan = lc.plan(model=folder_of(config, tmp_path / "model"), window=256, **PLACE)
    assert plan.figures.memory.state > 0
    assert any("their state is counted" in warning for warning in plan.figures.warnings)


def test_a_decoder_that_is_known_with_eyes_that_are_not_is_measured(tmp_path: Path) -> None:
    eye = {"model_type": "clip_vision_model", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    eye |= {"num_attention_heads": 2, "image_size": 28, "patch_size": 14}
    config = {"model_type": "llava", "text_config": text("llama"), "vision_config": eye, "image_token_index": 7}
    found = lc.plan(model=folder_of(config, tmp_path / "model"), window=256, **PLACE)
    geometry = choosing.geometry(found.files)
    assert (geometry.basis, geometry.known, geometry.sight) == ("measured", True, None)
    assert geometry.parameters.vision > 0


def test_a_model_that_nobody_knows_keeps_the_formula_and_its_warning(tmp_path: Path) -> None:
    plan = lc.plan(model=folder_of(text("brand_new"), tmp_path / "model"), window=256, **PLACE)
    (warning,) = (words for words in plan.figures.warnings if "not known" in words)
    assert "'brand_new'" in warning
    assert "formula of a dense decoder" in warning
    assert not any("measured on" in note for note in plan.figures.notes)


def test_a_model_is_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from longctx.backends.transformers import sizes

    asked = []
    real = sizes.measure
    monkeypatch.setattr(sizes, "measure", lambda *args, **options: asked.append(args) or real(*args, **options))
    folder = folder_of({**GPT2, "n_layer": 2}, tmp_path / "model")
    for window in (100, 200):
        lc.plan(model=folder, window=window, **PLACE)
    assert len(asked) == 1


def test_an_encoder_with_a_decoder_is_refused_though_its_config_does_not_say_so(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not generate text"):
        lc.plan(model=folder_of({"model_type": "t5", "d_model": 64}, tmp_path / "model"), window=256, **PLACE)


def test_measured_or_not_a_config_without_a_window_names_the_field(tmp_path: Path) -> None:
    config = {key: value for key, value in text("brand_new").items() if key != "max_position_embeddings"}
    with pytest.raises(PlanError, match="max_position_embeddings"):
        lc.plan(model=folder_of(config, tmp_path / "model"), window=256, **PLACE)


def test_a_config_that_is_nested_without_end_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text('{"a":' * 100_000 + "1" + "}" * 100_000)
    with pytest.raises(ModelDamagedError, match=r"config\.json"):
        lc.plan(model=tmp_path / "model", window=256, **PLACE)
