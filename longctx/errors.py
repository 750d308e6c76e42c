"""The error tree, and the door to optional packages.

    LongctxError                 everything that longctx raises on purpose
    ├── UsageError               the call itself is wrong: an empty question, a bad option (command line: exit 2)
    │   └── SourceNotFoundError  a path that does not exist, or an address that is not fetched
    ├── EmptyCorpusError         nothing readable was found
    ├── SourceChangedError       a file is not the one that was read, or is gone
    │   └── FramesLostError      frames that the file lists cannot be decoded
    ├── ModelError               a model cannot be found, read or run
    │   ├── ModelNotFoundError   no such folder, or the hub cannot be reached or does not know it
    │   └── ModelDamagedError    the folder is there, a part of it is missing or unreadable
    ├── PlanError                no plan is possible
    │   └── DoesNotFitError      the memory is too small; the hint names alternatives
    ├── MissingPackageError      an optional package is needed
    ├── StoreError               the prefix store cannot be used
    ├── ConversationError        a saved conversation cannot be read, or one cannot be saved
    ├── ClosedError              the session was closed
    └── Stopped                  the user stopped the work

Every message says what failed, with the value; ``hint`` says what to do.
"""

from __future__ import annotations

import importlib
from types import ModuleType

DISTRIBUTION = "longctx-jupyter"


class LongctxError(Exception):
    """Base of every error that longctx raises on purpose.

    Args:
        message: what failed, with the value.
        hint: what the user can do about it; empty where there is nothing.
        retryable: whether the same call may work later.
    """

    def __init__(self, message: str, *, hint: str = "", retryable: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.retryable = retryable

    def __str__(self) -> str:
        return f"{self.message}\n  {self.hint}" if self.hint else self.message


class UsageError(LongctxError, ValueError):
    """The call itself is wrong."""


class SourceNotFoundError(UsageError):
    """A path that does not exist, or an address that longctx does not fetch."""


class EmptyCorpusError(LongctxError):
    """Nothing readable was found; the manifest says what became of every path."""


class SourceChangedError(LongctxError):
    """A file is not the one that was read, or is gone; read it again."""


class FramesLostError(SourceChangedError):
    """Frames that a video's index lists cannot be decoded.

    Args:
        path: of the source, absolute.
        places: the times that were lost, in seconds.
    """

    def __init__(self, path: str, places: tuple[float, ...]) -> None:
        super().__init__(
            f"{path}: {len(places)} frames cannot be decoded, the first at {places[0]:.2f} s",
            hint="the file is damaged there; plan again without these frames",
        )
        self.path = path
        self.places = places


class ModelError(LongctxError):
    """A model cannot be found, read or run."""


class ModelNotFoundError(ModelError):
    """No such folder, or the hub cannot be reached or does not know the id."""


class ModelDamagedError(ModelError):
    """The model's folder is there, but a part of it is missing or unreadable."""


class PlanError(LongctxError):
    """No plan is possible."""


class DoesNotFitError(PlanError):
    """The memory is too small for the plan; the hint names alternatives."""


class MissingPackageError(LongctxError, ImportError):
    """An optional package is needed for what was asked."""


class StoreError(LongctxError):
    """The prefix store cannot be used."""


class ConversationError(LongctxError):
    """A saved conversation cannot be read, or one cannot be saved."""


class ClosedError(LongctxError):
    """The session was closed; load it again."""


class Stopped(LongctxError):  # noqa: N818 (no failure: the user wanted it)
    """The user stopped the work; what was finished is kept."""


def require(module: str, *, extra: str, feature: str) -> ModuleType:
    """Import an optional package, or say how to install it.

    Args:
        module: the module to import, ``"bm25s"``.
        extra: the extra of this distribution that brings it, ``"pdf"``.
        feature: what needs it, in the user's words.

    Raises:
        MissingPackageError: it is not installed, or its own import fails.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingPackageError(
            f"{feature} needs the package {module.partition('.')[0]!r}: {error}",
            hint=f"pip install '{DISTRIBUTION}[{extra}]'",
        ) from error
