"""The table of the model card is true: recomputed on fewer questions, every skill reaches its threshold."""

from __future__ import annotations

import pytest

from tests.reference_model.evaluate import Gain, Row, Score, main, table
from tests.reference_model.folder import SHIPPED

#: Of each skill. The whole table takes 400.
FEW = 120
#: What the model of today reaches, with room for few questions. What it shall reach stands in the table itself.
REACHED = {
    ("exact recall", 512): 0.95,
    ("first and latest", 512): 0.85,
    ("the right segment cited", 512): 0.95,
    ("not stated, and said so", 512): 0.95,
    ("exact recall", 2048): 0.92,
    ("first and latest", 2048): 0.78,
}


@pytest.mark.long(60)
def test_every_skill_is_what_the_card_says_as_far_as_few_questions_can_tell() -> None:
    rows = table(SHIPPED, FEW)
    assert {row.factor for row in rows} == {1.0, 4.0}
    measured = {(row.name, row.tokens): row.measured.value for row in rows}
    assert not {key: measured[key] for key, least in REACHED.items() if measured[key] < least}
    gain = next(row.measured for row in rows if isinstance(row.measured, Gain))
    assert gain.interval[0] > 0.1, "YaRN is worth nothing"


def test_intervals_are_those_of_the_textbook() -> None:
    low, high = Score(81, 263).interval
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)  # Newcombe (1998), table I, method 3
    assert Gain((1, 0, 1, 0)).interval == pytest.approx((0.5 - 1.96 * (1 / 12) ** 0.5, 0.5 + 1.96 * (1 / 12) ** 0.5))
    assert Score(0, 0).interval == (0.0, 1.0)


def test_a_row_below_its_threshold_says_so_and_fails_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    row = Row("exact recall", 512, 1.0, Score(90, 100), 0.95)
    monkeypatch.setattr("tests.reference_model.evaluate.table", lambda model, count: [row])
    assert main([]) == 1
    assert "BELOW 0.95" in capsys.readouterr().out
