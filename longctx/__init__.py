"""longctx: think with more material than fits in a head."""
