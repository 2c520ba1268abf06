"""Under which licence weights may be given on: what the terms of the data that they saw leave, for a card's header."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .card_results import slug
from .data_terms import data_terms

CODE = "apache-2.0"  # of this project, and of weights that nothing else binds
CONVERTED = "converted_"  # how keys begin in the provenance of weights that others published
AUTHORS = "https://github.com/igulluk/MAM-CLIP"
# Licences of data that ask for non-commercial use, which the Hub has an identifier of.
KNOWN = {"CC BY-NC 4.0": "cc-by-nc-4.0", "CC BY-NC-SA 4.0": "cc-by-nc-sa-4.0", "CC BY-NC 3.0": "cc-by-nc-3.0"}
BINDING = ("permission", "non-commercial")  # of the terms' weights, the stricter first
LONGEST = 90  # letters of a licence's name


def is_converted(provenance: Mapping[str, Any]) -> bool:
    """Whether the weights are those that the paper's authors published."""
    return any(key.startswith(CONVERTED) for key in provenance)


def card_licence(provenance: Mapping[str, Any]) -> dict[str, str]:
    """`license`, and `license_name` and `license_link` where it is none that the Hub knows.

    The strictest terms are named: those of data whose owners have to be asked, then those of the authors' weights, then
    those that allow non-commercial use alone. Data that bind nothing leave the code's licence.
    """
    terms = data_terms(provenance)
    permission, limited = ([n for n, entry in terms.items() if entry["weights"] == kind] for kind in BINDING)
    if is_converted(provenance) and not permission:
        return _other("terms of the published weights", AUTHORS)
    if not permission and not limited:
        return {"license": CODE}
    licences = {terms[name]["licence"] for name in permission + limited}
    if len(licences) == 1 and (known := KNOWN.get(*licences)):
        return {"license": known}
    words = ["by permission of", *permission] * bool(permission) + ["non-commercial", *limited] * bool(
        limited
    )
    return _other(" ".join(words), terms[(permission + limited)[0]]["homepage"])


def _other(name: str, link: str) -> dict[str, str]:
    return {"license": "other", "license_name": slug(name)[:LONGEST].strip("-."), "license_link": link}
