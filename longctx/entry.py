"""The command ``longctx-jupyter``: stands beside the package, to tell when another project's import is in the way."""

import sys


def main() -> int:
    """Run the command line of this distribution, or say which other ``longctx`` is imported in its place."""
    import longctx

    if getattr(longctx, "__distribution__", "") != "longctx-jupyter":
        where = getattr(longctx, "__file__", None) or list(getattr(longctx, "__path__", []))
        print(
            f"longctx-jupyter: the import 'longctx' is another project's: {where}\n"
            "  pip uninstall -y longctx longctx-jupyter, then install longctx-jupyter again, in an environment of its own",
            file=sys.stderr,
        )
        return 1
    from longctx.cli import main as run

    return run()
