from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from places import View, overlap, thousand

from loftr_ros.frontend import Frame, SavedPlaces
from loftr_ros.frontend.places import Place
from loftr_ros.geometry import Camera
from loftr_ros.geometry.rotations import rotation_from_vector
from loftr_ros.geometry.transforms import make_transform

CAMERA = Camera(160, 120, np.array([[160, 0, 79.5], [0, 160, 59.5], [0, 0, 1]]))
DEPTH = 2.0


def view(x: float = 0.0, yaw: float = 0.0, depth: float = DEPTH) -> View:
    """Return a view of a wall; the image is 2 m wide there."""
    rotated = rotation_from_vector(np.array([0.0, yaw, 0.0]))
    pose = make_transform(rotated, np.array([x, 0.0, 0.0]))
    frame = Frame(0, np.zeros((120, 160), np.uint8), 'eye', CAMERA)
    return View(frame, pose, np.full((120, 160), depth, np.float32))


@pytest.mark.parametrize(('x', 'share'), [(0.0, 1.0), (0.5, 0.75), (1.5, 0.25), (2.5, 0.0)])
def test_views_overlap_by_what_both_see(x: float, share: float) -> None:
    assert overlap(view(), view(x)) == pytest.approx(share, abs=0.05)
    assert overlap(view(x), view()) == pytest.approx(share, abs=0.05)


def test_views_of_both_sides_of_a_wall_do_not_overlap() -> None:
    assert overlap(view(), view(yaw=np.pi)) == 0.0
    assert overlap(view(), view(depth=2 * DEPTH)) == 0.0, 'one is nearer to another wall'


def test_a_thousand_places_look_as_different_as_asked_for() -> None:
    random = np.random.default_rng(7)

    def unit() -> npt.NDArray[np.float32]:
        values = random.normal(size=50)
        return np.asarray(values / np.linalg.norm(values), np.float32)

    few = tuple(Place(view().frame, unit()) for _ in range(3))
    many = thousand(SavedPlaces(few, 0.02, 'lite', 'a1'), 0.1).places
    assert len(many) == 1000
    assert many[:3] == few
    for number in (3, 500, 999):
        assert few[number % 3].distance(many[number].signature) == pytest.approx(0.1, abs=1e-4)
