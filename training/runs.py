"""The output folder of a training run: what may be continued, what is finished, and how the result gets there."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from .checkpoints import main_decides, newest_usable
from .files import sha256_of, write_json, write_whole  # noqa: F401 - the scripts' way to write files, too
from .options import TrainingOptions

RESULTS = "results.json"
OPTIONS = "options.json"
INPUTS = "inputs.json"
CHECKPOINTS = "checkpoints"
PARTIAL = ".partial"
# What may differ between a run and its continuation without making it another run.
_FREE = (
    "output",
    "config",
    "workers",
    "cache",
    "keep_checkpoints",
    "save_minutes",
    "precision",
    "compile",
    "report_to",
    "gradient_checkpointing",
    "trainer",
)
# Options that name what a run reads; what lies behind such a path must not change while the run is continued.
_INPUTS = ("pairs", "data", "groups", "encoder", "vision_weights", "text_weights")


def open_run(options: TrainingOptions) -> bool:
    """Whether the run in `options.output` is finished already; ValueError if the folder holds another run.

    Writes nothing: `start_run` does, when everything else has proved right.
    """
    output = Path(options.output)
    if output.exists() and not output.is_dir():
        raise ValueError(f"{output} is a file; give another --output.")
    if (output / OPTIONS).is_file():
        _refuse_other_options(output, json.loads((output / OPTIONS).read_text(encoding="utf-8")), options)
        _refuse_other_inputs(output, options)
        return (output / RESULTS).is_file()
    if output.is_dir() and any(output.iterdir()):
        raise ValueError(f"{output} is not empty and holds no training run; give another --output.")
    return False


def _refuse_other_options(output: Path, before: Mapping[str, Any], options: TrainingOptions) -> None:
    for name, value in _fixed(options).items():
        if before.get(name) != value:
            raise ValueError(
                f"{output} holds a run with {name} {before.get(name)!r}, not {value!r}; "
                "give another --output, or delete that folder."
            )


def _refuse_other_inputs(output: Path, options: TrainingOptions) -> None:
    """ValueError where other data lie behind a path than when the run began; what is gone is missed by who needs it."""
    if not (output / INPUTS).is_file():  # killed before its first line
        return
    before = read_json(output / INPUTS, "pretrain.py or classify.py")
    for path, found in input_fingerprints(options).items():
        if path in before and before[path] != found:
            raise ValueError(
                f"{path} has changed since the run in {output} began; put back what it was, or give another --output."
            )


def input_fingerprints(options: TrainingOptions) -> dict[str, str]:
    """Path of a data set, of weights, or of a table that the options name → what tells its content from another."""
    given = [getattr(options, name, None) or [] for name in _INPUTS]
    paths = [path for value in given for path in ([value] if isinstance(value, str) else value)]
    return {path: _content(Path(path)) for path in paths if Path(path).exists()}


def _content(path: Path) -> str:
    """Of a data set: its fingerprint and the sizes of its files, without reading them; of weights: their SHA-256."""
    if path.is_file():
        return _weights(path)
    if (path / "state.json").is_file():
        saved = json.loads((path / "state.json").read_text(encoding="utf-8"))
        files = [path / entry["filename"] for entry in saved["_data_files"]]
        sizes = [str(file.stat().st_size if file.is_file() else None) for file in files]
        return _fingerprint([saved["_fingerprint"], *sizes])
    files = sorted(file for file in path.iterdir() if file.suffix in (".safetensors", ".bin"))
    return _fingerprint([part for file in files for part in (file.name, _weights(file))])


def _weights(file: Path) -> str:
    status = file.stat()
    return _sha256_once(file, status.st_size, status.st_mtime_ns)


@lru_cache
def _sha256_once(file: Path, size: int, changed: int) -> str:
    """Many runs of one process start from the same weights: they are read once, unless they change."""
    return sha256_of(file)


def _fixed(options: TrainingOptions) -> dict[str, Any]:
    """The options that make a run what it is, as JSON has them."""
    return {name: value for name, value in asdict(options).items() if name not in _FREE}


def start_run(options: TrainingOptions) -> None:
    """Make the folder and note the options, and what lies behind their paths, that a continuation has to share."""
    output = Path(options.output)
    output.mkdir(parents=True, exist_ok=True)
    main_decides(partial(_note_start, output, options))


def _note_start(output: Path, options: TrainingOptions) -> None:
    write_json(output / INPUTS, input_fingerprints(options))
    write_json(output / OPTIONS, _fixed(options))


def last_checkpoint(output: str | Path) -> str | None:
    """The newest checkpoint that is whole, the same in every process; later ones, which are not, are removed.

    Raises ValueError where there are checkpoints, but none that can be used (`newest_usable`).
    """
    chosen = main_decides(partial(newest_usable, Path(output, CHECKPOINTS)))
    return None if chosen is None else str(chosen)


def finish_run(options: TrainingOptions, save: Any, results: Mapping[str, Any]) -> None:
    """Put the result into the output folder; results.json comes last and says that all is there.

    save(folder): writes the model and whatever belongs to it.
    """
    output = Path(options.output)
    partial = output / PARTIAL
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    save(partial)
    for file in partial.iterdir():
        if file.is_dir():  # which replaces no other folder
            shutil.rmtree(output / file.name, ignore_errors=True)
        file.replace(output / file.name)
    partial.rmdir()
    write_json(output / RESULTS, results)
    if not options.keep_checkpoints:
        shutil.rmtree(output / CHECKPOINTS, ignore_errors=True)


def note_held_out(cases: Sequence[str], rows: Sequence[int]) -> dict[str, Any]:
    """What results.json says of the pairs that a run held out, for `held_out_rows`.

    cases: the case of every pair that the run was given, in order. rows: numbers of those that were held out.
    """
    return {"of_cases": _fingerprint(cases), "rows": list(rows)}


def held_out_rows(run: Path, cases: Sequence[str]) -> list[int]:
    """The numbers of those pairs that a pretraining run held out, of the very pairs that it was given.

    cases: the case of every pair. Raises ValueError where they are not those of the run, or not in its order, and
    FileNotFoundError where there is no run.
    """
    options, results = (read_json(run / name, "pretrain.py") for name in (OPTIONS, RESULTS))
    if "held_out" not in results:
        raise ValueError(f"{run} does not say what it held out; expected an output folder of pretrain.py.")
    if results["held_out"]["of_cases"] != _fingerprint(cases):
        raise ValueError(
            f"these {len(cases)} pairs are not those that {run} was given; "
            f"give its own, in its order: {' '.join(options['pairs'])}."
        )
    return results["held_out"]["rows"]


def _fingerprint(names: Sequence[str]) -> str:
    """SHA-256 of names in their order, as hexadecimal digits."""
    return hashlib.sha256(json.dumps(list(names)).encode()).hexdigest()


def read_json(path: Path, script: str) -> dict[str, Any]:
    """The object in a JSON file; `script` is what writes such files, for the error message.

    Raises FileNotFoundError where there is none, ValueError where it is no JSON object.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; train_scripts/{script} writes it.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}); run train_scripts/{script} again.") from error
    if not isinstance(content, dict):
        raise ValueError(
            f"{path} holds a {type(content).__name__}; expected an object as {script} writes it."
        )
    return content
