"""What is read of sources that have a share of the room: of a video fewer frames, of others a shorter form or the beginning.

Joins the planner's division of the room with the corpus; decodes nothing. Where there is room for everything else too, all of
it is read at once. Where there is not, segments are chosen for each question: videos and what is within its budget are read for
each of them, and of the others a budget says how much may be chosen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cached_property, lru_cache
from typing import Any

from longctx import looking, planner
from longctx.corpus import Corpus, Source
from longctx.counting import Cost, Measure
from longctx.errors import UsageError
from longctx.looking import Film, Seen, Wishes
from longctx.planner import Allotted, Budget, Claim, Division, Figures, Geometry, LeftOut, Room, Sampling, Sight
from longctx.portions import CHOSEN, FEWER, LATER, MANY, MIXED, NOTHING, SIGNATURES, Form, Part, beginning, forms, within
from longctx.sources.programs.ranking import ranks
from longctx.sources.programs.shapes import BY_LOOK, installed, shapes
from longctx.sources.tree.ignores import Patterns

ENDLESS = 10**15


# -- which budget a source has -----------------------------------------------------------------------------------------
def check(corpus: Corpus, budgets: Mapping[str, Any]) -> dict[str, Budget]:
    """Budgets as they can be used.

    Args:
        corpus: as it was read.
        budgets: by path, folder or pattern, as the corpus cites them.

    Raises:
        UsageError: a value is no budget, shares sum above 1, or a key names nothing that was read.
    """
    found = planner.check_budgets(budgets)
    paths = [source.path for source in corpus.sources]
    for key in found:
        if not any(_means(key, path) for path in paths):
            raise _unknown(key, found[key], corpus)
    return found


def _unknown(key: str, budget: Budget, corpus: Corpus) -> UsageError:
    row = next((row for row in corpus.manifest if row.path == key), None)
    if row is not None:
        return UsageError(f"the budget {budget:g} is for {key!r}, of which nothing was read: {row.reason or row.status}")
    like = get_close_matches(key, [source.path for source in corpus.sources], n=1)
    hint = f"did you mean {like[0]!r}?" if like else "give a path, a folder or a pattern, as plan and manifest cite them"
    return UsageError(f"the budget {budget:g} is for {key!r}, which means no source of the corpus", hint=hint)


def owners(paths: Iterable[str], budgets: Mapping[str, Budget]) -> dict[str, str]:
    """The key under which each path counts that has a budget: the path itself, else the nearest folder, else the first pattern.

    >>> owners(["src/a.py", "src/b.py", "docs/c.md", "d.txt"], {"*.py": 0.1, "src": 0.2, "src/a.py": 0.3, "docs/*": 0.1})
    {'src/a.py': 'src/a.py', 'src/b.py': 'src', 'docs/c.md': 'docs/*'}
    """
    found = {}
    for path in paths:
        keys = [key for key in budgets if _means(key, path)]
        if keys:
            found[path] = max(keys, key=lambda key: (key == path, len(_folder(key)) if _is_inside(key, path) else -1))
    return found


def _means(key: str, path: str) -> bool:
    return key == path or _is_inside(key, path) or _pattern(key).match(path)


@lru_cache(maxsize=256)
def _pattern(key: str) -> Patterns:
    """A key as a pattern; a path that is none, such as one with a lone bracket, means itself only."""
    try:
        return Patterns.of([key], "budgets")
    except UsageError:
        return Patterns(None)


def _is_inside(key: str, path: str) -> bool:
    return path.startswith(_folder(key))


def _folder(key: str) -> str:
    """A key as the beginning of what lies in it; of ``.`` everything does."""
    plain = key.removeprefix("./").rstrip("/")
    return "" if plain in ("", ".") else f"{plain}/"


# -- what is read of a corpus ------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Given:
    """A corpus as it is read within budgets.

    Args:
        seen: the corpus with what is read of it, and what there is to say.
        division: of the room.
        allotted: what became of each source that has a budget, by path.
        left_out: what is never read.
        always: paths of sources that every question reads, where segments are chosen.
        caps: of the others that have a budget: paths, and the tokens that may be chosen of them.
    """

    seen: Seen
    division: Division
    allotted: Mapping[str, Allotted]
    left_out: tuple[LeftOut, ...]
    always: frozenset[str] = frozenset()
    caps: tuple[tuple[frozenset[str], int], ...] = ()

    @property
    def lost(self) -> int:
        """Tokens that are never read."""
        return sum(entry.tokens for entry in self.left_out)

    def told(self, figures: Figures) -> Figures:
        """The figures with what the budgets did."""
        shares = tuple(replace(share, allotted=self.allotted.get(share.path)) for share in figures.sources)
        capped = {path: tokens for paths, tokens in self.caps for path in paths}
        chosen = (
            replace(entry, reason=f"chosen per question: its budget allows {capped[entry.path]:,} tokens at a time")
            if entry.path in capped
            else replace(entry, reason=f"chosen per question: budgets leave {self.division.rest:,} tokens at a time")
            for entry in figures.left_out
            if entry.path not in self.always
        )
        return replace(figures, sources=shares, left_out=(*chosen, *self.left_out), segment_room=self.division.room)


@dataclass(frozen=True)
class Budgeting:
    """A corpus to be read within budgets.

    Args:
        base: the corpus without any frame; for a model that cannot see, what was read as text before stands in it.
        budgets: from :func:`check`.
        measure: counts tokens.
        geometry: of the model.
        sight: what frames cost; None for a model that cannot see.
        wishes: about what is to be seen.
        lost: frames that cannot be decoded, by path.
        asked: what the planner is asked, by the names of its arguments.
        settled: how the room was divided before, where that is to stay.

    Raises:
        UsageError: the budgets ask for more tokens than any window has room for.
    """

    base: Seen
    budgets: Mapping[str, Budget]
    measure: Measure
    geometry: Geometry
    sight: Sight | None
    wishes: Wishes
    lost: Mapping[str, Collection[float]]
    asked: Mapping[str, Any]
    settled: Division | None = None

    # -- what there is -----------------------------------------------------------------------------------------------
    @cached_property
    def sources(self) -> Mapping[str, Source]:
        """Every source by its path."""
        return {source.path: source for source in self.base.corpus.sources}

    @cached_property
    def owners(self) -> Mapping[str, str]:
        """The key of the budget of each source that has one."""
        return owners(self.sources, self.budgets)

    @cached_property
    def reels(self) -> Mapping[str, planner.Reel]:
        """Videos of which frames are looked at."""
        return {reel.path: reel for reel in looking.reels(self.base.corpus)} if self.sight else {}

    @cached_property
    def costs(self) -> Mapping[str, Cost]:
        """Tokens of every source without its frames."""
        return self.measure.costs(self.base.corpus.sources)

    @cached_property
    def frames(self) -> Mapping[str, int]:
        """Tokens of all the frames that are wished for, by the path of the video."""
        return {sampling.path: sampling.tokens for sampling in self.sampled(self.reels.values(), ENDLESS)}

    def sampled(self, reels: Iterable[planner.Reel], room: int) -> Sequence[Sampling]:
        """Frames of videos in a room."""
        wishes, sight = self.wishes, self.sight or Sight()
        return planner.sample(list(reels), room=room, sight=sight, fps=wishes.fps, frames=wishes.frames, pixels=wishes.pixels)

    def still(self, path: str) -> int:
        """Tokens of a source without its frames."""
        return self.costs[path].total + self.base.estimated.get(path, 0)

    def whole(self, path: str) -> int:
        """Tokens of a source with all the frames that are wished for."""
        return self.still(path) + self.frames.get(path, 0)

    @cached_property
    def stills(self) -> Mapping[str, list[str]]:
        """Paths by the key under which they count, without videos."""
        return {key: [p for p, owner in self.owners.items() if owner == key and p not in self.reels] for key in self.budgets}

    @cached_property
    def films(self) -> Mapping[str, list[str]]:
        """Paths of videos by the key under which they count."""
        return {key: [p for p, owner in self.owners.items() if owner == key and p in self.reels] for key in self.budgets}

    @cached_property
    def wants(self) -> Mapping[str, int]:
        """Tokens of everything that counts under a key, whole."""
        return {key: sum(map(self.whole, (*self.stills[key], *self.films[key]))) for key in self.budgets}

    @cached_property
    def free(self) -> int:
        """Tokens of everything that has no budget, without frames."""
        return sum(self.still(path) for path in self.sources if path not in self.owners)

    @cached_property
    def division(self) -> Division:
        """How the room is divided."""
        if self.settled is not None:
            return self.settled
        claims = [Claim(key, budget, self.wants[key]) for key, budget in self.budgets.items()]
        patch = planner.largest_patch(list(self.reels.values()), self.sight or Sight(), pixels=self.wishes.pixels)
        largest = max(patch, *(cost.largest for cost in self.costs.values()))
        return planner.divide(self.geometry, claims, self.free, largest_item=largest, **self.asked)

    def is_chosen(self, path: str) -> bool:
        """Whether segments of a source that has a budget are chosen for each question."""
        key = self.owners[path]
        return not self.division.whole and self.wants[key] > self.division.rooms[key] and path not in self.reels

    # -- what is read ------------------------------------------------------------------------------------------------
    def given(self) -> Given:
        """What is read of the corpus."""
        parts: dict[str, Part] = {}
        taken: dict[str, int] = {}
        for key, room in self.division.rooms.items():
            found = self.shared(self.stills[key], room, waiting=len(self.films[key]))
            taken[key] = sum(part.tokens for part in found.values())
            parts |= found
        left = {key: room - taken[key] for key, room in self.division.rooms.items()}
        seen = self.filmed(left)
        for key, room in left.items():
            parts |= self.cut(seen, self.films[key], room)
        caps = [(frozenset(filter(self.is_chosen, self.stills[key])), tokens) for key, tokens in taken.items()]
        return self.made(seen, parts, tuple(cap for cap in caps if cap[0]))

    def shared(self, paths: Sequence[str], room: int, *, waiting: int) -> dict[str, Part]:
        """Sources without frames in a room: a share each, and what is left of these to those that are worth most.

        Args:
            paths: of the sources.
            room: tokens.
            waiting: videos with which they share it.
        """
        tight = sum(map(self.still, paths)) > room or waiting
        given = [self.sources[path] for path in paths] if tight else []
        known = shapes(given, words=len(given) > 1)
        shorter = forms(given, self.costs, self.measure, known)
        parts: dict[str, Part] = {}
        ranked = sorted(paths, key=self.still)
        for number, path in enumerate(ranked):
            parts[path] = self.part(path, room // (len(paths) - number + waiting), shorter.get(path))
            room -= parts[path].tokens
        if room and not waiting and len(given) > 1:
            worth = ranks(given, known=known)
            for path in sorted(paths, key=lambda path: (-worth[path], path)):
                if parts[path].how and parts[path].how not in (CHOSEN, LATER):
                    before = parts[path].tokens
                    parts[path] = self.part(path, before + room, shorter.get(path))
                    room -= parts[path].tokens - before
        return parts

    def part(self, path: str, room: int, shorter: Form | None) -> Part:
        """What is read of a source in a room: all of it, its shorter form, its beginning, its name."""
        if self.is_chosen(path):
            return Part(self.sources[path], min(room, self.still(path)), CHOSEN, CHOSEN)
        if self.still(path) <= room:
            return Part(self.sources[path], self.still(path))
        if path in self.base.estimated:
            return Part(self.sources[path], room, LATER, LATER)
        return within(Form(self.sources[path], self.costs[path]), shorter, room)

    def filmed(self, rooms: Mapping[str, int]) -> Seen:
        """The corpus with its videos' frames chosen: within their budgets, the others in what is left."""
        if not self.reels or self.sight is None:
            return self.base
        films = []
        for key, room in rooms.items():
            if reels := tuple(self.reels[path] for path in self.films[key]):
                frames = max(0, room - sum(self.still(reel.path) for reel in reels))
                films.append(Film(reels, Room(frames, self.division.window, 0, "budget")))
        if reels := tuple(reel for path, reel in self.reels.items() if path not in self.owners):
            left = max(0, self.division.rest - self.free) if self.division.whole else 0
            films.append(Film(reels, Room(left, self.division.window, self.division.room - left, "window")))
        return looking.filmed(self.base.corpus, films, self.sight, self.geometry.rope, self.wishes, self.lost)

    def cut(self, seen: Seen, paths: Sequence[str], room: int) -> dict[str, Part]:
        """Videos with their frames, the smallest first; cut where subtitles or asked frames are more than there is room for."""
        samplings = {sampling.path: sampling for sampling in seen.samplings}
        films = [source for source in seen.corpus.sources if source.path in frozenset(paths)] if paths else []
        costs = self.measure.costs(films)
        parts: dict[str, Part] = {}
        for number, film in enumerate(sorted(films, key=lambda film: costs[film.path].total)):
            part = beginning(Form(film, costs[film.path]), room // (len(films) - number))
            room -= part.tokens
            fewer = not part.how and samplings[film.path].tokens < self.frames[film.path]
            parts[film.path] = replace(part, how=FEWER, words=FEWER) if fewer else part
        return parts

    # -- what there is to say ----------------------------------------------------------------------------------------
    def made(self, seen: Seen, parts: Mapping[str, Part], caps: tuple[tuple[frozenset[str], int], ...]) -> Given:
        """All of it together."""
        read = {path: part for path, part in parts.items() if not self.is_chosen(path)}
        dropped = [path for path in self.sources if path not in self.owners] if self.division.alone else []
        kept = (
            (read[s.path].source if s.path in read else s) for s in seen.corpus.sources if s.path in self.owners or not dropped
        )
        corpus = _noted(Corpus(tuple(source for source in kept if source is not None), seen.corpus.manifest), read, dropped)
        there = {source.path for source in corpus.sources}
        samplings = looking.as_shown(corpus, (sampling for sampling in seen.samplings if sampling.path in there))
        estimated = {
            path: read[path].tokens - self.costs[path].total if path in read else tokens
            for path, tokens in seen.estimated.items()
            if path in there
        }
        warnings = (*filter(None, (self.sentence(key, parts) for key in self.budgets)), *self.unread(dropped))
        seen = replace(
            seen, corpus=corpus, samplings=samplings, estimated=estimated, notes=(*warnings, *seen.notes),
            warnings=(*warnings, *seen.warnings),
        )  # fmt: skip
        always = frozenset() if self.division.whole else frozenset(read)
        return Given(seen, self.division, self.allotted(parts), tuple(self.left_out(read, dropped)), always, caps)

    def allotted(self, parts: Mapping[str, Part]) -> dict[str, Allotted]:
        """What became of each source that has a budget."""
        rooms = self.division.rooms
        return {
            path: Allotted(key, self.budgets[key], rooms[key], self.whole(path), parts[path].words)
            for path, key in self.owners.items()
        }

    def left_out(self, read: Mapping[str, Part], dropped: Collection[str]) -> Iterable[LeftOut]:
        """What is never read, and why."""
        for path, part in read.items():
            if part.how:
                room = self.division.rooms[self.owners[path]]
                reason = f"its budget of {room:,} tokens leaves {part.words}"
                yield LeftOut(path, max(1, self.whole(path) - part.tokens), reason)
        for path in dropped:
            yield LeftOut(path, self.still(path), "the budgets leave no room for it")

    def sentence(self, key: str, parts: Mapping[str, Part]) -> str:
        """What a budget gave up, in words; empty where nothing was."""
        paths, budget = (*self.stills[key], *self.films[key]), self.budgets[key]
        if not any(parts[path].how for path in paths):
            return ""
        room, whole = self.division.rooms[key], self.wants[key]
        share = f"{budget:g} of {self.division.room:,} tokens: " if isinstance(budget, float) else ""
        head = f"{key} (budget {share}{room:,} of its {whole:,})"
        hows = Counter(parts[path].how for path in paths)
        looks = f"; {BY_LOOK}" if (hows[SIGNATURES] or hows[MIXED]) and not installed() else ""
        if len(paths) == 1:
            return f"{head}: {parts[paths[0]].words}{looks}"
        return f"{head}: " + ", ".join(f"{count:,} {MANY.get(how, how)}" for how, count in hows.items()) + looks

    def unread(self, dropped: Sequence[str]) -> Iterable[str]:
        """That budgets crowded others out."""
        if dropped:
            some = ", ".join(dropped[:3]) + (f" and {len(dropped) - 3:,} more" if len(dropped) > 3 else "")
            yield f"the budgets leave no room for what has none, which is not read: {some}"


def _noted(corpus: Corpus, read: Mapping[str, Part], dropped: Collection[str]) -> Corpus:
    """The corpus with a word in the row of each source of which not all is read."""
    said = {**{path: part.words for path, part in read.items() if part.how}, **dict.fromkeys(dropped, NOTHING)}
    rows = (
        replace(row, reason="; ".join(filter(None, (row.reason, f"by budgets: {said[row.path]}")))) if row.path in said else row
        for row in corpus.manifest
    )
    return Corpus(corpus.sources, tuple(rows))
