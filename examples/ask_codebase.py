"""Ask a codebase two questions over one prefix; the second reads its own tokens only.

python examples/ask_codebase.py [FOLDER] [QUESTION ...]
"""

import sys
from pathlib import Path

import longctx as lc

DEMO = Path(__file__).parent / "demo" / "project"
QUESTIONS = ["Where is the retry policy decided?", "What does the storage module do?"]


def main(folder: str = str(DEMO), *questions: str) -> None:
    corpus = lc.read(folder, exclude=["*.pdf"])
    plan = lc.plan(corpus)
    print(plan)
    with lc.load(plan) as session:
        for question in questions or QUESTIONS:
            answer = session.ask(question, max_tokens=64)
            print(f"\n{question}\n")
            for piece in answer:
                print(piece, end="", flush=True)
            print()
            for citation in answer.citations:
                print(f"  {citation.origin}  {'checked' if citation.verified else 'not found'}  {citation.quote!r}")
            print(f"  {answer.usage.reused_tokens:,} of {answer.usage.prompt_tokens:,} tokens reused")


if __name__ == "__main__":
    main(*sys.argv[1:])
