"""What the training weighs and asks for is what stands in its conversations."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch

from tests.reference_model import batches, folder, train
from tests.reference_model.batches import BLANK, DECIDING, NO_NUMBER, NUMBER, REST, Batch, Stage
from tests.reference_model.samples import Format

LISTING = Stage(1, 256, 3_072, listing=1.0, citing=1.0)


@pytest.fixture(scope="module")
def form() -> Format:
    return Format.of(folder.SHIPPED)


@pytest.fixture(scope="module")
def listing(form: Format) -> Batch:
    return batches.make_batch(0, 1, LISTING, form)


@pytest.mark.parametrize("stage", train.STAGES)
def test_every_sample_fits_its_stage(form: Format, stage: Stage) -> None:
    batch = batches.make_batch(0, 7, replace(stage, far=0.0), form)
    assert batch.ids.shape[1] <= stage.length
    assert (batch.weights >= 1).any(dim=1).all()


def test_a_far_batch_is_four_times_as_long(form: Format) -> None:
    stage = replace(train.STAGES[-1], far=1.0)
    assert stage.at(0, 7) == (4 * folder.WINDOW, 4)
    assert folder.WINDOW < batches.make_batch(0, 7, stage, form).ids.shape[1] <= 4 * folder.WINDOW


def test_tokens_of_the_sources_are_asked_for_the_segment_in_which_they_stand(form: Format, listing: Batch) -> None:
    for ids, numbers in zip(listing.ids, listing.own, strict=True):
        read = "".join(_said(form, token, number) for token, number in zip(ids, numbers, strict=True))
        marks = re.findall(r"<seg (\d+)((?:\{\d+\}[^{<]+)*)", read)
        assert marks
        for number, inside in marks:
            assert set(re.findall(r"\{(\d+)\}", inside)) == {number}
        assert "{" not in read[: read.index("<seg")] + read[read.rindex("Question") :]


def test_tokens_of_an_answer_are_asked_for_the_segment_that_it_cites(form: Format, listing: Batch) -> None:
    for ids, numbers in zip(listing.ids, listing.cited, strict=True):
        read = "".join(_said(form, token, number) for token, number in zip(ids, numbers, strict=True))
        told = read[read.rindex("assistant") :]
        cited = re.findall(r" is((?:\{\d+\}[^{\]]+)*)\]", told)
        assert cited
        for claim in cited:
            number = "".join(re.findall(r"\d", re.sub(r"\{\d+\}", "", claim.rpartition("[")[2])))
            assert set(re.findall(r"\{(\d+)\}", claim)) == {number}
        assert "{" not in read[: read.rindex("assistant")]


def _said(form: Format, token: torch.Tensor, number: torch.Tensor) -> str:
    """A token, behind the number that it is asked for."""
    text = form.tokenizer.decode([int(token)])
    if number[-1] == NO_NUMBER:
        return text
    return "{" + "".join(str(int(digit)) for digit in number if digit != BLANK) + "}" + text


def test_where_everything_is_told_in_any_order_only_values_and_segments_weigh(form: Format, listing: Batch) -> None:
    weighed = [form.tokenizer.decode([int(token)]) for token in listing.ids[listing.weights >= 1]]
    assert not {"The", " The", " code", " of", " is", "."} & set(weighed)
    assert {" [", "]."} <= set(weighed)


def test_what_decides_and_what_is_cited_weighs_most(form: Format) -> None:
    batch = batches.make_batch(0, 3, Stage(1, 256, 1_024, skills={"recall": 1.0}), form)
    assert batch.weights.unique().tolist() == pytest.approx([0.0, REST, 1.0, DECIDING])
    assert DECIDING == NUMBER
    heavy = "".join(form.tokenizer.decode([int(token)]) for token in batch.ids[batch.weights == NUMBER])
    assert re.fullmatch(r"(?:[ a-z\"]+\d{1,3}\]?\.?)+", heavy), heavy


def test_what_was_said_before_weighs_where_files_say_it_again(form: Format) -> None:
    echo = Stage(1, 256, 1_024, echo=1.0, turns=1)
    again = batches.make_batch(0, 3, echo, form)
    plain = batches.make_batch(0, 3, replace(echo, echo=0.0), form)
    assert (again.weights >= 1).sum() > 2 * (plain.weights >= 1).sum()
