"""The folder that `loftr-ros evaluate` writes: its files, and how they are written and read.

docs/evaluation.md shows the layout. Every file but the timings is a function of the input and the
settings alone: the same run on the same machine writes the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from loftr_ros.data.errors import DatasetError
from loftr_ros.data.images import read_image
from loftr_ros.evaluation.records.result_files import REMEDY, from_json, read_json, read_records

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

FORMAT = 1
RUN, SUMMARY, TIMING = 'run.json', 'summary.json', 'timing.json'
SEQUENCES, SEQUENCE, FRAMES, FRAME_TIMES = (
    'sequences',
    'sequence.json',
    'frames.jsonl',
    'timing.jsonl',
)
WORST = 'worst'
STATUSES = ('reference', 'matched', 'refused', 'dropped')
ENDINGS = ('complete', 'interrupted', 'failed')

Values = tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """What was run, and with what: run.json.

    Attributes:
        inputs: Paths of the inputs as they were given.
        parameters: All parameters of the matcher, the tracker and the pose estimate.
        weights: Name of the weights.
        weights_sha256: Hash of their file.
        device: Where the network ran.
        precision: Numbers that it computed with.
        threads: CPU threads that each sequence was given.
        versions: Version of this package and of those that results depend on.
        machine: System, processor and number of CPUs.
        format: Version of this layout.

    """

    inputs: tuple[str, ...]
    parameters: dict[str, Any]
    weights: str
    weights_sha256: str
    device: str
    precision: str
    threads: int
    versions: dict[str, str]
    machine: dict[str, Any]
    format: int = FORMAT


@dataclass(frozen=True, kw_only=True)
class SequenceInfo:
    """One input and what became of it: sequence.json.

    Attributes:
        name: Name of the sequence and of its folder.
        path: Where it was read from.
        layout: 'bag' or the name of the dataset's layout.
        mode: 'mono', 'stereo' or 'rgbd'.
        topics: Topics of a bag by their use ('image', 'camera_info', 'ground_truth', ...).
        expected: Number of frames that the input announces.
        camera: Calibration of the first frame; None if there is none.
        status: One of `ENDINGS`.
        error: Why it failed; empty otherwise.
        warnings: What is odd about the input.

    """

    name: str
    path: str
    layout: str
    mode: str
    topics: dict[str, str]
    expected: int
    camera: dict[str, Any] | None
    status: str
    error: str = ''
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ReferenceRecord:
    """What a frame was matched to; None is unknown.

    Attributes:
        source: 'matched', or 'aligned' with the last matched frame.
        reference_index: Place of the frame that it was matched to.
        reference_stamp_ns: Time of that frame, ns.
        new_keyframe: Whether the following frames are matched to this one.

    """

    source: str | None = None
    reference_index: int | None = None
    reference_stamp_ns: int | None = None
    new_keyframe: bool = False


@dataclass(frozen=True, kw_only=True)
class MatchFigures:
    """Figures of the matches of a frame; None is unknown.

    Attributes:
        matches: Number of matches.
        inliers: Matches that the pose explains.
        continued_tracks: Matches whose track id an earlier frame had.
        confidence: Median confidence of the matches, 0..1.
        sigma_px: Median standard deviation of the matches, px.
        displacement_px: Median distance between the points of a match, px.
        residual_px: Median distance of the inliers from the model, px.
        precision: Share of the matches within 3 px of their true epipolar line, 0..1.

    """

    matches: int | None = None
    inliers: int | None = None
    continued_tracks: int | None = None
    confidence: float | None = None
    sigma_px: float | None = None
    displacement_px: float | None = None
    residual_px: float | None = None
    precision: float | None = None


@dataclass(frozen=True, kw_only=True)
class PoseFigures:
    """An estimated relative pose; None is unknown.

    Attributes:
        state: State of the estimate in lower case ('ok', 'rotation_only', 'lost', ...).
        method: 'essential', 'homography', 'pnp' or 'none'.
        metric: Whether the translation is in metres.
        reference_T_query: Pose of the camera in the reference's.

    """

    state: str | None = None
    method: str | None = None
    metric: bool | None = None
    reference_T_query: Values | None = None


@dataclass(frozen=True, kw_only=True)
class CovariantPose(PoseFigures):
    """An estimated relative pose with its covariance.

    Attributes:
        covariance: Its 36 elements by rows, order x y z rx ry rz; None stands for infinity.

    """

    covariance: tuple[float | None, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class PoseErrors:
    """The true relative pose, and how far the estimate is from it; None is unknown.

    Attributes:
        true_reference_T_query: Pose of the camera in the reference's from the ground truth, metres.
        rotation_error_deg: Angle between both rotations.
        direction_error_deg: Angle between both translations.
        translation_error_m: Distance between both translations; only of metric poses.
        nees: Squared error, normalized by the covariance, of `nees_dof` degrees of freedom.
        nees_dof: 6 for metric poses, 5 without scale, 3 for rotations.

    """

    true_reference_T_query: Values | None = None
    rotation_error_deg: float | None = None
    direction_error_deg: float | None = None
    translation_error_m: float | None = None
    nees: float | None = None
    nees_dof: int | None = None


@dataclass(frozen=True, kw_only=True)
class FrameRecord:
    """What is known about one frame: one line of frames.jsonl; None is unknown.

    The line is flat: the fields of the parts stand beside those of the frame. Poses are x y z
    (metres, or of unit length where not `metric`) and the quaternion x y z w.

    Attributes:
        index: Place in the input, from 0.
        stamp_ns: Time of the exposure, ns.
        status: 'reference' (a first frame has nothing to be matched to), 'matched', 'refused', or
            'dropped' (a computer of the simulated speed had no time for it).
        reason: Why the frame was refused, dropped or has no full pose.
        reference: What it was matched to.
        matching: Figures of its matches.
        pose: Its estimated pose relative to the reference.
        errors: The errors of that pose.
        odom_T_base: Pose of the camera in the trajectory's frame.
        gap: Whether the trajectory was broken before this frame.
        bridged: Whether the pose in the trajectory is that of the gyroscope and the last velocity.
        world_T_camera: True pose.

    """

    index: int
    stamp_ns: int
    status: str
    reason: str = ''
    reference: ReferenceRecord = field(default_factory=ReferenceRecord)
    matching: MatchFigures = field(default_factory=MatchFigures)
    pose: CovariantPose = field(default_factory=CovariantPose)
    errors: PoseErrors = field(default_factory=PoseErrors)
    odom_T_base: Values | None = None
    gap: bool = False
    bridged: bool = False
    world_T_camera: Values | None = None


@dataclass(frozen=True, kw_only=True)
class FrameTimes:
    """Times of one frame, s: one line of timing.jsonl, which is not deterministic.

    Attributes:
        index: Place of the frame in the input.
        read: Reading and decoding the image.
        encode: Features of the image.
        match: Matching.
        pose: Estimating the pose.
        total: All of the tracker's work.

    """

    index: int
    read: float
    encode: float
    match: float
    pose: float
    total: float


@dataclass(frozen=True, eq=False, kw_only=True)
class MatchArrays:
    """All matches of one frame, with its pictures: three files in worst/.

    Attributes:
        index: Place of the frame in the input.
        reference_index: Place of its reference.
        reference_image: (H, W) or (H, W, 3) uint8, RGB.
        query_image: The same of the frame.
        reference_points: float32 (N, 2), px.
        query_points: float32 (N, 2), px.
        confidence: float32 (N,), 0..1.
        sigma: float32 (N,), px.
        inliers: bool (N,).
        track_ids: int64 (N,).

    """

    index: int
    reference_index: int
    reference_image: NDArray[Any]
    query_image: NDArray[Any]
    reference_points: NDArray[np.float32]
    query_points: NDArray[np.float32]
    confidence: NDArray[np.float32]
    sigma: NDArray[np.float32]
    inliers: NDArray[np.bool_]
    track_ids: NDArray[np.int64]


ARRAYS = ('reference_points', 'query_points', 'confidence', 'sigma', 'inliers', 'track_ids')


@dataclass(frozen=True)
class SequenceFolder:
    """Reads what is known about one sequence; each file when it is asked for.

    Attributes:
        path: Its folder.
        info: The input and what became of it.

    """

    path: Path
    info: SequenceInfo

    @classmethod
    def open(cls, path: Path) -> SequenceFolder:
        """Read what is known about the input.

        Raises:
            DatasetError: If the folder is not one of a sequence.

        """
        file = path / SEQUENCE
        return cls(path, from_json(read_json(file), SequenceInfo, file))

    @property
    def name(self) -> str:
        """Name of the sequence."""
        return self.info.name

    def summary(self) -> dict[str, Any]:
        """Read the figures of merit, as docs/evaluation.md lists them."""
        return read_json(self.path / SUMMARY)

    def frames(self) -> list[FrameRecord]:
        """Read the record of each frame."""
        return read_records(self.path / FRAMES, FrameRecord)

    def times(self) -> list[FrameTimes]:
        """Read the times of each frame."""
        return read_records(self.path / FRAME_TIMES, FrameTimes)

    def worst(self) -> list[int]:
        """List the worst frames, the worst first."""
        return [int(index) for index in self.summary().get('worst', [])]

    def matches(self, index: int) -> MatchArrays:
        """Read the matches of one of the worst frames with its pictures.

        Raises:
            DatasetError: If a file is missing or damaged.

        """
        return read_matches(self.path / WORST, index)


@dataclass(frozen=True)
class RunFolder:
    """Reads the results of a run.

    Attributes:
        path: Folder of the run.
        info: What was run.
        sequences: Its sequences, in the order of the inputs.

    """

    path: Path
    info: RunInfo
    sequences: tuple[SequenceFolder, ...] = ()

    def summary(self) -> dict[str, Any]:
        """Read the figures over all sequences."""
        return read_json(self.path / SUMMARY)


def open_run(path: Path) -> RunFolder:
    """Open the results of a run, complete or not.

    Raises:
        DatasetError: If the folder holds none, or they are of another version or damaged.

    """
    values = read_json(path / RUN)
    if values.get('format') != FORMAT:
        problem = f'the results have format {values.get("format")}, this version reads {FORMAT}'
        raise DatasetError(path / RUN, problem, REMEDY)
    info = from_json(values, RunInfo, path / RUN)
    folders = {file.parent.name: file.parent for file in path.glob(f'{SEQUENCES}/*/{SEQUENCE}')}
    names = [name for name in read_json(path / SUMMARY).get('sequences', {}) if name in folders]
    names += sorted(folders.keys() - set(names))
    return RunFolder(path, info, tuple(SequenceFolder.open(folders[name]) for name in names))


def write_matches(folder: Path, matches: MatchArrays) -> None:
    """Write the matches of a frame and its pictures."""
    import cv2

    folder.mkdir(parents=True, exist_ok=True)
    stem = f'{matches.index:06d}'
    arrays = {name: getattr(matches, name) for name in ARRAYS}
    np.savez(folder / f'{stem}.npz', reference_index=matches.reference_index, **arrays)
    for kind in ('reference', 'query'):
        image = getattr(matches, f'{kind}_image')
        file = folder / f'{stem}_{kind}.jpg'
        pixels = image if image.ndim == 2 else np.ascontiguousarray(image[..., 2::-1])
        if not cv2.imwrite(str(file), pixels, [cv2.IMWRITE_JPEG_QUALITY, 90]):
            raise OSError(f'could not write {file}')


def read_matches(folder: Path, index: int) -> MatchArrays:
    """Read what `write_matches` wrote.

    Raises:
        DatasetError: If a file is missing or damaged.

    """
    stem = f'{index:06d}'
    file = folder / f'{stem}.npz'
    try:
        with np.load(file) as stored:
            arrays = {name: stored[name] for name in ARRAYS}
            reference_index = int(stored['reference_index'])
    except Exception as error:  # damaged archives raise what zipfile or numpy happen to raise
        raise DatasetError(file, f'the matches cannot be read ({error})', REMEDY) from error
    reference, query = (read_image(folder / f'{stem}_{k}.jpg') for k in ('reference', 'query'))
    return MatchArrays(
        index=index,
        reference_index=reference_index,
        reference_image=reference,
        query_image=query,
        **arrays,
    )
