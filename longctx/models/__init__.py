"""Where a model's files are: a local folder, a GGUF file, the hub's cache, the hub, or the embedded default. No torch."""

from longctx.models.embedded import EMBEDDED_GENERATION, EMBEDDED_NAME, embedded_folder, fetch_embedded
from longctx.models.files import ModelFiles
from longctx.models.find import (
    REFERENCE_FOLDER,
    cached,
    cached_family_member,
    find,
    foreseen,
    hub_answers,
    with_weights,
)
from longctx.places import cache_folder

__all__ = [
    "EMBEDDED_GENERATION",
    "EMBEDDED_NAME",
    "REFERENCE_FOLDER",
    "ModelFiles",
    "cache_folder",
    "cached",
    "cached_family_member",
    "embedded_folder",
    "fetch_embedded",
    "find",
    "foreseen",
    "hub_answers",
    "with_weights",
]
