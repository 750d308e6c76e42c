"""Which model is meant: named, known where no hub answers, a member of a family."""

from __future__ import annotations

from pathlib import Path

import pytest

from longctx import choosing, models
from longctx.errors import ModelNotFoundError, UsageError
from longctx.planner import Geometry, imagined, members


@pytest.fixture(autouse=True)
def no_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def test_a_default_is_never_one_that_cannot_be_quantised() -> None:
    assert [name.removeprefix("Qwen/Qwen3.5-") for name in choosing.FAMILY] == ["9B", "4B", "2B", "0.8B"]
    assert choosing.SMALLEST == "Qwen/Qwen3.5-0.8B"
    assert [member.name for member in members.FAMILY if member.name not in choosing.FAMILY] == ["Qwen/Qwen3.5-35B-A3B"]


@pytest.mark.parametrize("config_only", [True, False])
def test_a_known_name_is_planned_by_what_is_known_where_no_hub_answers(config_only: bool) -> None:
    files = choosing.named("Qwen/Qwen3.5-2B", config_only=config_only)
    assert (files.remote, files.config_only) == (True, True)
    assert Geometry.from_config(files.config).hidden == 2048
    with pytest.raises(ModelNotFoundError, match="some/model"):
        choosing.named("some/model", config_only=config_only)
    with pytest.raises(UsageError, match="empty"):
        choosing.named(" ", config_only=config_only)


def test_a_model_that_the_hub_does_not_have_is_not_made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*args: object, **options: object) -> None:
        raise ModelNotFoundError("the hub knows no such model")  # and so another try would not help

    monkeypatch.setattr(models, "find", refused)
    with pytest.raises(ModelNotFoundError, match="knows no such model"):
        choosing.named("Qwen/Qwen3.5-2B", config_only=True)


def test_the_family_is_known_as_a_whole_without_any_file() -> None:
    family = choosing.family(config_only=False)
    assert list(family) == [member.name for member in members.FAMILY]
    assert all(files.remote and files.config_only for files in family.values())
    candidate = choosing.candidate(family["Qwen/Qwen3.5-4B"], imagined("cuda", 24 * 10**9), None)
    assert (candidate.geometry.name, candidate.here) == ("Qwen/Qwen3.5-4B", False)


def test_what_is_elsewhere_is_told_with_its_size() -> None:
    files = choosing.family(config_only=True)["Qwen/Qwen3.5-9B"]
    (words,) = choosing.whereabouts(files, Geometry.from_config(files.config))
    assert words == (
        "Qwen/Qwen3.5-9B is not on this machine: fetching it takes about 18.8 GB; planned by what longctx knows of it"
    )
