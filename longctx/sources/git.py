"""What git knows of a folder: its list of files, and when each last changed.

Runs git and nothing that a repository's own settings could name: no hooks, no monitors, no filters, no network.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterable, Mapping

#: Commits looked at for the order. Files that last changed before them are the oldest, and come by name.
MAX_COMMITS = 2000
#: A file whose change is not committed yet.
UNCOMMITTED = 2**62
_SETTINGS = ("core.fsmonitor=false", "core.hooksPath=/dev/null", "protocol.allow=never", "log.showSignature=false")
#: What a git that started this process (a hook, an alias) may have set to name another repository.
_ELSEWHERE = frozenset(
    {
        "GIT_DIR",
        "GIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_PREFIX",
        "GIT_OBJECT_DIRECTORY",
        "GIT_ALTERNATE_OBJECT_DIRECTORIES",
        "GIT_COMMON_DIR",
        "GIT_SHALLOW_FILE",
        "GIT_NAMESPACE",
    }
)
_QUIET = ("not a git repository", "must be run in a work tree", "outside repository")
_LARGEST_COMPARED = 2**20


class _GitUnusableError(RuntimeError):
    """Git cannot be used here; the text says why, and is empty where there is simply no repository. Stays in this module."""


def files(folder: str) -> tuple[list[str] | None, str]:
    """The files below a folder that git would list, names relative to it, and why git could not be used if it could not.

    Returns:
        the names (None where git does not know the folder), and a note that is empty where nothing is odd.
    """
    try:
        names = _names(_git(folder, "ls-files", "-z", "-co", "--exclude-standard"))
        if not names and _ignored(folder):
            return None, "git ignores this folder; it was named, so it is read by the .gitignore files in it"
        return names, ""
    except _GitUnusableError as error:
        if not str(error) or not inside_repository(folder):
            return None, ""
        return None, f"git cannot be used here ({error}); the .gitignore files were applied without it"


def last_changes(folder: str, names: Iterable[str]) -> tuple[dict[str, int], str]:
    """When each file last changed: seconds of its last commit, 0 for before :data:`MAX_COMMITS`, or :data:`UNCOMMITTED`.

    Returns:
        the times by name, and a note where the history could not be read (all times are 0 then).
    """
    names = list(names)
    try:
        if not _ok(folder, "rev-parse", "--verify", "--quiet", "HEAD"):
            return dict.fromkeys(names, UNCOMMITTED), ""
        committed = _committed(folder)
        dates = _dates(folder)
    except _GitUnusableError as error:
        return dict.fromkeys(names, 0), f"ordered by name: git's history could not be read ({error})"
    return {name: dates.get(name, 0) if _unchanged(folder, name, committed) else UNCOMMITTED for name in names}, ""


def inside_repository(folder: str) -> bool:
    """Whether a ``.git`` stands in the folder or above it."""
    return repository_top(folder) is not None


def repository_top(folder: str) -> str | None:
    """The nearest folder, from this one upwards, that holds a ``.git``."""
    while not os.path.lexists(os.path.join(folder, ".git")):
        folder, below = os.path.dirname(folder), folder
        if folder == below:
            return None
    return folder


def _dates(folder: str) -> dict[str, int]:
    log = ("log", f"--max-count={MAX_COMMITS}", "--no-renames", "--no-ext-diff", "--name-only", "-z", "--format=%x00%ct")
    dates: dict[str, int] = {}
    when, after = 0, ""
    for token in _git(folder, *log, "--relative", "--", ".", seconds=30).split(b"\0"):
        if not token:  # announces a commit's time
            after = "announcement"
        elif after == "announcement":
            when, after = int(token), "time"
        else:
            dates.setdefault(os.fsdecode(token.removeprefix(b"\n") if after == "time" else token), when)
            after = "name"
    return dates


def _committed(folder: str) -> dict[str, str]:
    """The object of every file of the last commit, by name."""
    records = (record.partition(b"\t") for record in _git(folder, "ls-tree", "-r", "-z", "HEAD").split(b"\0") if record)
    return {os.fsdecode(name): about.split()[2].decode("ascii") for about, _, name in records}


def _unchanged(folder: str, name: str, committed: Mapping[str, str]) -> bool:
    """Whether a file is as it was committed. The bytes decide, not a time stamp that a copy or a touch has moved.

    Git is not asked, because it would run the filters that a repository names; binary and large files count as unchanged.
    """
    if name not in committed:
        return False
    file = os.path.join(folder, name)
    try:
        if os.path.islink(file) or not os.path.isfile(file) or os.path.getsize(file) > _LARGEST_COMPARED:
            return True
        with open(file, "rb") as stream:
            data = stream.read(1024)
            data = data if b"\x00" in data else data + stream.read()
    except OSError:
        return True
    return b"\x00" in data[:1024] or committed[name] in _objects(data, committed[name])


def _objects(data: bytes, like: str) -> set[str]:
    """The ids that git would give a file, with its line ends as they are and as git may store them."""
    kind = "sha1" if len(like) == 40 else "sha256"
    forms = (data, data.replace(b"\r\n", b"\n"))
    return {hashlib.new(kind, b"blob %d\0" % len(form) + form, usedforsecurity=False).hexdigest() for form in forms}


def _ignored(folder: str) -> bool:
    return _ok(folder, "check-ignore", "-q", ".")


def _names(output: bytes) -> list[str]:
    return list(dict.fromkeys(os.fsdecode(name) for name in output.split(b"\0") if name))


def _ok(folder: str, *arguments: str) -> bool:
    return _run(folder, *arguments).returncode == 0


def _git(folder: str, *arguments: str, seconds: float = 120) -> bytes:
    done = _run(folder, *arguments, seconds=seconds)
    if done.returncode == 0:
        return done.stdout
    said = done.stderr.decode("utf-8", "replace").strip().partition("\n")[0].removeprefix("fatal: ")
    raise _GitUnusableError("" if any(words in said for words in _QUIET) else said or f"git ended with {done.returncode}")


def _run(folder: str, *arguments: str, seconds: float = 120) -> subprocess.CompletedProcess[bytes]:
    settings = [word for setting in _SETTINGS for word in ("-c", setting)]
    clean = {name: value for name, value in os.environ.items() if name not in _ELSEWHERE}
    quiet = {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1"}
    command = ["git", *settings, "-C", folder, *arguments]
    try:
        return subprocess.run(
            command, capture_output=True, stdin=subprocess.DEVNULL, env=clean | quiet, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise _GitUnusableError(f"it took more than {seconds:g} s") from error
    except OSError as error:
        raise _GitUnusableError(f"git does not start: {error.strerror}") from error
