"""Image sequences with true poses, read lazily and the same for every dataset."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

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

    """

    frame: Frame
    world_T_camera: NDArray[np.float64] | None = None
    depth: NDArray[np.float32] | None = None


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

    def __iter__(self) -> Iterator[GroundTruthFrame]:
        """Read one frame after the other, in the order of time."""


@dataclass(frozen=True, eq=False)
class FrameEntry:
    """Where to find one frame of a dataset on disk.

    Attributes:
        stamp_ns: Time of the exposure, ns.
        image_path: File of the image.
        world_T_camera: float64 (4, 4) or None, as in `GroundTruthFrame`.
        depth_path: File of the depth image, or None.
        right_path: File of the right camera's image, or None.
        camera: Calibration of this image, where it is not that of the sequence; or None.

    """

    stamp_ns: int
    image_path: Path
    world_T_camera: NDArray[np.float64] | None = None
    depth_path: Path | None = None
    right_path: Path | None = None
    camera: Camera | None = None


@dataclass(frozen=True, eq=False)
class RightCamera:
    """The right camera of a stereo sequence.

    Attributes:
        camera: Calibration of its images.
        left_T_right: float64 (4, 4), its pose in the left camera, metres.

    """

    camera: Camera
    left_T_right: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
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

    """

    name: str
    layout: str
    entries: tuple[FrameEntry, ...]
    camera: Camera | None
    frame_id: str = 'camera'
    depth_scale: float = 1000.0
    right: RightCamera | None = None
    carry_depth: bool = False

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.entries)

    def __iter__(self) -> Iterator[GroundTruthFrame]:
        """Read one frame after the other."""
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
        if entry.depth_path is not None:
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
        return GroundTruthFrame(frame, entry.world_T_camera, depth)

    def _right_view(self, entry: FrameEntry) -> RightView | None:
        if self.right is None or entry.right_path is None:
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
