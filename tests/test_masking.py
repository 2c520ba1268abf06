"""Masking chooses whole words, in BERT's proportions, and its labels cannot be shifted against its input."""

import numpy as np
import pytest
from tiny_training import CAPTIONS, bert_tokenizer
from transformers import BertTokenizerFast

from training.masking import IGNORED, NO_WORD, WordMasking, encode_captions

TOKENIZER = bert_tokenizer()
MASK = TOKENIZER.mask_token_id
LONG = " ".join(CAPTIONS * 2)  # 36 words


def encoded(caption, length=64):
    return encode_captions(TOKENIZER, [caption], length)[caption]


def draws(caption, count, probability=0.15, seed=0):
    """`count` maskings of a caption → the caption, and arrays (count, T) of inputs and labels."""
    code, rng = encoded(caption), np.random.default_rng(seed)
    masking = WordMasking.of(TOKENIZER, probability)
    pairs = [masking(code.input_ids, code.word_ids, rng) for _ in range(count)]
    return code, *(np.array(column) for column in zip(*pairs, strict=True))


def test_a_word_s_pieces_share_its_number_and_special_tokens_have_none():
    code = encoded("a spiculated mass")
    tokens = " ".join(TOKENIZER.convert_ids_to_tokens(code.input_ids))
    assert tokens == "[CLS] a spic ##ula ##ted mass [SEP]"
    assert code.word_ids.tolist() == [NO_WORD, 0, 1, 1, 1, 2, NO_WORD]
    assert code.input_ids.dtype == code.word_ids.dtype == np.int64


def test_all_pieces_of_a_word_are_chosen_together_and_share_its_fate():
    code, inputs, labels = draws("a spiculated mass", 400)
    chosen = labels[:, 2:5] != IGNORED
    assert set(chosen.sum(axis=1)) == {0, 3}
    hidden = inputs[chosen.all(axis=1), 2:5] == MASK
    assert set(hidden.sum(axis=1)) == {0, 3}


def test_labels_are_the_original_ids_and_all_else_stays():
    code, inputs, labels = draws(LONG, 200, probability=0.4)
    original = np.broadcast_to(code.input_ids, labels.shape)
    chosen = labels != IGNORED
    assert (labels[chosen] == original[chosen]).all()
    assert (inputs[~chosen] == original[~chosen]).all()
    assert 0 < chosen.mean() < 1


def test_the_caption_itself_is_not_changed():
    code, before = encoded(LONG), encoded(LONG)
    WordMasking.of(TOKENIZER, 0.9)(code.input_ids, code.word_ids, np.random.default_rng(0))
    assert (code.input_ids == before.input_ids).all() and (code.word_ids == before.word_ids).all()


def test_special_tokens_and_padding_are_never_targets():
    code = encoded("left breast")
    ids = np.append(code.input_ids, [TOKENIZER.pad_token_id] * 3)
    words = np.append(code.word_ids, [NO_WORD] * 3)
    masking = WordMasking.of(TOKENIZER, 0.99)
    for seed in range(50):
        masked, labels = masking(ids, words, np.random.default_rng(seed))
        assert (labels[words == NO_WORD] == IGNORED).all()
        assert (masked[words == NO_WORD] == ids[words == NO_WORD]).all()


def test_eight_in_ten_are_masked_one_replaced_and_one_kept():
    code, inputs, labels = draws(LONG, 1500, probability=0.2)
    single = np.array([(code.word_ids == word).sum() == 1 for word in code.word_ids])
    chosen = (labels != IGNORED) & single  # pieces of one word are no independent draws
    total, pool = chosen.sum(), len(WordMasking.of(TOKENIZER).replacements)
    same = 1 / pool  # a replacement can be the word itself
    kept = inputs[chosen] == labels[chosen]
    for found, expected in (
        ((inputs[chosen] == MASK).mean(), 0.8),
        (kept.mean(), 0.1 + 0.1 * same),
        ((~kept & (inputs[chosen] != MASK)).mean(), 0.1 * (1 - same)),
    ):
        assert abs(found - expected) < 4 * np.sqrt(expected * (1 - expected) / total)
    assert total > 5000


def test_replacements_are_words_or_pieces_and_every_one_occurs():
    code, inputs, labels = draws(LONG, 1500, probability=0.5)
    replaced = (labels != IGNORED) & (inputs != MASK) & (inputs != labels)
    assert set(inputs[replaced]) == set(WordMasking.of(TOKENIZER).replacements)
    texts = TOKENIZER.convert_ids_to_tokens(WordMasking.of(TOKENIZER).replacements)
    assert not any(text.startswith("[") for text in texts)


@pytest.mark.parametrize("probability", [0.15, 0.5])
def test_the_asked_for_fraction_of_words_is_chosen(probability):
    code, _, labels = draws(LONG, 20, probability)
    count = len(set(code.word_ids) - {NO_WORD})
    for row in labels:
        assert len(set(code.word_ids[row != IGNORED])) == round(probability * count)


def test_every_word_is_chosen_equally_often():
    code, _, labels = draws("a spiculated mass left breast", 3000)
    firsts = [int(np.argmax(code.word_ids == word)) for word in range(5)]
    shares = (labels[:, firsts] != IGNORED).mean(axis=0)
    assert np.abs(shares - 0.2).max() < 4 * np.sqrt(0.2 * 0.8 / 3000)


def test_a_caption_of_one_word_still_has_one_to_predict():
    _, _, labels = draws("mass", 20)
    assert ((labels != IGNORED).sum(axis=1) == 1).all()


def test_a_caption_without_words_is_left_alone():
    code, inputs, labels = draws("", 5)
    assert (inputs == code.input_ids).all() and (labels == IGNORED).all()


def test_the_generator_alone_decides():
    _, *first = draws(LONG, 5, seed=1)
    _, *again = draws(LONG, 5, seed=1)
    _, *other = draws(LONG, 5, seed=2)
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert (first[1] != other[1]).any()


def test_a_tokenizer_without_a_mask_is_refused():
    bare = BertTokenizerFast(vocab={"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "a": 4}, mask_token=None)
    with pytest.raises(ValueError, match="has no mask token"):
        WordMasking.of(bare)


def test_a_tokenizer_that_does_not_know_words_is_refused():
    class Slow:
        is_fast, name_or_path = False, "slow"

    with pytest.raises(ValueError, match="'slow' does not tell words"):
        encode_captions(Slow(), ["a mass"], 16)


def test_captions_are_cut_to_the_context_and_end_as_they_should():
    code = encoded(LONG, 8)
    assert len(code.input_ids) == len(code.word_ids) == 8
    assert code.input_ids[0] == TOKENIZER.cls_token_id and code.input_ids[-1] == TOKENIZER.sep_token_id
    assert (code.input_ids[:7] == encoded(LONG).input_ids[:7]).all()


def test_equal_captions_are_encoded_once():
    codes = encode_captions(TOKENIZER, ["a mass", "left", "a mass"], 16)
    assert list(codes) == ["a mass", "left"]
    assert codes["left"].input_ids.tolist() == TOKENIZER("left")["input_ids"]
