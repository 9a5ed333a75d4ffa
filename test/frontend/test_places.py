from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loftr_ros.frontend import Frame
from loftr_ros.frontend.places import Located, Place, PlaceMemory

if TYPE_CHECKING:
    from test.frontend.conftest import World


def signature_at(position: float) -> npt.NDArray[np.float32]:
    """Return a signature that changes evenly along a path: the distance grows as far as 1."""
    angle = np.clip(position, 0, 100) * np.pi / 200
    return np.array([np.cos(angle), np.sin(angle)], np.float32)


def place_at(position: float, number: int) -> Place:
    frame = Frame(number, np.full((4, 6), number % 256, np.uint8))
    return Place.of(frame, signature_at(position))


def filled(positions: list[float], capacity: int) -> PlaceMemory:
    memory = PlaceMemory(capacity)
    for number, position in enumerate(positions):
        memory.add(place_at(position, number))
    return memory


@given(st.lists(st.floats(0, 100), max_size=40), st.integers(3, 12))
def test_the_memory_is_bounded_and_keeps_the_order_and_both_ends(
    positions: list[float], capacity: int
) -> None:
    stamps = filled(positions, capacity).stamps
    assert len(stamps) == min(len(positions), capacity)
    assert stamps == sorted(stamps)
    if positions:
        assert stamps[0] == 0
        assert stamps[-1] == len(positions) - 1


def test_places_along_an_even_path_stay_evenly_spread() -> None:
    stamps = filled([float(number) for number in range(100)], 12).stamps
    steps = np.diff(stamps)
    assert steps.max() <= 4 * steps.min()
    assert steps.max() <= 20


def test_a_robot_that_stands_still_does_not_crowd_out_the_rest() -> None:
    driven = [10.0 * number for number in range(8)]
    waiting = [70.0 + 0.001 * number for number in range(200)]
    stamps = filled(driven + waiting, 12).stamps
    assert stamps[:8] == list(range(8))


def test_the_most_alike_place_is_found_among_the_old_ones() -> None:
    memory = filled([0.0, 30.0, 60.0, 61.0], 10)
    found = memory.nearest(signature_at(62.0), before_ns=10)
    assert found is not None
    assert found[0].frame.stamp_ns == 3
    assert found[1] == pytest.approx(1 - np.cos(np.pi / 200), abs=1e-6)
    older = memory.nearest(signature_at(62.0), before_ns=1)
    assert older is not None
    assert older[0].frame.stamp_ns == 1
    assert memory.nearest(signature_at(62.0), before_ns=-1) is None


def test_the_typical_step_is_the_median_from_one_keyframe_to_the_next() -> None:
    memory = PlaceMemory(5)
    for position in (0.0, 2.0, 4.0):
        memory.note_step(signature_at(position))
    assert memory.typical_step is None
    for position in (6.0, 90.0, 92.0):
        memory.note_step(signature_at(position))
    assert memory.typical_step == pytest.approx(1 - np.cos(np.pi / 100), rel=0.01)
    memory.clear()
    assert memory.typical_step is None


def test_a_smaller_memory_gives_up_what_is_missed_least() -> None:
    memory = filled([0.0, 10.0, 10.1, 20.0, 30.0], 10)
    memory.resize(4)
    assert memory.stamps in ([0, 1, 3, 4], [0, 2, 3, 4])
    memory.resize(3)
    assert len(memory) == 3
    memory.clear()
    assert len(memory) == memory.size == 0
    with pytest.raises(ValueError, match='a capacity of 3 or more, not 2'):
        PlaceMemory(2)


def test_a_place_keeps_the_grey_image_the_calibration_and_some_of_the_depth(world: World) -> None:
    grey = world.frame(7)
    colour = np.repeat(grey.image[..., None], 3, axis=2)
    frame = replace(grey, image=colour, depth=np.ones(grey.image.shape, np.float32))
    place = Place.of(frame, np.ones(10, np.float32))
    np.testing.assert_array_equal(place.frame.image, grey.image)
    assert place.frame.camera is frame.camera
    assert place.frame.depth is None
    assert place.depth is not None
    assert place.size == grey.image.nbytes + 40 + place.depth.nbytes
    assert 8 * place.depth.size <= grey.image.size


def test_the_depth_that_is_kept_is_that_of_pixels_nearby(world: World) -> None:
    frame = world.frame(7)
    height, width = frame.image.shape
    y, x = np.mgrid[:height, :width]
    depth = (1.0 + 0.002 * x + 0.004 * y).astype(np.float32)
    depth[:, 100:140] = np.nan
    depth[0, :] = [np.inf, -1.0, 0.0, 1e9] * (width // 4)
    place = Place.of(replace(frame, depth=depth), np.ones(2, np.float32))
    restored = place.frame_in_metres
    restored.check()
    assert restored.depth is not None
    near = np.abs(restored.depth - depth)[4:, np.r_[:98, 142:width]]
    assert np.nanmax(near) < 2.5 * (0.002 + 0.004) + 0.002
    assert np.isnan(restored.depth[:, 104:136]).all()
    assert Place.of(frame, np.ones(2, np.float32)).frame_in_metres.mode == 'mono'


@pytest.mark.parametrize('size', [(1, 1), (2, 7), (5, 6), (9, 12)])
def test_depth_of_any_size_comes_back_at_its_size(size: tuple[int, int]) -> None:
    frame = Frame(0, np.zeros(size, np.uint8), depth=np.ones(size, np.float32))
    restored = Place.of(frame, np.ones(2, np.float32)).frame_in_metres.depth
    np.testing.assert_array_equal(restored, np.ones(size))


def test_only_the_newest_place_without_a_pose_is_located() -> None:
    memory = filled([0.0, 30.0], 10)
    where = [Located(0, np.full((4, 4), float(number))) for number in range(3)]
    for stamp_ns, located in zip((0, 1, 1), where, strict=True):
        memory.locate(stamp_ns, located)
    first, second = memory.places
    assert first.map_T_camera is None
    assert second.map_T_camera is where[1].chain_T_camera


def test_only_the_first_chain_is_the_map() -> None:
    frame, signature = Frame(0, np.zeros((4, 6), np.uint8)), signature_at(0.0)
    assert Place.of(frame, signature, Located(0, np.eye(4))).map_T_camera is not None
    assert Place.of(frame, signature, Located(1, np.eye(4))).map_T_camera is None


@pytest.mark.parametrize('channels', [(), (1,), (3,), (4,)])
@pytest.mark.parametrize('dtype', [np.uint8, np.uint16, np.float32, np.float64])
def test_images_of_all_kinds_are_kept_as_grey_ones(channels: tuple[int, ...], dtype: Any) -> None:  # noqa: ANN401
    image = np.full((4, 6, *channels), 0.5 if np.dtype(dtype).kind == 'f' else 100, dtype)
    kept = Place.of(Frame(0, image), np.ones(2, np.float32)).frame.image
    assert kept.shape == (4, 6)
    np.testing.assert_allclose(kept, image.reshape(4, 6, -1)[..., 0], rtol=1e-6)
    assert not np.shares_memory(kept, image)
