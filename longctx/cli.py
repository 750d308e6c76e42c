"""The command line: parses, calls the same functions as a notebook, prints. Results to stdout, progress to stderr."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from longctx import arguments
from longctx.arguments import PASSWORD
from longctx.errors import LongctxError, Stopped, UsageError

DONE, FAILED, WRONG_USE, STOPPED = 0, 1, 2, 130


def main(words: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code: 0, 1 for a failure, 2 for wrong use, 130 when stopped."""
    try:
        options = arguments.parser(read, plan, ask, summarize, chat, export, calibrate, prefixes, demo).parse_args(words)
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
    budget = arguments.budget(options.budget) or maps.TOKENS
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
    chosen |= {
        "budget": None if whole else arguments.budget(options.budget),
        "model": options.model if options.run is read else None,
    }
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
    return planning.plan(corpus, budgets=arguments.budgets(options.budget), agree=_agree(options), **given)


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


if __name__ == "__main__":
    sys.exit(main())
