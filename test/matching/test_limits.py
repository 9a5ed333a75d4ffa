import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loftr_ros.matching.config import LITE, OUTDOOR
from loftr_ros.matching.errors import ImageError
from loftr_ros.matching.limits import SizeLimits, pair_megabytes

# Greatest memory of a pair less that before, MB, as benchmarks/memory.py measured it on a CPU.
MEASURED = [
    (OUTDOOR, (480, 640), 359),
    (OUTDOOR, (1000, 1000), 965),
    (OUTDOOR, (960, 1280), 1284),
    (OUTDOOR, (1200, 1600), 2222),
    (OUTDOOR, (2000, 2000), 3130),
    (LITE, (480, 640), 126),
    (LITE, (1000, 1000), 220),
    (LITE, (1200, 1600), 442),
    (LITE, (2000, 2000), 607),
]


@pytest.mark.parametrize(('config', 'size', 'megabytes'), MEASURED)
def test_the_estimate_is_above_what_was_measured_but_not_by_half(
    config: object, size: tuple[int, int], megabytes: float
) -> None:
    estimate = pair_megabytes(size, size, config)  # type: ignore[arg-type]

    assert megabytes <= estimate < 1.5 * megabytes


def test_images_within_all_limits_keep_their_size() -> None:
    limits = SizeLimits(longer_side=640, max_pixels=640 * 480, max_memory=1000)

    found = limits.fit((480, 640), OUTDOOR)

    assert found.size == (480, 640)
    assert not found.limit
    assert str(found) == 'images of 640x480 px are matched at 640x480 px'


@pytest.mark.parametrize(
    ('limits', 'limit'),
    [
        (SizeLimits(longer_side=640), 'longer_side'),
        (SizeLimits(max_pixels=307_200), 'max_pixels'),
        (SizeLimits(max_memory=1000), 'max_memory'),
        (SizeLimits(longer_side=639, max_pixels=307_200, max_memory=1200), 'longer_side'),
        (SizeLimits(longer_side=650, max_pixels=307_200, max_memory=1200), 'max_pixels'),
        (SizeLimits(longer_side=650, max_pixels=307_200, max_memory=500), 'max_memory'),
    ],
)
def test_the_tightest_limit_counts_and_is_named(limits: SizeLimits, limit: str) -> None:
    found = limits.fit((3000, 4000), OUTDOOR)

    assert found.limit == limit
    rows, columns = found.size
    assert abs(columns / rows - 4 / 3) < 0.01
    assert f'as {limit} is {getattr(limits, limit)}' in str(found)
    assert 'images of 4000x3000 px are matched at' in str(found)
    assert f'Raise {limit}' in str(found)


@given(
    st.integers(1, 6000),
    st.integers(1, 6000),
    st.integers(16, 3000),
    st.integers(256, 10**7),
    st.integers(600, 20_000),
    st.sampled_from([LITE, OUTDOOR]),
)
def test_every_limit_holds_for_every_image_and_none_wastes_a_row(
    height: int, width: int, side: int, pixels: int, megabytes: int, config: object
) -> None:
    limits = SizeLimits(side, pixels, megabytes)

    found = limits.fit((height, width), config)  # type: ignore[arg-type]

    assert max(found.size) <= side
    assert math.prod(found.size) <= pixels
    assert pair_megabytes((height, width), found.size, config) <= megabytes  # type: ignore[arg-type]
    assert 1 <= found.size[0] <= height
    assert 1 <= found.size[1] <= width
    if found.limit:
        ratio = (max(found.size) + 1) / max(height, width)
        larger = (max(1, round(height * ratio)), max(1, round(width * ratio)))
        needed = pair_megabytes((height, width), larger, config)  # type: ignore[arg-type]
        assert max(larger) > side or math.prod(larger) > pixels or needed > megabytes


def test_an_image_that_cannot_even_be_read_in_the_memory_is_refused() -> None:
    with pytest.raises(ImageError, match=r'20000x10000 px takes 24.. MB however .* is 500 MB'):
        SizeLimits(max_memory=500).fit((10_000, 20_000), LITE)


@pytest.mark.parametrize(
    ('limits', 'reason'),
    [
        ({'longer_side': 3}, 'longer_side must be at least 16, not 3'),
        ({'max_pixels': 100}, 'max_pixels must be at least 256, not 100'),
        ({'max_memory': 0}, 'max_memory must be at least 1, not 0'),
    ],
)
def test_limits_that_leave_no_image_are_refused(limits: dict[str, int], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        SizeLimits(**limits)
