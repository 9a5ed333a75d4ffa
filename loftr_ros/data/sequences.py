"""Image sequences with true poses, read lazily and the same for every dataset."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from loftr_ros.codecs.calibration_files import Calibrations
from loftr_ros.data.errors import DatasetError
from loftr_ros.data.images import read_depth, read_image
from loftr_ros.frontend.frame import Frame, RightView

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from loftr_ros.geometry import Camera


@dataclass(frozen=True, eq=False)
class GroundTruthFrame:
    """A frame and what is known about it.

    Attributes:
        frame: Image, time and camera.
        world_T_camera: float64 (4, 4), pose of the camera's optical frame in the world, metres;
            None where it is unknown.
        depth: float32 (H, W), metres along the optical axis, NaN where unknown; or None.
        apart_ns: How far the stamp of the nearest depth or right image is, used or not, ns; None
            where there is none at all.

    """

    frame: Frame
    world_T_camera: NDArray[np.float64] | None = None
    depth: NDArray[np.float32] | None = None
    apart_ns: int | None = None


@dataclass(frozen=True)
class RefusedFrame:
    """An image that cannot be used, in the place of its frame.

    Attributes:
        stamp_ns: Its time, ns, or that of its arrival where it has none.
        reason: What is wrong with it, and where.

    """

    stamp_ns: int
    reason: str


@dataclass(frozen=True)
class InputOptions:
    """How inputs are read, for bags and data sets alike; the node has the same parameters.

    Attributes:
        rectified: The images are rectified, whatever their topic is called.
        slop_ns: Greatest difference between the stamps of an image and of what belongs to it, ns.
        left_T_right: float64 (4, 4), pose of the right camera in the left one, m; None, or one
            without a translation, takes it from the calibrations, or else from /tf_static.
        calibrations: Calibrations of files, which replace those of a bag.

    """

    rectified: bool = False
    slop_ns: int = 20_000_000
    left_T_right: NDArray[np.float64] | None = None
    calibrations: Calibrations = field(default_factory=Calibrations)


class GroundTruthSequence(Protocol):
    """What evaluation asks of a sequence; datasets and bags both offer it."""

    @property
    def name(self) -> str:
        """Short name for tables and file names."""

    @property
    def layout(self) -> str:
        """Name of the format: 'kitti', 'euroc', 'tum', 'sevenscenes' or 'bag'."""

    @property
    def camera(self) -> Camera | None:
        """Calibration of all images; None if unknown."""

    def __len__(self) -> int:
        """Return the number of frames."""

    @property
    def truth_span_ns(self) -> tuple[int, int] | None:
        """Times of the first and the last true pose, ns; None where there are none."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What is odd about the files."""

    def items(self) -> Iterator[GroundTruthFrame | RefusedFrame]:
        """Read one frame after the other, also behind one that cannot be used."""

    def __iter__(self) -> Iterator[GroundTruthFrame]:
        """Read one frame after the other, in the order of time.

        Raises:
            DatasetError: At the first that cannot be used.

        """


def good_frames(
    path: Path, items: Iterator[GroundTruthFrame | RefusedFrame]
) -> Iterator[GroundTruthFrame]:
    """Read frames up to the first that cannot be used.

    Raises:
        DatasetError: If one cannot be used.

    """
    for item in items:
        if isinstance(item, RefusedFrame):
            raise DatasetError(path, item.reason, 'Correct or remove it.')
        yield item


@dataclass(frozen=True, eq=False, kw_only=True)
class FrameEntry:
    """Where to find one frame of a dataset on disk.

    Attributes:
        stamp_ns: Time of the exposure, ns.
        image_path: File of the image.
        world_T_camera: float64 (4, 4) or None, as in `GroundTruthFrame`.
        depth_path: File of the depth image that is nearest in time, or None.
        right_path: File of the right camera's image that is nearest in time, or None.
        camera: Calibration of this image, where it is not that of the sequence; or None.
        depth_apart_ns: Difference of the stamps of image and depth, ns.
        right_apart_ns: Difference of the stamps of image and right image, ns.

    """

    stamp_ns: int
    image_path: Path
    world_T_camera: NDArray[np.float64] | None = None
    depth_path: Path | None = None
    right_path: Path | None = None
    camera: Camera | None = None
    depth_apart_ns: int = 0
    right_apart_ns: int = 0


@dataclass(frozen=True, eq=False)
class RightCamera:
    """The right camera of a stereo sequence.

    Attributes:
        camera: Calibration of its images.
        left_T_right: float64 (4, 4), its pose in the left camera, metres.

    """

    camera: Camera
    left_T_right: NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True)
class ImageSequence:
    """A dataset on disk: an index of frames, each read when it is asked for.

    Attributes:
        name: Short name, by default that of the folder.
        layout: Name of the format.
        entries: The frames in the order of time.
        camera: Calibration of all images; None if unknown.
        frame_id: Name of the camera's optical frame.
        depth_scale: Units of the depth images per metre.
        right: The right camera; where it is given, frames carry its view.
        carry_depth: Whether frames carry the depth, too.
        slop_ns: Greatest difference between the stamps of an image and of what belongs to it, ns.
        truth_span_ns: Times of the first and the last true pose, ns; None where there are none.
        notes: What is odd about the files.

    """

    name: str
    layout: str
    entries: tuple[FrameEntry, ...]
    camera: Camera | None
    frame_id: str = 'camera'
    depth_scale: float = 1000.0
    right: RightCamera | None = None
    carry_depth: bool = False
    slop_ns: int = InputOptions.slop_ns
    truth_span_ns: tuple[int, int] | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.entries)

    def items(self) -> Iterator[GroundTruthFrame | RefusedFrame]:
        """Read one frame after the other, also behind one that cannot be used."""
        for index, entry in enumerate(self.entries):
            try:
                item: GroundTruthFrame | RefusedFrame = self[index]
            except DatasetError as error:
                item = RefusedFrame(entry.stamp_ns, f'{error.path}: {error.problem}')
            yield item

    def __iter__(self) -> Iterator[GroundTruthFrame]:
        """Read one frame after the other.

        Raises:
            DatasetError: At the first that cannot be used.

        """
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> GroundTruthFrame:
        """Read one frame.

        Raises:
            DatasetError: If an image is missing, damaged or of another size than the camera.
            IndexError: If there is no such frame.

        """
        entry = self.entries[index]
        camera = entry.camera or self.camera
        image = read_image(entry.image_path)
        _check_size(image, camera, entry.image_path)
        depth = None
        if entry.depth_path is not None and entry.depth_apart_ns <= self.slop_ns:
            depth = read_depth(entry.depth_path, self.depth_scale)
            _check_size(depth, camera, entry.depth_path)
        frame = Frame(
            entry.stamp_ns,
            image,
            self.frame_id,
            camera,
            depth if self.carry_depth else None,
            self._right_view(entry),
        )
        return GroundTruthFrame(frame, entry.world_T_camera, depth, self._apart(entry))

    def _apart(self, entry: FrameEntry) -> int | None:
        if self.right is not None:
            return None if entry.right_path is None else entry.right_apart_ns
        return None if entry.depth_path is None else entry.depth_apart_ns

    def _right_view(self, entry: FrameEntry) -> RightView | None:
        if self.right is None or entry.right_path is None:
            return None
        if entry.right_apart_ns > self.slop_ns:
            return None
        image = read_image(entry.right_path)
        _check_size(image, self.right.camera, entry.right_path)
        return RightView(image, self.right.camera, self.right.left_T_right)


def with_depth(sequence: ImageSequence, path: Path) -> ImageSequence:
    """Let the frames of a sequence carry their depth.

    Raises:
        DatasetError: If the sequence at `path` has no depth images.

    """
    if not any(entry.depth_path for entry in sequence.entries):
        raise DatasetError(path, 'there are no depth images', "Use the mode 'mono'.")
    return replace(sequence, carry_depth=True)


def _check_size(image: NDArray[Any], camera: Camera | None, path: Path) -> None:
    if camera is not None and image.shape[:2] != camera.size:
        raise DatasetError(
            path,
            f'the image has {image.shape[1]}x{image.shape[0]} px, but the calibration is for '
            f'{camera.width}x{camera.height} px',
            'All images of a sequence have the size of the first one or of its calibration.',
        )
