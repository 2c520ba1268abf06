"""A mammogram's pixels and the few tags that we keep, from a DICOM file.

`dicom_file` opens it and refuses what is no mammogram, `dicom_decoding` decodes its frames, `dicom_pixels` and
`dicom_luts` turn stored values into brightness, and `dicom_tags` translates what is kept beside it.
"""

import os

from .dicom_decoding import DECODING_TAGS, decode_frame
from .dicom_file import FILE_TAGS, check_mammogram, count_frames, named, open_dataset, quiet
from .dicom_pixels import PIXEL_TAGS, project, render
from .dicom_tags import KEPT_TAGS, kept_tags, presentation_of
from .mammogram import Mammogram, MammogramError

TAGS = tuple({*FILE_TAGS, *DECODING_TAGS, *PIXEL_TAGS, *KEPT_TAGS})
MODES, BITS, PROCESSINGS = ("min_max", "voi"), (8, 16), ("as_stored", "log", "refuse")
FRAMES = ("central", "max")


def read_dicom(
    path_or_bytes: str | os.PathLike | bytes,
    *,
    mode: str = "min_max",
    frame: int | str | None = None,
    window: int | str = 0,
    bits: int = 16,
    for_processing: str = "as_stored",
    any_modality: bool = False,
    salt: str | None = None,
) -> Mammogram:
    """Read a mammogram.

    mode: "min_max" stretches the modality values from black to white, as the published model was trained on; "voi"
        applies the file's VOI LUT or window, and stretches likewise where the file has neither.
    frame: of a file with several, such as tomosynthesis: its index from 0, "central", or "max" for the brightest
        value of all frames at each place. Without it such files are refused.
    window: which of several VOI LUTs and windows, by its index (LUTs first) or by its explanation in the file.
    bits: 16 or 8, of the pixels.
    for_processing: what happens to images FOR PROCESSING, whose values are the detector's: "as_stored" treats them as
        all others; "log" takes exposures to attenuations, breast bright by the sign of their intensity relationship,
        stretched in any mode; "refuse" raises. Images for presentation are not concerned.
    any_modality: read grey images that are no mammograms (CT, MR, …) as well.
    salt: any secret text; with it `patient` and `study` are pseudonyms, and without it they are None.
    → pixels (H, W) uint16 or uint8, 0 … the type's largest value.

    Raises MammogramError for what is unreadable or no mammogram, OSError for a file that is missing or may not be
    read, ValueError for an unknown option. No message and no field quotes any other text of the file.
    """
    check_options(mode=mode, bits=bits, for_processing=for_processing, frame=frame, window=window, salt=salt)
    name = "the DICOM data" if isinstance(path_or_bytes, bytes) else str(path_or_bytes)
    return read_named(
        name,
        path_or_bytes,
        mode=mode,
        frame=frame,
        window=window,
        bits=bits,
        for_processing=for_processing,
        any_modality=any_modality,
        salt=salt,
    )


def read_named(
    name: str, source, *, mode, frame, window, bits, for_processing, any_modality, salt
) -> Mammogram:
    """`read_dicom` of options that were checked; errors call the file by this name."""
    with quiet, named(name):
        dataset = open_dataset(source, TAGS)
        frames, log = plan(dataset, frame=frame, for_processing=for_processing, any_modality=any_modality)
        decoded = (decode_frame(dataset, index) for index in frames)
        stored = next(decoded) if len(frames) == 1 else project(dataset, decoded, log=log)
        pixels = render(dataset, stored, frame=frames[0], mode=mode, window=window, bits=bits, log=log)
        return Mammogram(pixels, **kept_tags(dataset, frames[0], salt))


def plan(
    dataset, *, frame: int | str | None, for_processing: str, any_modality: bool, pixels: bool = True
) -> tuple[range, bool]:
    """Which frames are to be decoded, and whether logarithms are to be taken, as `read_dicom` has it.

    pixels: whether they were opened as well. Raises MammogramError for what is refused.
    """
    check_mammogram(dataset, any_modality=any_modality, pixels=pixels)
    processing = presentation_of(dataset) == "FOR PROCESSING"
    if processing and for_processing == "refuse":
        raise MammogramError("is an image FOR PROCESSING; expected one FOR PRESENTATION.")
    return _frames(count_frames(dataset), frame), processing and for_processing == "log"


def _frames(count: int, frame: int | str | None) -> range:
    if frame is None and count > 1:
        raise MammogramError(
            f"has {count} frames, as tomosynthesis does; choose frame='central', 'max' or an index, "
            "or read its 2D image."
        )
    if frame == "max":
        return range(count)
    index = count // 2 if frame == "central" else frame or 0
    if index >= count:
        raise MammogramError(f"has no frame {index}: it has {count}, and they count from 0.")
    return range(index, index + 1)


def check_options(*, frame, window, salt, **options) -> None:
    """Raises ValueError for what is no option of `read_dicom`."""
    choices = {"mode": MODES, "bits": BITS, "for_processing": PROCESSINGS}
    for option, value in options.items():
        if value not in choices[option]:
            expected = ", ".join(map(str, choices[option]))
            raise ValueError(f"{option} is {value!r}; expected one of {expected}.")
    if not (frame is None or frame in FRAMES or (isinstance(frame, int) and frame >= 0)):
        raise ValueError(f"frame is {frame!r}; expected an index from 0, or one of {', '.join(FRAMES)}.")
    if not (isinstance(window, str) or (isinstance(window, int) and window >= 0)):
        raise ValueError(f"window is {window!r}; expected an index from 0, or an explanation.")
    if salt is not None and not salt:
        raise ValueError("salt is empty; expected a secret text, or None for no pseudonyms.")
