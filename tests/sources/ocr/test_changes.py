"""When a picture changed is found to the very frame, and kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from longctx.corpus import Footage, Frame
from longctx.sources.ocr.changes import Changes


@dataclass
class Slides:
    """Frames of plain grey that change at known times, with some noise."""

    changes: tuple[float, ...]
    lost: frozenset[float] = frozenset()
    identity: str = "slides"
    asked: list[float] = field(default_factory=list)

    def frames(self, places: Sequence[float], width: int, height: int, check: Callable[[], None]) -> Iterator[Frame]:
        rng = np.random.default_rng(0)
        for place in places:
            self.asked.append(place)
            if place not in self.lost:
                grey = 40 * sum(place >= change for change in self.changes)
                noise = rng.integers(0, 6, (height, width, 3))
                yield Frame(place, (grey + noise).astype(np.uint8))


def footage(medium: Slides, seconds: float = 30.0, fps: float = 10.0) -> Footage:
    return Footage(medium, 640, 360, seconds, [i / fps for i in range(round(seconds * fps))])


def go_on() -> None:
    pass


def test_the_first_frame_of_a_slide_is_found_between_those_that_were_read(tmp_path: Path) -> None:
    medium = Slides((5.0, 12.3, 12.9))
    pairs = [(4.0, 5.5), (12.0, 12.6), (12.6, 13.0)]
    found = Changes(tmp_path, go_on).of(footage(medium), pairs)
    assert [found[pair] for pair in pairs] == [5.0, 12.3, 12.9]


def test_what_was_found_is_not_decoded_again(tmp_path: Path) -> None:
    medium, pairs = Slides((5.0,)), [(4.0, 6.0)]
    first = Changes(tmp_path, go_on).of(footage(medium), pairs)
    asked = len(medium.asked)
    assert Changes(tmp_path, go_on).of(footage(medium), pairs) == first
    assert len(medium.asked) == asked > 0
    next(tmp_path.glob("*.change")).write_text("[]")
    assert Changes(tmp_path, go_on).of(footage(medium), pairs) == first


def test_frames_that_are_lost_leave_the_time_of_a_frame_that_was_read(tmp_path: Path) -> None:
    lost = frozenset(i / 10 for i in range(41, 300))
    found = Changes(tmp_path, go_on).of(footage(Slides((5.0,), lost)), [(4.0, 6.0), (7.0, 9.0)])
    assert found == {(4.0, 6.0): 6.0, (7.0, 9.0): 9.0}


def test_what_stood_between_two_slides_is_taken_for_neither(tmp_path: Path) -> None:
    found = Changes(tmp_path, go_on).of(footage(Slides((5.0, 6.0, 7.0))), [(4.0, 8.0)])
    assert found == {(4.0, 8.0): 7.0}


def test_neighbouring_frames_and_no_pairs_need_no_search(tmp_path: Path) -> None:
    medium = Slides((5.0,))
    assert Changes(tmp_path, go_on).of(footage(medium), [(4.9, 5.0)]) == {(4.9, 5.0): 5.0}
    assert Changes(tmp_path, go_on).of(footage(Slides(())), []) == {}
