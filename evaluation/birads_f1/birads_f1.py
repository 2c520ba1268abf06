"""The paper's F1 scores as a module of `evaluate`: BI-RADS 0, 1, 2, 4, 5 and the groups 1, 2 | 0 | 4, 5.

    evaluate.load("evaluation/birads_f1").compute(predictions=[…], references=[…])

works offline, in a checkout of this project. All arithmetic is `evaluation.metrics.birads_metrics`.
"""

import datasets
import evaluate

from evaluation.metrics import birads_metrics

DESCRIPTION = """
F1 of BI-RADS as Gulluk and Gevaert (arXiv 2605.19359, section 4.2) report it: of each class, the mean over the five
classes, and the mean over the three groups into which the five-class predictions are merged.
"""
INPUTS = """
Args:
    predictions, references: class indices into BI-RADS 0, 1, 2, 4, 5 (so 3 is BI-RADS 4).
Returns:
    f1_five, f1_three: macro F1, over all classes, also those that do not occur.
    f1_per_class, f1_per_group: in the order 0, 1, 2, 4, 5, and benign, incomplete, malignant.
"""
CITATION = """
Gulluk HI, Gevaert O. Integrating Image Interpretation and Textual Context for Improved Breast Imaging Classification.
arXiv 2605.19359.
"""
SCORES = ("f1_five", "f1_three", "f1_per_class", "f1_per_group")


class BiradsF1(evaluate.Metric):
    """F1 of five classes and three groups."""

    def _info(self) -> evaluate.MetricInfo:
        whole = datasets.Value("int32")
        return evaluate.MetricInfo(
            description=DESCRIPTION,
            citation=CITATION,
            inputs_description=INPUTS,
            features=datasets.Features({"predictions": whole, "references": whole}),
        )

    def _compute(self, predictions: list[int], references: list[int]) -> dict[str, float | list[float]]:
        scores = birads_metrics(references, predictions)
        return {name: scores[name] for name in SCORES}
