"""What a page says of the model behind its scores: what it has seen, how its probabilities were made, how they pool."""

from __future__ import annotations

from evaluation.notices import RESEARCH_SHORT
from modeling_mamclip import MamClipConfig

DATA = "data_"  # how keys of data sets begin in the provenance
PHANTOM = "phantom"
PHANTOM_SHORT = "PHANTOM: the model has learnt from synthetic mammograms"
POOLED = {
    "mean": "A breast's scores are the means of its images'; an exam's BI-RADS scores are those of its breast that is "
    "likelier to be recalled (BI-RADS 0, 4 or 5), and its density scores the means of all images.",
    "max": "The BI-RADS scores of a breast or an exam are those of its image that is likeliest to be recalled (BI-RADS "
    "0, 4 or 5), and its density scores the means of its images.",
}
EXAMS = {
    "tags": "DICOM files are of one exam where their tags name one study, pictures where their names differ in side "
    "and view alone.",
    "folders": "The files of a folder are taken for one exam.",
}


def from_phantoms(config: MamClipConfig) -> bool:
    """Whether a release says that its weights come from phantoms, as export_release.py notes it."""
    return bool(config.provenance.get(PHANTOM))


def notice_on(phantom: bool) -> str:
    """What every row of a table says of its scores, in a few words."""
    return f"{RESEARCH_SHORT}; {PHANTOM_SHORT}" if phantom else RESEARCH_SHORT


def notes_on(config: MamClipConfig, *, exams: str, pooling: str) -> list[str]:
    """Sentences for the page."""
    return [*_data(config), _calibration(config), EXAMS[exams], POOLED[pooling]]


def _data(config: MamClipConfig) -> list[str]:
    names = sorted(key.removeprefix(DATA) for key in config.provenance if key.startswith(DATA))
    return [f"Data sets that the model has learnt from: {', '.join(names)}."] if names else []


def _calibration(config: MamClipConfig) -> str:
    birads, density = config.birads_temperature, config.density_temperature
    if birads == density == 1:
        return "The model carries no fitted temperatures: its probabilities are not calibrated."
    return (
        f"Probabilities are calibrated: logits are divided by temperatures that were fitted on validation images "
        f"(BI-RADS {birads:.3f}, density {density:.3f})."
    )
