"""What every picture, table and page has to say of its scores."""

RESEARCH = "Research use only, not a medical device: no score may guide the care of a patient."
RESEARCH_SHORT = "research use only, not a medical device"  # where there is little room
SYNTHETIC = "PHANTOM: the images are synthetic; the scores say nothing about real mammograms."


def notices(phantom: bool) -> list[str]:
    """The sentences for scores of phantoms, or of real images."""
    return [SYNTHETIC, RESEARCH] if phantom else [RESEARCH]
