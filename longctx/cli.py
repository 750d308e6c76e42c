"""The command line: parses, calls the same functions as a notebook, prints. Results to stdout, progress to stderr."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from longctx.errors import LongctxError, Stopped, UsageError

DONE, FAILED, WRONG_USE, STOPPED = 0, 1, 2, 130
#: The variable of the environment that holds the password of encrypted PDFs.
PASSWORD = "LONGCTX_PASSWORD"  # noqa: S105


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code: 0, 1 for a failure, 2 for wrong use, 130 when stopped."""
    try:
        options = _parser().parse_args(arguments)
    except SystemExit as error:  # argparse has printed what is wrong
        return error.code if isinstance(error.code, int) else WRONG_USE
    try:
        return int(options.run(options))
    except (KeyboardInterrupt, Stopped):
        print("stopped", file=sys.stderr)
        return STOPPED
    except BrokenPipeError:
        sys.stderr.close()
        return FAILED
    except LongctxError as error:
        print(f"longctx: {error}", file=sys.stderr)
        return WRONG_USE if isinstance(error, UsageError) else FAILED


# -- commands --------------------------------------------------------------------------------------------------------
def read(options: argparse.Namespace) -> int:
    """``longctx read``: what would be read, and how many tokens it has."""
    from longctx.reading import counted, read_json
    from longctx.views import manifest

    if options.map:
        return _map(options)
    corpus, basis = counted(_read(options), options.model)
    result = read_json(corpus, basis)
    _print(options, result, lambda: manifest.text(result))
    return DONE


def _map(options: argparse.Namespace) -> int:
    """``longctx read --map``: files and what they define, what is worth most first, within the budget."""
    from longctx import maps

    if options.json:
        raise UsageError("--map is text for people, and --json was asked for", hint="longctx read PATH --json tells of files")
    budget = _budget(options.budget) or maps.TOKENS
    print(_printable(maps.repository_map(_read(options, whole=True), budget, options.model)))
    return DONE


def plan(options: argparse.Namespace) -> int:
    """``longctx plan``: what fits, and what it takes, before anything is loaded; without PATH, what a full window takes."""
    made = _plan(options)
    _print(options, made.to_json(), lambda: made.text)
    return DONE if made.fits else FAILED


def ask(options: argparse.Namespace) -> int:
    """``longctx ask``: questions over one prefix."""
    for question in options.question:
        if not question.strip():
            raise UsageError(f"the question is empty: {question!r}", hint="longctx ask PATH -q 'QUESTION'")
    if len(options.question) > 1 and (options.save or options.reopen):
        raise UsageError("--save and --reopen take one question: each is a conversation", hint="longctx chat follows up")
    from longctx import terminal

    _check_saving(options)

    stopped = False
    answers = []
    with _session(options) as session:
        begun = session.reopen(options.reopen) if options.reopen else None
        for words in begun.outcome.differences if begun else ():
            print(f"note: {words}", file=sys.stderr)
        for number, question in enumerate(options.question, start=1):
            answer = (begun or session).ask(question, show=False, **_sampling(options))
            if len(options.question) > 1 and not options.json:
                print(_printable(f"[{number}] {question}\n"), flush=True)
            stopped = terminal.follow(answer, session.corpus, quiet=options.json)
            answers.append(answer.to_json())
            if stopped:
                break
        if options.json:
            _json({"answers": answers})
        if options.save or options.reopen:
            answer.save(options.save or options.reopen)
    return STOPPED if stopped else DONE


def summarize(options: argparse.Namespace) -> int:
    """``longctx summarize``: part by part, then the whole, with citations."""
    from longctx import showing
    from longctx.views import timeline

    with _session(options) as session:
        summary = session.summarize(max_tokens=options.max_tokens or 256, show=False)
        settle = showing.present(showing.JobLive(summary.job, session.plan))  # the progress alone: all of it is printed below
        result = summary.to_json()
        settle()
    _print(options, result, lambda: timeline.text(result))
    return DONE


def chat(options: argparse.Namespace) -> int:
    """``longctx chat``: a conversation; an empty line or end of file ends it."""
    from longctx import terminal

    _check_saving(options)
    kept = True
    with _session(options) as session:
        begun = session.reopen(options.reopen) if options.reopen else None
        if begun is not None:
            terminal.recall(begun, session.corpus)
        ask: Callable[..., Any] = (begun or session).ask
        while question := terminal.prompt("\nquestion (empty line ends)> "):
            answer = ask(question, show=False, **_sampling(options))
            terminal.follow(answer, session.corpus)
            kept = _saved(options, answer)
            ask = answer.ask
    return DONE if kept else FAILED


def export(options: argparse.Namespace) -> int:
    """``longctx export``: a saved conversation as a Markdown document; needs no model and no sources."""
    from longctx import conversations

    text = conversations.read(options.file).to_markdown(title=options.title or "", reasoning=options.reasoning)
    if options.output is None:
        sys.stdout.write(_printable(text))
    else:
        place = conversations.export(options.output, text, overwrite=options.force)
        print(f"written to {place}", file=sys.stderr)
    return DONE


def calibrate(options: argparse.Namespace) -> int:
    """``longctx calibrate``: measure this device for some seconds, so that plans tell how long they take."""
    from longctx.calibration import calibrate

    speed = calibrate(bits=options.bits, dtype=options.dtype, device=options.device)
    _print(options, speed.to_json(), lambda: "measured and kept: plans for weights like these tell their time now")
    return DONE


def prefixes(options: argparse.Namespace) -> int:
    """``longctx prefixes``: what was read before and is kept on disk: list it, show one, make room."""
    from longctx import keeping
    from longctx.views import prefixes as view

    store = keeping.prefix_store()
    if options.action == "show":
        shown = keeping.shown(store.chain(_one(options.names)))
        _print(options, shown, lambda: view.detail(shown))
    elif options.action == "prune":
        freed = _pruned(store, options)
        _print(options, {"removed_bytes": freed}, lambda: f"{freed / 1e9:.2f} GB removed, {store.size() / 1e9:.2f} GB left")
    else:
        rows = [keeping.listed(chain) for chain in store.chains()]
        _print(options, rows, lambda: view.listing(rows, folder=str(store.folder), size=store.size()))
    return DONE


def demo(options: argparse.Namespace) -> int:
    """``longctx demo``: the main job on a small project, with whatever model can be had."""
    from longctx import demo

    return demo.run(_agree(options))


def _one(names: Sequence[str]) -> str:
    if len(names) != 1:
        raise UsageError(f"{len(names)} names were given", hint="longctx prefixes show NAME; longctx prefixes list tells names")
    return names[0]


def _pruned(store: Any, options: argparse.Namespace) -> int:
    """Remove the prefixes that were named, or those that were used longest ago; the bytes that were removed."""
    from longctx import planner

    if bool(options.names) == (options.most is not None):
        raise UsageError("prune takes names or --most", hint="longctx prefixes prune --most 5GB; --most 0 removes everything")
    if options.names:
        return sum(store.drop(chain) for chain in [store.chain(name) for name in options.names])
    return int(store.prune(0 if options.most.strip() == "0" else planner.parse_memory(options.most)))


# -- conversations -----------------------------------------------------------------------------------------------------
def _check_saving(options: argparse.Namespace) -> None:
    """Refuse what could not be reopened or saved, before a model is loaded."""
    from longctx import conversations

    if options.reopen:
        conversations.read(options.reopen)
    if path := options.save or options.reopen:
        going_on = options.reopen is not None and os.path.realpath(path) == os.path.realpath(options.reopen)
        conversations.check_free(path, going_on=going_on)


def _saved(options: argparse.Namespace, answer: Any) -> bool:
    """Save a conversation where it shall be; a disk that does not take it does not end the chat."""
    if options.save or options.reopen:
        try:
            answer.save(options.save or options.reopen)
        except LongctxError as error:
            print(f"longctx: {error}", file=sys.stderr)
            return False
    return True


# -- the way to a session --------------------------------------------------------------------------------------------
def _read(options: argparse.Namespace, *, whole: bool = False) -> Any:
    from longctx import intake

    names = ("include", "exclude", "engine", "pages_as_pictures", "figures_as_pictures", "submodules", "junk", "redact")
    chosen = {name: getattr(options, name) for name in names} | {"password": _password(options)}
    chosen |= {"budget": None if whole else _budget(options.budget), "model": options.model if options.run is read else None}
    return intake.read(*options.paths, **chosen)


def _password(options: argparse.Namespace) -> str:
    """Of encrypted PDFs: from the environment, or asked for; never from the command line, which shells keep and others see."""
    if given := os.environ.get(PASSWORD, ""):
        return given
    if not options.password:
        return ""
    if not sys.stdin.isatty():
        raise UsageError("--password asks for it, and there is no terminal", hint=f"set {PASSWORD} in the environment")
    return getpass.getpass("password of encrypted PDFs: ", stream=sys.stderr)


def _plan(options: argparse.Namespace) -> Any:
    from longctx import planning

    names = "model bits dtype memory window max_window kv_dtype kv_device chunk device store fps frames pixels picture_pixels"
    given = {key: getattr(options, key) for key in names.split()}
    if not options.paths and options.budget:
        raise UsageError("--budget says what is read of a source, and there is no PATH")
    names_of_reading = ("include", "exclude", "pages_as_pictures", "engine", "submodules", "junk", "password")
    without = not (options.redact and options.figures_as_pictures)
    if not options.paths and (without or any(getattr(options, name) for name in names_of_reading)):
        words = ", ".join(f"--{name.replace('_', '-')}" for name in names_of_reading)
        raise UsageError(f"{words}, --no-figures-as-pictures and --no-redact say what is read, and there is no PATH")
    corpus = _read(options) if options.paths else None
    return planning.plan(corpus, budgets=_budgets(options.budget), agree=_agree(options), **given)


def _budget(given: Sequence[str]) -> int | None:
    """``TOKENS`` for all that is read, as :func:`longctx.read` takes them."""
    found = [words for words in given if _is_number(words)]
    if len(found) > 1:
        raise UsageError(f"--budget {found[1]} is the second one for all that is read", hint="give one")
    return int(found[0]) if found else None


def _is_number(words: str) -> bool:
    return words.isascii() and words.isdigit()


def _budgets(given: Sequence[str]) -> dict[str, float | int]:
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


def _session(options: argparse.Namespace) -> Any:
    from longctx import session, showing, terminal

    showing.set_presenter(terminal.present)
    made = _plan(options)
    if not options.json:
        print(made.text, file=sys.stderr)
    _require_agreement(made, options)
    return session.load(made)


def _require_agreement(made: Any, options: argparse.Namespace) -> None:
    """A model that was not named is fetched only where somebody agrees."""
    from longctx.choosing import AUTO

    if options.model != AUTO or not made.files.remote or not made.fits:
        return
    agree = _agree(options)
    if agree is None or not agree(f"Fetch {made.model}?"):
        hint = f"--yes agrees to fetching it, and so does its name: --model {made.model}"
        raise UsageError(f"{made.model} is not on this machine", hint=hint)


def _sampling(options: argparse.Namespace) -> dict[str, Any]:
    given = {key: getattr(options, key) for key in ("thinking", "temperature", "top_p", "top_k", "max_tokens", "seed")}
    return {key: value for key, value in given.items() if value is not None}


def _agree(options: argparse.Namespace) -> Callable[[str], bool] | None:
    """Who is asked before a model is downloaded that was not named: nobody, the user, or ``--yes``."""
    if options.yes:
        return lambda question: True
    if not sys.stdin.isatty():
        return None
    return lambda question: input(f"{question} [y/N] ").strip().lower() in {"y", "yes"}


# -- output ----------------------------------------------------------------------------------------------------------
def _print(options: argparse.Namespace, result: Any, text: Callable[[], str]) -> None:
    if options.json:
        _json(result)
    else:
        sys.stdout.write(_printable(text()) + "\n")


def _json(result: Any) -> None:
    """ASCII, so that surrogate-escaped paths come out as they are, whatever the terminal's encoding."""
    print(json.dumps(result, indent=2))


def _printable(text: str) -> str:
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


# -- options ---------------------------------------------------------------------------------------------------------
def _parser() -> argparse.ArgumentParser:
    from longctx import __version__

    parser = argparse.ArgumentParser(prog="longctx", description="Think with more material than fits in a head.")
    parser.add_argument("--version", action="version", version=f"longctx {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command, add in (
        (read, _add_read),
        (plan, _add_plan),
        (ask, _add_ask),
        (summarize, _add_summarize),
        (chat, _add_chat),
        (export, _add_export),
        (calibrate, _add_calibrate),
        (prefixes, _add_prefixes),
    ):
        summary = (command.__doc__ or "").partition(": ")[2]
        add(_command(commands, command.__name__, command, summary))
    _add_yes(_command(commands, "demo", demo, "the main job on a small project, with whatever model can be had"))
    return parser


def _command(commands: Any, name: str, run: Callable[..., int], summary: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=summary, description=summary)
    parser.set_defaults(run=run, json=False)
    return parser


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


def _tokens(words: str) -> str:
    if not _is_number(words):
        raise argparse.ArgumentTypeError(f"{words!r} is no number of tokens; longctx plan takes PATH=SHARE")
    return words


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


if __name__ == "__main__":
    sys.exit(main())
