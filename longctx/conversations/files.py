"""A file written whole or not at all, and JSON read from a file that may be anything."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from longctx.errors import ConversationError

#: A file that is larger is no conversation: a turn takes some kilobytes.
MOST_BYTES = 200_000_000


def read_json(path: str | os.PathLike[str], format_: str) -> dict[str, Any]:
    """The object in a JSON file that says of itself that it is of a format.

    Raises:
        ConversationError: it cannot be read, or is no such file.
    """
    name = os.fsdecode(path)
    data = _bytes(name)
    marked = format_.encode() in data[:200]
    try:
        value = json.loads(data.decode("utf-8"), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        what = "damaged: it ends too early, or was changed" if marked else "no conversation that longctx saved"
        raise ConversationError(f"{name!r} is {what} ({error})", hint=_HINT) from error
    if not isinstance(value, dict) or value.get("format") != format_:
        raise ConversationError(f"{name!r} is no conversation that longctx saved", hint=_HINT)
    return value


_HINT = "name a file that answer.save() or --save wrote"


def _bytes(name: str) -> bytes:
    """All of a file that is one and is not too large. Nothing else is opened: a pipe would be waited for."""
    with translated(f"{name!r} cannot be read", _HINT):
        info = os.stat(os.path.expanduser(name))
        if not stat.S_ISREG(info.st_mode):
            raise ConversationError(f"{name!r} is {'a folder' if stat.S_ISDIR(info.st_mode) else 'no plain file'}", hint=_HINT)
        if info.st_size > MOST_BYTES:
            raise ConversationError(f"{name!r} has {info.st_size:,} bytes, too many for a conversation", hint=_HINT)
        return Path(os.path.expanduser(name)).read_bytes()


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number of JSON")


def target(path: str | os.PathLike[str]) -> Path:
    """Where a file is to be written: absolute, links followed.

    Raises:
        ConversationError: what is there is no file, or its folder is not there.
    """
    name = os.fsdecode(path)
    if not name:
        raise ConversationError("nothing can be saved under an empty name", hint="name a file")
    with translated(f"nothing can be saved as {name!r}", "name a file in a folder that is there"):
        place = Path(os.path.realpath(os.path.expanduser(name)))
        if place.exists() and not place.is_file():
            what = "a folder" if place.is_dir() else "no plain file"
            raise ConversationError(f"nothing can be saved as {name!r}: it is {what}", hint="name a file")
        if not place.parent.is_dir():
            raise ConversationError(
                f"nothing can be saved as {name!r}: there is no folder {str(place.parent)!r}", hint="make it"
            )
    return place


def check_folder(place: Path) -> None:
    """Refuse a folder in which no file can be made.

    Raises:
        ConversationError: saying why.
    """
    with translated(f"nothing can be saved in {str(place.parent)!r}", "name another folder"):
        beside = _beside(place)
        os.close(os.open(beside, _NEW, 0o600))
        os.unlink(beside)


def write_whole(place: Path, data: bytes, *, private: bool) -> None:
    """Write a file under a temporary name, and put it into its place once it is on the disk.

    Args:
        place: from :func:`target`.
        data: its bytes.
        private: whether this user alone may read it.

    Raises:
        ConversationError: the disk does not take it; what was there before is there still.
    """
    beside = _beside(place)
    with translated(f"{str(place)!r} could not be written", "free some space, or name a file elsewhere"):
        try:
            with os.fdopen(os.open(beside, _NEW, 0o600 if private else 0o666), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, place)
        finally:
            with contextlib.suppress(OSError):
                os.unlink(beside)


_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)


def _beside(place: Path) -> Path:
    """A name that is free, in the same folder."""
    return place.with_name(f".{place.name[:60]}.{secrets.token_hex(8)}")


def same(place: Path, data: bytes) -> bool:
    """Whether a file holds these very bytes."""
    with contextlib.suppress(OSError):
        return place.stat().st_size == len(data) and place.read_bytes() == data
    return False


def taken(place: Path, why: str) -> ConversationError:
    """The error for a file that would be lost."""
    return ConversationError(f"{str(place)!r} {why}", hint="give another name, or overwrite=True (--force)")


@contextlib.contextmanager
def translated(what: str, hint: str) -> Iterator[None]:
    """The errors of the operating system as our own."""
    try:
        yield
    except OSError as error:
        raise ConversationError(f"{what}: {error.strerror or error}", hint=hint, retryable=True) from error
    except ValueError as error:  # a name with a null byte
        raise ConversationError(f"{what}: {error}", hint=hint) from error
