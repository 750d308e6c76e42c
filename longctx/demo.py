"""``longctx demo``: the main job from end to end on a small real project, with the best model that can be had here."""

from __future__ import annotations

import sys
from pathlib import Path

import longctx
from longctx import planning, session, showing, sources, terminal
from longctx.errors import ModelNotFoundError
from longctx.jobs import Job
from longctx.models import EMBEDDED_NAME
from longctx.plans import Plan

QUESTIONS = (
    "Where is the retry policy decided, and how many attempts does it allow?",
    "What accuracy does the manual promise for the sensor?",
    "What does the slide at 12 seconds of the tour say?",
)
MOST_TOKENS = 96
NEXT = (
    "longctx read .                                   # what would be read, and how many tokens it has",
    "longctx plan . --model Qwen/Qwen3.5-4B           # what fits this machine, before anything is downloaded",
    'longctx ask . -q "Where are errors handled?"     # cited to file and line',
)


def project() -> Path:
    """The demo's project: beside the package in a source tree, inside it when installed.

    Raises:
        ModelNotFoundError: neither is there.
    """
    package = Path(longctx.__file__).parent
    for folder in (package.parent / "examples" / "demo" / "project", package / "data" / "demo"):
        if folder.is_dir():
            return folder
    raise ModelNotFoundError(f"the demo's project is not beside {package}", hint="install longctx-jupyter again")


def run(agree: planning.Agree | None) -> int:
    """Read, plan, load, ask twice; returns the exit code."""
    showing.set_presenter(terminal.present)
    folder = project()
    say("Reading a small project …")
    corpus = sources.read(folder)
    made = _planned(corpus, agree)
    say(f"\n{made.text}\n")
    with session.load(made) as ready:
        for number, question in enumerate(QUESTIONS, start=1):
            say(f"\n[{number}] {question}\n")
            answer = ready.ask(question, max_tokens=MOST_TOKENS, show=False)
            if terminal.follow(answer, ready.corpus):
                return 130
    _close(made)
    return 0


def _planned(corpus: longctx.Corpus, agree: planning.Agree | None) -> Plan:
    """The plan; its model may have to be fetched and converted first, which is shown."""
    job: Job[Plan] = Job(lambda job: planning.plan(corpus, agree=agree, job=job), title="plan")
    return terminal.watch_here(job)


def _close(made: Plan) -> None:
    if made.model == EMBEDDED_NAME:
        say(f"\n{made.model} has 135M parameters and runs anywhere. Its answers are often wrong; its quotes are checked.")
        say("A Qwen3.5 answers far better. longctx takes one by itself where it is in the local hub cache.")
    say("\nNext:")
    for line in NEXT:
        say(f"  {line}")


def say(text: str) -> None:
    """Print at once, also into a pipe."""
    print(text, file=sys.stdout, flush=True)
