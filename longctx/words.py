"""English words without the endings of plural, tense and person, so that those of a question meet those of a source."""

from __future__ import annotations

import threading
from functools import cache, lru_cache
from typing import Any

_lock = threading.Lock()


@lru_cache(maxsize=1 << 17)
def stem(word: str) -> str:
    """A word in lower case without its endings, by the stemmer of the Snowball project.

    What comes out need not be a word; what matters is that both sides come out the same.

    >>> [stem(word) for word in ("retry", "retries", "retried", "retrying")]
    ['retri', 'retri', 'retri', 'retri']
    """
    with _lock:  # a stemmer keeps the word that it works on; sessions run on threads of their own
        stemmed: str = _english().stemWord(word)
    return stemmed


@cache
def _english() -> Any:
    import snowballstemmer

    return snowballstemmer.stemmer("english")
