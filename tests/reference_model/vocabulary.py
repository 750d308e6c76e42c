"""The tokenizer of the reference model: byte-level BPE, with Qwen3.5's tokens in the same roles."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from longctx import prompts
from longctx.citations import NOT_STATED
from longctx.corpus import Lines, Segment, Source
from tests.reference_model import language
from tests.reference_model.questions import SKILLS, ask

SIZE = 1_536
#: As in Qwen3.5: special ones first, then those that are plain text to ``skip_special_tokens``.
SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
PLAIN = ("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<think>", "</think>")
#: How Qwen's tokenizers cut text: words with what stands before them, single digits, signs, white space.
QWEN_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}"
    r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


#: How often syllables and the prompt's own words are put to the trainer, so that their merges come first.
SYLLABLES_FIRST, PROMPT_FIRST = 20_000, 300


def make_tokenizer() -> Tokenizer:
    """Train it; the same on every machine. Cut and merged exactly as transformers' Qwen3_5Tokenizer does."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    cut = pre_tokenizers.Split(Regex(QWEN_PATTERN), behavior="isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([cut, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=SIZE - len(SPECIAL) - len(PLAIN),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(), trainer)
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in SPECIAL])
    tokenizer.add_tokens([AddedToken(text, special=False, normalized=False) for text in PLAIN])
    return tokenizer


def prompt_sha256() -> str:
    """Of all that the library writes around sources and questions: a change of it is a change of what the model has learnt."""
    file = Source("a.txt", "a.txt", "text", 2, "", (Segment("b\n", Lines("a.txt", 1, 1)),))
    frame = prompts.Frame()
    parts = (prompts.SYSTEM, prompts.BEFORE_SOURCES, prompts.BEFORE_QUESTION, frame.open(file), frame.mark(1, file.segments[0]))
    return hashlib.sha256("\0".join((*parts, frame.close(file))).encode()).hexdigest()


class _Apart(language.Vocabulary):
    """Its names are single syllables, so that no merge joins two of them: every name is as many tokens as it has syllables."""

    def name(self) -> str:
        return self.rng.choice(language.SYLLABLES)


def _texts() -> Iterator[str]:
    """What the merges are learnt from: syllables, the prompt, and files, questions and answers of the training set."""
    syllables = [form for s in language.SYLLABLES for form in (s, s.capitalize(), f" {s}", f" {s.capitalize()}")]
    yield from ("\n".join([syllable] * SYLLABLES_FIRST) for syllable in syllables)
    prompt = f"system\n{prompts.SYSTEM}\nuser\n{prompts.BEFORE_SOURCES}{prompts.BEFORE_QUESTION}\nassistant\n{NOT_STATED}"
    yield from [prompt] * PROMPT_FIRST
    for seed in range(400):
        words = _Apart(random.Random(seed), held_out=False)
        files = language.make_files(words, 2_000)
        yield from (f'<file path="{file.path}">\n<seg 1 lines 1-9>\n{file.text}\n</file>\n' for file in files)
        facts = [fact for file in files for fact in file.facts]
        questions = [question for skill in SKILLS for _ in range(3) if (question := ask(words, facts, skill))]
        yield from (f"{question.text}\n{question.answer(12)}\n{question.thought(12)}\n" for question in questions)
