"""One training step in time and memory, to a plain implementation of the published one with the same towers.

Steps: "published", plain, as many pairs as a micro-batch; "ours", likewise; "exact", all pairs of --batch each other's
negatives, a micro-batch at a time. The published step takes --batch pairs in --batch / --micro-batch such steps.
Each takes its turn in a fresh process: a step to warm up, a timed one, and in the first round one whose allocations are
counted, on CUDA by its allocator, on a CPU by torch's profiler, which sees every tensor come and go. Peaks are those
of the pairs with the longest caption of all, above what any step holds, weights and their gradients; `held_gib` says
how much that is. Weights are random, the text encoder has BERT-base's size. Captions are drawn around --tokens, at most
100; that 48 is the length of real ones is assumed. All steps read captions once, masked, as the published one does;
pretrain.py reads whole captions too, which this does not time.
"""

import argparse
import multiprocessing
import statistics
import time

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from machine import print_result
from published_step import CONTEXT, FIELDS, IGNORED, published_loss
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from tqdm import tqdm

from modeling_mamclip import MamClipConfig, MamClipForPreTraining
from training.gradient_cache import cached_backward

STEPS = ("published", "ours", "exact")
PAD, MASK, WORDS = 0, 103, 1000  # of BERT's vocabulary; WORDS: the first id that is an ordinary word
SPREAD, SHORTEST = 0.45, 8  # of caption lengths: deviation of their logarithm, and fewest tokens
MASKED = 0.15
GIB = 2**30


def main() -> None:
    options = parsed()
    turns = [(name, number) for number in range(options.rounds) for name in STEPS]
    found: dict[str, list[dict[str, float]]] = {name: [] for name in STEPS}
    for name, number in tqdm(turns, "Steps", unit="process"):
        with multiprocessing.get_context("spawn").Pool(1) as fresh:
            found[name].append(fresh.apply(measure, (name, options, number == 0)))
    seconds = {name: statistics.median(one["seconds"] for one in some) for name, some in found.items()}
    peaks = {name: some[0]["peak_gib"] for name, some in found.items()}
    print_result(
        benchmark="pretraining step to the published one (random weights and pixels)",
        time_ours_to_published=round(seconds["ours"] / seconds["published"], 3),
        memory_ours_to_published=round(peaks["ours"] / peaks["published"], 3),
        time_exact_to_published=round(
            seconds["exact"] / (seconds["published"] * options.batch / options.micro_batch), 3
        ),
        memory_exact_to_ours=round(peaks["exact"] / peaks["ours"], 3),
        seconds={name: round(value, 2) for name, value in seconds.items()},
        peak_gib={name: round(value, 3) for name, value in peaks.items()},
        held_gib={name: round(some[0]["held_gib"], 3) for name, some in found.items()},
        **vars(options),
    )


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--architecture", default="convnext_tiny", help="timm's name of the vision encoder")
    parser.add_argument("--image-size", nargs=2, type=int, default=[256, 192], help="height and width")
    parser.add_argument("--tokens", type=int, default=48, help="median length of the captions")
    parser.add_argument("--layers", type=int, default=12, help="of the text encoder")
    parser.add_argument("--micro-batch", type=int, default=8, help="pairs that go through the model at once")
    parser.add_argument("--batch", type=int, default=64, help="pairs of the exact batch")
    parser.add_argument("--rounds", type=int, default=3, help="times that each step is measured")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of the CPU")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    options = parser.parse_args()
    if options.batch % options.micro_batch:
        parser.error(
            f"--batch is {options.batch}, which is no multiple of --micro-batch {options.micro_batch}"
        )
    return options


def measure(name: str, options: argparse.Namespace, memory: bool) -> dict[str, float]:
    """Seconds of a step and, if asked for, the GiB that it needs at most and that its model holds."""
    torch.set_num_threads(options.threads)
    set_seed(0)
    model = new_model(name, options)
    # One batch of all pairs is drawn, so that all steps see the same captions; smaller ones are its beginning.
    batch = new_batch(options.batch, options)
    small = options.batch if name == "exact" else options.micro_batch
    run = step_of(name, model, part(batch, 0, small), options)
    run()
    seconds = timed(run, options.device)
    longest = int(batch["attention_mask"].sum(dim=1).argmax())
    worst = step_of(name, model, part(batch, longest // small * small, small), options)
    held = 2 * sum(p.numel() * p.element_size() for p in model.parameters())
    return {
        "seconds": seconds,
        "held_gib": held / GIB,
        "peak_gib": peak(worst, options.device) / GIB if memory else 0.0,
    }


def new_model(name: str, options: argparse.Namespace) -> MamClipForPreTraining:
    vision = {"architecture": options.architecture, "image_size": tuple(options.image_size)}
    fields = FIELDS if name == "published" else {"context_length": CONTEXT}
    config = MamClipConfig(vision_config=vision, text_config={"num_hidden_layers": options.layers}, **fields)
    model = MamClipForPreTraining(config).train()
    if name != "published":
        model.vision_model.to(memory_format=torch.channels_last)  # as training/pretraining.py does
    return model.to(options.device)


def new_batch(pairs: int, options: argparse.Namespace) -> dict[str, Tensor]:
    """Captions with words masked, padded to the longest, and images of noise."""
    lengths = (
        (options.tokens * torch.exp(SPREAD * torch.randn(pairs))).round().long().clamp(SHORTEST, CONTEXT)
    )
    real = torch.arange(int(lengths.max())) < lengths[:, None]
    ids = torch.randint(WORDS, MamClipConfig().text_config.vocab_size, real.shape)
    chosen = real & (torch.rand(real.shape) < MASKED)
    return {
        "input_ids": ids.masked_fill(chosen, MASK).masked_fill(~real, PAD),
        "attention_mask": real.long(),
        "mlm_labels": ids.masked_fill(~chosen, IGNORED),
        "pixel_values": torch.rand(pairs, 3, *options.image_size),
        "caption_ids": torch.arange(pairs),
    }


def part(batch: dict[str, Tensor], start: int, pairs: int) -> dict[str, Tensor]:
    """Some of the pairs, padded to their own longest caption, as the collator pads a batch."""
    batch = {key: value[start : start + pairs] for key, value in batch.items()}
    longest = int(batch["attention_mask"].sum(dim=1).max())
    texts = ("input_ids", "attention_mask", "mlm_labels")
    return {key: value[:, :longest] if key in texts else value for key, value in batch.items()}


def step_of(name: str, model: MamClipForPreTraining, batch: dict[str, Tensor], options: argparse.Namespace):
    """What makes one step: forward and backward."""
    batch = {key: value.to(options.device) for key, value in batch.items()}
    if name == "published":
        return lambda: published_loss(model, batch).backward()
    return our_step(model, batch, options)


def our_step(model: MamClipForPreTraining, batch: dict[str, Tensor], options: argparse.Namespace):
    accelerator = Accelerator(cpu=options.device == "cpu")
    images = batch["pixel_values"].contiguous(memory_format=torch.channels_last)  # as the collator makes them
    given = {**batch, "pixel_values": images}
    return lambda: cached_backward(accelerator, model, given, micro_batch=options.micro_batch)


def timed(run, device: str) -> float:
    wait = torch.cuda.synchronize if device == "cuda" else (lambda: None)
    wait()
    began = time.perf_counter()
    run()
    wait()
    return time.perf_counter() - began


def peak(run, device: str) -> int:
    """Bytes that a step allocates at most, beyond those that were there when it began."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        return torch.cuda.max_memory_allocated() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as watched:
        run()
    held = highest = 0
    for event in watched.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            highest = max(highest, held)
    return highest


if __name__ == "__main__":
    main()
