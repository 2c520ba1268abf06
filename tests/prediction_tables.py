"""Made-up predictions, as classify.py writes them: a seed gives a table of any size, with labels that scores follow."""

import numpy as np
import pandas as pd

from dataset_builders.birads import DENSITIES, FIVE_CLASSES


def prediction_table(patients=60, seed=0, first=0, source="embed", strength=2.0) -> pd.DataFrame:
    """Four views of each patient; one exam each. first: number of the first patient, and of the first row / 4."""
    rng = np.random.default_rng(seed)
    number = 4 * patients
    table = pd.DataFrame(
        {
            "row": np.arange(4 * first, 4 * first + number),
            "patient_id": np.repeat([f"P{first + i:04d}" for i in range(patients)], 4),
            "exam_id": np.repeat([f"E{first + i:04d}" for i in range(patients)], 4),
            "laterality": np.tile(["L", "L", "R", "R"], patients),
            "view": np.tile(["CC", "MLO"], 2 * patients),
            "source": source,
        }
    )
    breasts = rng.integers(0, len(FIVE_CLASSES), 2 * patients)
    labels, density = np.repeat(breasts, 2), np.repeat(rng.integers(0, 4, patients), 4)
    table["birads"] = pd.array(np.array(FIVE_CLASSES)[labels], dtype="Int8")
    table["density"] = np.array(DENSITIES)[density]
    for name, values, truth in (("birads", FIVE_CLASSES, labels), ("density", DENSITIES, density)):
        logits = rng.normal(size=(number, len(values))) + strength * np.eye(len(values))[truth]
        chances = (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).astype(np.float32)
        table[f"predicted_{name}"] = np.array(values)[chances.argmax(axis=1)]
        for value, column in zip(values, chances.T, strict=True):
            table[f"p_{name}_{str(value).lower()}"] = column
    table["embed_age"] = np.repeat(rng.uniform(35, 80, patients), 4).astype(np.float32)
    table["embed_race"] = np.repeat(rng.choice(["Black", "White", None], patients, p=[0.45, 0.45, 0.1]), 4)
    return table
