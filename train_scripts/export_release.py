"""Write a release: one folder that AutoModel, AutoModelForImageClassification and pipeline open by themselves.

    python train_scripts/export_release.py --pretrained pretrained --classifier classifier --output mamclip
    python train_scripts/export_release.py --pretrained pretrained --classifier classifier --real-data \\
        --retrieval scores --output mamclip --push-to-hub OWNER/NAME --tag v1.0

Before the folder gets its name, a fresh process opens it, in which this project cannot be imported: everything that the
folder serves has to give the numbers that the two models give here, within 1e-5.
"""

import argparse
import filecmp
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from huggingface_hub.utils import validate_repo_id

from evaluation.card_scores import classification_scores, noted_scores, retrieval_scores
from evaluation.predictions import fitted_temperatures, read_predictions
from training.card import REPO_ID
from training.card_results import Measured
from training.cli import ScriptParser, run_script
from training.embedding import load_aligned
from training.hub import publish
from training.pair_embeddings import model_fingerprint
from training.publishing_gate import check_card, check_phantom, check_provenance, permission_entry
from training.release import refuse_existing, write_release
from training.release_check import Sources, check_release
from training.release_weights import read_config
from training.runs import RESULTS, read_json, write_whole

CARD = "README.md"
PREDICTIONS, VALIDATION = "predictions.parquet", "validation_predictions.parquet"
EPILOG = f"""\
The folder needs transformers, torch, torchvision, timm and pillow to be opened (pydicom for DICOM), not this project.
Its README.md is its model card, which says that the weights come from phantoms unless --real-data is given, and lists
the SHA-256 of every file of code. Numbers in it come from {PREDICTIONS} of the classifier's folder, with intervals over
patients and the subgroups that it tells of, and from --retrieval. Where the classifier's folder holds {VALIDATION}, a
temperature is fitted on it for BI-RADS and for density, so that the pipeline's scores mean what they say.

--push-to-hub uploads the folder once it is checked; log in with `hf auth login` before. Given again, the same command
goes on where an upload broke off. Weights that saw data whose owners have to agree (EMBED, VinDr-Mammo, INbreast) are
published with --permission only, and no release is without all sections of its card, metrics with intervals among them.
"""


def main() -> None:
    args = parse_args()
    provenance = agreed_provenance(args)
    if not args.push_to_hub:
        refuse_existing(args.output)
    temperatures = fitted(args.classifier)
    build = partial(
        write_release,
        pretrained=args.pretrained,
        classifier=args.classifier,
        results=measured(args, temperatures),
        temperatures=temperatures,
        provenance=provenance,
        phantom=not args.real_data,
        name=args.name,
        repo_id=args.push_to_hub or REPO_ID,
    )
    if args.output.exists():
        expect_same(args.output, build)
    else:
        build(args.output, check=partial(check, args))
    tell(args, temperatures)
    if args.push_to_hub:
        check_card(args.output)
        address = publish(args.output, args.push_to_hub, args.tag, public=args.public)
        print(f"{address} is {'public' if args.public else 'private'}; this release is its {args.tag}")


def parse_args() -> argparse.Namespace:
    parser = ScriptParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pretrained", required=True, type=Path, help="folder of pretrain.py")
    parser.add_argument("--classifier", type=Path, help="folder of classify.py that started from it")
    parser.add_argument("--output", required=True, type=Path, help="the folder to write; must not exist")
    parser.add_argument("--name", default="MAM-CLIP", help="title of the model card (%(default)s)")
    parser.add_argument("--real-data", action="store_true", help="the training data were no phantoms")
    parser.add_argument(
        "--retrieval",
        metavar="SCORES",
        type=Path,
        help="folder of evaluate_retrieval.py: its numbers, which have intervals, go into the card",
    )
    parser.add_argument(
        "--permission",
        metavar="FILE",
        type=Path,
        help="the owners' written permission to publish weights; its SHA-256 and date go into the card, the file is "
        "not uploaded",
    )
    parser.add_argument(
        "--push-to-hub", metavar="NAME", help="then upload it to this model repository of the Hub, OWNER/NAME"
    )
    parser.add_argument(
        "--public", action="store_true", help="show the repository to everybody, once it is whole"
    )
    parser.add_argument("--tag", metavar="TAG", help="of the release in the repository (v1.0)")
    args = parser.parse_args()
    for option in ("public", "tag"):
        if getattr(args, option) and not args.push_to_hub:
            parser.error(f"--{option} says how to publish; give --push-to-hub NAME beside it")
    args.tag = args.tag or "v1.0"
    if args.push_to_hub:
        validate_repo_id(args.push_to_hub)  # or fail before the work
    return args


def agreed_provenance(args: argparse.Namespace) -> dict[str, Any]:
    """What the release's provenance gets beside that of its models; or an error, before any work."""
    models = [args.pretrained, *([args.classifier] if args.classifier else [])]
    provenance = {key: value for model in models for key, value in read_config(model).provenance.items()}
    check_phantom(provenance, phantom=not args.real_data)
    agreed = permission_entry(args.permission, provenance)
    if args.push_to_hub:
        check_provenance({**provenance, **agreed}, phantom=not args.real_data)
    return agreed


def fitted(classifier: Path | None) -> dict[str, float]:
    """The temperatures for the release's configuration, by field; empty where nothing was predicted on validation."""
    if classifier is None or not (classifier / VALIDATION).is_file():
        return {}
    found = fitted_temperatures(read_predictions([classifier / VALIDATION]))
    return {f"{task}_temperature": value for task, value in found.items()}


def measured(args: argparse.Namespace, temperatures: Mapping[str, float]) -> list[Measured]:
    """The numbers for the model card."""
    found = [] if args.classifier is None else classified(args.classifier, temperatures)
    return [Measured(**scores) for scores in [*found, *retrieved(args.pretrained, args.retrieval)]]


def classified(classifier: Path, temperatures: Mapping[str, float]) -> list[dict[str, Any]]:
    """Scores of the classifier's predictions; of what its results say, where these were not kept."""
    if (classifier / PREDICTIONS).is_file():
        by_task = {name.removesuffix("_temperature"): value for name, value in temperatures.items()}
        return [classification_scores(read_predictions([classifier / PREDICTIONS]), by_task)]
    if (classifier / RESULTS).is_file():
        return [noted_scores(read_json(classifier / RESULTS, "classify.py"), "the tested fold")]
    return []


def retrieved(pretrained: Path, scores: Path | None) -> list[dict[str, Any]]:
    """Scores of retrieval: of evaluate_retrieval.py where they were given, else what pretrain.py noted."""
    if scores is not None:
        results = read_json(scores / RESULTS, "evaluate_retrieval.py")
        if results.get("fingerprint") != model_fingerprint(*load_aligned(pretrained)):
            raise ValueError(
                f"{scores} holds the scores of another model than {pretrained}; measure this one."
            )
        about = f"{results['n_pairs']:,} pairs of {results['n_cases']:,} cases, intervals over cases. {results['note']}"
        return [retrieval_scores(results["retrieval"], "image–caption pairs", about)]
    if (pretrained / RESULTS).is_file():
        results = read_json(pretrained / RESULTS, "pretrain.py")
        about = f"{results.get('n_held_out', 'some')} pairs of cases that were held out of training."
        return (
            [retrieval_scores(results["retrieval"], "held-out pairs", about)]
            if "retrieval" in results
            else []
        )
    return []


def check(args: argparse.Namespace, folder: Path) -> None:
    """What is to be published has its card; what is written opens."""
    if args.push_to_hub:
        check_card(folder)
    check_release(folder, Sources(args.pretrained, args.classifier, args.pretrained))


def expect_same(output: Path, build: partial) -> None:
    """The folder is what this command writes, so that its upload may go on; its card's examples name the repository.

    Raises ValueError where it is another folder.
    """
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}-") as work:
        fresh = Path(work) / "release"
        build(fresh)
        name_repository(output / CARD, fresh / CARD, build.keywords["repo_id"])
        names = {file.name for folder in (fresh, output) for file in folder.iterdir()}
        _, different, missing = filecmp.cmpfiles(fresh, output, sorted(names), shallow=False)
    if different or missing:
        raise ValueError(
            f"{output} exists already and is not what this command writes ({[*different, *missing][0]} differs); "
            "remove it, or choose another output."
        )


def name_repository(card: Path, fresh: Path, name: str) -> None:
    """A card that was written before anybody knew the repository's name, and differs in that alone, gets the name."""
    content = fresh.read_text(encoding="utf-8")
    unnamed = content.replace(f'"{name}"', f'"{REPO_ID}"')
    if card.is_file() and card.read_text(encoding="utf-8") == unnamed:
        write_whole(card, content.encode())


def tell(args: argparse.Namespace, temperatures: Mapping[str, float]) -> None:
    for field, value in temperatures.items():
        print(f"{field} is {value:.3f}, fitted on {args.classifier / VALIDATION}")
    task = "image-classification" if args.classifier else "zero-shot-image-classification"
    print(f"{args.output}: pipeline('{task}', model='{args.output}', trust_remote_code=True)")


if __name__ == "__main__":
    run_script(main)
