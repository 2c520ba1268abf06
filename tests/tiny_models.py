"""Models, tokenizer and processor that are whole and tiny."""

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, PreTrainedTokenizerFast

from modeling_mamclip import MamClipConfig, MamClipForPreTraining
from processing import MamClipImageProcessor, MamClipProcessor

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "spiculated", "mass", "left", "right", "breast")
VISION = {
    "architecture": "convnext_atto",
    "model_args": {"depths": [1, 1, 1, 1], "dims": [8, 8, 16, 16]},
    "image_size": [64, 48],
}


def tokenizer():
    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    special = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    return PreTrainedTokenizerFast(tokenizer_object=words, model_max_length=16, **special)


def pretraining_model(**changes):
    torch.manual_seed(0)
    text = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=16,
    )
    fields = {"vision_config": VISION, "text_config": text, "projection_dim": 12, "context_length": 16}
    return MamClipForPreTraining(MamClipConfig(**{**fields, "fusion_heads": 2, **changes})).eval()


def random_weights(model, seed):
    torch.manual_seed(seed)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data.normal_(0, 0.3)
    return model


def processor():
    return MamClipProcessor(MamClipImageProcessor(size={"height": 64, "width": 48}), tokenizer())
