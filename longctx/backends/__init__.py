"""Engines that hold a model. What a session asks of them is in :mod:`longctx.backends.base`."""
