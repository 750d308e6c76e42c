"""Corpus to tokens: safe tokenisation, what is looked at in its place, and spans that lead every token back to its origin.

Knows how text and pixels become what a model takes; runs no model.
"""

from longctx.stream.counts import Counts
from longctx.stream.sampling import Shown, choose, sampled
from longctx.stream.sight import Sight
from longctx.stream.tokenizer import Streamer, Tokenizer, Unopened
from longctx.stream.tokens import Encoder, Span, TokenStream, build, count
from longctx.stream.vision import MODEL_TYPES, MOST_PIXELS, Look, QwenVision, VisionFormat
from longctx.stream.vocabulary import qwen, qwen_counter

__all__ = [
    "MODEL_TYPES",
    "MOST_PIXELS",
    "Counts",
    "Encoder",
    "Look",
    "QwenVision",
    "Shown",
    "Sight",
    "Span",
    "Streamer",
    "TokenStream",
    "Tokenizer",
    "Unopened",
    "VisionFormat",
    "build",
    "choose",
    "count",
    "qwen",
    "qwen_counter",
    "sampled",
]
