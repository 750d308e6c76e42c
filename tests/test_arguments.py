"""Options of the command line, without running what they are for."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from longctx import arguments
from longctx.errors import UsageError


def read(options: argparse.Namespace) -> int:
    """``longctx read``: tells what is read."""
    return 0


def plan(options: argparse.Namespace) -> int:
    """``longctx plan``: tells what fits."""
    return 0


@pytest.mark.parametrize(
    ("given", "all_of_it", "by_path"),
    [
        ([], None, {}),
        (["300"], 300, {}),
        (["a=b.md=300", "retry.py=0.5"], None, {"a=b.md": 300, "retry.py": 0.5}),
        (["src=1.0", "50000"], 50_000, {"src": 1.0}),
        (["²=2"], None, {"²": 2}),
    ],
)
def test_a_budget_is_for_all_that_is_read_or_for_a_path(
    given: list[str], all_of_it: int | None, by_path: dict[str, float]
) -> None:
    found = arguments.budgets(given)
    assert (arguments.budget(given), found) == (all_of_it, by_path)
    assert [type(value) for value in found.values()] == [type(value) for value in by_path.values()], "tokens, or a share"


@pytest.mark.parametrize("wrong", ["retry.py", "=0.5", "retry.py=", "retry.py=half", "²"])
def test_a_budget_that_is_neither_tokens_nor_a_path_with_its_share_is_named(wrong: str) -> None:
    with pytest.raises(UsageError, match="is no PATH=SHARE") as refused:
        arguments.budgets([wrong])
    assert repr(wrong) in refused.value.message


def test_a_second_budget_for_the_same_is_refused() -> None:
    with pytest.raises(UsageError, match=r"second one for 'a\.py'"):
        arguments.budgets(["a.py=1", "b.py=1", "a.py=2"])
    with pytest.raises(UsageError, match="--budget 4 is the second one for all"):
        arguments.budget(["3", "a.py=1", "4"])


def test_read_takes_no_budget_for_a_path(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        arguments.parser(read).parse_args(["read", ".", "--budget", "src=300"])
    assert "'src=300' is no number of tokens" in capsys.readouterr().err
    assert arguments.parser(read).parse_args(["read", ".", "--budget", "300"]).budget == ["300"]


def test_the_command_that_was_named_is_run_and_told_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    parser = arguments.parser(read, plan)
    assert parser.parse_args(["read", "."]).run is read
    assert parser.parse_args(["plan"]).run is plan
    with pytest.raises(SystemExit):
        parser.parse_args(["--help"])
    told = capsys.readouterr().out
    assert "tells what is read." in told
    assert "tells what fits." in told


def test_a_password_is_never_taken_from_the_command_line(tmp_path: Path) -> None:
    options = arguments.parser(read).parse_args(["read", "--password", str(tmp_path)])
    assert options.password is True
    assert options.paths == [str(tmp_path)]
