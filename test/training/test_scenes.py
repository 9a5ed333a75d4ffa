"""Two cameras that look at the same place, as the views of one robot do and a little beyond."""

import torch

from loftr_ros.training.scenes import ROLL, ScenePair, SceneSampler

PAIRS = 400


def sampled() -> ScenePair:
    sampler = SceneSampler(10, torch.Generator().manual_seed(0))
    return sampler.sample(PAIRS, (240, 320))


def test_most_pairs_are_seen_with_one_focal_length_and_some_with_up_to_twice_the_other() -> None:
    pair = sampled()
    zoom = pair.camera1.matrix[:, 0, 0] / pair.camera0.matrix[:, 0, 0]
    assert 0.8 < (zoom == 1).float().mean() < 0.9
    assert 0.5 <= zoom.min() < 0.6
    assert 1.7 < zoom.max() <= 2.0


def test_a_zoom_keeps_the_principal_point_and_square_pixels() -> None:
    pair = sampled()
    matrix0, matrix1 = pair.camera0.matrix, pair.camera1.matrix
    assert torch.equal(matrix1[:, :, 2], matrix0[:, :, 2])
    assert torch.equal(matrix1[:, 0, 0], matrix1[:, 1, 1])


def test_some_query_cameras_are_rolled_far() -> None:
    pair = sampled()
    rotation0 = pair.camera0.world_T_camera[:, :3, :3]
    rotation = rotation0.mT @ pair.camera1.world_T_camera[:, :3, :3]
    roll = torch.atan2(rotation[:, 1, 0], rotation[:, 0, 0]).abs()
    assert roll.median() < 0.15
    assert 0.05 < (roll > 0.4).float().mean() < 0.2
    assert roll.max() < ROLL + 1.5
