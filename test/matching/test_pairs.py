"""Several pairs at once, as of the cameras of a rig."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from loftr_ros.matching.errors import ImageError
from loftr_ros.matching.matcher import ImageFeatures, Matcher
from loftr_ros.matching.views import View, see
from loftr_ros.rendering.procedural import procedural_texture

Image = NDArray[np.uint8]


@pytest.fixture(scope='module')
def rig() -> list[Image]:
    """Four cameras side by side, of different sizes; the last one hangs upside down."""
    scene = procedural_texture(512, np.random.default_rng(5))
    views = [scene[:240, 40 * i : 40 * i + 320] for i in range(4)]
    views[1] = np.asarray(cv2.resize(views[1], (288, 216), interpolation=cv2.INTER_AREA), np.uint8)
    return [*views[:3], see(views[3], None, View(180)).image]


@pytest.mark.parametrize('try_views', [False, True])
def test_pairs_at_once_are_matched_as_one_by_one(rig: list[Image], try_views: bool) -> None:
    matcher = Matcher('lite', device='cpu', try_views=try_views)
    pairs = [
        (rig[0], rig[1]),
        (rig[1], rig[2]),
        (rig[2], rig[3]),
        (rig[3], rig[0]),
        (rig[0], rig[0]),
    ]
    alone = [matcher.match_images(*pair) for pair in pairs]

    together = matcher.match_pairs(pairs)

    assert sum(map(len, alone)) > 200
    for one, same in zip(alone, together, strict=True):
        for name in ('reference_points', 'query_points', 'confidence', 'sigma', 'reference_cells'):
            np.testing.assert_array_equal(getattr(same, name), getattr(one, name))
        assert (same.reference_grid, same.rotation) == (one.reference_grid, one.rotation)
    assert together[2].rotation == (180 if try_views else 0)


def test_an_image_of_several_pairs_is_encoded_once(
    rig: list[Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    matcher = Matcher('lite', device='cpu')
    encoded = []
    encode = matcher.encode

    def counted(image: Image) -> ImageFeatures:
        encoded.append(image)
        return encode(image)

    monkeypatch.setattr(matcher, 'encode', counted)

    matcher.match_pairs([(rig[0], rig[1]), (rig[1], rig[2]), (rig[2], rig[0])])

    assert len(encoded) == 3


def test_no_pairs_are_no_matches() -> None:
    assert Matcher('lite', device='cpu').match_pairs([]) == []


def test_a_pair_that_cannot_be_used_is_refused(rig: list[Image]) -> None:
    with pytest.raises(ImageError, match='empty'):
        Matcher('lite', device='cpu').match_pairs([(rig[0], rig[1]), (rig[0], rig[1][:0])])
