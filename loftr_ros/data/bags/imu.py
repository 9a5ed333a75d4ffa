"""Angular rates of a bag, from sensor_msgs/Imu."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from loftr_ros.codecs.imu import ImuError, rate_from_msg
from loftr_ros.data.bags.messages import IMU_TYPE, find_transform
from loftr_ros.data.bags.storage import opened
from loftr_ros.data.bags.topics import topics_of_types
from loftr_ros.data.bags.truth import static_transforms
from loftr_ros.data.errors import DatasetError
from loftr_ros.data.imu import ImuSamples

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from loftr_ros.data.bags.storage import BagReader


def read_bag_imu(path: Path, topic: str | None, image_topic: str) -> ImuSamples:
    """Read the samples of a gyroscope, and from /tf_static how it is mounted on the camera.

    Args:
        path: The bag.
        topic: Topic of the samples; None where there is only one.
        image_topic: Topic of the images.

    Raises:
        DatasetError: If there are none, or of several topics.

    """
    with opened(path) as reader:
        known = topics_of_types(reader, (IMU_TYPE,))
        if topic is None and len(known) == 1:
            topic = known[0]
        if topic is None or topic not in known:
            problem = 'there is no topic of sensor_msgs/Imu' if not known else 'which gyroscope?'
            remedy = f'Topics: {", ".join(known) or "none"}; --imu-topic names one.'
            raise DatasetError(path, problem, remedy)
        stamps, rates, frame = [], [], ''
        for _, message in reader.messages(topic):
            try:
                stamp, rate = rate_from_msg(message)
            except ImuError:
                continue
            frame = message.header.frame_id
            stamps.append(stamp)
            rates.append(rate)
        if not stamps:
            raise DatasetError(path, f'{topic} holds no angular velocity', 'Choose another topic.')
        mounted = _mounting(reader, image_topic, frame)
    return ImuSamples(topic, np.array(stamps, np.int64), np.stack(rates), mounted)


def _mounting(reader: BagReader, image_topic: str, frame: str) -> NDArray[np.float64] | None:
    camera = next((message.header.frame_id for _, message in reader.messages(image_topic)), '')
    camera_T_imu = find_transform(static_transforms(reader), camera, frame)
    return None if camera_T_imu is None else camera_T_imu[:3, :3]
