"""English words without the endings of plural, tense and person, so that those of a question meet those of a source.

A light form of Porter's rules (1980). What comes out need not be a word; what matters is that both sides come out the same.
"""

from __future__ import annotations

import re
from functools import lru_cache

_VOWEL = re.compile("[aeiouy]")
#: One syllable whose e at the end is heard in its vowel: pip(e), cod(e), typ(e).
_SHORT = re.compile("[^aeiouy]*[aeiouy][^aeiouwxy]")
_DOUBLED = re.compile(r"([bdfgmnprt])\1$")
_LEAST = 3


@lru_cache(maxsize=1 << 17)
def stem(word: str) -> str:
    """A word in lower case without its endings.

    >>> [stem(word) for word in ("retry", "retries", "retried", "retrying")]
    ['retri', 'retri', 'retri', 'retri']
    >>> [stem(word) for word in ("resolve", "resolved", "files", "settings", "class", "status", "string", "pipes", "added")]
    ['resolv', 'resolv', 'file', 'set', 'class', 'status', 'string', 'pipe', 'add']
    """
    word = _timeless(_singular(word))
    if len(word) > _LEAST and word.endswith("e") and not _SHORT.fullmatch(word[:-1]):
        word = word[:-1]
    return word[:-1] + "i" if len(word) >= _LEAST and re.search("[^aeiou]y$", word) else word


def _singular(word: str) -> str:
    return word[:-1] if len(word) > _LEAST and word.endswith("s") and word[-2] not in "us" else word


def _timeless(word: str) -> str:
    for ending in ("ing", "ed"):
        rest = word.removesuffix(ending)
        if rest != word and len(rest) >= _LEAST and _VOWEL.search(rest) and not word.endswith("eed"):
            bare = rest[:-1] if len(rest) > _LEAST and _DOUBLED.search(rest) else rest
            return rest + "e" if bare == rest and _SHORT.fullmatch(rest) else bare
    return word
