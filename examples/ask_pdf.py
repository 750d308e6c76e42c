"""Ask a PDF, and print the page and the box on it of every citation.

python examples/ask_pdf.py [FILE.pdf] [QUESTION]
"""

import sys
from pathlib import Path

import longctx as lc

DEMO = next((Path(__file__).parent / "demo" / "project").rglob("*.pdf"))


def main(file: str = str(DEMO), question: str = "What accuracy does the manual promise for the sensor?") -> None:
    corpus = lc.read(file)
    for row in corpus.manifest:
        print(row.path, row.status, row.reason)
    with lc.load(lc.plan(corpus)) as session:
        answer = session.ask(question, max_tokens=64)
        print(answer)
        for citation in answer.citations:
            print(f"  page {citation.origin.number}, box {citation.origin.box}: {citation.quote!r}")


if __name__ == "__main__":
    main(*sys.argv[1:])
