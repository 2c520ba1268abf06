"""What goes with converted weights: the image processor in its published mode, and the text encoder's tokenizer."""

from __future__ import annotations

from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from modeling_mamclip import MamClipConfig
from processing import MamClipImageProcessor, MamClipProcessor

from .published import Published


def published_processor(
    published: Published, tokenizer: str | Path | None = None
) -> MamClipProcessor | MamClipImageProcessor:
    """The processor of a converted checkpoint; of a classifier, which reads no text, the image processor alone.

    tokenizer: a folder or Hub id; None: the one of the text encoder that the checkpoint's settings name.

    Raises OSError for a tokenizer that cannot be had, ValueError for one that does not fit.
    """
    height, width = published.config.vision_config.image_size
    images = MamClipImageProcessor(size={"height": height, "width": width}, published=True)
    if not published.aligned:
        if tokenizer is not None:
            raise ValueError(
                "the checkpoint is a fine-tuned classifier, which reads no text; leave out --tokenizer."
            )
        return images
    source = tokenizer or published.text_model
    if source is None:
        raise ValueError("the checkpoint does not say which tokenizer it needs; give --tokenizer.")
    words = _load(str(source))
    _check(words, published.config, str(source))
    words.model_max_length = published.config.context_length
    return MamClipProcessor(images, words)


def _load(source: str) -> PreTrainedTokenizerBase:
    try:
        return AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise OSError(
            f"the tokenizer {source!r} could not be loaded ({reason}); give its folder, or a Hub id that this "
            "machine can reach, as --tokenizer."
        ) from error


def _check(words: PreTrainedTokenizerBase, config: MamClipConfig, source: str) -> None:
    """The tokenizer must have no token that the text encoder lacks, the same padding, and [CLS] in front."""
    text = config.text_config
    if len(words) > text.vocab_size:
        raise ValueError(
            f"the tokenizer {source!r} has {len(words)} tokens, but the text encoder only {text.vocab_size}."
        )
    if words.pad_token_id != text.pad_token_id:
        raise ValueError(
            f"the tokenizer {source!r} pads with {words.pad_token_id}, but the text encoder with {text.pad_token_id}."
        )
    if words("mass")["input_ids"][0] != words.cls_token_id:
        raise ValueError(f"the tokenizer {source!r} does not begin a caption with [CLS], as BERT's do.")
