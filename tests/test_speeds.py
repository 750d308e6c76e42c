"""What a device was measured to do is kept, told to plans, and never believed where it is damaged or another device's."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import longctx as lc
from longctx import cli, planner, speeds
from longctx.errors import UsageError
from longctx.planner import Device, Precision, Speed

SPEED = Speed(products=1e9, width=1e-9, attention=1e9, delta=1e-7, weights=1e8, layer=1e-5, keys=1e8)
FLOAT, NF4 = Precision(16, "float32"), Precision(4, "bfloat16")
HERE = Device("cpu", "a CPU", 8 * 10**9, 6 * 10**9)


def test_what_is_kept_comes_back_by_precision(cache: Path) -> None:
    assert speeds.kept(HERE) == {}
    speeds.keep(HERE, FLOAT, SPEED)
    speeds.keep(HERE, NF4, replace(SPEED, weights=5e8))
    speeds.keep(HERE, FLOAT, replace(SPEED, weights=7e8))
    assert speeds.kept(HERE) == {FLOAT: replace(SPEED, weights=7e8), NF4: replace(SPEED, weights=5e8)}
    assert [path.name for path in cache.iterdir()] == ["speeds.json"]


def test_the_speed_of_one_device_is_not_told_of_another(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    speeds.keep(HERE, FLOAT, SPEED)
    assert speeds.kept(replace(HERE, name="another CPU")) == {}
    assert speeds.kept(replace(HERE, here=False)) == {}
    assert speeds.kept(replace(HERE, kind="cuda")) == {}
    monkeypatch.setattr("os.sched_getaffinity", lambda process: range(96), raising=False)
    assert speeds.kept(HERE) == {}


@pytest.mark.parametrize("damage", ["", "[]", "{", '{"version": 0}', '{"version": 1, "devices": []}', "[" * 100_000])
def test_a_damaged_file_is_no_speed_and_is_written_anew(cache: Path, damage: str) -> None:
    cache.mkdir()
    (cache / "speeds.json").write_text(damage)
    assert speeds.kept(HERE) == {}
    speeds.keep(HERE, FLOAT, SPEED)
    assert speeds.kept(HERE) == {FLOAT: SPEED}


@pytest.mark.parametrize(
    "rows", [[], {"16": {}}, {"5 float32": 0}, {"16 float8": 1}, {"x float32": 2}, {"16 float32": {"keys": 1}}]
)
def test_rows_that_are_none_are_left_out(cache: Path, rows: Any) -> None:
    speeds.keep(HERE, FLOAT, SPEED)
    kept = json.loads((cache / "speeds.json").read_text())
    (name,) = kept["devices"]
    filled = {key: SPEED.to_json() if isinstance(row, int) else row for key, row in rows.items()} if rows else rows
    kept["devices"][name] = filled
    (cache / "speeds.json").write_text(json.dumps(kept))
    assert speeds.kept(HERE) == {}


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Precision]]:
    """What is asked to be measured, in the place of measuring it."""
    from longctx.backends.transformers import calibrate

    asked: list[tuple[str, Precision]] = []

    def measure(kind: str, precision: Precision, job: Any) -> Speed:
        asked.append((kind, precision))
        return SPEED

    monkeypatch.setattr(calibrate, "calibrate", measure)
    return asked


def test_after_a_calibration_plans_tell_their_time(
    cache: Path, project: Path, tiny_models: Callable[[str], Path], measured: list[tuple[str, Precision]]
) -> None:
    plan = lc.plan(project, tiny_models("llama"), device="cpu")
    assert plan.figures.time is None
    assert "lc.calibrate(plan)" in plan.text
    assert lc.calibrate(plan) == SPEED
    assert measured == [("cpu", Precision(plan.bits, plan.figures.dtype))]
    again = lc.plan(project, tiny_models("llama"), device="cpu")
    assert again.figures.time is not None
    assert "time      about" in again.text
    assert "tok/s (calibrated)" in again.text
    assert "lc.calibrate" not in again.text
    assert "<dt>Time</dt><dd>about" in again._repr_mimebundle_()["text/html"]


def test_the_command_measures_and_keeps(
    cache: Path, measured: list[tuple[str, Precision]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["calibrate", "--device", "cpu", "--bits", "4", "--dtype", "float32", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == SPEED.to_json()
    assert speeds.kept(planner.device_for("cpu", None)) == {Precision(4, "float32"): SPEED}


def test_what_cannot_be_measured_is_refused(cache: Path, measured: list[tuple[str, Precision]], tmp_path: Path) -> None:
    config = Path(__file__).parent / "planner" / "configs" / "Qwen3.5-4B" / "config.json"
    elsewhere = lc.plan(model=config.parent, device="cuda", memory="24GB")
    with pytest.raises(UsageError, match="not in this machine"):
        lc.calibrate(elsewhere)
    with pytest.raises(UsageError, match="bits=5"):
        lc.calibrate(bits=5)
    assert measured == []


def test_a_folder_that_cannot_be_written_is_named(
    cache: Path, measured: list[tuple[str, Precision]], monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.write_text("a file stands where the folder should be")
    with pytest.raises(UsageError, match="cannot be written"):
        lc.calibrate(device="cpu", dtype="float32")
