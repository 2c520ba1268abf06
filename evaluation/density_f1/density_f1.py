"""F1 of breast density A–D as a module of `evaluate`.

    evaluate.load("evaluation/density_f1").compute(predictions=[…], references=[…])

works offline, in a checkout of this project. All arithmetic is `evaluation.metrics.density_metrics`.
"""

import datasets
import evaluate

from evaluation.metrics import density_metrics

INPUTS = """
Args:
    predictions, references: class indices into A, B, C, D.
Returns:
    density_f1: macro F1, over all four classes, also those that do not occur; density_f1_per_class: in their order.
"""
SCORES = ("density_f1", "density_f1_per_class")


class DensityF1(evaluate.Metric):
    """Macro F1 of four classes."""

    def _info(self) -> evaluate.MetricInfo:
        whole = datasets.Value("int32")
        return evaluate.MetricInfo(
            description="F1 of breast density: of each of A, B, C, D, and their mean.",
            citation="",
            inputs_description=INPUTS,
            features=datasets.Features({"predictions": whole, "references": whole}),
        )

    def _compute(self, predictions: list[int], references: list[int]) -> dict[str, float | list[float]]:
        scores = density_metrics(references, predictions)
        return {name: scores[name] for name in SCORES}
