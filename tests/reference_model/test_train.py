"""The training script lowers the loss, and goes on after a stop as if there had been none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.reference_model import train
from tests.reference_model.batches import Stage

SHORT = (Stage(4, 128, 512), Stage(4, 160, 512, listing=0.5, citing=0.5))


@pytest.mark.long(30)
def test_a_minute_of_training_lowers_the_loss(tmp_path: Path) -> None:
    losses = train.train(tmp_path, train.SMOKE)
    assert sum(losses[-5:]) / 5 < 0.6 * sum(losses[:5]) / 5


def test_a_training_that_was_stopped_goes_on_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(train, "SAVE_EVERY", 3)
    whole = train.train(tmp_path / "whole", SHORT)
    real = train._save

    def die(work: Path, step: int, *parts: Any) -> None:
        real(work, step, *parts)
        if step == 6:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(train, "_save", die)
        with pytest.raises(KeyboardInterrupt):
            train.train(tmp_path / "stopped", SHORT)
    assert train.train(tmp_path / "stopped", SHORT) == whole[6:]
    first, second = (torch.load(tmp_path / name / "last.pt", weights_only=True) for name in ("whole", "stopped"))
    assert all(torch.equal(first["model"][name], second["model"][name]) for name in first["model"])
