"""Folds that never cut a patient, nested training subsets, and splits that never cut a group. All seeded."""

from __future__ import annotations

import csv
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path

import numpy as np

GROUP_COLUMNS = ("patient_id", "group")


def patient_folds(
    patient_ids: Sequence[Hashable],
    labels: Sequence[int],
    *,
    folds: int = 4,
    seed: int = 0,
    also: Sequence[Sequence[int]] = (),
) -> list[int]:
    """A fold 0 … folds−1 for every row: all rows of a patient in one fold, classes spread as evenly as that allows.

    Patients are dealt in an order drawn from `seed`, those with most rows of one class first, each to the fold that
    has least of what she brings; a rare class weighs more than a common one. also: further labels of every row, such
    as breast density, whose classes are spread likewise. Half a million rows take seconds.

    Raises:
        ValueError: lengths differ, or there are fewer patients than folds.
    """
    for column in (labels, *also):
        _check_lengths(patient_ids, column)
    patients, rows = _group_rows(patient_ids)
    if folds < 2 or len(patients) < folds:
        raise ValueError(
            f"{len(patients)} patients cannot fill {folds} folds; expected 2 folds or more and a patient each."
        )
    counts = np.hstack([_class_counts(rows, column) for column in (labels, *also)])
    weights = 1 / np.maximum(counts.sum(axis=0), 1)
    filled = np.zeros((folds, counts.shape[1]))
    fold_of_row = np.empty(len(patient_ids), dtype=int)
    for patient in _largest_first(counts, seed):
        fold = _emptiest(filled, counts[patient], weights)
        filled[fold] += counts[patient]
        fold_of_row[rows[patient]] = fold
    return fold_of_row.tolist()


def nested_subset(
    indices: Sequence[int],
    patient_ids: Sequence[Hashable],
    labels: Sequence[int],
    size: int,
    *,
    seed: int = 0,
) -> list[int]:
    """`size` of the row numbers `indices`, whole patients as far as possible; a smaller subset lies in a larger one.

    `patient_ids` and `labels` belong to all rows of the data set. One order of the rows is drawn for each seed and its
    first `size` are taken, so arms of an experiment that share a seed share their rows, and sizes nest. Patients come
    in an order that takes the classes in turn, so that few labels still hold every class.

    Raises:
        ValueError: more rows are asked for than there are.
    """
    if not 0 < size <= len(indices):
        raise ValueError(
            f"{size} training samples were asked for; expected a number from 1 to {len(indices)}."
        )
    order = _order_by_turns([patient_ids[i] for i in indices], [labels[i] for i in indices], seed)
    return [indices[i] for i in order[:size]]


def split_groups(
    group_ids: Sequence[Hashable], fraction: float, seed: int = 0
) -> tuple[list[int], list[int]]:
    """Row numbers → (kept, held out): whole groups are held out until they hold `fraction` of the rows, at least one.

    Raises:
        ValueError: the fraction is not between 0 and 1, or there are fewer than two groups.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"a fraction of {fraction} cannot be held out; expected a number between 0 and 1.")
    groups, rows = _group_rows(group_ids)
    if len(groups) < 2:
        raise ValueError(f"{len(groups)} case cannot be split; expected two cases or more.")
    order = np.random.default_rng(seed).permutation(len(groups))
    sizes = np.array([len(rows[i]) for i in order])
    wanted = int(np.searchsorted(np.cumsum(sizes), fraction * len(group_ids))) + 1
    held = set(order[: min(wanted, len(groups) - 1)].tolist())
    kept = [row for i, group in enumerate(rows) if i not in held for row in group]
    return sorted(kept), sorted(row for i in held for row in rows[i])


def split_by_case(
    cases: Sequence[Hashable], validation_fraction: float, held_out_fraction: float, seed: int = 0
) -> tuple[list[int], list[int], list[int]]:
    """Row numbers of pairs for training, validation and what is held out; no case is in two of them.

    Fractions are of all rows. Raises ValueError for fewer than three cases, or as `split_groups`.
    """
    if len(set(cases)) < 3:
        raise ValueError(
            f"the pairs come from {len(set(cases))} cases; expected at least three: "
            "for training, for validation, and held out."
        )
    rest, held_out = split_groups(cases, held_out_fraction, seed)
    fraction = validation_fraction / (1 - held_out_fraction)
    train, validation = split_groups([cases[row] for row in rest], fraction, seed)
    # In the atlas's order, a batch of validation would hold a case's own figures against each other.
    order = np.random.default_rng(seed).permutation(validation)
    return [rest[place] for place in train], [rest[place] for place in order], held_out


def join_groups(ids: Sequence[Hashable], pairs: Iterable[tuple[Hashable, Hashable]]) -> list[Hashable]:
    """A group for every id: ids that `pairs` connect, also by way of others, are in one, named by its first id.

    ids: patients of the rows, say; pairs: two of these ids each, as an audit finds them. What comes out takes the place
    of the patients in `patient_folds`, `nested_subset` and `split_groups`, so that no fold cuts a group.

    Raises:
        ValueError: a pair names an id that is not there.
    """
    places = {name: place for place, name in reversed(list(enumerate(ids)))}
    root = {name: name for name in places}
    for pair in pairs:
        unknown = [name for name in pair if name not in root]
        if unknown:
            raise ValueError(f"{unknown[0]!r} is not one of the {len(places)} ids that are to be joined.")
        first, second = sorted((_root(root, name) for name in pair), key=places.__getitem__)
        root[second] = first
    return [_root(root, name) for name in ids]


def write_groups(path: str | Path, patients: Sequence[str], pairs: Iterable[tuple[str, str]]) -> int:
    """Write which patients belong together, as `read_groups` reads it; how many rows that are.

    Patients that are alone have no row.
    """
    distinct = list(dict.fromkeys(patients))
    groups = join_groups(distinct, pairs)
    joined = {group for name, group in zip(distinct, groups, strict=True) if name != group}
    rows = [row for row in zip(distinct, groups, strict=True) if row[1] in joined]
    with Path(path).open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([GROUP_COLUMNS, *rows])
    return len(rows)


def read_groups(path: str | Path, patients: Sequence[str]) -> list[str]:
    """The group of every row's patient, from a CSV file of patients and groups; a patient who is not in it is alone.

    Raises FileNotFoundError, or ValueError where the file is not such a table or names none of these patients.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path} does not exist; train_scripts/audit_dataset.py writes such a file.")
    with Path(path).open(newline="", encoding="utf-8") as file:
        header, *rows = [tuple(row) for row in csv.reader(file)] or [()]
    if header != GROUP_COLUMNS or any(len(row) != 2 for row in rows):
        raise ValueError(
            f"{path} is no table of {' and '.join(GROUP_COLUMNS)}; expected what audit_dataset.py writes."
        )
    groups = dict(rows)
    if groups and not groups.keys() & set(patients):
        raise ValueError(f"{path} names none of these patients; it belongs to another data set.")
    return [groups.get(name, name) for name in patients]


def _root(root: dict[Hashable, Hashable], name: Hashable) -> Hashable:
    """The first of a group, by following who belongs to whom; ways that were gone are shortened."""
    while root[name] != name:
        root[name] = root[root[name]]
        name = root[name]
    return name


def _check_lengths(patient_ids: Sequence, labels: Sequence) -> None:
    if len(patient_ids) != len(labels):
        raise ValueError(
            f"{len(patient_ids)} patient ids and {len(labels)} labels were given; expected one each."
        )


def _group_rows(ids: Sequence[Hashable]) -> tuple[list[Hashable], list[list[int]]]:
    """Distinct ids in order of appearance, and the row numbers of each."""
    rows: dict[Hashable, list[int]] = {}
    for row, name in enumerate(ids):
        rows.setdefault(name, []).append(row)
    return list(rows), list(rows.values())


def _class_counts(rows: list[list[int]], labels: Sequence[int]) -> np.ndarray:
    """(groups, classes) numbers of rows."""
    classes = {label: i for i, label in enumerate(sorted(set(labels)))}
    counts = np.zeros((len(rows), len(classes)))
    for group, members in enumerate(rows):
        for row in members:
            counts[group, classes[labels[row]]] += 1
    return counts


def _largest_first(counts: np.ndarray, seed: int) -> np.ndarray:
    shuffled = np.random.default_rng(seed).permutation(len(counts))
    return shuffled[np.argsort(-counts[shuffled].max(axis=1), kind="stable")]


def _emptiest(filled: np.ndarray, added: np.ndarray, weights: np.ndarray) -> int:
    """The fold that has least of what a patient brings; rare classes weigh more, then the smaller fold wins."""
    shares = (filled * weights * added).sum(axis=1) / max(added.sum(), 1)
    return int(np.lexsort((filled.sum(axis=1), shares))[0])


def _order_by_turns(patient_ids: Sequence[Hashable], labels: Sequence[int], seed: int) -> list[int]:
    """Rows in an order that takes a patient of each class in turn; a patient counts for her rarest class."""
    patients, rows = _group_rows(patient_ids)
    counts = _class_counts(rows, labels)
    rarity = np.argsort(np.argsort(-counts.sum(axis=0), kind="stable"))
    own = [int(max(np.flatnonzero(row), key=lambda c: rarity[c])) for row in counts]
    generator = np.random.default_rng(seed)
    queues: dict[int, list[int]] = {}
    for patient in generator.permutation(len(patients)):
        queues.setdefault(own[patient], []).append(int(patient))
    order: list[int] = []
    while queues:
        for label in sorted(queues):
            order += rows[queues[label].pop()]
            if not queues[label]:
                del queues[label]
    return order
