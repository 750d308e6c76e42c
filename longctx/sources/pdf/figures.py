"""Pictures on a page that also has text: which of its images are figures, and which are only there to please.

Images that touch are one figure. Lines, bullets and small signs are none; whether an image stands on many pages, as a logo
does, is known once all pages were seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from longctx.corpus import Box
from longctx.sources.pdf.lines import Image, middle_in, union

#: Points of the shorter side, and pixels of its largest image, that a figure has at least.
LEAST, LEAST_PIXELS = 36.0, 24 * 24
#: Points between two images of one figure.
_NEAR = 2.0
#: Figures of one page; what is more is a pattern.
_MOST = 60
#: Share of a page from which an image is behind what is drawn on it.
_BACKGROUND = 0.7


@dataclass(frozen=True, slots=True)
class Figure:
    """A picture on a page.

    Args:
        box: in the page's own frame.
        keys: of the images that it is made of; of a drawing one that tells it from others.
        written: whether what is written in it is text of the page, as the words of a drawing are.
    """

    box: Box
    keys: tuple[str, ...]
    written: bool = False


def figures(images: Sequence[Image], size: tuple[float, float]) -> tuple[list[Figure], int]:
    """The figures of a page, from top to bottom, and how many images are too small to be one.

    Args:
        images: of the page.
        size: of the page in its own frame, points.
    """
    groups: list[list[Image]] = []
    for image in images:
        near = [group for group in groups if any(_near(image.box, one.box) for one in group)]
        groups = [group for group in groups if group not in near]
        groups.append([image, *(one for group in near for one in group)])
    found, small = [], 0
    for group in groups:
        box = _on(union([one.box for one in group]), size)
        if min(box[2] - box[0], box[3] - box[1]) < LEAST or max(one.pixels[0] * one.pixels[1] for one in group) < LEAST_PIXELS:
            small += len(group)
        else:
            found.append(Figure(box, tuple(sorted({one.key for one in group}))))
    found.sort(key=lambda figure: (figure.box[1], figure.box[0]))
    return (found, small) if len(found) <= _MOST else ([], small + len(found))


def together(found: Sequence[Figure], drawn: Sequence[Figure], size: tuple[float, float]) -> list[Figure]:
    """Figures and drawings of a page from top to bottom; what is drawn over a picture is one figure with it.

    Args:
        found: figures that are images.
        drawn: drawings.
        size: of the page in its own frame, points.
    """
    result = list(drawn)
    for figure in found:
        over = [one for one in result if middle_in(one.box, figure.box) or middle_in(figure.box, one.box)]
        if _area(figure.box) > _BACKGROUND * size[0] * size[1]:
            over = []  # such as a sheet on which everything is drawn
        result = [one for one in result if one not in over]
        keys = tuple(sorted({key for one in (figure, *over) for key in one.keys}))
        result.append(Figure(union([figure.box, *(one.box for one in over)]), keys))
    return sorted(result, key=lambda figure: (figure.box[1], figure.box[0]))


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _near(one: Box, other: Box) -> bool:
    return (
        one[0] - _NEAR <= other[2] and other[0] - _NEAR <= one[2] and one[1] - _NEAR <= other[3] and other[1] - _NEAR <= one[3]
    )


def _on(box: Box, size: tuple[float, float]) -> Box:
    return (max(0.0, box[0]), max(0.0, box[1]), min(size[0], box[2]), min(size[1], box[3]))
