from __future__ import annotations

import json
from dataclasses import replace

import pytest

from longctx.planner import Geometry, members, rope_parameters
from tests.planner.published import CONFIGS

#: As keras-team/keras-hub states them: keras_hub/src/models/qwen3_5/qwen3_5_presets.py at 48b75967,
#: qwen3_5_moe/qwen3_5_moe_presets.py at f58fbbcc.
PARAMETERS = {
    "Qwen/Qwen3.5-0.8B": 852_985_920,
    "Qwen/Qwen3.5-2B": 2_213_241_664,
    "Qwen/Qwen3.5-4B": 4_539_265_536,
    "Qwen/Qwen3.5-9B": 9_409_813_744,
    "Qwen/Qwen3.5-35B-A3B": 35_107_181_936,
}


def published(member):
    return json.loads((CONFIGS / member.name.removeprefix("Qwen/") / "config.json").read_text())


@pytest.mark.parametrize("member", members.FAMILY, ids=lambda member: member.name)
def test_what_is_known_of_a_member_is_what_its_config_says(member):
    config = published(member)
    known = Geometry.from_config(member.config, name="m")
    assert known == Geometry.from_config(config, name="m")
    assert known.parameters.total == PARAMETERS[member.name]
    for factor in (1.0, 2.0, 4.0):
        assert rope_parameters(member.config, factor) == rope_parameters(config, factor)
    for key in ("architectures", "model_type", "image_token_id", "video_token_id", "vision_start_token_id"):
        assert member.config[key] == config[key]


def test_the_family_stands_from_the_largest_to_the_smallest():
    sizes = [Geometry.from_config(member.config).parameters.total for member in members.FAMILY]
    assert sizes == sorted(sizes, reverse=True)
    assert {member.name for member in members.FAMILY} == set(PARAMETERS)


def test_a_name_finds_its_member_and_no_other():
    assert members.member("Qwen/Qwen3.5-9B").layers == 32
    assert members.member("Qwen/Qwen3.5-9B-Base") is members.member("qwen") is None


def test_a_wrong_fact_would_be_noticed():
    small = members.FAMILY[-1]
    wrong = Geometry.from_config(replace(small, kv_heads=4).config, name="m")
    assert wrong != Geometry.from_config(published(small), name="m")
