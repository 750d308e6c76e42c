"""Paths become a corpus: every file a list of segments with exact origins, every path a row that says what became of it.

Knows files and their formats; no tokenizer and no model. A folder is listed as git lists it, text is decoded and cut in this
process, and what can crash (PDF, pictures, video) is read in a process of its own that may die.
"""

from longctx.sources.reading import MAX_FILE_BYTES, read

__all__ = ["MAX_FILE_BYTES", "read"]
