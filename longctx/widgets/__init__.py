"""Views in a notebook: the only room that knows ipywidgets and the notebook's display.

``install`` hands :func:`present` to whoever shows live views, where this process is a Jupyter kernel. Nothing is imported
before something is shown.
"""

from __future__ import annotations

from longctx.widgets.notebook import install, present, show_html

__all__ = ["install", "present", "show_html"]
