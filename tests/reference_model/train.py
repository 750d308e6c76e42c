"""Train the reference model: seeded, resumable, in stages of growing length.

``python -m tests.reference_model.train WORK`` writes checkpoints to the folder WORK, goes on from the last one, and at the end
puts the finished model where it is shipped. ``--smoke`` trains for about a minute and says whether the loss fell.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from longctx import prompts
from tests.reference_model import folder, language, samples, vocabulary
from tests.reference_model.language import Vocabulary
from tests.reference_model.samples import Format, Sample

#: What a wrong token of the sources costs, where a wrong token of an answer costs 1.
REST = 0.02
#: What the few tokens cost that decide: whether there is an answer, without and with stress; a segment's number, with stress.
DECIDING, STRESSED, NUMBER = 4.0, 8.0, 3.0
#: Learning rates of Muon for matrices (Jordan's scaling), of AdamW for the rest.
MUON_RATE, ADAMW_RATE = 0.02, 3e-3
FACTOR = 4
MOST_TURNS = 10
WARM_UP = 50
SAVE_EVERY = 200
LOG_EVERY = 20


@dataclass(frozen=True)
class Stage:
    """A part of the training.

    Args:
        steps: batches.
        length: tokens of the longest conversation.
        tokens: of a batch.
        rate: learning rate at its beginning, in parts of the full one.
        final: learning rate at its end.
        skills: weights of the skills that are asked for.
        repeats: share of the questions that were asked before in the same conversation.
        task: the system text; the library's own is left for the end, since it takes a fifth of the window.
        far: share of the batches that are four times as long, read with YaRN's factor 4, as its authors tune a model to it.
        stress: whether the tokens that decide weigh more: whether there is an answer, and the segment's number.
        syllables: of a name. With two, copying is learnt soon; with three, names cannot be learnt by heart instead.
    """

    steps: int
    length: int
    tokens: int
    rate: float = 1.0
    final: float = 1.0
    skills: Mapping[str, float] = field(default_factory=lambda: {"recall": 0.45, "order": 0.3, "absent": 0.25})
    task: str = "Answer."
    repeats: float = 0.0
    syllables: int = language.NAME
    far: float = 0.0
    stress: bool = False

    def at(self, seed: int, step: int) -> tuple[int, float]:
        """The tokens of the longest conversation of a batch, and YaRN's factor."""
        far = samples.seeded(seed, step).rng.random() < self.far
        return (FACTOR * self.length, FACTOR) if far else (self.length, 1)


LAST = {"recall": 0.4, "order": 0.3, "absent": 0.3}
STAGES = (
    Stage(800, 128, 2_048, skills={"recall": 0.8, "order": 0.1, "absent": 0.1}, repeats=0.2, syllables=2),
    Stage(1_000, 256, 3_072, repeats=0.1, syllables=2),
    Stage(400, folder.WINDOW, 4_096, task=prompts.SYSTEM, syllables=2),
    Stage(1_000, 256, 3_072, repeats=0.1),
    Stage(1_000, folder.WINDOW, 4_096, final=0.75, task=prompts.SYSTEM),
    Stage(2_400, folder.WINDOW, 4_096, rate=0.75, final=0.02, task=prompts.SYSTEM, far=0.25, skills=LAST),
    Stage(1_800, folder.WINDOW, 4_096, rate=0.6, final=0.02, task=prompts.SYSTEM, far=0.15, skills=LAST, stress=True),
)
#: Share of the samples in which the last answer is thought about.
THINKING = 0.05
SMOKE = (Stage(60, 128, 2_048),)


def make_batch(seed: int, step: int, stage: Stage, form: Format) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids [samples, tokens] and the weight of each as a target; a function of its arguments alone."""
    length, _ = stage.at(seed, step)
    count, long = stage.tokens // length, replace(stage, length=length)
    words = (samples.seeded(seed, step, index, syllables=stage.syllables) for index in range(count))
    made = [_sample(names, long, form) for names in words]
    width = max(len(sample.ids) for sample in made)
    ids = torch.full((count, width), form.tokenizer.added["<|endoftext|>"])
    weights = torch.zeros((count, width))
    for row, sample in enumerate(made):
        ids[row, : len(sample.ids)] = torch.tensor(sample.ids)
        weights[row, : len(sample.ids)] = _weights(sample, stage, form)
    return ids, weights


def _weights(sample: Sample, stage: Stage, form: Format) -> torch.Tensor:
    """What a wrong token costs. All answers begin with "The", so the second token says whether there is one."""
    spoken = torch.tensor(sample.spoken)
    weights = torch.where(spoken, 1.0, REST)
    begins = spoken & ~_after(spoken)
    weights[_after(begins)] = STRESSED if stage.stress else DECIDING
    if stage.stress:
        ids, (bracket,) = torch.tensor(sample.ids), form.tokenizer.encode_data(" [")
        weights[_after(spoken & (ids == bracket))] = NUMBER
    return weights


def _after(mask: torch.Tensor) -> torch.Tensor:
    """The places after those of a mask."""
    return torch.nn.functional.pad(mask, (1, 0))[:-1]


def _sample(words: Vocabulary, stage: Stage, form: Format) -> Sample:
    """One that is not longer than the stage; shorter ones too, so that every place of the window is met."""
    frame = len(form.tokenizer.encode_data(stage.task))
    turns = words.rng.randrange(1, 2 + min(MOST_TURNS, (stage.length - frame) // 80))
    least = (stage.length + frame) // 2
    length = words.rng.randrange(least, stage.length) if words.rng.random() < 0.3 else stage.length
    thinking = words.rng.random() < THINKING
    while True:
        sample = _made(words, form, length, stage, turns, thinking)
        if len(sample.ids) <= stage.length:
            return sample
        turns = max(1, turns - 1)
        length -= 16


def _made(words: Vocabulary, form: Format, length: int, stage: Stage, turns: int, thinking: bool) -> Sample:
    asked = {"skills": stage.skills, "turns": turns, "repeats": stage.repeats}
    return samples.make_sample(words, form, length, **asked, task=stage.task, thinking=thinking)


def loss_of(model: Any, ids: torch.Tensor, weights: torch.Tensor) -> tuple[torch.Tensor, float]:
    """The weighted loss, and that of the answers' tokens alone."""
    positions = torch.arange(ids.shape[1]).expand(3, *ids.shape)
    logits = model(input_ids=ids, position_ids=positions, use_cache=False).logits[:, :-1]
    targets, kept = ids[:, 1:], weights[:, 1:]
    losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
    spoken = losses.detach()[kept.flatten() >= 1].mean().item()
    return (losses * kept.flatten()).sum() / kept.sum(), spoken


class Optimizers:
    """Muon for the matrices of the decoder, AdamW for everything else."""

    def __init__(self, model: Any) -> None:
        matrices = [p for p in model.model.language_model.layers.parameters() if p.ndim == 2 and min(p.shape) > 8]
        known = {id(p) for p in matrices}
        rest = [p for p in model.parameters() if p.requires_grad and id(p) not in known]
        self.all: list[tuple[Any, float]] = [
            (torch.optim.Muon(matrices, momentum=0.95, weight_decay=0.0, adjust_lr_fn="original"), MUON_RATE),
            (torch.optim.AdamW(rest, betas=(0.9, 0.98), weight_decay=0.0, foreach=True), ADAMW_RATE),
        ]

    def step(self, rate: float) -> None:
        """One step at a part of the full rates."""
        for optimizer, full in self.all:
            for group in optimizer.param_groups:
                group["lr"] = full * rate
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    def state(self) -> list[Any]:
        """What a checkpoint keeps."""
        return [optimizer.state_dict() for optimizer, _ in self.all]

    def restore(self, states: Sequence[Any]) -> None:
        """Go on from a checkpoint."""
        for (optimizer, _), state in zip(self.all, states, strict=True):
            optimizer.load_state_dict(state)


def schedule(stages: Sequence[Stage]) -> Iterator[tuple[Stage, float]]:
    """Stage and rate of every step: a warm-up at the beginning of each stage, then a cosine to its final rate."""
    for stage in stages:
        for step in range(stage.steps):
            cosine = (1 + math.cos(math.pi * step / stage.steps)) / 2
            rate = stage.final + (stage.rate - stage.final) * cosine
            yield stage, rate * min(1.0, (step + 1) / WARM_UP)


def train(work: Path, stages: Sequence[Stage], seed: int = 0) -> list[float]:
    """Train, from the last checkpoint on; the loss of every step that was done now.

    Args:
        work: where checkpoints and the log are kept.
        stages: what is to be done in all.
        seed: of weights and data.
    """
    form = folder.make_format(_tokenizer(work))
    model = folder.make_model(seed, form.tokenizer)
    model.model.visual.requires_grad_(False)  # nothing is shown to it yet
    rotations = {1: model.model.language_model.rotary_emb, FACTOR: folder.make_rotation(model, FACTOR)}
    optimizers = Optimizers(model)
    done = _restore(work, model, optimizers)
    losses: list[float] = []
    spoken: list[float] = []
    started = time.monotonic()
    for step, (stage, rate) in enumerate(schedule(stages)):
        if step < done:
            continue
        model.model.language_model.rotary_emb = rotations[stage.at(seed, step)[1]]
        loss, of_answers = loss_of(model, *make_batch(seed, step, stage, form))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizers.step(rate)
        losses.append(loss.item())
        spoken.append(of_answers)
        if (step + 1) % LOG_EVERY == 0:
            row = {"step": step + 1, "length": stage.length, "loss": _mean(losses), "answers": _mean(spoken)}
            _log(work, {**row, "seconds": round(time.monotonic() - started)})
        if (step + 1) % SAVE_EVERY == 0:
            _save(work, step + 1, model, optimizers)
    _save(work, sum(stage.steps for stage in stages), model, optimizers)
    return losses


def _tokenizer(work: Path) -> str:
    """The tokenizer.json of a training: made at its beginning, kept to its end, whatever becomes of the repository's text."""
    kept = work / "tokenizer.json"
    if not kept.is_file():
        work.mkdir(parents=True, exist_ok=True)
        kept.write_text(vocabulary.make_tokenizer().to_str(), encoding="utf-8")
    return kept.read_text(encoding="utf-8")


def _mean(values: Sequence[float]) -> float:
    last = values[-LOG_EVERY:]
    return round(sum(last) / len(last), 4)


def ship(work: Path, target: Path, stages: Sequence[Stage], seed: int) -> None:
    """Write the finished model's folder.

    Args:
        work: with the last checkpoint.
        target: the folder.
        stages: that were done.
        seed: of weights and data.
    """
    tokenizer = _tokenizer(work)
    model = folder.make_model(seed, folder.make_format(tokenizer).tokenizer)
    model.load_state_dict(torch.load(work / "last.pt", weights_only=True)["model"])
    tokens = sum(stage.steps * stage.tokens for stage in stages)
    folder.save(model, tokenizer, target, {"seed": seed, "batch_tokens": tokens, "stages": [asdict(stage) for stage in stages]})


def _log(work: Path, row: Mapping[str, float]) -> None:
    print(json.dumps(row), flush=True)
    with (work / "log.jsonl").open("a", encoding="utf-8") as log:
        log.write(json.dumps(row) + "\n")


def _save(work: Path, step: int, model: Any, optimizers: Optimizers) -> None:
    state = {"step": step, "model": model.state_dict(), "optimizers": optimizers.state()}
    torch.save(state, work / "new.pt")
    os.replace(work / "new.pt", work / "last.pt")


def _restore(work: Path, model: Any, optimizers: Optimizers) -> int:
    """The steps that are done."""
    if not (work / "last.pt").is_file():
        return 0
    state = torch.load(work / "last.pt", weights_only=True)
    model.load_state_dict(state["model"])
    optimizers.restore(state["optimizers"])
    return int(state["step"])


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path, help="folder for checkpoints and log")
    parser.add_argument("--smoke", action="store_true", help="a minute that must lower the loss")
    parser.add_argument("--seed", type=int, default=0, help="of weights and data")
    parser.add_argument("--target", type=Path, default=folder.SHIPPED, help="where the finished model is put")
    options = parser.parse_args(arguments)
    losses = train(options.work, SMOKE if options.smoke else STAGES, options.seed)
    if not options.smoke:
        ship(options.work, options.target, STAGES, options.seed)
    else:
        before, after = sum(losses[:5]) / 5, sum(losses[-5:]) / 5
        print(f"loss {before:.3f} -> {after:.3f}")
        raise SystemExit(0 if after < 0.8 * before else 1)


if __name__ == "__main__":
    main()
