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
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from longctx.prompts import SYSTEM
from tests.reference_model import folder, vocabulary
from tests.reference_model.batches import BLANK, DIGITS, FACTOR, NO_NUMBER, Batch, Stage, make_batch
from tests.reference_model.folder import WINDOW

#: Learning rates of Muon for matrices (Jordan's scaling), of AdamW for the rest.
MUON_RATE, ADAMW_RATE = 0.02, 3e-3
WARM_UP = 50
SAVE_EVERY = 200
LOG_EVERY = 20

MIXED = {"recall": 0.35, "order": 0.3, "absent": 0.35}
HARD = {"recall": 0.15, "order": 0.45, "absent": 0.4}
ORDER = {"recall": 0.25, "order": 0.5, "absent": 0.25}
SHORT = {"recall": 0.6, "order": 0.1, "absent": 0.3}
FINE = Stage(
    1_000, WINDOW, 4_096, rate=0.4, final=0.01, skills=HARD, task=SYSTEM, echo=0.1, far=0.25, citing=0.2, unknown=5.0
)  # fmt: skip
STAGES = (
    Stage(500, 128, 2_048, skills=SHORT, repeats=0.2, syllables=8),
    Stage(1_500, 256, 3_072, turns=2, echo=0.5, syllables=8),
    Stage(1_000, 256, 3_072, turns=2, echo=1.0, syllables=8),
    Stage(1_000, 256, 3_072, turns=2, echo=1.0),
    Stage(1_000, 256, 3_072, turns=2, echo=0.5, listing=0.5, citing=0.7),
    Stage(600, 256, 3_072, repeats=0.1, echo=0.3, listing=0.3, citing=0.3),
    Stage(4_000, WINDOW, 4_096, final=0.02, skills=MIXED, task=SYSTEM, echo=0.2, listing=0.1, far=0.25, citing=0.2),
    FINE,
    replace(FINE, steps=2_000, final=0.005, skills=ORDER, far=0.35, changing=0.6),
)
SMOKE = (Stage(60, 128, 2_048),)


class Carried(torch.nn.Module):
    """Which segment is this? Asked of tokens after some layers, by heads that are thrown away in the end.

    An answer cites the number that stands up to a hundred tokens before its statement. That the delta rule is to carry it to
    every token of the segment, and that looking up the statement is to bring it along, is hardly learnt from answers alone:
    there the marks of all segments are looked at, and one of them guessed.

    Args:
        model: whose layers are asked.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        asked = {*folder.CARRIES, folder.LOOKS_UP}
        self.heads = torch.nn.ModuleDict({str(n): torch.nn.Linear(folder.HIDDEN, DIGITS * (BLANK + 1)) for n in sorted(asked)})
        self._seen: dict[int, torch.Tensor] = {}
        for layer in asked:
            model.model.language_model.layers[layer].register_forward_hook(self._see(layer))

    def _see(self, layer: int) -> Any:
        return lambda module, inputs, output: self._seen.__setitem__(layer, output)

    def loss(self, batch: Batch) -> torch.Tensor:
        """Of the last forward, the sum over layers."""
        own = sum(self._after(layer, batch.own) for layer in folder.CARRIES)
        return own + self._after(folder.LOOKS_UP, batch.cited)

    def _after(self, layer: int, numbers: torch.Tensor) -> torch.Tensor:
        """The mean over tokens and digits after a layer."""
        asked = numbers[..., -1] != NO_NUMBER
        normed = torch.nn.functional.rms_norm(self._seen[layer][asked], (folder.HIDDEN,))
        logits = self.heads[str(layer)](normed).unflatten(-1, (DIGITS, BLANK + 1))
        summed = torch.nn.functional.cross_entropy(logits.flatten(0, 1), numbers[asked].flatten(), reduction="sum")
        return summed / max(1, numbers[asked].numel())


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

    def __init__(self, model: Any, carried: Carried) -> None:
        matrices = [p for p in model.model.language_model.layers.parameters() if p.ndim == 2 and min(p.shape) > 8]
        known = {id(p) for p in matrices}
        rest = [p for p in (*model.parameters(), *carried.parameters()) if p.requires_grad and id(p) not in known]
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
    decoder = model.model.language_model
    rotations = {1: decoder.rotary_emb, FACTOR: folder.make_rotation(model, FACTOR)}
    carried = Carried(model)
    optimizers = Optimizers(model, carried)
    done = _restore(work, model, carried, optimizers)
    rows: list[dict[str, float]] = []
    started = time.monotonic()
    for step, (stage, rate) in enumerate(schedule(stages)):
        if step < done:
            continue
        decoder.rotary_emb = rotations[stage.at(seed, step)[1]]
        decoder.layers[-1].requires_grad_(stage.citing > 0)
        batch = make_batch(seed, step, stage, form)
        loss, answers = loss_of(model, batch.ids, batch.weights)
        numbers = carried.loss(batch) if stage.citing else torch.zeros(())
        (loss + stage.citing * numbers).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizers.step(rate)
        rows.append({"loss": loss.item(), "answers": answers, "numbers": numbers.item()})
        if (step + 1) % LOG_EVERY == 0:
            seconds = round(time.monotonic() - started)
            _log(work, {"step": step + 1, "length": stage.length, **_means(rows[-LOG_EVERY:]), "seconds": seconds})
        if (step + 1) % SAVE_EVERY == 0:
            _save(work, step + 1, model, carried, optimizers)
    _save(work, sum(stage.steps for stage in stages), model, carried, optimizers)
    return [row["loss"] for row in rows]


def _tokenizer(work: Path) -> str:
    """The tokenizer.json of a training: made at its beginning, kept to its end, whatever becomes of the repository's text."""
    kept = work / "tokenizer.json"
    if not kept.is_file():
        work.mkdir(parents=True, exist_ok=True)
        kept.write_text(vocabulary.make_tokenizer().to_str(), encoding="utf-8")
    return kept.read_text(encoding="utf-8")


def _means(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: round(sum(row[name] for row in rows) / len(rows), 4) for name in rows[0]}


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


def _save(work: Path, step: int, model: Any, carried: Carried, optimizers: Optimizers) -> None:
    parts = {"model": model.state_dict(), "carried": carried.state_dict(), "optimizers": optimizers.state()}
    state = {"step": step, **parts}
    torch.save(state, work / "new.pt")
    os.replace(work / "new.pt", work / "last.pt")


def _restore(work: Path, model: Any, carried: Carried, optimizers: Optimizers) -> int:
    """The steps that are done."""
    if not (work / "last.pt").is_file():
        return 0
    state = torch.load(work / "last.pt", weights_only=True)
    model.load_state_dict(state["model"])
    carried.load_state_dict(state["carried"])
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
