"""Exported matches are a database that COLMAP reconstructs the true motion from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from loftr_ros.codecs.correspondences import Correspondences, View
from loftr_ros.commands.main import main
from loftr_ros.evaluation.replay.colmap_database import MatchDatabase
from loftr_ros.geometry import Camera, PoseState, RelativePose
from test.helpers.known_world import known_matcher, write_known_bag

pycolmap = pytest.importorskip('pycolmap', reason='pycolmap is not installed')

FRAMES = 10
MATRIX = np.array([[50.0, 0, 31], [0, 51, 23], [0, 0, 1]])


@pytest.fixture
def exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr('loftr_ros.evaluation.replay.export_matches.load_matcher', known_matcher)
    bag = write_known_bag(tmp_path / 'bag', list(range(1, FRAMES + 1)))
    words = [
        'export-matches',
        str(bag),
        '-o',
        str(tmp_path / 'a.db'),
        '-p',
        'matcher.num_threads:=1',
    ]
    assert main([*words, '--images', str(tmp_path / 'images')]) == 0
    return tmp_path


def test_images_points_matches_and_verified_pairs_are_there(exported: Path) -> None:
    images = sorted(path.name for path in (exported / 'images').iterdir())
    assert len(images) == FRAMES
    picture = cv2.imread(str(exported / 'images' / images[0]))
    assert picture is not None
    assert picture.shape == (180, 240, 3)
    with pycolmap.Database.open(exported / 'a.db') as database:
        assert sorted(image.name for image in database.read_all_images()) == images
        assert database.num_cameras() == 1
        assert (
            database.num_matched_image_pairs() == database.num_verified_image_pairs() == FRAMES - 1
        )
        camera = database.read_all_cameras()[0]
        assert camera.model.name == 'PINHOLE'
        assert camera.params.tolist() == [190.0, 190.0, 120.0, 90.0]
        assert database.num_inlier_matches() > 0.9 * database.num_matches() > 1000
        # A point that goes on is one point of its image, not one for each pair.
        assert database.num_keypoints() < 1.5 * database.num_matches()


def test_colmap_reconstructs_the_true_path(exported: Path) -> None:
    options = pycolmap.IncrementalPipelineOptions()
    options.num_threads = 1
    options.mapper.init_min_tri_angle = 2.0
    options.ba_refine_focal_length = options.ba_refine_extra_params = False
    models = pycolmap.incremental_mapping(
        exported / 'a.db', exported / 'images', exported / 'model', options
    )
    model = max(models.values(), key=lambda one: one.num_reg_images())
    assert model.num_reg_images() == FRAMES
    found = {image.name: image.projection_center() for image in model.images.values()}
    places = np.array([found[name] for name in sorted(found)])
    truth = np.array([known_matcher().position(index) for index in range(1, FRAMES + 1)])

    def steps(positions: Any) -> Any:  # noqa: ANN401
        lengths = np.linalg.norm(np.diff(positions, axis=0), axis=1)
        return lengths / lengths.sum()

    np.testing.assert_allclose(steps(places), steps(truth), rtol=0.05)


def view(stamp_ns: int, camera: Camera | None = None) -> View:
    return View(stamp_ns, 'camera', (48, 64), camera)


def pair(first: View, second: View, ids: list[int]) -> Correspondences:
    points = np.array([[float(track), 2.0 * track] for track in ids], np.float32)
    ones = np.ones(len(ids), np.float32)
    inliers = ones > 0
    return Correspondences(
        reference=first,
        query=second,
        reference_points=points,
        query_points=points + 1,
        confidence=ones,
        sigma=ones,
        inliers=inliers,
        track_ids=np.array(ids, np.int64),
    )


LOST = RelativePose.failed(PoseState.LOST, 'none')


def test_a_track_is_one_point_of_an_image_and_a_failed_pair_is_not_verified(tmp_path: Path) -> None:
    database = MatchDatabase()
    database.add(pair(view(1), view(2), [1, 2, 3]), LOST)
    database.add(pair(view(2), view(3), [3, 1, 7]), LOST)
    database.write(tmp_path / 'a.db')
    with pycolmap.Database.open(tmp_path / 'a.db') as read:
        numbers = {image.name: image.image_id for image in read.read_all_images()}
        one, two, three = (numbers[f'{stamp}.png'] for stamp in (1, 2, 3))
        # COLMAP counts from the corner of the first pixel.
        np.testing.assert_allclose(read.read_keypoints(one)[:2], [[1.5, 2.5], [2.5, 4.5]])
        assert len(read.read_keypoints(two)) == 4
        assert read.read_matches(two, three).tolist() == [[2, 0], [0, 1], [3, 2]]
        assert read.num_verified_image_pairs() == 0
        assert not read.read_all_cameras()[0].has_prior_focal_length
    assert database.summary == '3 images with 10 points, 2 pairs, 0 of them verified'


@pytest.mark.parametrize(
    ('model', 'coefficients'),
    [
        ('none', []),
        ('plumb_bob', [0.1, -0.02, 0.001, -0.002]),
        ('plumb_bob', [0.1, -0.02, 0.001, -0.002, 0.003]),
        ('rational_polynomial', [0.1, -0.02, 0.001, -0.002, 0.003, 0.01, 0.002, 0.001]),
        ('equidistant', [0.01, -0.002, 0.001, -0.0002]),
    ],
)
def test_cameras_project_as_ours(tmp_path: Path, model: str, coefficients: list[float]) -> None:
    camera = Camera(64, 48, MATRIX, model, np.array(coefficients))
    database = MatchDatabase()
    database.add(pair(view(1, camera), view(2, camera), [1]), LOST)
    database.write(tmp_path / 'a.db')
    with pycolmap.Database.open(tmp_path / 'a.db') as read:
        (written,) = read.read_all_cameras()
    points = np.array([[0.2, -0.1, 1.0], [-0.3, 0.2, 1.0], [0.0, 0.0, 1.0]])
    np.testing.assert_allclose(
        written.img_from_cam(points), camera.project(points) + 0.5, atol=1e-6
    )


def test_what_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    thin = Camera(64, 48, MATRIX, 'rational_polynomial', np.array([0.1] * 8 + [0.01] * 4))
    database = MatchDatabase()
    database.add(pair(view(1, thin), view(2, thin), [1]), LOST)
    with pytest.raises(ValueError, match='no thin prism'):
        database.write(tmp_path / 'a.db')
    (tmp_path / 'b.db').touch()
    with pytest.raises(ValueError, match=r'b\.db exists'):
        database.write(tmp_path / 'b.db')
    monkeypatch.setitem(__import__('sys').modules, 'pycolmap', None)
    with pytest.raises(ValueError, match='pip install pycolmap'):
        database.write(tmp_path / 'c.db')


def test_a_bag_without_matches_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr('loftr_ros.evaluation.replay.export_matches.load_matcher', known_matcher)
    bag = write_known_bag(tmp_path / 'bag', [1])
    assert main(['export-matches', str(bag), '-o', str(tmp_path / 'a.db')]) == 1
    assert 'no image matches another' in capsys.readouterr().err
    assert not (tmp_path / 'a.db').exists()
