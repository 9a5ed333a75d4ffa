"""Two cameras that look at the same place, as the views of one robot do and a little beyond."""

import torch

from loftr_ros.training.scenes import ScenePair, SceneSampler

PAIRS = 400


def sampled() -> ScenePair:
    sampler = SceneSampler(10, torch.Generator().manual_seed(0))
    return sampler.sample(PAIRS, (240, 320))


def test_most_pairs_are_seen_with_one_focal_length_and_others_up_to_three_times_apart() -> None:
    pair = sampled()
    zoom = pair.camera1.matrix[:, 0, 0] / pair.camera0.matrix[:, 0, 0]
    assert 0.55 < (zoom == 1).float().mean() < 0.75
    assert 0.35 < zoom.min() < 0.4
    assert 2.5 < zoom.max() < 2.83


def test_a_zoom_keeps_the_principal_point_and_square_pixels() -> None:
    pair = sampled()
    matrix0, matrix1 = pair.camera0.matrix, pair.camera1.matrix
    assert torch.equal(matrix1[:, :, 2], matrix0[:, :, 2])
    assert torch.equal(matrix1[:, 0, 0], matrix1[:, 1, 1])


def test_some_query_cameras_are_rolled_over_the_full_circle() -> None:
    roll = relative_rotations()[1]
    assert roll.median() < 0.3
    assert 0.2 < (roll > 0.4).float().mean() < 0.4
    for quadrant in range(2):
        inside = (roll > quadrant * torch.pi / 2) & (roll < (quadrant + 1) * torch.pi / 2)
        assert inside.any()
    assert roll.max() > 3


def test_some_query_cameras_look_aside_so_that_no_cell_stays() -> None:
    aside = relative_rotations()[0]
    assert 0.2 < (aside > 0.2).float().mean() < 0.6


def relative_rotations() -> tuple[torch.Tensor, torch.Tensor]:
    """Angle between the optical axes and roll of each pair, rad."""
    pair = sampled()
    rotation0 = pair.camera0.world_T_camera[:, :3, :3]
    rotation = rotation0.mT @ pair.camera1.world_T_camera[:, :3, :3]
    axis = rotation[:, 2, 2].clamp(-1, 1).acos()
    return axis, torch.atan2(rotation[:, 1, 0], rotation[:, 0, 0]).abs()
