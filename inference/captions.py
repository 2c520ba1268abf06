"""The captions of an index that are nearest to an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from evaluation.report_tables import place_of
from evaluation.similar import EmbeddingIndex, find_similar
from modeling_mamclip import MamClipModel


@dataclass(frozen=True)
class NearestCaptions:
    """index: which this very model has made (`EmbeddingIndex.check_model`). model: aligned, in eval mode."""

    index: EmbeddingIndex
    model: MamClipModel
    k: int = 3

    @torch.inference_mode()
    def of(self, pixel_values: Tensor) -> list[list[dict[str, Any]]]:
        """pixel_values (B, 3, H, W) → for each image its nearest captions, the nearest first.

        Each is {"caption", "similarity" (cosine, −1 to 1), "place" (of the first figure with this caption)}.
        """
        pixel_values = pixel_values.to(self.model.device, self.model.dtype)
        embeddings = self.model.get_image_features(pixel_values=pixel_values).pooler_output.float().cpu()
        return [
            [
                {
                    "caption": hit.fields["caption"],
                    "similarity": round(hit.score, 6),
                    "place": place_of(hit.fields),
                }
                for hit in hits
            ]
            for hits in find_similar(self.index, embeddings, self.k, "captions")
        ]
