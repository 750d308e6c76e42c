"""longctx: think with more material than fits in a head.

``read`` sources into a corpus, ``plan`` what fits which model on this machine, ``load`` the plan, ``ask`` as often as you like.
Importing this package does no work: torch and the readers are imported where they are used.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from longctx.answers import Answer
    from longctx.backends.scripted import ScriptedBackend
    from longctx.citations import Citation
    from longctx.corpus import Corpus
    from longctx.errors import LongctxError
    from longctx.intake import read
    from longctx.keeping import prefix_store
    from longctx.planning import plan
    from longctx.plans import Plan
    from longctx.session import Session, ask, free, load
    from longctx.summaries import Summary

__version__ = "0.1.0.dev0"
__distribution__ = "longctx-jupyter"

_HOMES = {
    "Answer": "longctx.answers",
    "Citation": "longctx.citations",
    "Corpus": "longctx.corpus",
    "LongctxError": "longctx.errors",
    "Plan": "longctx.plans",
    "ScriptedBackend": "longctx.backends.scripted",
    "Session": "longctx.session",
    "Summary": "longctx.summaries",
    "ask": "longctx.session",
    "calibrate": "longctx.calibration",
    "free": "longctx.session",
    "load": "longctx.session",
    "plan": "longctx.planning",
    "prefix_store": "longctx.keeping",
    "read": "longctx.intake",
}

__all__ = [
    "Answer",
    "Citation",
    "Corpus",
    "LongctxError",
    "Plan",
    "ScriptedBackend",
    "Session",
    "Summary",
    "__version__",
    "ask",
    "calibrate",
    "free",
    "load",
    "plan",
    "prefix_store",
    "read",
]


def _refuse_clash() -> None:
    """Another project's distribution ``longctx`` installs files into this very folder; nothing then works as either says."""
    folder = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    clashing = [name for name in os.listdir(folder) if name.startswith("longctx-") and name.endswith(".dist-info")]
    if clashing:
        raise ImportError(
            f"two projects share the import 'longctx' in {folder}:"
            f" longctx-jupyter and {clashing[0].removesuffix('.dist-info')}\n"
            "  pip uninstall -y longctx longctx-jupyter, then install longctx-jupyter again, in an environment of its own"
        )


_refuse_clash()


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'longctx' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    _install_widgets()
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


def _install_widgets() -> None:
    """In a Jupyter kernel, have live views shown as widgets."""
    from longctx.jobs import in_kernel

    if in_kernel():
        from longctx import reading, showing, widgets
        from longctx.corpus import Corpus

        widgets.install(showing.set_presenter)
        showing.format_as_html(Corpus, reading.html)
