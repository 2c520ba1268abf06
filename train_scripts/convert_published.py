"""Turn a checkpoint that the authors published into a release folder, with safetensors and without executing it.

python train_scripts/convert_published.py --checkpoint pretrain_convnext_small.ckpt --output mamclip
python train_scripts/convert_published.py --checkpoint convnext_small_ftune.pth --output mamclip-birads
"""

import argparse
from pathlib import Path

from training.cli import ScriptParser, run_script
from training.published import Published, read_published
from training.published_processor import published_processor
from training.release import refuse_existing, write_folder


def main() -> None:
    args = parse_args()
    refuse_existing(args.output)
    published = read_published(args.checkpoint, args.text_config)
    processor = published_processor(published, args.tokenizer)
    write_folder(
        args.output,
        published.config,
        published.tensors,
        processor,
        name=f"MAM-CLIP, converted from {args.checkpoint.name}",
    )
    report(published, args.output)


def parse_args() -> argparse.Namespace:
    parser = ScriptParser(
        description=__doc__,
        epilog="A pretraining checkpoint (pretrain_*.ckpt) becomes a release for AutoModel, AutoModelForPreTraining "
        "and zero-shot classification, a fine-tuned one (*_ftune.pth) one for AutoModelForImageClassification. "
        "export_release.py joins the two in one folder.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--checkpoint", required=True, type=Path, help="the published file, .ckpt or .pth")
    parser.add_argument("--output", required=True, type=Path, help="the folder to write; must not exist")
    parser.add_argument(
        "--tokenizer",
        help="folder or Hub id of the text encoder's tokenizer (default: the one that the checkpoint names, "
        "which is fetched from the Hub)",
    )
    parser.add_argument(
        "--text-config",
        type=Path,
        help="config.json of the text encoder, needed only where it is neither BERT-base nor BERT-large in shape",
    )
    return parser.parse_args()


def report(published: Published, output: Path) -> None:
    """Say what was left out, and how the folder is opened."""
    if published.dropped:
        print(f"left out, since no output depends on them: {', '.join(published.dropped)}")
    task = "zero-shot-image-classification" if published.aligned else "image-classification"
    print(f"{output}: pipeline('{task}', model='{output}', trust_remote_code=True)")


if __name__ == "__main__":
    run_script(main)
