"""Allotments: how the room for segments is divided among sources that were given a budget, and in which window.

Numbers in, numbers out: a claim is what the sources of one budget come to, whatever they are. A budget is a share of the room,
or tokens. The window is the smallest step in which every budget and all that has none is there at once; where there is none,
segments are chosen for each question, in the window in which questions are asked then.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Unpack

from longctx.errors import UsageError
from longctx.planner.devices import Device
from longctx.planner.geometry import Geometry
from longctx.planner.limits import Asked, Limits, limits
from longctx.planner.yarn import STEPS

Budget = float | int

#: Tokens below which nothing can be chosen: what frames a source and marks a segment takes as much.
LEAST_REST = 32
#: Shares are sums of decimals: 0.1 + 0.2 + 0.7 is all of it.
_EPSILON = 1e-9


def check(budgets: Mapping[str, Any]) -> dict[str, Budget]:
    """Budgets as they can be used: a number up to 1 is a share of the room, a whole number above 1 is tokens.

    Args:
        budgets: by what they are for.

    Raises:
        UsageError: a value is neither, or shares sum above 1; the message names key and value.

    >>> check({"lecture.mp4": 0.5, "src": 20_000})
    {'lecture.mp4': 0.5, 'src': 20000}
    """
    if not isinstance(budgets, Mapping):
        raise UsageError(f"budgets={budgets!r} is no mapping", hint='give budgets={"lecture.mp4": 0.5}')
    found = {_key(key): _budget(key, value) for key, value in budgets.items()}
    shares = [value for value in found.values() if isinstance(value, float)]
    if sum(shares) > 1 + _EPSILON:
        said = ", ".join(f"{key!r}: {value:g}" for key, value in found.items() if isinstance(value, float))
        raise UsageError(f"the shares of budgets sum to {sum(shares):.6g}: {said}", hint="together they may be 1 at most")
    return found


def _key(key: object) -> str:
    if not isinstance(key, str) or not key.strip():
        raise UsageError(f"a budget for {key!r} is for nothing", hint="give a path, a folder or a pattern")
    return key


def _budget(key: str, value: object) -> Budget:
    hint = "a share of the room for sources is above 0 and at most 1; a whole number above 1 is tokens"
    if isinstance(value, bool) or not isinstance(value, Real):
        raise UsageError(f"the budget for {key!r} is {value!r}, which is no number", hint=hint)
    number = float(value)
    if 0 < number <= 1:
        return number
    if isinstance(value, Integral) and number > 1:
        return int(value)
    if number == 0:
        raise UsageError(f"the budget for {key!r} is {value!r}", hint="exclude= of lc.read leaves a source out")
    raise UsageError(f"the budget for {key!r} is {value!r}, which is neither a share nor tokens", hint=hint)


@dataclass(frozen=True, slots=True)
class Claim:
    """What the sources of one budget come to.

    Args:
        key: of the budget.
        budget: a share (float) or tokens (int).
        tokens: that they would take whole.
    """

    key: str
    budget: Budget
    tokens: int

    def room(self, room: int) -> int:
        """Tokens of a room that the budget allows."""
        return math.floor(self.budget * room + _EPSILON) if isinstance(self.budget, float) else self.budget

    def taken(self, room: int) -> int:
        """Tokens that are really taken, at most."""
        return min(self.room(room), self.tokens)


@dataclass(frozen=True, slots=True)
class Division:
    """How the room is divided.

    Args:
        window: tokens.
        room: tokens for segments in one prompt, of which shares are shares.
        rooms: tokens by the key of each budget.
        rest: tokens that are left for all that has no budget, where every budget is used up.
        whole: whether all that is read is there at once; else segments are chosen for each question.
        alone: whether nothing is read but what has a budget, because budgets leave no room for anything else.
    """

    window: int
    room: int
    rooms: Mapping[str, int]
    rest: int
    whole: bool
    alone: bool = False


def divide(
    geometry: Geometry,
    claims: Sequence[Claim],
    others: int,
    *,
    device: Device,
    overhead_tokens: int,
    largest_item: int = 0,
    **asked: Unpack[Asked],
) -> Division:
    """Divide the room for segments.

    Args:
        geometry: of the model.
        claims: of the sources that have a budget.
        others: tokens of those that have none.
        device: where it will run.
        overhead_tokens: of a prompt besides the sources.
        largest_item: tokens of the largest picture or temporal patch.
        asked: see :class:`~longctx.planner.limits.Asked`.

    Raises:
        UsageError: a value is out of range, or budgets ask for more tokens than any window has room for.

    >>> from longctx.planner import imagined, member
    >>> geometry = Geometry.from_config(member("Qwen/Qwen3.5-4B").config)
    >>> gpu = imagined("cuda", 80 * 10**9)
    >>> halves = divide(geometry, [Claim("lecture.mp4", 0.5, 450_000)], 100_000, device=gpu, overhead_tokens=300)
    >>> halves.window, halves.room, halves.rooms, halves.whole
    (262144, 253652, {'lecture.mp4': 126826}, True)
    """
    found = limits(geometry, device, overhead_tokens=overhead_tokens, largest_item=largest_item, **asked)
    windows = [(window, max(0, held - overhead_tokens - found.reserve)) for window, held in _windows(found)]
    for wide, room in windows:
        if sum(claim.taken(room) for claim in claims) + others <= room:
            return _division(claims, wide, room, whole=True)
    wide, room = found.questions
    room = max(0, room - overhead_tokens)
    claimed = sum(claim.taken(room) for claim in claims)
    # What the memory does not hold at all is refused by the plan itself, with what would do.
    if claimed > room and found.room >= found.least:
        said = ", ".join(f"{claim.key!r}: {claim.budget:,}" for claim in claims)
        raise UsageError(
            f"the budgets ask for {claimed:,} tokens, and a window of {wide:,} has room for {room:,} ({said})",
            hint="give shares, fewer tokens, or a larger window",
        )
    alone = room - claimed < LEAST_REST
    return _division(claims, wide, room, whole=alone or not others, alone=alone and others > 0)


def _windows(found: Limits) -> Iterator[tuple[int, int]]:
    """Windows to try, the smallest first, and how much of each the memory holds."""
    rope = found.geometry.rope
    steps = {rope.window(factor) for factor in STEPS} if found.asked_window is None else {found.asked_window}
    for wide in sorted(steps):
        yield wide, min(wide, found.room) if found.room >= found.least else wide


def _division(claims: Sequence[Claim], window: int, room: int, *, whole: bool, alone: bool = False) -> Division:
    rooms = {claim.key: claim.room(room) for claim in claims}
    return Division(window, room, rooms, max(0, room - sum(claim.taken(room) for claim in claims)), whole, alone)
