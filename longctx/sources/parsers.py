"""What is no plain text, read by the parser of its format: documents, notebooks, pictures, video, pages in HTML.

Apart from ``files`` because none of this is needed, nor imported, for a tree of source code; and what most trees with a few
pictures and pages have not, notebooks, PDF and video, is imported with the first of its files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from longctx.places import cache_folder
from longctx.sources import passwords
from longctx.sources.office.document import MOST_CHARS, parse_document
from longctx.sources.office.formats import ENCRYPTED, OLE, wrong_beginning
from longctx.sources.opened import LARGEST, OpenedFile, open_file
from longctx.sources.parsed import Parsed
from longctx.sources.pictures.stills import Stills, parse_picture
from longctx.sources.process import ParserProcess
from longctx.sources.replies import Replies
from longctx.sources.signatures import NOT_FETCHED, cut_off, is_lfs_pointer, is_recording
from longctx.sources.texts.decoding import decode
from longctx.sources.texts.text import parse_text

if TYPE_CHECKING:
    from longctx.sources.video.footage import Beside

#: Bytes of a subtitle file that are read.
LARGEST_SUBTITLES = 16 * 2**20
_TAIL = 2048


@dataclass
class Parsers:
    """Reads one file after the other, by the parsers in the worker process.

    Args:
        max_bytes: characters of a workbook that are read, and bytes of a page in HTML that is read as it stands.
        check: called often; what it raises ends the work.
        pages_as_pictures: whether pages with text are also to be looked at.
        figures_as_pictures: whether the figures on them are.
        engine: that decodes video; None takes what is installed.
        password: tried on documents that are encrypted.
    """

    max_bytes: int
    check: Callable[[], None]
    pages_as_pictures: bool = False
    figures_as_pictures: bool = True
    engine: str | None = None
    password: str = field(default="", repr=False)
    parser: ParserProcess = field(default_factory=ParserProcess, repr=False)

    @cached_property
    def kept(self) -> Replies:
        """What was said of documents before."""
        return Replies(cache_folder() / "documents")

    def close(self) -> None:
        """End the worker process, if one was needed, and keep no more than there is room for."""
        self.parser.close()
        if "kept" in vars(self):
            self.kept.prune()

    def told(self, opened: OpenedFile, do: str, *, password: str = "", **arguments: int) -> Iterator[Mapping[str, Any]]:
        """What the worker says of a document, or has said of the same bytes; what a password opened is not kept."""
        named = {"password": password} if password else {}

        def ask() -> Iterator[Mapping[str, Any]]:
            return self.parser.ask(do, self.check, file=opened.file, **named, **arguments)

        if password:
            return ask()
        question = (do, opened.snapshot.sha256, *(f"{name}={value}" for name, value in arguments.items()))
        return self.kept.told(question, ask, opened.snapshot.holds)

    def document(self, opened: OpenedFile, kind: str, head: bytes) -> Parsed:
        """A document in an archive of XML: Word, PowerPoint, Excel, EPUB."""
        size = opened.status.st_size
        encrypted = head.startswith(OLE) and size <= LARGEST and opened.holds(ENCRYPTED)
        if is_lfs_pointer(head):
            return Parsed(kind, status="skipped", reason=NOT_FETCHED)
        if wrong := wrong_beginning(kind, head, size, encrypted=encrypted):
            return Parsed(kind, status="failed", reason=wrong)
        if size > LARGEST:
            return opened.too_large(kind)
        most = self.max_bytes if kind == "xlsx" else MOST_CHARS
        parsed = parse_document(kind, opened.snapshot, self.told(opened, kind), most)
        assert parsed is not None  # only a page may be read as it stands
        return parsed

    def notebook(self, opened: OpenedFile, head: bytes) -> Parsed:
        """A notebook; the pictures in its outputs are looked at by the worker."""
        from longctx.sources.texts.notebook import parse_notebook

        if is_lfs_pointer(head):
            return Parsed("notebook", status="skipped", reason=NOT_FETCHED)

        def ask(do: str, **arguments: Any) -> Iterator[Mapping[str, Any]]:
            return self.parser.ask(do, self.check, file=opened.file, **arguments)

        return parse_notebook(opened.path, opened.stream, self.check, lambda: opened.snapshot, ask)

    def page(self, opened: OpenedFile) -> Parsed:
        """A page in HTML; one that is source, or that its reader has failed at, is read as it stands."""
        size, why = opened.status.st_size, ""
        if size:
            replies = self.parser.ask("html", self.check, file=opened.file)  # faster than to look whether it is kept
            page = parse_document("html", opened.snapshot, replies, self.max_bytes)
            if page is not None and page.found:
                return page
            why = "" if page is None else f"read as it stands: {page.reason}"
        data = opened.beginning(self.max_bytes)
        parsed = parse_text(opened.path, "text", data, max(size, len(data)))
        return replace(parsed, reason="; ".join(filter(None, (why, parsed.reason))))

    def picture(self, opened: OpenedFile, picture: str) -> Parsed:
        """A picture, as :func:`longctx.sources.kinds.picture_of` calls it."""
        if picture == "HEIC":
            return Parsed("image", status="skipped", reason="HEIC is not read: convert the picture to JPEG or PNG")
        if opened.status.st_size > LARGEST:
            return opened.too_large("image")
        replies = self.parser.ask("picture_probe", self.check, file=opened.file)
        return parse_picture(opened.path, replies, Stills(opened.snapshot, "picture"))

    def video(self, opened: OpenedFile, head: bytes, beside: Beside | None) -> Parsed:
        """A recording, with the subtitles that lie beside it."""
        from longctx.sources.video.footage import chosen_engine, parse_video

        if not head:
            return Parsed("video", status="failed", reason="not a video: the file is empty")
        size, engine = opened.status.st_size, chosen_engine(self.engine)
        if size > LARGEST and not is_recording(head):
            return opened.too_large("video")
        usable = cut_off(opened.stream, size)
        until = usable if usable is not None and usable < size else None

        def ask(do: str) -> Iterator[Mapping[str, Any]]:
            return self.parser.ask(do, self.check, file=opened.file, until=until)

        return parse_video(opened.snapshot, engine, ask, is_cut_off=usable is not None, until=until, beside=beside)

    def pdf(self, opened: OpenedFile, head: bytes) -> Parsed:
        """A PDF; one that does not end as it should is read as far as it goes."""
        from longctx.sources.pdf.parse import parse_pdf, surviving

        stream, size = opened.stream, opened.status.st_size
        if not size:
            return Parsed("pdf", status="failed", reason="not a PDF: the file is empty")
        if b"%PDF-" not in head:
            return Parsed("pdf", status="failed", reason=f"not a PDF: it begins with {head[:12]!r}")
        if size > LARGEST:
            return opened.too_large("pdf")
        stream.seek(max(0, size - _TAIL))
        ends_early = b"%%EOF" not in stream.read()
        replies = surviving(partial(self.told, opened, "pdf", password=self.password))
        medium = Stills(opened.snapshot, "page")
        passwords.keep(medium.snapshot.sha256, self.password)
        return parse_pdf(
            opened.path,
            replies,
            ends_early=ends_early,
            medium=medium,
            pages_as_pictures=self.pages_as_pictures,
            figures_as_pictures=self.figures_as_pictures,
        )

    def subtitles(self, opened: OpenedFile) -> Parsed | None:
        """Subtitles that are read by themselves; None for a text that is only called so."""
        from longctx.sources.video.subtitles import parse_subtitles

        return parse_subtitles(opened.path, opened.stream.read(LARGEST_SUBTITLES))

    def beside(self, path: str, file: str) -> Beside | None:
        """The cues of a file that lies beside a video; None where there are none."""
        from longctx.sources.video.footage import Beside
        from longctx.sources.video.subtitles import cues_of

        try:
            with open_file(file) as stream:
                decoded = decode(stream.read(LARGEST_SUBTITLES))
        except OSError:
            return None
        cues = cues_of(decoded.text) if decoded else ()
        return Beside(path, cues) if cues else None
