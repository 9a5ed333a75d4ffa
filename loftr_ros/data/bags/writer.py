"""Write bags (mcap) of images, calibrations, true poses and this package's messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from rosbags.interfaces import (
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import StoragePlugin, Writer, WriterError
from rosbags.serde import SerdeError

from loftr_ros.data.bags.message_types import package_typestore
from loftr_ros.data.errors import DatasetError
from loftr_ros.geometry.quaternions import quaternion_from_rotation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from types import TracebackType

    from numpy.typing import NDArray
    from rosbags.interfaces import Connection
    from rosbags.typesys.store import Typestore
    from typing_extensions import Self

    from loftr_ros.data.bags.message_types import Message
    from loftr_ros.frontend.frame import Frame
    from loftr_ros.geometry import Camera

ENCODINGS = {
    (np.dtype(np.uint8), 1): 'mono8',
    (np.dtype(np.uint8), 3): 'rgb8',
    (np.dtype(np.uint8), 4): 'rgba8',
    (np.dtype(np.uint16), 1): 'mono16',
    (np.dtype(np.uint16), 3): 'rgb16',
    (np.dtype(np.float32), 1): '32FC1',
}
FOREVER = QosTime(2147483647, 4294967295)
LATCHED = Qos(
    QosHistory.KEEP_LAST,
    1,
    QosReliability.RELIABLE,
    QosDurability.TRANSIENT_LOCAL,
    FOREVER,
    FOREVER,
    QosLiveliness.AUTOMATIC,
    FOREVER,
    avoid_ros_namespace_conventions=False,
)
"""What `ros2 bag play` must offer for those who subscribe late to /tf_static to receive it."""


class BagWriter:
    """Write a bag; use it in a `with` statement.

    Connections are made when a topic is first written to. Messages are typed objects of
    `package_typestore`, or the CDR bytes of any message recorded from a subscription.
    """

    def __init__(self, path: Path, storage: str = 'mcap') -> None:
        """Create the bag.

        Args:
            path: Folder of the bag; it must not exist.
            storage: 'mcap' or 'sqlite3'.

        Raises:
            DatasetError: If the folder exists.

        """
        self._types = package_typestore()
        self._connections: dict[tuple[str, str], Connection] = {}
        try:
            # Version 8 is what Humble to Kilted read.
            self._writer = Writer(path, version=8, storage_plugin=StoragePlugin[storage.upper()])
        except WriterError as error:
            raise DatasetError(path, 'the bag exists', 'Choose another folder.') from error

    @property
    def types(self) -> Typestore:
        """Message types of the bag."""
        return self._types

    def __enter__(self) -> Self:
        """Create the files."""
        self._writer.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Write index and metadata, even after an error: what was recorded stays readable."""
        self._writer.close()

    def write(self, topic: str, message: Message, time_ns: int) -> None:
        """Write a typed message that was received at `time_ns`."""
        kind = message.__msgtype__
        self._write(topic, kind, bytes(self._types.serialize_cdr(message, kind)), time_ns)

    def write_raw(self, topic: str, message_type: str, data: bytes, time_ns: int) -> None:
        """Write the CDR bytes of a message.

        Args:
            topic: Absolute name of the topic.
            message_type: Such as 'loftr_ros/msg/Correspondences'.
            data: CDR with its 4-byte header, as a raw subscription receives it.
            time_ns: Time of arrival, ns.

        Raises:
            ValueError: If the type is unknown or the bytes are no such message.

        """
        self._write(topic, message_type, self._checked(message_type, data), time_ns)

    def _write(self, topic: str, message_type: str, data: bytes, time_ns: int) -> None:
        key = topic, message_type
        if key not in self._connections:
            qos = [LATCHED] if topic.endswith('tf_static') else []
            self._connections[key] = self._writer.add_connection(
                topic, message_type, typestore=self._types, offered_qos_profiles=qos
            )
        self._writer.write(self._connections[key], time_ns, data)

    def write_frame(self, namespace: str, frame: Frame, time_ns: int | None = None) -> None:
        """Write an image to `namespace/image_raw`, and its calibration to `namespace/camera_info`.

        Raises:
            ValueError: If ROS has no encoding for the image.

        """
        time_ns = frame.stamp_ns if time_ns is None else time_ns
        header = self.header(frame.stamp_ns, frame.frame_id)
        self.write(f'{namespace}/image_raw', self.image(frame.image, header), time_ns)
        if frame.camera is not None:
            self.write(f'{namespace}/camera_info', self.camera_info(frame.camera, header), time_ns)

    def write_pose(
        self,
        topic: str,
        world_T_camera: NDArray[np.float64],
        stamp_ns: int,
        *,
        frame_id: str = 'world',
        time_ns: int | None = None,
    ) -> None:
        """Write a pose (4, 4) as geometry_msgs/PoseStamped."""
        message = self._type('geometry_msgs/msg/PoseStamped')(
            self.header(stamp_ns, frame_id), self._pose(world_T_camera)
        )
        self.write(topic, message, stamp_ns if time_ns is None else time_ns)

    def write_odometry(
        self,
        topic: str,
        world_T_camera: NDArray[np.float64],
        stamp_ns: int,
        *,
        frame_id: str = 'world',
        child_frame_id: str = 'camera',
        time_ns: int | None = None,
    ) -> None:
        """Write a pose (4, 4) as nav_msgs/Odometry without covariance and velocity."""
        vector = self._type('geometry_msgs/msg/Vector3')
        twist = self._type('geometry_msgs/msg/Twist')(vector(0, 0, 0), vector(0, 0, 0))
        message = self._type('nav_msgs/msg/Odometry')(
            self.header(stamp_ns, frame_id),
            child_frame_id,
            self._type('geometry_msgs/msg/PoseWithCovariance')(
                self._pose(world_T_camera), np.zeros(36)
            ),
            self._type('geometry_msgs/msg/TwistWithCovariance')(twist, np.zeros(36)),
        )
        self.write(topic, message, stamp_ns if time_ns is None else time_ns)

    def header(self, stamp_ns: int, frame_id: str) -> Message:
        """Make a std_msgs/Header."""
        time = self._type('builtin_interfaces/msg/Time')(*divmod(int(stamp_ns), 10**9))
        return self._type('std_msgs/msg/Header')(time, frame_id)

    def image(self, image: NDArray[Any], header: Message) -> Message:
        """Make a sensor_msgs/Image.

        Raises:
            ValueError: If ROS has no encoding for the image.

        """
        height, width = image.shape[:2]
        channels = image.shape[2] if image.ndim == 3 else 1
        data = np.ascontiguousarray(image).view(np.uint8).ravel()
        step = width * channels * image.dtype.itemsize
        make = self._type('sensor_msgs/msg/Image')
        return make(header, height, width, _encoding(image), 0, step, data)

    def compressed_image(self, image: NDArray[Any], header: Message) -> Message:
        """Make a sensor_msgs/CompressedImage that loses nothing (PNG).

        Raises:
            ValueError: If ROS has no encoding for the image, or PNG cannot hold it.

        """
        encoding = _encoding(image)
        if image.dtype == np.float32:
            raise ValueError('PNG cannot hold an image of floats')
        # As image_transport: colours lie in OpenCV's order, which the name says.
        stored, pixels = encoding, image
        if image.ndim == 3:
            stored = encoding.replace('rgb', 'bgr')
            code = cv2.COLOR_RGB2BGR if image.shape[2] == 3 else cv2.COLOR_RGBA2BGRA
            pixels = cv2.cvtColor(image, code)
        data = np.asarray(cv2.imencode('.png', pixels)[1], np.uint8).ravel()
        make = self._type('sensor_msgs/msg/CompressedImage')
        return make(header, f'{encoding}; png compressed {stored}', data)

    def camera_info(
        self,
        camera: Camera,
        header: Message,
        rectification: NDArray[np.float64] | None = None,
        projection: NDArray[np.float64] | None = None,
    ) -> Message:
        """Make a sensor_msgs/CameraInfo.

        Args:
            camera: The calibration, k and d.
            header: Time and frame.
            rectification: r (3, 3); None for the identity.
            projection: p (3, 4); None for that of an unrectified camera.

        """
        p = np.hstack([camera.matrix, np.zeros((3, 1))]) if projection is None else projection
        region = self._type('sensor_msgs/msg/RegionOfInterest')(0, 0, 0, 0, False)
        model = 'plumb_bob' if camera.distortion_model == 'none' else camera.distortion_model
        return self._type('sensor_msgs/msg/CameraInfo')(
            header,
            camera.height,
            camera.width,
            model,
            camera.distortion if camera.distortion.size else np.zeros(5),
            camera.matrix.ravel(),
            (np.eye(3) if rectification is None else rectification).ravel(),
            p.ravel(),
            0,
            0,
            region,
        )

    def transforms(
        self, edges: Sequence[tuple[str, str, NDArray[np.float64]]], stamp_ns: int
    ) -> Message:
        """Make a tf2_msgs/TFMessage of parent, child and parent_T_child (4, 4)."""
        make = self._type('geometry_msgs/msg/TransformStamped')
        messages = []
        for parent, child, matrix in edges:
            pose = self._pose(matrix)
            move = self._type('geometry_msgs/msg/Transform')(
                self._type('geometry_msgs/msg/Vector3')(*matrix[:3, 3].tolist()), pose.orientation
            )
            messages.append(make(self.header(stamp_ns, parent), child, move))
        return self._type('tf2_msgs/msg/TFMessage')(messages)

    def _checked(self, message_type: str, data: bytes) -> bytes:
        """Return the bytes of one message without what serialize_message may leave behind it.

        Fast DDS counts the alignment of empty sequences: up to seven stray bytes follow, and
        `rosbags` reads only up to three.
        """
        if message_type not in self._types.fielddefs:
            raise ValueError(f'the message type {message_type} is unknown')
        problem = self._problem(message_type, data)
        if problem is None:
            return data
        if self._problem(message_type, data[:-4]) is None:
            return data[:-4]
        raise ValueError(f'{len(data)} bytes are no {message_type} ({problem})')

    def _problem(self, message_type: str, data: bytes) -> SerdeError | None:
        try:
            self._types.deserialize_cdr(data, message_type)
        except SerdeError as error:
            return error
        return None

    def _type(self, name: str) -> Callable[..., Message]:
        return self._types.types[name]

    def _pose(self, matrix: NDArray[np.float64]) -> Message:
        x, y, z, w = quaternion_from_rotation(matrix[:3, :3]).tolist()
        return self._type('geometry_msgs/msg/Pose')(
            self._type('geometry_msgs/msg/Point')(*matrix[:3, 3].tolist()),
            self._type('geometry_msgs/msg/Quaternion')(x, y, z, w),
        )


def _encoding(image: NDArray[Any]) -> str:
    """Return the name of ROS for the pixels of an image.

    Raises:
        ValueError: If there is none.

    """
    channels = image.shape[2] if image.ndim == 3 else 1
    encoding = ENCODINGS.get((image.dtype, channels))
    if encoding is None:
        raise ValueError(f'ROS has no encoding for an image of {image.dtype} {image.shape}')
    return encoding
