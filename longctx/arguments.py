"""What the command line takes: the options of each command, and what their words mean."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

from longctx.errors import UsageError

#: The variable of the environment that holds the password of encrypted PDFs.
PASSWORD = "LONGCTX_PASSWORD"  # noqa: S105
Command = Callable[[argparse.Namespace], int]


def parser(*commands: Command) -> argparse.ArgumentParser:
    """Reads the words of a command line.

    Args:
        commands: one for each name that has options here; the first line of their docstrings says what they do. What was
            chosen is the ``run`` of the options that are parsed.

    >>> def demo(options):
    ...     return 0
    >>> options = parser(demo).parse_args(["demo", "--yes"])
    >>> options.run is demo, options.yes
    (True, True)
    """
    from longctx import __version__

    made = argparse.ArgumentParser(prog="longctx", description="Think with more material than fits in a head.")
    made.add_argument("--version", action="version", version=f"longctx {__version__}")
    names = made.add_subparsers(metavar="COMMAND", required=True)
    for command in commands:
        summary = (command.__doc__ or "").partition(": ")[2]
        one = names.add_parser(command.__name__, help=summary, description=summary)
        one.set_defaults(run=command, json=False)
        _OPTIONS[command.__name__](one)
    return made


# -- what words mean -------------------------------------------------------------------------------------------------
def budget(given: Sequence[str]) -> int | None:
    """``TOKENS`` for all that is read, as :func:`longctx.read` takes them."""
    found = [words for words in given if _is_number(words)]
    if len(found) > 1:
        raise UsageError(f"--budget {found[1]} is the second one for all that is read", hint="give one")
    return int(found[0]) if found else None


def _is_number(words: str) -> bool:
    return words.isascii() and words.isdigit()


def budgets(given: Sequence[str]) -> dict[str, float | int]:
    """``PATH=SHARE`` or ``PATH=TOKENS``, as :func:`longctx.plan` takes them."""
    found: dict[str, float | int] = {}
    for words in given:
        if _is_number(words):
            continue
        path, equals, number = words.rpartition("=")
        try:
            value = int(number) if _is_number(number) else float(number)
        except ValueError:
            equals = ""
        if not equals or not path:
            raise UsageError(
                f"--budget {words!r} is no PATH=SHARE",
                hint="--budget lecture.mp4=0.5, --budget src=20000, or --budget 50000 for all",
            )
        if path in found:
            raise UsageError(f"--budget {words!r} is the second one for {path!r}", hint="give one")
        found[path] = value
    return found


def _tokens(words: str) -> str:
    if not _is_number(words):
        raise argparse.ArgumentTypeError(f"{words!r} is no number of tokens; longctx plan takes PATH=SHARE")
    return words


# -- options of each command -----------------------------------------------------------------------------------------
def _add_paths(parser: argparse.ArgumentParser, nargs: str = "+") -> None:
    parser.add_argument(
        "paths", nargs=nargs, metavar="PATH", help="a folder, or a file of code, text, PDF, notebook, picture or video"
    )
    parser.add_argument("--include", action="append", default=[], metavar="GLOB", help="read only what matches (repeatable)")
    parser.add_argument("--exclude", action="append", default=[], metavar="GLOB", help="leave out what matches (repeatable)")
    parser.add_argument(
        "--pages-as-pictures", action="store_true", help="show every page of a PDF as a picture, besides its text"
    )
    parser.add_argument(
        "--no-figures-as-pictures",
        dest="figures_as_pictures",
        action="store_false",
        help="do not show the figures of a PDF that stand on pages with text",
    )
    parser.add_argument("--junk", action="store_true", help="read lock, minified, generated, vendored and data files whole")
    parser.add_argument("--no-redact", dest="redact", action="store_false", help="leave private keys, tokens and passwords in")
    parser.add_argument("--submodules", action="store_true", help="read the files of checked out git submodules too")
    parser.add_argument("--engine", choices=("av", "decord"), help="which library reads video (default av: PyAV)")
    parser.add_argument("--password", action="store_true", help=f"ask for the password of encrypted PDFs (or set {PASSWORD})")


def _add_read(parser: argparse.ArgumentParser) -> None:
    _add_paths(parser)
    parser.add_argument("--model", help="count with this model's tokenizer: a hub id or a folder")
    parser.add_argument(
        "--budget",
        action="append",
        default=[],
        metavar="TOKENS",
        type=_tokens,
        help="of all that is read; what does not fit is read by its signatures, its beginning or its name",
    )
    parser.add_argument(
        "--map",
        action="store_true",
        help="print a map: files and what they define, what is worth most first (--budget: its size)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def _add_plan(parser: argparse.ArgumentParser, nargs: str = "*") -> None:
    _add_paths(parser, nargs)
    parser.add_argument("--model", help="a hub id or a folder; auto: the best Qwen3.5; without it the best that can be had")
    parser.add_argument("--bits", type=int, choices=(4, 8, 16), help="bits per weight (default 4; 16 below 1B parameters)")
    parser.add_argument("--dtype", choices=("bfloat16", "float16", "float32"), help="of what is not quantised")
    parser.add_argument("--memory", help="stay within this much, such as 16GB")
    parser.add_argument("--window", type=int, help="tokens to plan for; without PATH by default the largest that fits")
    parser.add_argument("--max-window", type=int, help="the model's real maximum, where the planner's table is wrong")
    parser.add_argument("--kv-dtype", choices=("int8", "int4"), help="of K/V (default: the dtype of the rest)")
    parser.add_argument("--kv-device", choices=("cpu",), help="keep K/V in the CPU's memory, beside a GPU")
    parser.add_argument("--chunk", type=int, help="tokens of one prefill step")
    parser.add_argument("--device", choices=("cuda", "mps", "cpu"), help="with --memory also one that is not in this machine")
    parser.add_argument("--fps", type=float, help="frames of a second of video (default 2, or what the window has room for)")
    parser.add_argument("--frames", type=int, help="frames of each video, in the stead of --fps; 0 leaves the subtitles only")
    parser.add_argument("--pixels", type=int, help="of each frame, width x height (default about 448 x 256)")
    parser.add_argument("--picture-pixels", type=int, help="of each still picture at most (default about 2 million)")
    parser.add_argument(
        "--budget",
        action="append",
        default=[],
        metavar="[PATH=]SHARE",
        help="of the room for sources, for a path, folder or pattern as it is cited: a share up to 1, or tokens (repeatable);"
        " tokens without a path: of all that is read",
    )
    parser.add_argument("--no-store", dest="store", action="store_false", help="keep no prefix on disk")
    parser.add_argument(
        "--store-int8", dest="store", action="store_const", const="int8", help="keep K/V on disk in a byte a number"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    _add_yes(parser)


def _add_calibrate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bits", type=int, choices=(4, 8, 16), default=16, help="bits per weight (default 16)")
    parser.add_argument("--dtype", choices=("bfloat16", "float16", "float32"), help="of what is not quantised")
    parser.add_argument("--device", choices=("cuda", "mps", "cpu"), help="which device (default: the one that plans take)")
    parser.add_argument("--json", action="store_true", help="print what was measured as JSON")


def _add_prefixes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("list", "show", "prune"), nargs="?", default="list", help="(default list)")
    parser.add_argument("names", nargs="*", metavar="NAME", help="of a prefix, or how it begins")
    parser.add_argument("--most", metavar="SIZE", help="prune: leave at most so much, such as 5GB; the last used stays longest")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _add_ask(parser: argparse.ArgumentParser) -> None:
    _add_plan(parser, nargs="+")
    parser.add_argument("-q", "--question", action="append", required=True, help="what to ask (repeatable)")
    _add_conversation(parser)
    _add_sampling(parser)


def _add_summarize(parser: argparse.ArgumentParser) -> None:
    _add_plan(parser, nargs="+")
    parser.add_argument("--max-tokens", type=int, help="most tokens of one part (default 256)")


def _add_chat(parser: argparse.ArgumentParser) -> None:
    _add_plan(parser, nargs="+")
    _add_conversation(parser)
    _add_sampling(parser)


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="a conversation that --save or answer.save() wrote")
    parser.add_argument("-o", "--output", metavar="FILE", help="write the document there (default: print it)")
    parser.add_argument("--title", help="of the document (default: names the sources)")
    parser.add_argument("--reasoning", action="store_true", help="with what the model thought before each answer")
    parser.add_argument("--force", action="store_true", help="replace a file that is there")


def _add_conversation(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--save", metavar="FILE", help="save the conversation there, after each answer")
    parser.add_argument(
        "--reopen", metavar="FILE", help="go on with a saved conversation; each answer is saved into it, unless --save is given"
    )


def _add_sampling(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--thinking", action=argparse.BooleanOptionalAction, help="let the model reason first, where it can")
    parser.add_argument("--temperature", type=float, help="0 is greedy")
    parser.add_argument("--top-p", type=float)
    parser.add_argument("--top-k", type=int)
    parser.add_argument("--max-tokens", type=int, help="most tokens of an answer")
    parser.add_argument("--seed", type=int, help="makes sampling repeatable")


def _add_yes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--yes", action="store_true", help="agree to the download of a model that was not named")


_OPTIONS: dict[str, Callable[[argparse.ArgumentParser], None]] = {
    "read": _add_read,
    "plan": _add_plan,
    "ask": _add_ask,
    "summarize": _add_summarize,
    "chat": _add_chat,
    "export": _add_export,
    "calibrate": _add_calibrate,
    "prefixes": _add_prefixes,
    "demo": _add_yes,
}
