"""Values of DICOM tags as plain Python: what cannot be read is an error, or missing, never a traceback of pydicom.

Messages name the tag and not its value, which may be anything that somebody typed.
"""

import math

from .mammogram import MammogramError


def number(dataset, keyword: str, default: float) -> float:
    """A finite number, the first of several, or the default where the tag is missing or empty.

    Raises MammogramError for what is no such number.
    """
    return next(iter(numbers(dataset, keyword)), default)


def whole(dataset, keyword: str, default: int) -> int:
    return int(number(dataset, keyword, default))


def numbers(dataset, keyword: str) -> list[float]:
    """All of a tag's numbers; none where the tag is missing or empty. Raises MammogramError likewise."""
    try:
        value = dataset.get(keyword)
        if value is None or isinstance(value, (str, bytes)):
            found = [float(value)] if value else []
        else:
            found = [float(part) for part in (value if hasattr(value, "__iter__") else [value])]
    except (
        Exception
    ):  # pydicom converts a tag when it is asked for, and raises whatever a broken one leads to
        found = [math.nan]
    if not all(map(math.isfinite, found)):
        raise MammogramError(f"has an unreadable {keyword}, so its pixels cannot be trusted; get a new copy.")
    return found


def text(dataset, keyword: str) -> str:
    """A tag's text, its parts joined by a backslash as in the file; empty where it is missing or unreadable."""
    try:
        value = dataset.get(keyword)
        if value is None:
            return ""
        return (value if isinstance(value, str) else "\\".join(map(str, value))).strip()
    except Exception:  # as above
        return ""


def word(dataset, keyword: str) -> str:
    """A code string (VR CS), in capitals."""
    return text(dataset, keyword).upper()


def items(dataset, keyword: str) -> list:
    """The items of a sequence; none where it is missing, unreadable or no sequence."""
    try:
        value = dataset.get(keyword)
        return [item for item in value or () if hasattr(item, "get")]
    except Exception:  # as above
        return []


def frame_groups(dataset, keyword: str, frame: int) -> list:
    """The items of a functional group (PS3.3 C.7.6.16): what all frames share, then what this one has of its own."""
    per_frame = items(dataset, "PerFrameFunctionalGroupsSequence")
    groups = items(dataset, "SharedFunctionalGroupsSequence") + per_frame[frame : frame + 1]
    return [item for group in groups for item in items(group, keyword)]
