"""``lc.read``: paths in, a corpus out."""

from __future__ import annotations

import gc
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from longctx.corpus import Corpus, Row, Source
from longctx.errors import EmptyCorpusError, UsageError
from longctx.jobs import Job
from longctx.places import cache_folder
from longctx.sources.files import FileReader
from longctx.sources.kinds import SUBTITLES, kind_of, may_be_video, video_of
from longctx.sources.parsed import Parsed
from longctx.sources.tree.ignores import Patterns
from longctx.sources.tree.listing import listing, walked
from longctx.sources.tree.obstacles import Obstacles
from longctx.sources.tree.roots import PathLike, Root, find_roots

#: Bytes of one text file that are read. Source code is far below; data files and logs are cut.
MAX_FILE_BYTES = 1_000_000
#: How the reason of a file begins that the corpus behind which it would stand has already.
_AGAIN = "read before, as "


def read(
    *paths: PathLike,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    max_file_bytes: int = MAX_FILE_BYTES,
    pages_as_pictures: bool = False,
    figures_as_pictures: bool = True,
    engine: str | None = None,
    junk: bool = False,
    redact: bool = True,
    password: str = "",
    submodules: bool = False,
    behind: Corpus | None = None,
    job: Job[Any] | None = None,
) -> Corpus:
    """Read folders and files into a corpus. Loads no model; one bad file never ends it.

    A folder is read as git lists it, or by the .gitignore files in it. A file that is named itself is read even if ignored. A
    .zip or .tar (.gz, .bz2, .xz) that is named is read like the folder that was packed: it is unpacked once, into the cache.

    Args:
        paths: folders, files and archives, at least one; ``~`` is the home folder. Names are relative to a single folder or
            archive; with several paths they begin with the name of theirs.
        include: patterns as in a .gitignore file; what is found in folders is read only if it matches.
        exclude: patterns; what matches is left out, and has a row that says so.
        max_file_bytes: of one text file, or characters of one page in HTML or workbook; what is longer is cut at a line end,
            and its row says by how much.
        pages_as_pictures: whether the model sees every page of a PDF besides its text; pages without text it does anyway.
        figures_as_pictures: whether it sees the figures on pages with text, images and what is drawn, such as charts.
        engine: that decodes video: ``"av"`` or ``"decord"``; None takes PyAV, and decord where PyAV is missing.
        junk: whether lock, minified, generated, vendored and data files that are found in folders are read whole; else only
            their beginnings are, and their rows say how much of what.
        redact: whether private keys, tokens of well-known issuers and passwords in addresses are replaced by what they are.
        password: tried on PDFs that are encrypted, as that of their user or owner. It is kept in the memory of this process, to
            draw their pages, and nowhere else.
        submodules: whether the files of git submodules that are checked out are read with the repository; without it each
            submodule has a row.
        behind: a corpus that what is read is put behind, as it is. Names begin with the name of their path, as with several;
            a file that is in it already, unchanged, is not read again.
        job: told about progress, in files; its stop ends the reading.

    Returns:
        the corpus, with what changes rarely first, and a row in its manifest for every path met.

    Raises:
        LongctxError: as :func:`longctx.read`, which passes its options on to here.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = pathlib.Path(folder, "note.txt").write_text("first\\nsecond\\n")
    ...     corpus = read(folder)
    >>> corpus.segments[1].origin
    Lines(path='note.txt', first=1, last=2, cell=None)
    """
    if max_file_bytes < 1:
        raise UsageError(f"max_file_bytes={max_file_bytes}: at least one byte must be read")
    if not isinstance(password, str):
        raise UsageError(f"password= takes a text, not {type(password).__name__}")
    wanted = _Wanted(Patterns.of(include, "include"), Patterns.of(exclude, "exclude"), submodules)
    if engine is not None:
        from longctx.sources.video.footage import chosen_engine  # imported only where there is, or may be, a video

        chosen_engine(engine)
    roots, again = find_roots(paths, alone=behind is None)
    check = job.check if job else _go_on
    looks = (pages_as_pictures, figures_as_pictures)
    with closing(FileReader(max_file_bytes, check, *looks, engine, junk, redact, password)) as reader:
        reading = _Reading(reader, wanted, job, behind or Corpus((), ()))
        with _no_collections():
            corpus = reading.corpus(roots, again)
    if not reading.sources and not any(row.reason.startswith(_AGAIN) for row in reading.rows):
        raise _nothing(roots, reading.rows)
    return corpus


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What the user's patterns let through, and whether submodules are read."""

    include: Patterns
    exclude: Patterns
    submodules: bool = False

    def obstacle(self, name: str, *, named: bool) -> Parsed | None:
        """Why a path is left out; a file that was named itself need not be included."""
        if self.exclude.match(name):
            return Parsed(kind_of(name), status="skipped", reason="left out by exclude")
        if self.include and not named and not self.include.match(name):
            return Parsed(kind_of(name), status="skipped", reason="not in include")
        return None


@dataclass(frozen=True, slots=True)
class _Entry:
    """A path to read: as it is cited, where it is, and what already became of it."""

    path: str
    file: str
    settled: Parsed | None = None
    named: bool = False


@dataclass
class _Reading:
    """The state of one read."""

    reader: FileReader
    wanted: _Wanted
    job: Job[Any] | None
    behind: Corpus
    rows: list[Row] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)
    met: dict[str, str] = field(default_factory=dict)

    def corpus(self, roots: Sequence[Root], again: Sequence[str]) -> Corpus:
        listed = [(root, entry) for root in roots for entry in self._entries(root)]
        named = [entry for root, entry in listed if not root.is_folder and not root.is_archive]
        found = [entry for _, entry in listed]
        met = [*found, *self._companions(named, {entry.file for entry in found})]
        entries = list(_unique(met, (row.path for row in self.behind.manifest)))
        beside = _beside(entries)
        theirs = {subtitle.path for subtitles in beside.values() for subtitle in subtitles}
        for done, entry in enumerate(entries):
            self._report(done, len(entries))
            if entry.path not in theirs:
                self._read(entry, beside.get(entry.path, ()))
        self._report(len(entries), len(entries))
        self.rows += [Row(path, kind_of(path), "skipped", "duplicate: it was given more than once") for path in again]
        return Corpus((*self.behind.sources, *self.sources), (*self.behind.manifest, *self.rows))

    @cached_property
    def _before(self) -> dict[str, Source]:
        """What is in the corpus already, by its file; the last one where it was read more than once."""
        return {source.file: source for source in self.behind.sources}

    def _entries(self, root: Root) -> Iterator[_Entry]:
        if root.is_archive:
            yield from self._unpacked(root)
            return
        if not root.is_folder:
            name = root.name or os.path.basename(root.file)
            obstacle = self.wanted.obstacle(name, named=True) or Obstacles(os.path.dirname(root.file)).of(root.file)
            yield _Entry(name, root.file, obstacle, named=True)
            return
        listed = listing(root.file, submodules=self.wanted.submodules)
        for name, note in listed.notes:
            self.rows.append(Row(_cited(root, name), "folder", "read", note))
        obstacles = Obstacles(root.file)
        for found in listed.found:
            settled = self.wanted.obstacle(found.name, named=False) or found.settled or obstacles.of(found.file)
            yield _Entry(_cited(root, found.name), found.file, settled)

    def _unpacked(self, root: Root) -> Iterator[_Entry]:
        """The entries of an archive: a row for itself, what was not unpacked, and what is read where it was unpacked."""
        from longctx.sources.tree.archives import hidden, unpacked

        archive = unpacked(root.file, cache_folder(), self.reader.check)
        listed = () if archive.folder is None else walked(archive.folder, rules=not archive.by_git).found
        missing = archive.files - len(listed)
        told = replace(archive.told, reason="; ".join(filter(None, (archive.told.reason, hidden(missing)))))
        yield _Entry(root.name or os.path.basename(root.file), root.file, told)
        names = {found.name for found in listed}
        again = [row for row in archive.rows if row[0] in names]  # behind the file of that name, which keeps it
        for name, became in (row for row in archive.rows if row[0] not in names):
            yield _Entry(_cited(root, name), root.file, became)
        obstacles = Obstacles(archive.folder or "")
        for found in listed:
            settled = self.wanted.obstacle(found.name, named=False) or found.settled or obstacles.of(found.file)
            yield _Entry(_cited(root, found.name), found.file, settled)
        for name, became in again:
            yield _Entry(_cited(root, name), root.file, became)

    def _companions(self, named: Sequence[_Entry], met: set[str]) -> Iterator[_Entry]:
        """Subtitles beside videos that were named by themselves; those in a folder are listed with it."""
        for entry in named:
            for file in _subtitles_of(entry.file):
                name = "/".join(part for part in (os.path.dirname(entry.path), os.path.basename(file)) if part)
                obstacle = self.wanted.obstacle(name, named=True) or Obstacles(os.path.dirname(file)).of(file)
                if obstacle is None and file not in met:
                    met.add(file)
                    yield _Entry(name, file)

    def _read(self, entry: _Entry, subtitles: Sequence[_Entry] = ()) -> None:
        settled = entry.settled
        if settled is None and (first := self.met.setdefault(entry.file, entry.path)) != entry.path:
            settled = Parsed(kind_of(entry.path), status="skipped", reason=f"duplicate of {first}")
        if settled is not None:
            self.rows.append(Row(entry.path, settled.kind, settled.status, settled.reason))
            for one in subtitles:
                self._read(one)
            return
        beside = next((found for one in subtitles if (found := self.reader.parsers.beside(one.path, one.file))), None)
        row, source = self._compared(*self.reader.read(entry.path, entry.file, beside, named=entry.named))
        self.rows.append(row)
        self.sources += [source] if source else []
        for one in subtitles:
            if source and source.kind == "video" and beside:
                self._account(one, entry.path, beside.name)
            else:
                self._read(one)

    def _compared(self, row: Row, source: Source | None) -> tuple[Row, Source | None]:
        """What was read, unless it is there already as it is."""
        before = self._before.get(source.file) if source else None
        if source is None or before is None:
            return row, source
        if before.sha256 == source.sha256:
            return replace(row, status="skipped", reason=f"{_AGAIN}{before.path}"), None
        told = f"this file as it is now; {before.path} is what it was"
        return replace(row, reason="; ".join(filter(None, (row.reason, told)))), source

    def _account(self, subtitle: _Entry, video: str, used: str) -> None:
        """The row of a file whose words are those of a video."""
        if self.met.setdefault(subtitle.file, subtitle.path) != subtitle.path:
            return
        size = os.path.getsize(subtitle.file) if os.path.exists(subtitle.file) else 0
        if subtitle.path == used:
            self.rows.append(Row(used, "subtitles", "read", f"subtitles of {video}", size))
        else:
            self.rows.append(Row(subtitle.path, "subtitles", "skipped", f"subtitles of {video}, of which {used} is read", size))

    def _report(self, done: int, total: int) -> None:
        if self.job is not None:
            self.job.check()
            self.job.report("read", done, total, unit="files")


def _cited(root: Root, name: str) -> str:
    """A path below a root as it is cited; of the root itself its own name, or ``"."``."""
    return "/".join(part for part in (root.name, name) if part and part != ".") or "."


def _beside(entries: Sequence[_Entry]) -> dict[str, list[_Entry]]:
    """Subtitles by the path of the video beside which they lie; the one of the shortest name first."""
    free = [entry for entry in entries if entry.settled is None]
    candidates = sorted((kind_of(one.path) == "video", one.path) for one in free if may_be_video(one.path))
    videos = {os.path.splitext(path)[0]: path for _, path in candidates}
    found: dict[str, list[_Entry]] = {}
    if not videos:
        return found
    for entry in sorted(free, key=lambda one: (len(one.path), one.path)):
        if video := video_of(entry.path, videos):
            found.setdefault(video, []).append(entry)
    return found


def _subtitles_of(video: str) -> list[str]:
    """Absolute paths of subtitles beside a video that was named by itself."""
    if not may_be_video(video):
        return []
    folder, name = os.path.split(video)
    stem = os.path.splitext(name)[0]
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    return [os.path.join(folder, one) for one in names if one.endswith(SUBTITLES) and video_of(one, {stem: name})]


def _unique(entries: Sequence[_Entry], before: Iterable[str]) -> Iterator[_Entry]:
    """Entries whose paths differ; two could meet where a file is named as another folder's file is, or as one before."""
    taken = set(before)
    for entry in entries:
        path, number = entry.path, 1
        while path in taken:
            number += 1
            path = f"{entry.path}~{number}"
        taken.add(path)
        yield entry if path == entry.path else replace(entry, path=path)


def _nothing(roots: Sequence[Root], rows: Sequence[Row]) -> EmptyCorpusError:
    """The error for a read that found nothing, with the main reasons."""
    where = ", ".join(repr(root.file) for root in roots)
    reasons = Counter(
        row.reason if len(rows) == 1 else row.reason.partition(":")[0] for row in rows if row.kind != "folder" or row.reason
    )
    if not reasons:
        return EmptyCorpusError(
            f"nothing to read in {where}: no files", hint="name a folder that holds files git does not ignore"
        )
    told = ", ".join(reason if len(rows) == 1 else f"{number:,} × {reason}" for reason, number in reasons.most_common(4))
    return EmptyCorpusError(
        f"nothing readable in {where}: {told}",
        hint="text, code, notebooks, PDF, Office, EPUB, pictures, video and archives can be read; check include and exclude",
    )


@contextmanager
def _no_collections() -> Iterator[None]:
    """Without the collection of cyclic garbage. Reading makes none, and all that was read would be looked at again and again: a
    tenth of the time, and more in a kernel where large libraries are loaded."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _go_on() -> None:
    """Nobody can stop a read without a job."""
