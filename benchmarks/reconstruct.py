"""Poses by COLMAP: `python benchmarks/reconstruct.py data/sevenscenes -o OUT`.

The poses of a dataset come from somewhere, and may be worse than what is measured by them. Those of
7-Scenes are those of KinectFusion for a depth camera that is not synchronized with the colour one;
those of KITTI, by satellites, jump where the drive starts. COLMAP reconstructs all frames together,
from SIFT and with the calibration as given. OUT is the same dataset with its poses, in the scale of
the given ones. Of some reconstructions from different seeds the one that explains most is taken;
the others show how far to trust it.
"""

from __future__ import annotations

import argparse
import itertools
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pycolmap
from evo.core.geometry import umeyama_alignment

from loftr_ros.data.datasets import open_sequence
from loftr_ros.data.kitti import open_kitti
from loftr_ros.data.sequences import ImageSequence
from loftr_ros.data.sevenscenes import open_sevenscenes
from loftr_ros.evaluation.records.metrics import direction_angle_error, rotation_angle_error
from loftr_ros.evaluation.records.segments import segment_errors

Array = npt.NDArray[np.float64]
Poses = dict[str, Array]
Open = Callable[[Path, str | None], ImageSequence]
Write = Callable[[Path, Poses, Path], None]
SEEDS = (0, 1, 2, 3)
LENGTHS_M = (10.0, 20.0, 50.0)


def reconstruct(folder: Path, names: list[str], parameters: str) -> list[Poses]:
    """Return world_T_camera of each image that COLMAP registers, the best reconstruction first.

    Raises:
        RuntimeError: There is no reconstruction.
    """
    pycolmap.logging.minloglevel = 2
    with tempfile.TemporaryDirectory() as temporary:
        database = Path(temporary) / 'database.db'
        reader = pycolmap.ImageReaderOptions(camera_model='PINHOLE', camera_params=parameters)
        # Threads finish in any order; one gives the same poses again.
        extraction = pycolmap.FeatureExtractionOptions(num_threads=1, use_gpu=False)
        matching = pycolmap.FeatureMatchingOptions(num_threads=1, use_gpu=False)
        pycolmap.set_random_seed(0)
        pycolmap.extract_features(
            database, folder, names, pycolmap.CameraMode.SINGLE, reader, extraction
        )
        pycolmap.match_exhaustive(database, matching)
        found = [_map(database, folder, Path(temporary) / str(seed), seed) for seed in SEEDS]
    if not any(found):
        raise RuntimeError(f'COLMAP finds no reconstruction of the images in {folder}')
    found.sort(key=lambda one: one.compute_num_observations() if one else 0, reverse=True)
    return [_poses(one) for one in found if one]


def _map(database: Path, folder: Path, out: Path, seed: int) -> pycolmap.Reconstruction | None:
    options = pycolmap.IncrementalPipelineOptions()
    options.num_threads = options.mapper.num_threads = 1
    options.random_seed = options.mapper.random_seed = options.triangulation.random_seed = seed
    options.multiple_models = False
    # The calibration is given, and all matchers that are measured use the same.
    options.ba_refine_focal_length = options.ba_refine_extra_params = False
    options.mapper.abs_pose_refine_focal_length = False
    options.mapper.abs_pose_refine_extra_params = False
    pycolmap.set_random_seed(seed)
    out.mkdir()
    found = pycolmap.incremental_mapping(database, folder, out, options)
    return max(found.values(), key=lambda one: one.num_reg_images(), default=None)


def _poses(found: pycolmap.Reconstruction) -> Poses:
    return {
        image.name: np.vstack([image.cam_from_world().inverse().matrix(), [0, 0, 0, 1]])
        for image in found.images.values()
        if image.has_pose
    }


def in_metres(poses: Poses, given: Poses) -> Poses:
    """Rotate, move and scale poses to positions that are given."""
    names = sorted(poses.keys() & given.keys())
    positions = [np.column_stack([some[name][:3, 3] for name in names]) for some in (poses, given)]
    rotation, shift, scale = umeyama_alignment(*positions, True)
    moved = {}
    for name, pose in poses.items():
        moved[name] = np.eye(4)
        moved[name][:3, :3] = rotation @ pose[:3, :3]
        moved[name][:3, 3] = scale * rotation @ pose[:3, 3] + shift
    return moved


def differences(one: Poses, other: Poses, gap: int) -> tuple[float, float]:
    """Return the median angles, degrees, between rotations and directions of frames apart."""
    names = sorted(one.keys() & other.keys())
    rotations, directions = [], []
    for first, second in zip(names, itertools.islice(names, gap, None), strict=False):
        a, b = (np.linalg.inv(some[first]) @ some[second] for some in (one, other))
        rotations.append(rotation_angle_error(a[:3, :3], b[:3, :3]))
        directions.append(direction_angle_error(a[:3, 3], b[:3, 3]))
    return float(np.median(rotations)), float(np.median(directions))


def write_seven_scenes(folder: Path, poses: Poses, out: Path) -> None:
    """Write the frames that have a pose, and their poses, as a dataset of their own."""
    out.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if path.is_file() and not path.name.startswith('frame-'):
            shutil.copy(path, out)
    for name, pose in poses.items():
        stem = name.partition('.')[0]
        for path in folder.glob(f'{stem}.*'):
            if not path.name.endswith('.pose.txt'):
                shutil.copy(path, out)
        np.savetxt(out / f'{stem}.pose.txt', pose)


def write_kitti(folder: Path, poses: Poses, out: Path) -> None:
    """Write the same sequence with other poses, which all frames must have, in their order."""
    shutil.copytree(folder, out, dirs_exist_ok=True)
    np.savetxt(out / 'poses.txt', [poses[name][:3].ravel() for name in sorted(poses)])


LAYOUTS: dict[str, tuple[Open, Write]] = {
    'sevenscenes': (open_sevenscenes, write_seven_scenes),
    'kitti': (open_kitti, write_kitti),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('data', type=Path, help='folder of a sequence of 7-Scenes or KITTI')
    parser.add_argument('-o', '--out', type=Path, required=True)
    arguments = parser.parse_args()
    layout = open_sequence(arguments.data).layout
    if layout not in LAYOUTS:
        parser.error(f'{arguments.data} has the layout {layout}, not {" or ".join(LAYOUTS)}')
    open_layout, write = LAYOUTS[layout]
    sequence = open_layout(arguments.data, None)
    given = {
        entry.image_path.name: entry.world_T_camera
        for entry in sequence.entries
        if entry.world_T_camera is not None
    }
    assert sequence.camera is not None  # both layouts have one
    matrix = sequence.camera.matrix
    parameters = ','.join(str(matrix[index]) for index in ((0, 0), (1, 1), (0, 2), (1, 2)))
    names = [entry.image_path.name for entry in sequence.entries]
    found = reconstruct(sequence.entries[0].image_path.parent, names, parameters)
    poses, *others = (in_metres(poses, given) for poses in found)
    if layout == 'kitti' and len(poses) < len(names):
        parser.error(f'COLMAP found {len(poses)} of {len(names)} frames; KITTI needs all poses')
    write(arguments.data, poses, arguments.out)
    print(f'{len(poses)} of {len(names)} frames in {arguments.out}')
    compared = {
        'the dataset': given,
        **{f'reconstruction {n}': one for n, one in enumerate(others, 2)},
    }
    print('median angles of relative poses to those of')
    for gap, (name, other) in itertools.product((1, 3), compared.items()):
        angle, direction = differences(poses, other, gap)
        print(f'  {name}, gap {gap}: rotation {angle:.2f}, direction {direction:.2f} degrees')
    names = [name for name in names if name in poses and name in given]
    truth, estimate = (np.array([some[name] for name in names]) for some in (poses, given))
    if errors := segment_errors(truth, estimate, LENGTHS_M, step=1):
        angle, drift = errors['rotation_deg_per_m'], errors['translation_percent']
        print(f'the dataset over 10 to 50 m: {angle:.4f} deg/m, {drift:.2f} %')


if __name__ == '__main__':
    main()
