"""What the demo page needs, tiny: a release with temperatures, an index by its model, and app.py as a module."""

import importlib.util
from pathlib import Path

import datasets
import numpy as np
from tiny_models import pretraining_model, processor, random_weights

from evaluation.similar import write_index
from training.embedding import embed_texts, load_aligned
from training.initialization import new_classifier
from training.pair_embeddings import model_fingerprint
from training.release import write_release

APP = Path(__file__).resolve().parent.parent / "app.py"
CAPTIONS = ("a spiculated mass", "left breast", "right breast")
TEMPERATURES = {"birads_temperature": 2.5, "density_temperature": 0.5}


def load_app():
    spec = importlib.util.spec_from_file_location("app", APP)
    app = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(app)
    return app


def write_tiny_release(root: Path) -> Path:
    """ROOT/mamclip, phantom, and ROOT/index, whose images are embedded as the captions of others."""
    random_weights(pretraining_model(), 1).save_pretrained(root / "pretrained")
    processor().save_pretrained(root / "pretrained")
    random_weights(new_classifier(root / "pretrained"), 2).save_pretrained(root / "classifier")
    parts = {"pretrained": root / "pretrained", "classifier": root / "classifier"}
    write_release(root / "mamclip", **parts, temperatures=TEMPERATURES, phantom=True)
    model, reader = load_aligned(root / "mamclip")
    texts = embed_texts(model, reader, CAPTIONS).numpy()
    rows = datasets.Dataset.from_dict({"caption": CAPTIONS, "figure": ["1-1", "1-2", "1-3"]})
    about = {"model": "tiny", "fingerprint": model_fingerprint(model, reader), "phantom": True}
    write_index(root / "index", rows, np.roll(texts, 1, axis=0), texts, about)
    return root
