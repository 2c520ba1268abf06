"""The local modules of `evaluate` open offline, and say what scikit-learn says."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = """
import evaluate
import numpy as np
from sklearn.metrics import f1_score

rng = np.random.default_rng(0)
group = np.array([1, 0, 0, 2, 2])  # of BI-RADS 0, 1, 2, 4, 5: benign 0, incomplete 1, malignant 2
birads, density = evaluate.load("evaluation/birads_f1"), evaluate.load("evaluation/density_f1")
for classes in (5, 4, 3):
    true, pred = rng.integers(0, classes, (2, 50))
    found = birads.compute(predictions=pred, references=true)
    options = {"zero_division": 0, "average": None}
    five = f1_score(true, pred, labels=range(5), **options)
    three = f1_score(group[true], group[pred], labels=[0, 1, 2], **options)
    assert abs(found["f1_five"] - five.mean()) < 1e-12 and np.allclose(found["f1_per_class"], five)
    assert abs(found["f1_three"] - three.mean()) < 1e-12 and np.allclose(found["f1_per_group"], three)
    if classes < 5:
        four = f1_score(true, pred, labels=range(4), **options)
        density.add_batch(predictions=pred[:20], references=true[:20])
        density.add_batch(predictions=pred[20:], references=true[20:])
        found = density.compute()
        assert abs(found["density_f1"] - four.mean()) < 1e-12 and np.allclose(found["density_f1_per_class"], four)
print("as scikit-learn")
"""


def test_the_modules_open_offline_and_agree_with_scikit_learn(tmp_path):
    pytest.importorskip("evaluate")
    environment = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == "as scikit-learn"
