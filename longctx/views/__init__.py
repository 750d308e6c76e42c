"""What the user sees: pure functions from plain state to HTML and to text.

Nothing here knows a session, a model or ipywidgets. A :class:`~longctx.views.live.Live` is a picture that changes until it is
finished; ``widgets`` hosts it in a notebook, ``views.terminal`` in a terminal.
"""
