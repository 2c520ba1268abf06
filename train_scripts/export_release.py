"""Write a release: one folder that AutoModel, AutoModelForImageClassification and pipeline open by themselves."""

import argparse
import json
from pathlib import Path

from evaluation.predictions import fitted_temperatures, read_predictions
from training.cli import ScriptParser, run_script
from training.release import write_release

VALIDATION = "validation_predictions.parquet"


def main() -> None:
    args = parse_args()
    temperatures = fitted(args.classifier)
    write_release(
        args.output,
        pretrained=args.pretrained,
        classifier=args.classifier,
        results=measured(args.pretrained, args.classifier),
        temperatures=temperatures,
        phantom=not args.real_data,
        name=args.name,
    )
    for field, value in temperatures.items():
        print(f"{field} is {value:.3f}, fitted on {args.classifier / VALIDATION}")
    print(f"{args.output}: pipeline('image-classification', model='{args.output}', trust_remote_code=True)")


def parse_args() -> argparse.Namespace:
    parser = ScriptParser(
        description=__doc__,
        epilog="The folder needs transformers, torch, torchvision, timm and pillow to be opened (pydicom for DICOM), "
        "not this project. Its model card says that the weights come from phantoms unless --real-data is given. "
        f"Where the classifier's folder holds {VALIDATION}, a temperature is fitted on it for BI-RADS and for "
        "density, so that the pipeline's scores mean what they say; config.json holds them.",
    )
    parser.add_argument("--pretrained", required=True, type=Path, help="folder of pretrain.py")
    parser.add_argument("--classifier", type=Path, help="folder of classify.py that started from it")
    parser.add_argument("--output", required=True, type=Path, help="the folder to write; must not exist")
    parser.add_argument("--name", default="MAM-CLIP", help="title of the model card")
    parser.add_argument("--real-data", action="store_true", help="the training data were no phantoms")
    return parser.parse_args()


def fitted(classifier: Path | None) -> dict[str, float]:
    """The temperatures for the release's configuration, by field; empty where nothing was predicted on validation."""
    if classifier is None or not (classifier / VALIDATION).is_file():
        return {}
    found = fitted_temperatures(read_predictions([classifier / VALIDATION]))
    return {f"{task}_temperature": value for task, value in found.items()}


def measured(pretrained: Path, classifier: Path | None) -> dict[str, float]:
    """The numbers for the model card, out of the runs' results.json where there is one."""
    found = {}
    if (pretrained / "results.json").is_file():
        retrieval = json.loads((pretrained / "results.json").read_text(encoding="utf-8")).get("retrieval", {})
        for direction, numbers in retrieval.items():
            found[f"{direction.replace('_', '-')} recall@1"] = numbers["recall@1"]
    if classifier and (classifier / "results.json").is_file():
        results = json.loads((classifier / "results.json").read_text(encoding="utf-8"))
        found["BI-RADS macro-F1, 5 classes"] = results["f1_five"]
        found["BI-RADS macro-F1, 3 classes"] = results["f1_three"]
        if results.get("density_f1") is not None:
            found["breast density macro-F1"] = results["density_f1"]
    return found


if __name__ == "__main__":
    run_script(main)
