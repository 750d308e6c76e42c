"""What a file is by its first bytes: recordings, and whether one is cut off. Decodes nothing."""

from __future__ import annotations

from io import BufferedReader

#: Brands of still pictures in the container that MP4 also is.
_STILL = (b"heic", b"heix", b"heim", b"heis", b"mif1", b"mif2", b"avif", b"crx ")
_MATROSKA = b"\x1aE\xdf\xa3"
_SEGMENT = b"\x18S\x80g"
_PLAIN = (_MATROSKA, b"FLV\x01", b"\x00\x00\x01\xba", b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", b"OggS\x00")
_TAGGED = (b"ID3\x02", b"ID3\x03", b"ID3\x04")
#: Boxes with which a QuickTime file may begin that has no ``ftyp``.
_BOXES = (b"moov", b"mdat", b"wide", b"skip", b"free")
NOT_FETCHED = "not fetched: it stands for a file in Git LFS (git lfs pull)"
#: How files begin that a program has packed which is not read here.
_PACKED = {
    b"\x28\xb5\x2f\xfd": "Zstandard",
    b"\x04\x22\x4d\x18": "LZ4",
    b"7z\xbc\xaf\x27\x1c": "7-Zip",
    b"Rar!\x1a\x07": "RAR",
    b"\x1f\x9d": "compress",
    b"\x1f\x8b\x08": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
}
_LFS = b"version https://git-lfs.github.com/spec/"


def is_recording(head: bytes) -> bool:
    r"""Whether a file that begins like this is a container of video or sound.

    Args:
        head: its first bytes, 1,024 where it has so many.

    >>> is_recording(b"\x00\x00\x00\x18ftypisom"), is_recording(b"\x00\x00\x00\x18ftypavif"), is_recording(b"import a from 'b'")
    (True, False, False)
    """
    if head[:4] == b"RIFF":
        return head[8:12] == b"AVI "
    return head.startswith(_PLAIN + _TAGGED) or _is_boxed(head) or is_transport_stream(head)


def is_transport_stream(head: bytes) -> bool:
    """Whether this is an MPEG transport stream: packets of 188 bytes, of 192 with a time before each."""
    return b"\x00" in head and any(
        len(head) >= first + 3 * step and all(head[place] == 0x47 for place in range(first, min(len(head), 1024), step))
        for first, step in ((0, 188), (4, 192))
    )


def _is_boxed(head: bytes) -> bool:
    """Whether this is of the family of MP4, and no still picture. Words of a text cannot be meant: it has no NUL."""
    if b"\x00" not in head[:16]:
        return False
    return head[4:8] in _BOXES or (head[4:8] == b"ftyp" and head[8:12] not in _STILL)


def is_lfs_pointer(head: bytes) -> bool:
    """Whether this only stands for a file that Git LFS has not fetched."""
    return head.startswith(_LFS)


def packed_by(head: bytes) -> str:
    r"""With what a file was packed; empty where that does not show.

    Args:
        head: its first bytes; a text that only begins like a packed file is none.

    >>> packed_by(b"\x28\xb5\x2f\xfd\x04\x00"), packed_by(b"BZh is short for it")
    ('Zstandard', '')
    """
    name = next((name for begin, name in _PACKED.items() if head.startswith(begin)), "")
    return name if not head[:256].isascii() or b"\x00" in head[:256] else ""


def cut_off(stream: BufferedReader, size: int) -> int | None:
    """How many bytes of a recording are of use whose own lengths say that it goes on beyond the end of the file.

    Args:
        stream: of the file; it is moved.
        size: bytes of the file.

    Returns:
        None for a whole file; else nearly always ``size``.
    """
    stream.seek(0)
    head = stream.read(1024)
    if _is_boxed(head):
        return _cut_box(stream, size)
    if head.startswith(_MATROSKA):
        is_cut = _matroska_end(head) > size
    elif head[:4] == b"RIFF":
        is_cut = int.from_bytes(head[4:8], "little") + 8 > size + 1
    else:
        is_cut = is_transport_stream(head) and size % (188 if head[0] == 0x47 else 192) != 0
    return size if is_cut else None


def _matroska_end(head: bytes) -> int:
    """Where the segment ends; 0 where that is not told, as in a live recording."""
    place = head.find(_SEGMENT) + len(_SEGMENT)
    if place < len(_SEGMENT) or place >= len(head) or not head[place]:
        return 0
    width = 9 - head[place].bit_length()
    length = int.from_bytes(head[place : place + width], "big") & ((1 << 7 * width) - 1)
    return 0 if length == (1 << 7 * width) - 1 else place + width + length


def _cut_box(stream: BufferedReader, size: int) -> int | None:
    """Like :func:`cut_off`, of boxes. Half a list of samples is worse than none: what reads it gives up the whole file."""
    place = 0
    while place < size:
        stream.seek(place)
        header = stream.read(16)
        length = int.from_bytes(header[:4], "big")
        if length == 1:
            length = int.from_bytes(header[8:16], "big")
        if length < 8:
            return None  # the last box, which goes to the end; or rubbish after it
        if place + length > size:
            return place if header[4:8] == b"moof" else size
        place += length
    return None
