"""Corpus to tokens: safe tokenisation, and spans that lead every token back to its origin. Knows no model and no torch."""

from longctx.stream.tokenizer import Streamer, Tokenizer
from longctx.stream.tokens import Span, TokenStream, build, count
from longctx.stream.vocabulary import qwen

__all__ = ["Span", "Streamer", "TokenStream", "Tokenizer", "build", "count", "qwen"]
