"""Pictures by the models' own processors, chunk by chunk, against the models' own forward over the whole, by logits."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf

from longctx.backends.base import Sampling
from longctx.backends.transformers.engine import TransformersBackend
from longctx.backends.transformers.processors import THREE_AXES, ProcessorVision
from longctx.corpus import Frame, Visual
from longctx.errors import MissingPackageError, ModelDamagedError, ModelError
from longctx.stream import Look, Sight, Tokenizer
from tests.families import FAMILIES
from tests.pictures import Noise
from tests.tiny_engines import backend, job, tokens

TOLERANCE = 1e-5
#: Those that every test goes through; the others are like one of them in most.
MAIN = ["llava", "gemma3", "idefics3", "qwen2_5_vl"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: str) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def folder(family: str) -> Path:
        if family not in made:
            torch.manual_seed(0)
            made[family] = tmp_path_factory.mktemp("families") / family
            model, processor = FAMILIES[family](tiny_tokenizer)
            model.float().save_pretrained(made[family])
            processor.save_pretrained(made[family])
        return made[family]

    return folder


@pytest.fixture(params=FAMILIES)
def every(request: pytest.FixtureRequest, folders: Callable[[str], Path]) -> Path:
    return folders(request.param)


@pytest.fixture(params=MAIN)
def folder(request: pytest.FixtureRequest, folders: Callable[[str], Path]) -> Path:
    return folders(request.param)


def text(count: int, seed: int) -> list[int]:
    return tokens(count, seed, below=399)  # no control token


def vision(folder: Path) -> ProcessorVision:
    return ProcessorVision(folder, Tokenizer.from_folder(folder), name=folder.name)


class Prompt:
    """A picture and two frames of a video among words, and a question."""

    def __init__(self, folder: Path, medium: Noise, *, question: int = 1, words: int = 90) -> None:
        self.folder = folder
        self.vision = vision(folder)
        picture = Visual(medium, (0.0,), 230, 120)
        clip = Visual(Noise("clip"), (2.0, 12.0), 128, 96, moving=True, shown=(128, 96))
        self.ids = text(29, 0)
        self.placed: list[tuple[int, Look]] = []
        for look in [*self.vision.looks(picture), *self.vision.looks(clip)]:
            self.placed.append((len(self.ids) + look.lead, look))
            self.ids += look.ids
            self.ids += text(11, len(self.ids))
        self.ids += text(words, 5)
        self.head = len(self.ids)
        self.ids += text(17, 10 + question)

    @property
    def sight(self) -> Sight:
        return Sight(self.placed, self.vision, ["a.mp4"] * len(self.placed))

    def reference(self, engine: TransformersBackend) -> torch.Tensor:
        """The logits by one forward over the whole prompt, with what the processor makes of all pictures."""
        processor = hf.AutoProcessor.from_pretrained(self.folder)
        pictures = [torch.from_numpy(x.visual.medium.pixels(x.places[0], *x.size)).permute(2, 0, 1) for _, x in self.placed]
        made = processor(text=[processor.image_token * len(pictures)], images=pictures, return_tensors="pt")
        own = {"input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids"}
        inputs = {name: value for name, value in made.items() if name not in own}
        model, ids = engine._model, torch.tensor([self.ids])
        for name in {"token_type_ids", "mm_token_type_ids"} & set(made):
            inputs[name] = (ids == model.config.image_token_id).long()
        model.model.rope_deltas = None
        with torch.inference_mode():
            return model(input_ids=ids, logits_to_keep=1, **inputs).logits[0, -1]


def test_pictures_in_chunks_give_the_logits_of_the_whole(every: Path, tmp_path: Path) -> None:
    engine, prompt = backend(every, tmp_path), Prompt(every, Noise())
    engine.prefill(prompt.ids, job(), marks=(prompt.head,), visuals=prompt.sight)
    assert (engine.logits - prompt.reference(engine)).abs().max() < TOLERANCE
    other = Prompt(every, Noise("other"))
    assert (engine.logits - other.reference(engine)).abs().max() > 100 * TOLERANCE, "what is seen makes no difference"


@pytest.mark.parametrize("chunk", [7, 512])
def test_the_size_of_a_chunk_changes_no_logits(chunk: int, folder: Path, tmp_path: Path) -> None:
    engine, prompt = backend(folder, tmp_path, chunk=chunk), Prompt(folder, Noise())
    engine.prefill(prompt.ids, job(), marks=(prompt.head,), visuals=prompt.sight)
    assert (engine.logits - prompt.reference(engine)).abs().max() < TOLERANCE


def test_pictures_are_recognised_after_a_restart_without_being_read(folder: Path, tmp_path: Path) -> None:
    kept = {"prefix_folder": tmp_path / "prefixes"}
    first = Prompt(folder, Noise())
    backend(folder, tmp_path, **kept).prefill(first.ids[: first.head], job(), marks=(first.head,), visuals=first.sight)
    again, medium = backend(folder, tmp_path, **kept), Noise()
    prompt = Prompt(folder, medium, question=3)
    reuse = again.prefill(prompt.ids, job(), marks=(prompt.head,), visuals=prompt.sight)
    assert (reuse.tokens, reuse.source, reuse.miss_reason) == (prompt.head, "disk", "")
    assert medium.asked == []
    assert (again.logits - prompt.reference(again)).abs().max() < TOLERANCE


def test_a_picture_is_read_where_it_stands_after_a_restored_head(every: Path, tmp_path: Path) -> None:
    kept = {"prefix_folder": tmp_path / "prefixes"}
    prompt, again = Prompt(every, Noise()), backend(every, tmp_path, **kept)
    head, last = prompt.placed[1][0] - prompt.placed[1][1].lead, prompt.placed[2]
    before = Sight(prompt.placed[:1], prompt.vision, ["a.png"])
    backend(every, tmp_path, **kept).prefill(prompt.ids[:head], job(), marks=(head,), visuals=before)
    reuse = again.prefill(prompt.ids, job(), marks=(head,), visuals=prompt.sight)
    assert (reuse.tokens, reuse.source) == (head, "disk")
    assert (again.logits - prompt.reference(again)).abs().max() < TOLERANCE
    # what is seen last is still within the sliding windows
    prompt.ids = prompt.ids[: last[0] + len(last[1]) - last[1].lead + 5]
    again.prefill(prompt.ids, job(), visuals=prompt.sight)
    assert (again.logits - prompt.reference(again)).abs().max() < TOLERANCE


def test_a_second_question_reads_itself_only_and_answers_go_on_as_in_one_forward(folder: Path, tmp_path: Path) -> None:
    engine, first, second = backend(folder, tmp_path), Prompt(folder, Noise()), Prompt(folder, Noise(), question=2)
    engine.prefill(first.ids, job(), marks=(first.head,), visuals=first.sight)
    list(engine.decode(Sampling(temperature=0, max_tokens=8), [], job()))
    reuse = engine.prefill(second.ids, job(), marks=(second.head,), visuals=second.sight)
    assert (reuse.tokens, reuse.source) == (second.head, "memory")
    for token in list(engine.decode(Sampling(temperature=0, max_tokens=4), [], job())):
        expected = second.reference(engine)
        assert token == int(expected.argmax())
        second.ids.append(token)
    assert (engine.logits - expected).abs().max() < TOLERANCE


def test_the_tokens_of_a_picture_are_those_of_the_processor(folder: Path) -> None:
    made, processor = vision(folder), hf.AutoProcessor.from_pretrained(folder)
    (look,) = made.looks(Visual(Noise(), (0.0,), 230, 120))
    pixels = torch.zeros(3, 120, 230, dtype=torch.uint8)
    theirs = processor(text=[f"{processor.image_token}"], images=[pixels], return_tensors="pt")["input_ids"][0].tolist()
    start = next(i for i in range(len(look.ids)) if list(look.ids[i : i + len(theirs)]) == theirs)
    around = (look.ids[:start], look.ids[start + len(theirs) :])
    known = Tokenizer.from_folder(folder).added
    expected = ("<|vision_start|>", "<|vision_end|>") if folder.name == "qwen2_5_vl" else ()
    assert [number for part in around for number in part] == [known[token] for token in expected]
    placeholder = hf.AutoConfig.from_pretrained(folder).image_token_id
    assert [i for i, number in enumerate(look.ids) if number == placeholder][:: look.ids.count(placeholder) - 1] == [
        look.lead,
        look.lead + look.count - 1,
    ]


def test_a_frame_stands_after_its_time_as_data(folder: Path) -> None:
    tokenizer, made = Tokenizer.from_folder(folder), vision(folder)
    (picture,) = made.looks(Visual(Noise(), (0.0,), 128, 96, shown=(128, 96)))
    clip = made.looks(Visual(Noise(), (2.0, 12.0), 640, 480, moving=True, shown=(128, 96)))
    times = [tokenizer.encode_data(f"<{time} seconds>") for time in ("2.0", "12.0")]
    assert [list(look.ids) for look in clip] == [[*time, *picture.ids] for time in times]
    assert [(look.places, look.kind, look.size) for look in clip] == [((t,), "image", (128, 96)) for t in (2.0, 12.0)]


def test_a_picture_is_bounded_in_area_and_a_page_is_read_at_its_scale(folders: Callable[[str], Path]) -> None:
    made = vision(folders("llava"))
    sizes = [made.shown(Visual(Noise(), (place,), *size)) for place, size in [(0.0, (640, 480)), (1.0, (300, 400))]]
    assert sizes == [(640, 480), (600, 800)]
    for size in [(1, 1), (1, 10_000), (30_000, 30_000), (100_000, 3)]:
        width, height = made.shown(Visual(Noise(), (0.0,), *size))
        assert min(width, height) >= 28
        assert width * height < 2_110_000


@pytest.mark.parametrize("size", [(1, 1), (1, 10_000), (9_000, 3)])
def test_an_extreme_picture_can_be_shown(size: tuple[int, int], folder: Path) -> None:
    made = vision(folder)
    (look,) = made.looks(Visual(Noise(), (0.0,), *size))
    frame = Frame(0.0, Noise().pixels(0.0, *look.size))
    assert made.inputs([look], [[frame]], [0])["pixel_values"].size


@pytest.mark.parametrize("family", sorted(THREE_AXES))
def test_positions_are_those_of_the_model(family: str, folders: Callable[[str], Path]) -> None:
    """By the model's own get_rope_index, for every family of which we say that it counts like this."""
    import importlib

    module = importlib.import_module(f"transformers.models.{family}.modeling_{family}")
    owner = next(x for x in vars(module).values() if isinstance(x, type) and "get_rope_index" in vars(x))
    made = vision(folders("qwen2_5_vl"))
    looks = [made.looks(Visual(Noise(), (0.0,), *size))[0] for size in [(120, 230), (300, 60), (56, 56)]]
    ids, placed = [1, 2, 3], []
    for look in looks:
        placed.append((len(ids) + look.lead, look))
        ids += look.ids
    ids += [4, 5]
    theirs, delta = owner.get_rope_index(
        SimpleNamespace(
            config=SimpleNamespace(vision_config=SimpleNamespace(spatial_merge_size=2, tokens_per_second=2)),
            get_vision_position_ids=lambda *a, **k: owner.get_vision_position_ids(None, *a, **k),
        ),
        torch.tensor([ids]),
        (torch.tensor([ids]) == made._placeholder).long(),
        image_grid_thw=torch.tensor([look.grid for look in looks]),
    )
    ours = made.positions(len(ids) + 1, placed)
    assert np.array_equal(ours[:, :-1], theirs[:, 0].numpy())
    assert ours[:, -1].tolist() == [len(ids) + int(delta)] * 3


def test_what_is_seen_of_gemma_is_marked_and_nothing_else(folders: Callable[[str], Path]) -> None:
    prompt = Prompt(folders("gemma3"), Noise())
    types = prompt.sight.inputs(1, 3, lambda: None)["token_type_ids"]
    placeholder = prompt.vision._placeholder
    marked = [index for index, number in enumerate(prompt.ids) if number == placeholder and index >= prompt.placed[1][0]]
    assert np.flatnonzero(types[0]).tolist() == marked


def test_text_between_the_parts_of_a_picture_is_not_marked(folders: Callable[[str], Path]) -> None:
    made = vision(folders("gemma3"))
    (look,) = made.looks(Visual(Noise(), (0.0,), 230, 120))
    parted = replace(look, ids=(*look.ids[: look.lead + 3], 7, *look.ids[look.lead + 3 :]), count=look.count + 1)
    frames = [[Frame(0.0, Noise().pixels(0.0, *look.size))]]
    assert np.flatnonzero(made.inputs([parted], frames, [5])["token_type_ids"][0] == 0).tolist() == [0, 1, 2, 3, 4, 8]


@pytest.mark.parametrize("family", FAMILIES)
def test_pictures_reach_a_model_in_16_bits(family: str, folders: Callable[[str], Path], tmp_path: Path) -> None:
    folder = folders(family)
    engine, prompt = backend(folder, tmp_path, dtype="bfloat16"), Prompt(folder, Noise())
    engine.prefill(prompt.ids, job(), marks=(prompt.head,), visuals=prompt.sight)
    assert engine.logits.dtype == torch.bfloat16
    assert (engine.logits - prompt.reference(engine)).abs().max() < 0.1


def test_a_folder_without_a_processor_of_pictures_is_an_error_of_the_model(
    folders: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = tmp_path / "m"
    shutil.copytree(folders("llava"), folder)
    for name in ("preprocessor_config.json", "processor_config.json"):
        (folder / name).unlink(missing_ok=True)
    with pytest.raises(ModelDamagedError, match=r"processor in .* cannot be loaded") as caught:
        vision(folder)
    assert caught.value.hint
    (folder / "processor_config.json").write_text("{", encoding="utf-8")
    with pytest.raises(ModelDamagedError):
        vision(folder)


def test_a_processor_that_joins_pictures_by_other_tokens_than_it_announced_is_an_error(folders: Callable[[str], Path]) -> None:
    made = vision(folders("llava"))
    looks = [made.looks(Visual(Noise(), (place,), 64, 64))[0] for place in (0.0, 0.0)]
    frames = [[Frame(0.0, Noise().pixels(0.0, *look.size))] for look in looks]
    with pytest.raises(ModelDamagedError, match="32 tokens of 2 pictures, where 31"):
        made.inputs([replace(looks[0], ids=looks[0].ids[1:]), looks[1]], frames, [0, 40])


def test_a_processor_of_videos_alone_is_an_error_of_the_model(
    folders: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = SimpleNamespace(tokenizer=object(), video_processor=object())
    monkeypatch.setattr(hf.AutoProcessor, "from_pretrained", lambda *_, **__: alone)
    with pytest.raises(ModelDamagedError, match="no image processor"):
        vision(folders("llava"))


@pytest.mark.parametrize("family", ["mllama", "paligemma", "qwen3_omni_moe_thinker"])
def test_a_family_that_cannot_be_shown_pictures_in_chunks_is_refused(
    family: str, folders: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = tmp_path / "m"
    shutil.copytree(folders("llava"), folder)
    config = hf.CONFIG_MAPPING[family]().to_dict()
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(ModelError, match=family):
        vision(folder)


def test_a_package_that_a_processor_needs_is_named(folders: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking(*_: Any, **__: Any) -> None:
        raise ImportError("Package `num2words` is required")

    monkeypatch.setattr(hf.AutoProcessor, "from_pretrained", lacking)
    with pytest.raises(MissingPackageError, match="num2words"):
        vision(folders("llava"))


def test_a_tokenizer_without_the_processors_tokens_is_an_error_of_the_model(
    folders: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = tmp_path / "m"
    shutil.copytree(folders("idefics3"), folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "image_token_id": 3}), encoding="utf-8")
    with pytest.raises(ModelDamagedError, match="no tokens"):
        vision(folder).looks(Visual(Noise(), (0.0,), 64, 64))
