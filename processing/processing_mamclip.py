"""Images and captions → model input, in one call."""

from transformers import ProcessorMixin


class MamClipProcessor(ProcessorMixin):
    """`processor(images=…, text=…, return_tensors="pt")` → pixel_values, input_ids, attention_mask.

    Either of images and text may be left out. Captions are padded to the longest and cut to the tokenizer's
    `model_max_length`, the model's context length, unless asked otherwise.
    """

    def __init__(self, image_processor=None, tokenizer=None, **kwargs):
        super().__init__(image_processor, tokenizer, **kwargs)

    def save_pretrained(self, save_directory, *args, **kwargs):
        """As usual, with the weights of the image processor's breast detector."""
        self.image_processor.copy_detector(save_directory)
        return super().save_pretrained(save_directory, *args, **kwargs)

    def __call__(self, images=None, text=None, **kwargs):
        if text is not None:
            kwargs.setdefault("padding", True)
            kwargs.setdefault("truncation", True)
        return super().__call__(images=images, text=text, **kwargs)
