"""Under which terms a data set is given, and whether weights that were trained on it may be published."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal


@dataclass(frozen=True)
class Terms:
    """What a builder declares of its data set; it travels with the data, the training run and the model card.

    licence: its name, such as "CC BY 3.0"; citation: the publication, as its authors want it cited; homepage: where
    the data are had; weights: "free" where the terms say nothing against publishing trained weights,
    "non-commercial" where they ask for that, "permission" where the owners must be asked in writing first.
    """

    licence: str
    citation: str
    homepage: str
    weights: Literal["free", "non-commercial", "permission"]

    def as_dict(self) -> dict[str, str]:
        return asdict(self)
