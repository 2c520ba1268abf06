"""Write a release: one folder that AutoModel, AutoModelForImageClassification and pipeline open by themselves."""

import argparse
import json
from pathlib import Path

from training.cli import ScriptParser, run_script
from training.release import write_release


def main() -> None:
    args = parse_args()
    write_release(
        args.output,
        pretrained=args.pretrained,
        classifier=args.classifier,
        results=measured(args.pretrained, args.classifier),
        phantom=not args.real_data,
        name=args.name,
    )
    print(f"{args.output}: pipeline('image-classification', model='{args.output}', trust_remote_code=True)")


def parse_args() -> argparse.Namespace:
    parser = ScriptParser(
        description=__doc__,
        epilog="The folder needs transformers, torch, torchvision, timm and pillow to be opened (pydicom for DICOM), "
        "not this project. Its model card says that the weights come from phantoms unless --real-data is given.",
    )
    parser.add_argument("--pretrained", required=True, type=Path, help="folder of pretrain.py")
    parser.add_argument("--classifier", type=Path, help="folder of classify.py that started from it")
    parser.add_argument("--output", required=True, type=Path, help="the folder to write; must not exist")
    parser.add_argument("--name", default="MAM-CLIP", help="title of the model card")
    parser.add_argument("--real-data", action="store_true", help="the training data were no phantoms")
    return parser.parse_args()


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
