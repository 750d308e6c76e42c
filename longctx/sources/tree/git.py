"""What git knows of a folder: its list of files, and how often and how lately each changed.

Runs git and nothing that a repository's own settings could name: no hooks, no monitors, no filters, no network.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

#: Commits looked at. What last changed before them has not changed.
MAX_COMMITS = 2000
#: So many commits later a change counts half. Found on the histories of five projects, where from 2 to 10 serve alike; see
#: :func:`changes` for what does not.
HALF_LIFE = 6.0
_SETTINGS = ("core.fsmonitor=false", "core.hooksPath=/dev/null", "protocol.allow=never", "log.showSignature=false")
#: What a git that started this process (a hook, an alias) may have set for its own repository, as git itself lists it
#: (``git rev-parse --local-env-vars``). Only GIT_CONFIG_COUNT stays, by which users name safe folders.
_ELSEWHERE = frozenset(
    {
        "GIT_ALTERNATE_OBJECT_DIRECTORIES",
        "GIT_COMMON_DIR",
        "GIT_CONFIG",
        "GIT_CONFIG_PARAMETERS",
        "GIT_DIR",
        "GIT_GRAFT_FILE",
        "GIT_IMPLICIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_NAMESPACE",
        "GIT_NO_REPLACE_OBJECTS",
        "GIT_OBJECT_DIRECTORY",
        "GIT_PREFIX",
        "GIT_REPLACE_REF_BASE",
        "GIT_SHALLOW_FILE",
        "GIT_WORK_TREE",
    }
)
_CLOSED = re.compile(r"warning: could not open directory '(.*)': (.*)", re.DOTALL)
_QUIET = ("not a git repository", "must be run in a work tree", "outside repository")
_LARGEST_COMPARED = 2**20


#: Seconds that git may take for its list before it is looked whether it waits for something that never comes.
_PATIENCE = 15.0


class _GitUnusableError(RuntimeError):
    """Git cannot be used here; the text says why, and is empty where there is simply no repository. Stays in this module."""


class _GitTooSlowError(_GitUnusableError):
    """It took too long. Stays in this module."""


@dataclass(frozen=True)
class Files:
    """What git lists below a folder.

    Args:
        names: relative to it; a repository of its own ends in ``/``. None where git does not know the folder.
        note: what is odd; empty where nothing is.
        closed: folders into which git could not look, and why.
    """

    names: list[str] | None
    note: str = ""
    closed: Mapping[str, str] = field(default_factory=dict)


def files(folder: str) -> Files:
    """The files below a folder that git would list."""
    try:
        done = _listed(folder)
        names = _names(done.stdout)
        if names == ["./"]:
            return Files(
                None, "a submodule that is not checked out (git submodule update --init): what is in it was found without git"
            )
        if not names and repository_top(folder) != folder and _ok(folder, "check-ignore", "-q", "."):
            return Files(None, "git ignores this folder; it was named, so it is read by the .gitignore files in it")
        return Files(names, *_warnings(folder, done.stderr))
    except _GitUnusableError as error:
        if not str(error) or not inside_repository(folder):
            return Files(None)
        return Files(None, f"git cannot be used here ({error}); the .gitignore files were applied without it")


def _listed(folder: str) -> subprocess.CompletedProcess[bytes]:
    arguments = ("ls-files", "-z", "-co", "--exclude-standard")
    try:
        return _git(folder, *arguments, seconds=_PATIENCE)
    except _GitTooSlowError as error:
        if pipe := _pipe_of_rules(folder):
            raise _GitUnusableError(f"{pipe!r} is a named pipe, and it waits for what that may say") from error
        return _git(folder, *arguments)


def _pipe_of_rules(folder: str) -> str:
    """A named pipe in the place of a file with rules, which git opens and waits at; empty where there is none."""
    top = repository_top(folder) or folder
    places = [os.path.join(top, ".git", "info", "exclude"), *(os.path.join(at, ".gitignore") for at, _, _ in os.walk(top))]
    return next((file for file in places if os.path.lexists(file) and stat.S_ISFIFO(os.lstat(file).st_mode)), "")


def submodules(folder: str) -> frozenset[str]:
    """The names of the submodules of a folder that git lists, checked out or not."""
    try:
        records = _git(folder, "ls-files", "-s", "-z").stdout.split(b"\0")
    except _GitUnusableError:
        return frozenset()
    return frozenset(os.fsdecode(record.partition(b"\t")[2]) for record in records if record.startswith(b"160000 "))


def _warnings(folder: str, said: bytes) -> tuple[str, dict[str, str]]:
    """What git said beside the list: a note, and the folders that it could not open, by their names below the folder.

    Git ends well all the same, and what is in there is missing from its list.
    """
    top, notes, closed = repository_top(folder) or folder, [], {}
    for line in said.decode("utf-8", "surrogateescape").splitlines():
        found = _CLOSED.fullmatch(line)
        name = os.path.relpath(os.path.join(top, found[1]), folder).replace(os.sep, "/") if found else ""
        if found and os.path.isdir(os.path.join(folder, name)) and not name.startswith("../"):
            closed[name] = found[2]
        elif line.startswith("warning: "):
            notes.append(line.removeprefix("warning: "))
    more = f" and {len(notes) - 1:,} more like this" if len(notes) > 1 else ""
    return f"git warns: {notes[0]}{more}" if notes else "", closed


def changes(folder: str, names: Iterable[str]) -> tuple[dict[str, float], str]:
    """How much each file changes: the sum over the commits that touched it, the older and the larger a commit the less.

    A commit weighs ``2 ** (-age / HALF_LIFE) / sqrt(files it touched)``, its age counted in commits, since one that touches
    everything says of no file that it is being worked on. What is not committed yet weighs like a commit of that file alone.
    Weights that halve keep the order of two files until one of them changes; any other law of age would reorder what nobody
    touched, and what is reordered is read again.

    Returns:
        the weights by name, and a note where the history could not be read (all weights are 0 then, as without a commit).
    """
    names = list(names)
    try:
        if not _ok(folder, "rev-parse", "--verify", "--quiet", "HEAD"):
            return dict.fromkeys(names, 0.0), ""
        committed = _committed(folder)
        weights = _weights(_commits(folder))
    except _GitUnusableError as error:
        return dict.fromkeys(names, 0.0), f"ordered by name: git's history could not be read ({error})"
    return {name: weights.get(name, 0.0) + (not _unchanged(folder, name, committed)) for name in names}, ""


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


def _commits(folder: str) -> list[list[str]]:
    """The names that each of the last commits touched, the newest commit first; commits that touched none are left out."""
    log = ("log", f"--max-count={MAX_COMMITS}", "--no-renames", "--no-ext-diff", "--name-only", "-z", "--format=%x00")
    # Of a whole repository without asking for a path, since looking for what simplifies its history takes as long as the rest.
    below = () if repository_top(folder) == folder else ("--relative", "--", ".")
    commits: list[list[str]] = [[]]
    for token in _git(folder, *log, *below, seconds=30).stdout.split(b"\0"):
        if token:
            commits[-1].append(os.fsdecode(token.removeprefix(b"\n") if not commits[-1] else token))
        elif commits[-1]:
            commits.append([])
    return commits


def _weights(commits: Iterable[list[str]]) -> dict[str, float]:
    weights: defaultdict[str, float] = defaultdict(float)
    for age, names in enumerate(commits, start=1):
        for name in names:
            weights[name] += 2 ** (-age / HALF_LIFE) / len(names) ** 0.5
    return weights


def _committed(folder: str) -> dict[str, str]:
    """The object of every file of the last commit, by name."""
    records = (record.partition(b"\t") for record in _git(folder, "ls-tree", "-r", "-z", "HEAD").stdout.split(b"\0") if record)
    return {os.fsdecode(name): about.split()[2].decode("ascii") for about, _, name in records}


def _unchanged(folder: str, name: str, committed: Mapping[str, str]) -> bool:
    """Whether a file is as it was committed. The bytes decide, not a time stamp that a copy or a touch has moved.

    Git is not asked, because it would run the filters that a repository names; binary and large files count as unchanged.
    """
    if name not in committed:
        return False
    file = os.path.join(folder, name)
    try:
        status = os.lstat(file)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _LARGEST_COMPARED:
            return True
        with open(file, "rb", buffering=0) as stream:
            data = stream.read()
    except OSError:
        return True
    return b"\x00" in data[:1024] or _is_object(data, committed[name])


def _is_object(data: bytes, name: str) -> bool:
    """Whether a file is what git calls so, with its line ends as they are or as git may store them."""
    make = hashlib.sha1 if len(name) == 40 else hashlib.sha256
    forms = (data, data.replace(b"\r\n", b"\n")) if b"\r\n" in data else (data,)
    return any(make(b"blob %d\0" % len(form) + form, usedforsecurity=False).hexdigest() == name for form in forms)


def _names(output: bytes) -> list[str]:
    return list(dict.fromkeys(os.fsdecode(name) for name in output.split(b"\0") if name))


def _ok(folder: str, *arguments: str) -> bool:
    return _run(folder, *arguments).returncode == 0


def _git(folder: str, *arguments: str, seconds: float = 120) -> subprocess.CompletedProcess[bytes]:
    done = _run(folder, *arguments, seconds=seconds)
    if done.returncode == 0:
        return done
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
        raise _GitTooSlowError(f"it took more than {seconds:g} s") from error
    except OSError as error:
        raise _GitUnusableError(f"git does not start: {error.strerror}") from error
