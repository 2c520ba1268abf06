"""Where the images of a build are encoded: in this process, in several, or on a Ray cluster. The images are the same.

An engine takes a store, the files (path, key) and a number of processes, and yields (path, why it cannot be read, or
"") for each, in any order. A few files are under way at a time, however many there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from types import ModuleType

from dataset_builders.image_store import ImageStore
from dataset_builders.processes import CRASHED, WAITING, in_processes

BATCH = 8  # files that a task on Ray encodes

File = tuple[str, str]  # path, key
Outcome = tuple[str, str]  # path, reason


def encode_locally(store: ImageStore, files: Iterable[File], workers: int) -> Iterator[Outcome]:
    """Encode in so many processes; 1: in this one. A file that kills its process is unreadable, the others are not.

    Raises OSError where processes cannot start, or an image cannot be written.
    """
    calls = ((store, path, key) for path, key in files)
    return in_processes(_encode, calls, workers, crashed=lambda store, path, key: (path, CRASHED))


def _encode(store: ImageStore, path: str, key: str) -> Outcome:
    return path, store.add(path, key)


def encode_on_ray(store: ImageStore, files: Iterable[File], workers: int) -> Iterator[Outcome]:
    """Encode on the Ray cluster that RAY_ADDRESS names, or that this process has joined; else on one started here.

    workers: is Ray's to know. All nodes need this project, and see the archive and the cache under the same paths.
    A task whose worker or node dies is run again elsewhere. Raises ValueError where Ray is not installed, OSError where
    an image cannot be written or a node cannot work.
    """
    ray = _ray()
    encode = ray.remote(num_cpus=1)(_encode_batch)
    limit = WAITING * max(1, int(ray.cluster_resources().get("CPU", 1)))
    files = iter(files)
    under_way = {}
    while True:
        while len(under_way) < limit and (batch := list(islice(files, BATCH))):
            under_way[encode.remote(store, batch)] = batch
        if not under_way:
            return
        for task in ray.wait(list(under_way))[0]:
            batch = under_way.pop(task)
            outcomes = _outcomes(ray, task)
            if outcomes is None and len(batch) > 1:  # one of them is fatal
                under_way.update({encode.remote(store, [file]): [file] for file in batch})
            else:
                yield from outcomes or [(batch[0][0], CRASHED)]


def _outcomes(ray: ModuleType, task: object) -> list[Outcome] | None:
    """What a task has to say; None where its worker died, as often as Ray ran it."""
    errors = ray.exceptions
    try:
        return ray.get(task)
    except (errors.WorkerCrashedError, errors.OutOfMemoryError, errors.NodeDiedError):
        return None
    except errors.RayError as error:
        cause = getattr(error, "cause", error)
        if isinstance(cause, OSError):
            raise cause from error
        reason = " ".join(str(cause).split())[:200]
        raise OSError(
            f"a node of the Ray cluster cannot do its work ({reason}); every node needs this project and its packages."
        ) from error


def _encode_batch(store: ImageStore, batch: list[File]) -> list[Outcome]:
    return [(path, store.add(path, key)) for path, key in batch]


def _ray() -> ModuleType:
    try:
        import ray
    except ImportError as error:
        raise ValueError("the engine ray needs Ray, which is not installed; pip install ray.") from error
    if not ray.is_initialized():
        ray.init(log_to_driver=False)
    return ray


ENGINES = {"local": encode_locally, "ray": encode_on_ray}
