"""What a file is by its name, which belong together by theirs, and pictures by their first bytes."""

from __future__ import annotations

from collections.abc import Mapping
from posixpath import join, split, splitext

_CODE_SUFFIXES = """
    .ada .adb .ads .asm .awk .bash .bat .bzl .c .cc .cfg .cjs .clj .cljs .cmake .cmd .coffee .cpp .cr .cs .css .cu .cuh .cxx .d
    .dart .el .elm .erl .ex .exs .f .f03 .f08 .f90 .f95 .fish .for .fs .fsi .fsx .glsl .go .gradle .graphql .groovy .h .hh .hpp
    .hrl .hs .hxx .idl .ini .java .jl .js .json .json5 .jsonc .jsx .kt .kts .less .lisp .lua .m .mjs .mk .ml .mli .mm .nim .nix
    .pas .php .pl .pm .proto .ps1 .psm1 .pxd .py .pyi .pyw .pyx .r .rb .rkt .rs .s .sass .scala .scm .scss .sh .sol .sql .sv
    .svelte .swift .tcl .tf .thrift .toml .ts .tsx .v .vb .vhd .vhdl .vim .vue .wgsl .xml .xsl .yaml .yml .zig .zsh
"""
_CODE_NAMES = """
    build build.bazel cmakelists.txt containerfile dockerfile gemfile gnumakefile jenkinsfile justfile makefile rakefile
"""
_CODE = frozenset((_CODE_SUFFIXES + _CODE_NAMES).split())
_BY_SUFFIX = {".md": "markdown", ".markdown": "markdown", ".mdx": "markdown", ".ipynb": "notebook", ".pdf": "pdf"}
_PICTURES = ".png .jpg .jpeg .jpe .jfif .webp .gif .bmp .tif .tiff .avif .heic .heif"
_BY_SUFFIX |= dict.fromkeys(_PICTURES.split(), "image")
_BY_SUFFIX |= {".docx": "docx", ".pptx": "pptx", ".xlsx": "xlsx", ".xlsm": "xlsx", ".epub": "epub"}
_BY_SUFFIX |= dict.fromkeys((".html", ".htm", ".xhtml"), "html")
SUBTITLES = (".srt", ".vtt")
_VIDEO = ".mp4 .m4v .mov .mkv .webm .avi .mts .m2ts .mpg .mpeg .wmv .flv .3gp .ogv"
_BY_SUFFIX |= dict.fromkeys(_VIDEO.split(), "video") | dict.fromkeys(SUBTITLES, "subtitles")
_PICTURE_HEADS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
#: Sizes of the header that follows a bitmap's own.
_BITMAP_HEADERS = (12, 40, 52, 56, 64, 108, 124)
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


def kind_of(path: str) -> str:
    """The kind of a file that is yet to be opened; ``"text"`` where the name says nothing.

    >>> [kind_of(path) for path in ("src/App.PY", "Makefile", "README.md", "a.ipynb", "b.pdf", "LICENSE")]
    ['code', 'code', 'markdown', 'notebook', 'pdf', 'text']
    """
    name = path.rstrip("/").rpartition("/")[2].lower()
    suffix = splitext(name)[1]
    if name in _CODE or suffix in _CODE:
        return "code"
    return _BY_SUFFIX.get(suffix, "text")


def may_be_video(path: str) -> bool:
    """Whether a name is one of a video; TypeScript has one such name, too.

    >>> [may_be_video(path) for path in ("a.MP4", "a.ts", "a.py")]
    [True, True, False]
    """
    return kind_of(path) == "video" or path.lower().endswith(".ts")


def video_of(path: str, videos: Mapping[str, str]) -> str | None:
    """The video beside which a subtitle file lies: ``lecture.srt`` and ``lecture.en.srt`` beside ``lecture.mp4``.

    Args:
        path: of the subtitle file.
        videos: paths of videos by themselves without suffix.

    >>> video_of("talks/lecture.en.srt", {"talks/lecture": "talks/lecture.mp4"})
    'talks/lecture.mp4'
    """
    stem, suffix = splitext(path)
    if suffix.lower() not in SUBTITLES:
        return None
    folder, name = split(stem)
    shorter = (join(folder, name.rsplit(".", count)[0]) for count in (0, 1, 2))
    return next((videos[one] for one in shorter if one in videos), None)


def is_archive(path: str) -> bool:
    """Whether a name is one of an archive that can be read.

    >>> [is_archive(path) for path in ("a.ZIP", "b.tar.gz", "c.gz", "d.py")]
    [True, True, False, False]
    """
    return path.lower().endswith(_ARCHIVES)


def picture_of(head: bytes) -> str:
    r"""What picture a file is by its first bytes: ``"picture"``, ``"HEIC"`` (which is not decoded), or ``""``.

    >>> [picture_of(head) for head in (b"GIF89a...", b"....ftypheic....", b"....ftypisom....", b"BM is short for bitmap")]
    ['picture', 'HEIC', '', '']
    """
    if head[4:8] == b"ftyp":
        brands = {head[at : at + 4] for at in (8, *range(16, min(len(head), int.from_bytes(head[:4], "big")), 4))}
        if brands & {b"avif", b"avis"}:
            return "picture"
        return "HEIC" if head[8:12] in _HEIF_BRANDS else ""
    bitmap = head[:2] == b"BM" and head[6:10] == bytes(4) and int.from_bytes(head[14:18], "little") in _BITMAP_HEADERS
    webp = head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    return "picture" if bitmap or webp or head.startswith(_PICTURE_HEADS) else ""
