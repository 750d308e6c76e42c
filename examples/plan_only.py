"""What fits? Plan a folder for several memory sizes, before any weight is loaded.

python examples/plan_only.py [FOLDER] [MODEL]
"""

import sys
from pathlib import Path

import longctx as lc

DEMO = Path(__file__).parent / "demo" / "project"


def main(folder: str = str(DEMO), model: str | None = None) -> None:
    corpus = lc.read(folder)
    for memory in ("1GB", "2GB", "8GB", "24GB"):
        plan = lc.plan(corpus, model=model, memory=memory)
        needed = plan.to_json()["memory"]["total"] / 1e9
        print(f"{memory:>5}: {'fits' if plan.fits else 'does not fit'}, needs {needed:.2f} GB, window {plan.window:,}")
    print(plan)


if __name__ == "__main__":
    main(*sys.argv[1:])
