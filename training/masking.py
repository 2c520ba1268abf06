"""Whole-word masking on token ids, so that input and labels can never be shifted against each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from transformers import PreTrainedTokenizerBase

IGNORED = -100  # the label of a token that is not to be predicted
NO_WORD = -1  # the word number of [CLS], [SEP] and padding

MASKED, REPLACED = 0.8, 0.1  # of the chosen words; the others are left as they are (BERT, section 3.1)


@dataclass(frozen=True)
class WordMasking:
    """How captions are masked.

    mask_id: the token that hides a piece of a word; replacements (R,): ids that a piece can be replaced by;
    probability: the fraction of a caption's words that are chosen, at least one of them; share: the fraction of the
    captions that are masked, the others stay whole.
    """

    mask_id: int
    replacements: np.ndarray
    probability: float = 0.15
    share: float = 1.0

    @classmethod
    def of(
        cls, tokenizer: PreTrainedTokenizerBase, probability: float = 0.15, share: float = 1.0
    ) -> WordMasking:
        """Masking for a tokenizer; ValueError if it has no mask token."""
        if tokenizer.mask_token_id is None:
            raise ValueError(
                f"the tokenizer {tokenizer.name_or_path!r} has no mask token, so no word can be masked; "
                "give a text encoder that was trained by masking, such as BERT."
            )
        special = set(tokenizer.all_special_ids)
        vocabulary = tokenizer.get_vocab().items()
        words = sorted(i for text, i in vocabulary if i not in special and not text.startswith("[unused"))
        return cls(tokenizer.mask_token_id, np.array(words), probability, share)

    def __call__(
        self, input_ids: np.ndarray, word_ids: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """One caption → (input_ids (T,), labels (T,)); labels are IGNORED where nothing is to be predicted.

        input_ids (T,): its tokens; word_ids (T,): the word that each token is a piece of, NO_WORD for special
        tokens. All pieces of a word are chosen together, and masked, replaced or kept together.
        """
        masked, labels = input_ids.copy(), np.full_like(input_ids, IGNORED)
        words = np.unique(word_ids[word_ids != NO_WORD])
        if not len(words) or (self.share < 1 and rng.random() >= self.share):
            return masked, labels
        count = max(1, round(self.probability * len(words)))
        for word, fate in zip(rng.choice(words, count, replace=False), rng.random(count), strict=True):
            pieces = word_ids == word
            labels[pieces] = input_ids[pieces]
            if fate < MASKED:
                masked[pieces] = self.mask_id
            elif fate < MASKED + REPLACED:
                masked[pieces] = rng.choice(self.replacements, int(pieces.sum()))
        return masked, labels


@dataclass(frozen=True)
class EncodedCaption:
    """A caption, its token ids (T,) and, for each, the number of its word; both int64."""

    text: str
    input_ids: np.ndarray
    word_ids: np.ndarray


def encode_captions(
    tokenizer: PreTrainedTokenizerBase, captions: Sequence[str], context_length: int
) -> dict[str, EncodedCaption]:
    """Every different caption → its tokens, cut to `context_length`. Needs a tokenizer that knows words ("fast")."""
    if not tokenizer.is_fast:
        raise ValueError(
            f"the tokenizer {tokenizer.name_or_path!r} does not tell words; give its fast version."
        )
    texts = list(dict.fromkeys(captions))
    encoding = tokenizer(texts, truncation=True, max_length=context_length)
    return {
        text: EncodedCaption(text, np.array(encoding["input_ids"][row]), _word_ids(encoding.word_ids(row)))
        for row, text in enumerate(texts)
    }


def _word_ids(words: list[int | None]) -> np.ndarray:
    return np.array([NO_WORD if word is None else word for word in words])
