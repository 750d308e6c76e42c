"""``python -m tests.bench NAME``: one benchmark, one JSON line with a ratio to its peer or limit, measured in the same run."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path

NAMES = sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("arguments", nargs="*", help="what the benchmark takes; see its module")
    options = parser.parse_args()
    result = importlib.import_module(f"tests.bench.{options.name}").run(*options.arguments)
    print(json.dumps({"bench": options.name, **result}))
    return 0 if result["holds"] else 1


if __name__ == "__main__":
    sys.exit(main())
