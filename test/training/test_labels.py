"""Ground-truth cells against geometry that can be worked out by hand."""

import torch

from loftr_ros.matching.config import LITE
from loftr_ros.matching.fine_matching import cell_centres
from loftr_ros.rendering.planes import PinholeCameras, PlaneScene
from loftr_ros.training.pairs import label_cells, nearest_cells
from loftr_ros.training.scenes import ScenePair

SIZE = (96, 128)
ROWS, COLUMNS = 6, 8
FOCAL = 100.0


def camera(x: float) -> PinholeCameras:
    matrix = torch.tensor([[[FOCAL, 0, 63.5], [0, FOCAL, 47.5], [0, 0, 1]]])
    pose = torch.eye(4)[None].clone()
    pose[:, 0, 3] = x
    return PinholeCameras(matrix, pose)


def wall_seen_twice(depth: float, step: float) -> ScenePair:
    scene = PlaneScene(
        u=torch.tensor([[[20.0, 0, 0]]]),
        v=torch.tensor([[[0, 20.0, 0]]]),
        origin=torch.tensor([[[-10.0, -10.0, depth]]]),
        texture=torch.zeros(1, 1, dtype=torch.int64),
        repeat=torch.ones(1, 1, 2),
        contrast=torch.ones(1, 1),
        brightness=torch.ones(1, 1),
    )
    return ScenePair(scene, camera(0), camera(step))


def test_a_camera_that_stays_matches_every_cell_with_itself() -> None:
    labels = label_cells(wall_seen_twice(2.0, 0.0), LITE, SIZE)

    assert labels.cells0.tolist() == list(range(ROWS * COLUMNS))
    assert torch.equal(labels.cells0, labels.cells1)
    assert labels.offset.abs().max() < 1e-3


def test_a_step_of_two_cells_shifts_the_matches_by_two_cells() -> None:
    # 100 px * 0.64 m / 2 m = 32 px to the left.
    labels = label_cells(wall_seen_twice(2.0, 0.64), LITE, SIZE)

    assert len(labels.cells0) == ROWS * (COLUMNS - 2)
    assert torch.equal(labels.cells1, labels.cells0 - 2)
    assert labels.offset.abs().max() < 1e-3


def test_a_step_of_a_fraction_of_a_cell_is_the_offset() -> None:
    # 100 px * 0.1 m / 2 m = 5 px to the left, less than half a cell.
    labels = label_cells(wall_seen_twice(2.0, 0.1), LITE, SIZE)

    assert torch.equal(labels.cells1, labels.cells0)
    torch.testing.assert_close(labels.offset[:, 0], torch.full((ROWS * COLUMNS,), -5.0))
    assert labels.offset[:, 1].abs().max() < 1e-3


def test_cell_centres_of_the_small_network_lie_between_pixels() -> None:
    centres = cell_centres(LITE, torch.tensor([0, 1, COLUMNS]), COLUMNS)

    assert centres.tolist() == [[1.5, 1.5], [17.5, 1.5], [1.5, 17.5]]


def test_points_off_the_grid_and_unseen_points_have_no_cell() -> None:
    points = torch.tensor([[[-20.0, 1.5], [1.5, 1.5], [1.5, float('nan')], [1.5, 1.5]]])
    seen = torch.tensor([[True, True, True, False]])

    _, valid = nearest_cells(LITE, points, seen, ROWS, COLUMNS)

    assert valid.tolist() == [[False, True, False, False]]
