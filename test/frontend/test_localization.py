"""Places of one run in another, in a world of which every match is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pytest

from loftr_ros.frontend import (
    BaseOdometry,
    LoopOptions,
    PlaceSearch,
    SavedPlaces,
    Session,
    SessionOptions,
    TrackerOptions,
)
from loftr_ros.frontend.localization import Localization, Localizer
from loftr_ros.frontend.loop_options import PlaceOptions
from loftr_ros.frontend.place_files import load_places, save_places
from loftr_ros.geometry.transforms import make_transform
from loftr_ros.matching.matches import Matches
from test.frontend.conftest import STEP_NS, World
from test.frontend.test_loops import CAMERA, STEP, Drive, signature

LOOPS = LoopOptions(min_age_s=1000.0, interval_s=0.0)
SUSPICIOUS = replace(LOOPS, places=PlaceOptions(certain_inliers=10**6))
THERE, AWAY = [*range(1, 20, 2)], [*range(60, 80, 2)]


@dataclass
class Sights(World):
    """A world whose matcher pools signatures, and may mislead about some matches."""

    lie: Callable[[int, int], int] = field(default=lambda *_: 0)

    def signature(self, features: int) -> npt.NDArray[np.float32]:
        return signature(features)

    def match(self, reference: int, query: int) -> Matches:
        return super().match(reference, query + self.lie(reference, query))


@dataclass
class Run:
    """A run of a robot through the world."""

    options: LoopOptions = LOOPS
    rgbd: bool = True
    stamp_ns: int = 0
    world: Sights = field(default_factory=lambda: Sights(camera=CAMERA, step=STEP))
    searches: list[PlaceSearch] = field(default_factory=list)

    def __post_init__(self) -> None:
        tracker = TrackerOptions(reference='previous')
        options = SessionOptions(tracker, self.options)
        self.session: Session[int] = Session(self.world, options, odometry=BaseOdometry())
        self._drive = Drive(self.world, rgbd=self.rgbd)

    def go(self, numbers: list[int]) -> list[Localization]:
        """Return where the camera was found at these frames."""
        before = len(self.searches)
        for number in numbers:
            self.stamp_ns += STEP_NS
            self._drive.stamp_ns = self.stamp_ns
            step = self.session.process(self._drive.frame(number))
            if step.places is not None:
                self.searches.append(step.places)
        return [one.found for one in self.searches[before:] if one.found is not None]

    def save(self) -> SavedPlaces:
        return self.session.saved_places('known', 'a1' * 32)

    def knows_the_map(self) -> bool:
        return self.session.map_T_odom is not None

    def truth(self, number: int) -> npt.NDArray[np.float64]:
        """Return the pose of the camera in the map, whose origin is the first camera."""
        return make_transform(np.eye(3), self.world.position(number) - self.world.position(1))


def near(pose: npt.NDArray[np.float64] | None, truth: npt.NDArray[np.float64]) -> bool:
    return pose is not None and bool(np.allclose(pose, truth, atol=0.05))


@pytest.fixture(scope='module')
def saved(tmp_path_factory: pytest.TempPathFactory) -> SavedPlaces:
    """Return the places of a run that ended, as a file holds them."""
    run = Run()
    run.go(THERE)
    path = tmp_path_factory.mktemp('places') / 'wall.safetensors'
    save_places(run.save(), path)
    return load_places(path, 'a1' * 32, 100)


def test_all_keyframes_are_saved_with_their_poses(saved: SavedPlaces) -> None:
    run = Run()
    assert len(saved.places) == len(THERE)
    for number, place in zip(THERE, saved.places, strict=True):
        assert near(place.map_T_camera, run.truth(number))


def test_the_first_frame_of_another_run_is_found(saved: SavedPlaces) -> None:
    run = Run(stamp_ns=10**15)
    run.session.load_places(saved)
    [found] = run.go([8])
    assert near(found.map_T_camera, run.truth(8))
    assert found.closure.reference.stamp_ns in {p.frame.stamp_ns for p in saved.places}
    assert found.closure.query.stamp_ns == run.stamp_ns
    assert found.covariance is not None
    assert np.linalg.eigvalsh(found.covariance).min() > 0


def test_the_base_is_where_its_camera_says(saved: SavedPlaces) -> None:
    run = Run()
    run.session.load_places(saved)
    [found] = run.go([8])
    camera_T_base = make_transform(np.eye(3), np.array([0.0, 0.5, -1.0]))
    in_map = found.in_map(camera_T_base)
    assert in_map is not None
    assert near(in_map[0], run.truth(8) @ camera_T_base)
    lever = np.trace(in_map[1][:3, :3]) - np.trace(np.asarray(found.covariance)[:3, :3])
    assert lever > 0, 'the base is off the camera, so that the rotation moves it'


def test_a_camera_without_depth_is_found_in_metres_by_that_of_the_places(
    saved: SavedPlaces,
) -> None:
    run = Run(rgbd=False)
    run.session.load_places(saved)
    [found] = run.go([8])
    assert found.closure.pose.metric
    assert near(found.map_T_camera, run.truth(8))


def test_places_without_any_depth_are_recognized_without_a_pose() -> None:
    before = Run(rgbd=False)
    before.go(THERE)
    run = Run(rgbd=False)
    run.session.load_places(before.save())
    [found] = run.go([8])
    assert found.closure.pose.state.has_pose
    assert (found.located, found.covariance) == (None, None)
    assert found.in_map(np.eye(4)) is None
    assert 'no map pose' in str(run.searches[0])


def test_elsewhere_nothing_is_found_nor_matched(saved: SavedPlaces) -> None:
    run = Run()
    run.session.load_places(saved)
    assert not run.go(AWAY)
    assert all(search.matched == 0 for search in run.searches)
    assert 'no place looks like' in str(run.searches[0])


def test_once_found_one_place_is_matched_at_a_keyframe_and_more_when_lost(
    saved: SavedPlaces,
) -> None:
    def misleading(reference: int, query: int) -> int:
        return 60 if query in THERE and reference == 6 else 0

    run = Run()
    run.world.lie = misleading
    run.session.load_places(saved)
    assert not run.go([6])
    assert run.searches[-1].matched == LOOPS.places.candidates
    assert 'none of 3 places that look like' in str(run.searches[-1])
    assert len(run.go([8, 10])) == 2
    assert [search.matched for search in run.searches[1:]] == [1, 1]


def test_few_inliers_count_if_two_places_agree(saved: SavedPlaces) -> None:
    run = Run(SUSPICIOUS)
    run.session.load_places(saved)
    [found] = run.go([8])
    assert run.searches[0].matched == 2
    assert near(found.map_T_camera, run.truth(8))


def test_few_inliers_do_not_count_if_two_places_contradict_each_other(saved: SavedPlaces) -> None:
    run = Run(SUSPICIOUS)
    run.world.lie = lambda _, query: 3 * query if query in THERE else 0
    run.session.load_places(saved)
    assert not run.go([8])
    assert 'need a second place or keyframe that agrees' in str(run.searches[0])


def test_few_inliers_count_if_the_next_keyframe_agrees(saved: SavedPlaces) -> None:
    run = Run(replace(SUSPICIOUS, places=replace(SUSPICIOUS.places, candidates=1)))
    run.session.load_places(saved)
    # Odometry begins with the second keyframe.
    assert not run.go([6, 8])
    [found] = run.go([10])
    assert near(found.map_T_camera, run.truth(10))


def test_few_inliers_do_not_count_if_the_motion_contradicts_them(saved: SavedPlaces) -> None:
    lies = iter([0, 6, -6, 6, -6])
    run = Run(replace(SUSPICIOUS, places=replace(SUSPICIOUS.places, candidates=1)))
    run.world.lie = lambda _, query: next(lies) if query in THERE else 0
    run.session.load_places(saved)
    assert not run.go([6, 8, 10, 12])
    assert [search.matched for search in run.searches] == [1, 1, 1, 1]


def test_what_is_new_is_saved_in_the_map_that_was_loaded(saved: SavedPlaces) -> None:
    run = Run(stamp_ns=10**12)
    run.session.load_places(saved)
    on = [18, 20, 22, 24, 26, 28, 30]
    run.go(on)
    merged = run.save()
    assert merged.places[: len(THERE)] == saved.places
    added = merged.places[len(THERE) :]
    numbers = [int(place.frame.image[0, 0]) for place in added]
    assert set(numbers) <= set(on)
    assert 30 in numbers
    assert 18 not in numbers, 'its place is known'
    for number, place in zip(numbers, added, strict=True):
        assert place.map_T_camera is not None
        np.testing.assert_allclose(place.map_T_camera, run.truth(number), atol=0.1)


def test_a_run_that_was_never_found_is_saved_beside_the_map(saved: SavedPlaces) -> None:
    run = Run()
    run.session.load_places(saved)
    run.go(AWAY)
    merged = run.save()
    assert merged.places[: len(THERE)] == saved.places
    added = merged.places[len(THERE) :]
    assert len(added) == len(AWAY)
    assert {place.located.chain for place in added if place.located} == {1}
    assert not any(place.map_T_camera is not None for place in added)


def test_a_camera_found_beside_the_map_goes_on_there(saved: SavedPlaces) -> None:
    before = Run()
    before.session.load_places(saved)
    before.go(AWAY)
    run = Run()
    run.session.load_places(before.save())
    found = run.go([61, 63])
    assert len(found) == 2
    assert found[-1].located is not None
    assert found[-1].located.chain == 1
    assert found[-1].in_map(np.eye(4)) is None
    assert run.session.map_T_odom is None


def test_after_a_gap_it_is_not_known_where_keyframes_are() -> None:
    run = Run()
    run.go([1, 3, 5, *AWAY])
    located = {int(p.frame.image[0, 0]): p.map_T_camera is not None for p in run.save().places}
    assert [located[number] for number in (1, 3, 5)] == [True] * 3
    assert located[AWAY[-1]] is False
    assert run.session.map_T_odom is None


def test_a_loop_locates_keyframes_again() -> None:
    run = Run(replace(LOOPS, min_age_s=0.5))
    run.go([1, 3, 5, 7, 9, *AWAY])
    unknown = run.session.map_T_odom
    run.go([8, 6, 4, 2, *THERE])
    assert unknown is None
    assert run.session.map_T_odom is not None
    run.go([22, 24])
    newest = run.save().places[-1]
    assert newest.frame.image[0, 0] == 24
    assert newest.map_T_camera is not None
    np.testing.assert_allclose(newest.map_T_camera, run.truth(24), atol=0.1)


def test_a_reset_forgets_the_run_and_keeps_what_was_loaded(saved: SavedPlaces) -> None:
    run = Run()
    run.session.load_places(saved)
    run.go([18, 26, 28])
    run.session.reset()
    assert run.save().places == saved.places
    run.stamp_ns = 0
    assert run.go([8])


def test_when_asked_the_present_keyframe_is_searched_at_once(saved: SavedPlaces) -> None:
    run = Run()
    run.go([8])
    run.session.load_places(saved)
    search = run.session.relocalize()
    assert search.found is not None
    assert near(search.found.map_T_camera, run.truth(8))
    assert 'its pose in the map' in str(search)
    assert set(search.seconds) == {'signature', 'search', 'verification', 'total'}
    run.go([10])
    assert run.session.map_T_odom is not None
    assert near(run.session.map_T_odom, run.truth(8))


def test_without_places_or_images_or_loops_the_reason_is_given(saved: SavedPlaces) -> None:
    run = Run()
    with pytest.raises(ValueError, match='there are no places to find the camera in'):
        run.session.relocalize()
    with pytest.raises(ValueError, match='there are no places to save'):
        run.save()
    run.session.load_places(saved)
    with pytest.raises(ValueError, match='no image has come yet'):
        run.session.relocalize()
    session: Session[int] = Session(run.world)
    for ask in (session.relocalize, lambda: session.load_places(saved)):
        with pytest.raises(ValueError, match=r'only with loop\.enabled true'):
            ask()


def test_where_odometry_is_set_anew_the_map_is_unknown_until_the_next_find(
    saved: SavedPlaces,
) -> None:
    run = Run()
    run.session.moved_odometry()
    assert run.knows_the_map(), 'nothing is remembered that would lie elsewhere'
    run.session.load_places(saved)
    run.go([6, 8])
    assert run.knows_the_map()
    run.session.moved_odometry()
    known = run.knows_the_map()
    run.go([10])
    assert not known
    assert run.knows_the_map()


def test_signatures_of_another_length_match_nothing(saved: SavedPlaces) -> None:
    other = [replace(p, signature=np.array([1, 0], np.float32)) for p in saved.places]
    run = Run()
    run.session.load_places(replace(saved, places=tuple(other)))
    assert not run.go([8])
    assert run.searches[0].matched == 0


def test_where_no_step_is_known_matching_alone_decides(saved: SavedPlaces) -> None:
    run = Run()
    run.session.load_places(replace(saved, places=saved.places[:2], typical_step=None))
    assert run.go([2])
    assert not run.go([160])
    assert run.searches[-1].matched == 2


def test_an_image_that_cannot_be_matched_is_a_reason(saved: SavedPlaces) -> None:
    wide = [
        replace(p, frame=replace(p.frame, image=p.frame.image.astype(np.uint16)))
        for p in saved.places
    ]
    run = Run()
    run.session.load_places(replace(saved, places=tuple(wide)))
    assert not run.go([8])
    assert 'images must be uint8' in str(run.searches[0])


def test_keyframes_that_follow_too_soon_are_passed_over(saved: SavedPlaces) -> None:
    run = Run(replace(LOOPS, interval_s=0.25))
    run.session.load_places(saved)
    run.go([4, 6, 8, 10])
    assert len(run.searches) == 2


def test_a_localizer_without_places_is_silent() -> None:
    world = Sights(camera=CAMERA, step=STEP)
    run = Run()
    localizer: Localizer[int] = Localizer(run.session.tracker, world.signature)
    assert localizer.update(None) is None
