"""The pixel path for any values: against pydicom's own functions, in ranges, shapes and orders; and damaged files."""

import threading
import warnings

import fuzz_dicom
import numpy as np
import pytest
from dicom_files import as_bytes, lookup, mammogram
from dicom_zoo import LOSSLESS, NATIVE, written
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pydicom.pixels import apply_modality_lut, apply_voi, apply_windowing

from processing import read_dicom
from processing.dicom_decoding import Stored
from processing.dicom_luts import modality_function, voi_function, window_function
from processing.dicom_pixels import apply, unpadded_range

FULL = 65535
some = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])

bits = st.sampled_from([8, 10, 12, 14, 16])


def sizes(least=1):
    return st.tuples(st.integers(least, least + 39), st.integers(least, least + 29))


@st.composite
def images(draw, least=1):
    """(stored values (H, W), bits, signed); H and W are at least so many."""
    depth, signed = draw(bits), draw(st.booleans())
    low, high = (-(2 ** (depth - 1)), 2 ** (depth - 1) - 1) if signed else (0, 2**depth - 1)
    values = draw(arrays.arrays(np.int32, draw(sizes(least)), elements=st.integers(low, high)))
    return values, depth, signed


def file_of(image, **tags):
    values, depth, signed = image
    return as_bytes(mammogram(values, bits=depth, signed=signed, **tags))


# ---- ranges, shapes, orders


@some
@given(images(), st.sampled_from(["MONOCHROME1", "MONOCHROME2"]), st.sampled_from([8, 16]))
def test_min_max_spans_the_type_and_keeps_the_order(image, interpretation, wanted):
    values = image[0]
    pixels = read_dicom(file_of(image, PhotometricInterpretation=interpretation), bits=wanted).pixels
    assert pixels.shape == values.shape and pixels.dtype == f"u{wanted // 8}"
    if values.min() == values.max():
        assert not pixels.any()
        return
    assert pixels.min() == 0 and pixels.max() == 2**wanted - 1
    order = np.argsort(values, axis=None, kind="stable")
    steps = np.diff(pixels.ravel()[order].astype(int))
    assert (steps <= 0).all() if interpretation == "MONOCHROME1" else (steps >= 0).all()
    if wanted == 16:
        assert len(np.unique(pixels)) == len(np.unique(values))


@some
@given(images(), st.data())
def test_padding_is_black_and_changes_nothing_else(image, data):
    values, depth, signed = image
    first, last = sorted(data.draw(st.tuples(*[st.sampled_from(np.unique(values).tolist())] * 2)))
    dataset = mammogram(values, bits=depth, signed=signed)
    for name, end in (("PixelPaddingValue", last), ("PixelPaddingRangeLimit", first)):
        dataset.add_new(name, "SS" if signed else "US", end)
    pixels = read_dicom(as_bytes(dataset)).pixels
    padded = (values >= first) & (values <= last)
    assert not pixels[padded].any()
    inside = values[~padded]
    if inside.size and inside.min() < inside.max():
        expected = np.rint((inside - inside.min()) / np.ptp(inside) * FULL)
        np.testing.assert_allclose(pixels[~padded], expected, atol=1)


@some
@given(
    arrays.arrays(st.sampled_from([np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32]), sizes()),
    st.data(),
)
def test_the_range_without_padding_is_that_of_a_mask(values, data):
    limits = np.iinfo(values.dtype)
    near = st.integers(int(values.min()) - 2, int(values.max()) + 2)
    first, last = sorted(data.draw(st.tuples(*[near | st.integers(limits.min, limits.max)] * 2)))
    inside = values[(values < first) | (values > last)]
    expected = (int(inside.min()), int(inside.max())) if inside.size else None
    stored = Stored(values, int(values.min()), int(values.max()))
    assert unpadded_range(stored, (first, last)) == expected
    assert unpadded_range(stored, None) == (stored.low, stored.high)


@some
@given(
    arrays.arrays(st.sampled_from([np.uint8, np.int8, np.uint16, np.int16]), sizes()),
    st.booleans(),
    st.booleans(),
)
def test_a_table_is_the_function_itself(values, wide, writeable):
    dtype = np.dtype(np.uint16 if wide else np.uint8)

    def function(codes):
        return ((codes.astype(np.int64) * 7 + 3) % (np.iinfo(dtype).max + 1)).astype(dtype)

    given_values = values.copy()
    given_values.flags.writeable = writeable
    found = apply(function, given_values, dtype)
    np.testing.assert_array_equal(found, function(values))
    np.testing.assert_array_equal(apply(function, values.astype(np.int32), dtype), function(values))


@some
@example(
    (np.arange(33 * 33).reshape(33, 33) % 256, 8, False), "ExplicitVRBigEndian"
)  # an odd number of bytes
@given(images(least=32), st.sampled_from(NATIVE + LOSSLESS))  # openjpeg writes nothing smaller
def test_every_lossless_syntax_gives_the_same_pixels(image, syntax):
    values, depth, _ = image
    unsigned = (values & (2**depth - 1)).astype(np.uint16)
    expected = read_dicom(file_of((unsigned, depth, False))).pixels
    np.testing.assert_array_equal(read_dicom(written(unsigned, syntax, bits=depth)).pixels, expected)


# ---- pydicom's own functions


numbers = st.floats(-5000, 5000, allow_nan=False).map(lambda value: round(value, 3))


@some
@given(images(), numbers.filter(lambda slope: abs(slope) > 0.01), numbers)
def test_rescale_is_pydicoms(image, slope, intercept):
    dataset = mammogram(
        image[0], bits=image[1], signed=image[2], RescaleSlope=slope, RescaleIntercept=intercept
    )
    expected = apply_modality_lut(image[0], dataset)
    np.testing.assert_allclose(modality_function(dataset, 0)(image[0]), expected, rtol=1e-12, atol=1e-9)


@some
@given(images(), st.lists(st.integers(0, 4095), min_size=2, max_size=40), st.integers(0, 300))
def test_a_modality_lut_is_pydicoms(image, entries, first):
    dataset = mammogram(image[0], bits=image[1], signed=image[2])
    dataset.ModalityLUTSequence = lookup(entries, first=first, bits=16)
    expected = apply_modality_lut(image[0], dataset)
    np.testing.assert_array_equal(modality_function(dataset, 0)(image[0]), expected)


@some
@given(images(), st.lists(st.integers(0, 1023), min_size=2, max_size=40), st.integers(0, 300))
def test_a_voi_lut_is_pydicoms(image, entries, first):
    dataset = mammogram(image[0], bits=image[1], signed=image[2])
    dataset.VOILUTSequence = lookup(entries, first=first, bits=10)
    values = image[0].clip(first - 40, first + 80)  # pydicom's own index overflows 16 bits beyond
    expected = apply_voi(values, dataset) / 1023
    np.testing.assert_allclose(voi_function(dataset, 0, 0, signed=False)(values), expected)


@some
@given(images(), st.sampled_from(["LINEAR", "LINEAR_EXACT", "SIGMOID"]), numbers, st.integers(1, 9000))
@example((np.arange(4096).reshape(64, 64), 12, False), "LINEAR", 2048.0, 1)
@example((np.arange(4096).reshape(64, 64), 12, False), "LINEAR", 2048.0, 4096)
def test_windows_are_pydicoms(image, kind, center, width):
    values, depth, signed = image
    dataset = mammogram(values, bits=depth, signed=signed)
    dataset.WindowCenter, dataset.WindowWidth, dataset.VOILUTFunction = center, width, kind
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        theirs = apply_windowing(values, dataset)
    low = -(2 ** (depth - 1)) if signed else 0
    expected = (theirs - low) / (2**depth - 1)  # from pydicom's output range to 0 … 1
    np.testing.assert_allclose(window_function(kind, center, width)(values), expected, atol=1e-9)


# ---- damaged files, and many readers


def test_damaged_files_give_pixels_or_one_error():
    outcomes = fuzz_dicom.run(count=200, seed=0)
    assert sum(outcomes.values()) == 200 and min(outcomes["pixels"], outcomes["refused"]) > 20


@pytest.mark.slow
def test_many_damaged_files_give_pixels_or_one_error_in_time():
    assert sum(fuzz_dicom.run(count=5000, seed=1, seconds=fuzz_dicom.SECONDS).values()) == 5000


def test_threads_leave_pythons_warnings_as_they_were():
    content = as_bytes(mammogram(np.arange(48, dtype=np.uint16).reshape(8, 6), SeriesDate="19640229"))
    before = list(warnings.filters)
    threads = [threading.Thread(target=lambda: [read_dicom(content) for _ in range(20)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert warnings.filters == before
