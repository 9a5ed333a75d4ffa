"""Training pairs of COLMAP models against a rendered room whose depth is known everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from loftr_ros.matching.config import LITE
from loftr_ros.matching.fine_matching import cell_centres
from loftr_ros.rendering.room import RenderedView, render_room_sequence
from loftr_ros.training.reconstructions import (
    find_models,
    interpolate_depth,
    read_reconstructions,
    split_scenes,
)
from loftr_ros.training.sequences import PosedFrame, SequencePairs

if TYPE_CHECKING:
    from pathlib import Path

SIZE = (240, 320)
POINTS = 1500


@pytest.fixture(scope='module')
def views() -> list[RenderedView]:
    return list(render_room_sequence(8, SIZE[1], SIZE[0], rate_hz=2.0))


def project(view: RenderedView, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels, and whether the points are seen there."""
    pose = view.world_T_camera
    local = (points - pose[:3, 3]) @ pose[:3, :3]
    pixels = (local @ view.matrix.T)[:, :2] / np.maximum(local[:, 2:], 1e-6)
    nearest = np.clip(pixels.round(), 0, np.array(SIZE[::-1]) - 1).astype(int)
    x, y = nearest.T
    inside = (np.abs(pixels - nearest) <= 0.5).all(axis=1) & (local[:, 2] > 0.1)
    return pixels, inside & (np.abs(view.depth[y, x] - local[:, 2]) < 0.01 * local[:, 2])


def write_workspace(folder: Path, views: list[RenderedView]) -> Path:
    """A COLMAP workspace of the views, with points as a perfect matcher would find them."""
    model, images = folder / 'sparse' / '0', folder / 'images'
    model.mkdir(parents=True)
    images.mkdir()
    rng = np.random.default_rng(0)
    points = []
    for view in views:
        x, y = (rng.integers(0, side, POINTS // 4) for side in SIZE[::-1])
        rays = np.column_stack([x, y, np.ones(len(x))]) @ np.linalg.inv(view.matrix).T
        local = rays * view.depth[y, x][:, None]
        points.append(local @ view.world_T_camera[:3, :3].T + view.world_T_camera[:3, 3])
    world = np.concatenate(points)
    lines = []
    for number, view in enumerate(views):
        rotation = view.world_T_camera[:3, :3].T
        x, y, z, w = Rotation.from_matrix(rotation).as_quat()
        t = -rotation @ view.world_T_camera[:3, 3]
        name = f'{number}.png'
        cv2.imwrite(str(images / name), view.image)
        lines.append(f'{number} {w} {x} {y} {z} {t[0]} {t[1]} {t[2]} 1 {name}')
        pixels, seen = project(view, world)
        rows = zip(pixels[seen] + 0.5, np.flatnonzero(seen), strict=True)
        lines.append(' '.join(f'{u} {v} {point}' for (u, v), point in rows))
    k = views[0].matrix
    camera = f'1 PINHOLE {SIZE[1]} {SIZE[0]} {k[0, 0]} {k[1, 1]} {k[0, 2] + 0.5} {k[1, 2] + 0.5}'
    (model / 'cameras.txt').write_text(camera)
    (model / 'images.txt').write_text('\n'.join(lines))
    rows = [f'{n} {p[0]} {p[1]} {p[2]} 0 0 0 0' for n, p in enumerate(world)]  # type: ignore[assignment]
    (model / 'points3D.txt').write_text('\n'.join(rows))  # type: ignore[arg-type]
    return folder


@pytest.fixture(scope='module')
def workspace(tmp_path_factory: pytest.TempPathFactory, views: list[RenderedView]) -> Path:
    return write_workspace(tmp_path_factory.mktemp('room'), views)


def test_depth_between_the_points_is_that_of_the_scene(
    workspace: Path, views: list[RenderedView]
) -> None:
    (found,) = read_reconstructions(workspace)

    assert len(found.frames) == len(views)
    for frame, view in zip(found.frames, views, strict=True):
        known = np.isfinite(frame.depth)
        error = np.abs(frame.depth - view.depth)[known] / view.depth[known]
        assert known.mean() > 0.3
        assert np.median(error) < 1e-3
        assert np.mean(error > 0.05) < 0.03


def test_labels_lie_where_the_scene_puts_them(workspace: Path, views: list[RenderedView]) -> None:
    (found,) = read_reconstructions(workspace)
    generator = torch.Generator().manual_seed(0)
    learnt = SequencePairs(found.frames, LITE, SIZE, generator, overlap=(0.05, 0.97))
    true = [PosedFrame(v.image, v.depth, v.matrix, v.world_T_camera) for v in views]
    exact = SequencePairs(true, LITE, SIZE, torch.Generator().manual_seed(0))

    first, second = learnt.pairs.unbind(1)
    labels = learnt.draw(16).labels
    truth, expected = learnt.truth(first, second), exact.truth(first, second)

    centres = cell_centres(LITE, torch.arange(300), 20).expand(len(first), -1, -1)
    places, seen = truth.transfer(centres)
    true_places, visible = expected.transfer(centres)
    errors = (places - true_places).norm(dim=-1)[seen & visible]
    assert len(labels.batch) > 16 * 20
    assert seen.float().mean() > 0.1
    # What is labelled as seen in both is so, also behind things that have no point.
    assert visible[seen].float().mean() > 0.97
    assert errors.median() < 0.2
    assert (errors < 2).float().mean() > 0.97


def test_depth_is_unknown_between_points_far_apart_in_depth() -> None:
    x, y = np.meshgrid(np.arange(0, 100, 5.0), np.arange(0, 100, 5.0))
    pixels = np.column_stack([x.ravel(), y.ravel()])
    depth = np.where(pixels[:, 0] < 50, 1.0, 3.0)

    dense = interpolate_depth(pixels, depth, (100, 100))

    assert np.isnan(dense[10:90, 46:49]).all()
    np.testing.assert_allclose(dense[10:90, 10:40], 1, rtol=1e-5)
    np.testing.assert_allclose(dense[10:90, 56:90], 3, rtol=1e-5)


def test_depth_is_unknown_between_points_far_apart_in_the_image() -> None:
    pixels = np.array([[x, y] for x in (0.0, 4, 8, 90, 94, 98) for y in range(0, 100, 4)])

    dense = interpolate_depth(pixels, np.ones(len(pixels)), (100, 100))

    assert np.isnan(dense[:, 15:85]).all()
    assert np.isfinite(dense[5:90, 2:6]).all()


def test_too_few_points_give_no_depth() -> None:
    assert np.isnan(interpolate_depth(np.zeros((0, 2)), np.zeros(0), (20, 30))).all()


def test_inverse_depth_is_linear_on_a_plane() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.uniform(0, 100, (2000, 2))
    inverse = 0.5 + 0.001 * pixels[:, 0] - 0.0005 * pixels[:, 1]

    dense = interpolate_depth(pixels, 1 / inverse, (100, 100))

    x, y = np.meshgrid(np.arange(100), np.arange(100))
    # The outermost pixels repeat those beside them.
    known = np.isfinite(dense)
    known[[0, 1, -2, -1]] = known[:, [0, 1, -2, -1]] = False
    assert known.mean() > 0.9
    np.testing.assert_allclose(dense[known], (1 / (0.5 + 0.001 * x - 0.0005 * y))[known], rtol=1e-4)


def test_models_are_found_where_colmap_writes_them(workspace: Path) -> None:
    model = workspace / 'sparse' / '0'

    assert find_models(workspace) == [model]
    assert find_models(model) == [model]
    with pytest.raises(ValueError, match='no COLMAP model'):
        find_models(workspace / 'images')


def test_a_missing_image_is_named(tmp_path: Path, views: list[RenderedView]) -> None:
    folder = write_workspace(tmp_path / 'room', views[:2])
    (folder / 'images' / '1.png').unlink()

    with pytest.raises(ValueError, match=r'1\.png: the image of a COLMAP model is missing'):
        read_reconstructions(folder)


def test_images_of_another_size_are_refused(tmp_path: Path, views: list[RenderedView]) -> None:
    folder = write_workspace(tmp_path / 'room', views[:2])
    cv2.imwrite(str(folder / 'images' / '0.png'), views[0].image[:100])

    with pytest.raises(ValueError, match='320x100 px, but the model says 320x240'):
        read_reconstructions(folder)


def test_larger_images_are_made_smaller(workspace: Path) -> None:
    (whole,), (small,) = read_reconstructions(workspace), read_reconstructions(workspace, 160)

    assert small.frames[0].image.shape == (120, 160)
    matrix, halved = whole.frames[0].matrix, small.frames[0].matrix
    assert halved[0, 0] == pytest.approx(matrix[0, 0] / 2)
    assert halved[0, 2] == pytest.approx((matrix[0, 2] + 0.5) / 2 - 0.5)
    both = np.isfinite(small.frames[0].depth) & np.isfinite(whole.frames[0].depth[::2, ::2])
    ratio = small.frames[0].depth[both] / whole.frames[0].depth[::2, ::2][both]
    assert np.median(np.abs(ratio - 1)) < 0.01


def test_a_fifth_of_the_scenes_is_held_out_whatever_their_order() -> None:
    names = [f'scene {number}' for number in range(10)]

    training, held_out = split_scenes([*names, names[0]])

    assert len(held_out) == 2
    assert sorted(training + held_out) == names
    assert split_scenes(names[::-1]) == (training, held_out)


def test_a_single_scene_is_learnt_from() -> None:
    assert split_scenes(['one', 'one']) == (['one'], [])
