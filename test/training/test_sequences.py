"""Labels of real sequences against geometry that can be worked out by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from loftr_ros.matching.config import LITE
from loftr_ros.rendering.room import render_room_sequence
from loftr_ros.training.pairs import label_cells
from loftr_ros.training.sequences import PosedFrame, SequencePairs, fit_frame
from loftr_ros.training.validation import MatchSamples

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIZE = (96, 128)
ROWS, COLUMNS = 6, 8
MATRIX = np.array([[100.0, 0, 63.5], [0, 100.0, 47.5], [0, 0, 1]])


def frame(x: float, depth: float | NDArray[np.float32], yaw: float = 0.0) -> PosedFrame:
    pose = np.eye(4)
    pose[0, 3] = x
    pose[:3, :3] = [[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]]
    image = np.random.default_rng(0).integers(0, 255, SIZE, np.uint8)
    depths = np.full(SIZE, depth, np.float32) if isinstance(depth, float) else depth
    return PosedFrame(image, depths, MATRIX, pose)


def aside(first: PosedFrame) -> PosedFrame:
    """A frame that sees a good part of what the first one sees, as a source needs."""
    return frame(first.world_T_camera[0, 3] + 0.8, 2.0)


def source(*frames: PosedFrame) -> SequencePairs:
    return SequencePairs(frames, LITE, SIZE, torch.Generator().manual_seed(0))


def pair_of(*frames: PosedFrame) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Cells of image 0 and 1 and offsets of the labels of the first two frames."""
    truth = source(*frames, aside(frames[0])).truth(torch.tensor([0]), torch.tensor([1]))
    labels = label_cells(truth, LITE, SIZE)
    return labels.cells0, labels.cells1, labels.offset


def test_a_step_along_a_wall_shifts_the_labels() -> None:
    # 100 px * 0.64 m / 2 m = 32 px, two cells to the left.
    cells0, cells1, offset = pair_of(frame(0, 2.0), frame(0.64, 2.0))

    assert len(cells0) == ROWS * (COLUMNS - 2)
    assert torch.equal(cells1, cells0 - 2)
    assert offset.abs().max() < 1e-3


def test_a_small_step_is_the_offset() -> None:
    # 100 px * 0.1 m / 2 m = 5 px to the left.
    cells0, cells1, offset = pair_of(frame(0, 2.0), frame(0.1, 2.0))

    assert torch.equal(cells1, cells0)
    torch.testing.assert_close(offset[:, 0], torch.full((len(cells0),), -5.0), atol=1e-3, rtol=0)


def test_cells_without_depth_in_either_view_have_no_label() -> None:
    left_unknown, top_unknown = (np.full(SIZE, 2.0, np.float32) for _ in range(2))
    left_unknown[:, :32] = np.nan
    top_unknown[:16] = np.nan

    cells0, cells1, _ = pair_of(frame(0, left_unknown), frame(0.1, top_unknown))

    assert torch.equal(cells0, cells1)
    assert (cells0 % COLUMNS).min() == 2
    assert (cells0 // COLUMNS).min() == 1
    assert len(cells0) == (ROWS - 1) * (COLUMNS - 2)


def test_what_a_nearer_thing_hides_has_no_label() -> None:
    # In the second view a board 1 m away stands before the right half of the wall.
    hidden = np.full(SIZE, 2.0, np.float32)
    hidden[:, 64:] = 1.0

    cells0, _, _ = pair_of(frame(0, 2.0), frame(0.1, hidden))

    assert len(cells0)
    assert (cells0 % COLUMNS).max() <= 4


def test_points_without_truth_are_neither_right_nor_wrong() -> None:
    unknown = np.full(SIZE, 2.0, np.float32)
    unknown[:, 64:] = np.nan
    views = source(frame(0, unknown), frame(0.1, 2.0), frame(0.5, 2.0))
    truth = views.truth(torch.tensor([0]), torch.tensor([1]))

    places, seen = truth.transfer(torch.tensor([[[20.0, 30.0], [100.0, 30.0], [2.0, 30.0]]]))

    assert seen.tolist() == [[True, False, False]]
    assert places[0, 0].tolist() == pytest.approx([15, 30], abs=1e-3)
    assert places[0, 1].isnan().all()
    assert places[0, 2].tolist() == pytest.approx([-3, 30], abs=1e-3)


def test_labels_agree_with_a_rendered_room() -> None:
    views = list(render_room_sequence(6, 128, 96))
    frames = [PosedFrame(v.image, v.depth, v.matrix, v.world_T_camera) for v in views]
    truth = source(*frames).truth(torch.tensor([0]), torch.tensor([5]))
    labels = label_cells(truth, LITE, SIZE)
    there, _ = truth.transfer(torch.tensor([[[17.5, 49.5], [65.5, 33.5]]]))
    back, seen = truth.transfer(there, back=True)

    assert len(labels.cells0) > 20
    assert seen.any()
    # Depth is that of the nearest pixel: half a pixel of a slanted wall is left.
    assert (back - torch.tensor([[17.5, 49.5], [65.5, 33.5]]))[seen].abs().max() < 1


def test_a_frame_is_cropped_and_resized_with_its_camera() -> None:
    depth = np.full((120, 200), 2.0, np.float32)
    matrix = np.array([[150.0, 0, 99.5], [0, 150.0, 59.5], [0, 0, 1]])
    image = np.zeros((120, 200), np.uint8)
    image[59:61, 99:101] = 255

    fitted = fit_frame(PosedFrame(image, depth, matrix, np.eye(4)), (60, 80))

    assert fitted.image.shape == (60, 80)
    assert fitted.depth.shape == (60, 80)
    # 160 x 120 remain, at half their size; the centre stays the centre.
    assert fitted.matrix.tolist() == [[75, 0, 39.5], [0, 75, 29.5], [0, 0, 1]]
    y, x = np.nonzero(fitted.image > 40)
    assert (x.mean(), y.mean()) == (39.5, 29.5)


def test_pairs_see_the_same_but_not_all_of_it() -> None:
    frames = [frame(0.0, 2.0), frame(0.3, 2.0), frame(0.31, 2.0), frame(9.0, 2.0)]

    pairs = {tuple(pair) for pair in source(*frames).pairs.tolist()}

    assert pairs == {(0, 1), (1, 0), (0, 2), (2, 0)}


def test_a_camera_that_hardly_moves_still_has_pairs() -> None:
    assert source(frame(0.0, 2.0), frame(0.01, 2.0)).pairs.tolist() == [[0, 1], [1, 0]]


def test_frames_that_share_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match='no two of the 2 frames see 25% of the same'):
        source(frame(0, 2.0), frame(0, 2.0, yaw=np.pi))


def test_the_same_seed_draws_the_same_pairs() -> None:
    frames = [frame(0.15 * index, 2.0) for index in range(4)]
    first, second = (source(*frames).draw(3) for _ in range(2))

    assert torch.equal(first.images0, second.images0)
    assert torch.equal(first.labels.cells1, second.labels.cells1)


def test_poses_far_from_the_origin_keep_their_digits() -> None:
    frames = [frame(x, 2.0) for x in (5e5, 5e5 + 0.1)]

    _, _, offset = pair_of(*frames)

    torch.testing.assert_close(offset[:, 0], torch.full((len(offset),), -5.0), atol=1e-2, rtol=0)


def test_samples_are_selected_together() -> None:
    samples = MatchSamples(
        np.array([0.2, 0.9], np.float32),
        np.array([[9, 9], [3, 4]], np.float32),
        np.array([1, 2], np.float32),
        np.array([False, True]),
    )

    chosen = samples.select(samples.confidence > 0.5)

    assert chosen.errors.tolist() == [5]
    assert chosen.sigma.tolist() == [2]


def test_cells_without_depth_are_unknown_and_not_unmatched() -> None:
    left_unknown = np.full(SIZE, 2.0, np.float32)
    left_unknown[:, :32] = np.nan
    there = source(frame(0, left_unknown), frame(0.1, 2.0), aside(frame(0, 2.0)))

    labels = label_cells(there.truth(torch.tensor([0]), torch.tensor([1])), LITE, SIZE)

    assert labels.known0 is not None
    assert labels.known1 is not None
    columns = torch.arange(ROWS * COLUMNS) % COLUMNS
    assert torch.equal(labels.known0[0], columns >= 2)
    # What the left cells of image 1 see could be in the unknown part of image 0.
    assert not labels.known1[0, columns < 2].any()
    assert labels.known1[0, columns >= 2].all()


def test_an_undecided_cell_takes_the_nearest_projection() -> None:
    centres_unknown = np.full(SIZE, 2.0, np.float32)
    centres_unknown[1::16, 1::16] = centres_unknown[2::16, 2::16] = np.nan
    centres_unknown[1::16, 2::16] = centres_unknown[2::16, 1::16] = np.nan

    cells0, cells1, offset = pair_of(frame(0, 2.0), frame(0.1, centres_unknown))

    assert torch.equal(cells0, cells1)
    assert len(cells0) == ROWS * (COLUMNS - 1)
    torch.testing.assert_close(offset[:, 0], torch.full((len(cells0),), -5.0), atol=1e-3, rtol=0)
