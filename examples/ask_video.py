"""Ask a video, and print the seconds of every citation; then a summary as a list of dated entries.

python examples/ask_video.py [FILE.mp4] [QUESTION]

A model that sees is shown frames; for one that does not, what is written on them is read as text (OCR), and so are subtitles.
"""

import sys
from pathlib import Path

import longctx as lc

DEMO = next((Path(__file__).parent / "demo" / "project").rglob("*.mp4"))


def main(file: str = str(DEMO), question: str = "What does the slide at 12 seconds say?") -> None:
    corpus = lc.read(file)
    for row in corpus.manifest:
        print(row.path, row.status, row.reason)
    with lc.load(lc.plan(corpus)) as session:
        answer = session.ask(question, max_tokens=64)
        print(answer)
        for citation in answer.citations:
            print(f"  {citation.where}: {' / '.join(citation.quote.splitlines())}")
        for part in session.summarize(max_tokens=32, show=False).parts:
            print(f"{part.moment.start:6.1f} s  {part.outcome.text}")


if __name__ == "__main__":
    main(*sys.argv[1:])
