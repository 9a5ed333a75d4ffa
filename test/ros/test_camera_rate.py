"""A camera of 30 Hz and a matcher of 6: the frames between are aligned, and none has two poses.

How many there is time for depends on the machine: benchmarks/latency.py measures it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import numpy as np
import numpy.typing as npt
from harness import Camera, Client, running_node, wait_until
from scenes import camera_info_msg, image_msg
from sensor_msgs.msg import CameraInfo, Image

from loftr_ros.codecs.conversions import correspondences_from_msg
from loftr_ros.codecs.stamps import stamp_from_msg
from loftr_ros.frontend import Source
from loftr_ros.msg import Correspondences, RelativePose
from loftr_ros.rendering.room import RenderedView, render_room_sequence

COMMAND = [sys.executable, str(Path(__file__).parents[1] / 'helpers' / 'slow_node.py')]
PARAMETERS = {
    'every_frame': 'aligned',
    'input.silent_timeout': 5.0,
    'input.reliability': 'reliable',
    'input.queue_size': 500,
}
RATE = 30.0
FRAMES = 60


def stamps(messages: Iterable[RelativePose | Correspondences]) -> set[int]:
    return {stamp_from_msg(msg.header.stamp) for msg in messages}


def settled_counts(client: Client) -> npt.NDArray[np.int64]:
    """Return how many images were received, processed and dropped, once nothing is in progress."""
    seen: list[list[str]] = []

    def unchanged() -> bool:
        if not {'inputs', 'processing'} <= set(client.diagnostics):
            return False
        received = client.value('inputs', '/image received')
        done = (client.value('processing', key) for key in ('processed', 'dropped'))
        seen.append([received, *done])
        client.diagnostics.clear()
        return len(seen) > 1 and seen[-1] == seen[-2]

    client.diagnostics.clear()
    wait_until(unchanged, 'two reports that are equal')
    return np.array(seen[-1]).astype(np.int64)


def feed(client: Client, camera: Camera, views: list[RenderedView]) -> int:
    """Send the views at the rate of the camera; returns the last stamp, ns."""
    start = time.perf_counter()
    for index in range(FRAMES):
        time.sleep(max(0.0, start + index / RATE - time.perf_counter()))
        send(camera, views, index)
    return camera.stamp_ns


def send(camera: Camera, views: list[RenderedView], index: int) -> int:
    order = [*range(len(views)), *range(len(views) - 2, 0, -1)]
    view = views[order[index % len(order)]]
    camera.stamp_ns += round(1e9 / RATE)
    info = camera_info_msg(camera.stamp_ns, 320, 240)
    info.k = view.matrix.reshape(9)
    return camera.send(image_msg(view.image, camera.stamp_ns), info)


def test_frames_between_matches_have_poses_and_their_points_keep_their_ids(
    tmp_path: Path,
) -> None:
    views = list(render_room_sequence(40, width=320, height=240, rate_hz=RATE))
    with running_node(tmp_path, PARAMETERS, COMMAND), closing(Client()) as client:
        client.publisher(Image, '/image', 500)
        client.publisher(CameraInfo, '/camera_info', 500)
        camera = Camera(client, start_ns=10**9)
        camera.wait_for_subscriber()
        steps = iter(range(10**6))
        wait_until(lambda: client.poses, 'a pose', lambda: send(camera, views, next(steps)))
        before = settled_counts(client)
        last = feed(client, camera, views)
        newest = f'{last} ns: the newest frame'
        wait_until(lambda: last in stamps(client.poses) & stamps(client.correspondences), newest)
        poses, matches = list(client.poses), list(client.correspondences)

        done = settled_counts(client) - before

    assert done[0] == FRAMES
    assert done[1] + done[2] == FRAMES, 'each image is processed or dropped, and counted'
    aligned = [msg for msg in poses if msg.source == RelativePose.SOURCE_ALIGNED]
    assert len(aligned) > 10
    assert {msg.state for msg in aligned} <= {
        RelativePose.STATE_OK,
        RelativePose.STATE_ROTATION_ONLY,
    }
    assert len(stamps(poses)) == len(poses), 'a frame has one pose'
    found = {stamp_from_msg(msg.header.stamp): correspondences_from_msg(msg) for msg in matches}
    for msg in aligned:
        between = found[stamp_from_msg(msg.header.stamp)]
        assert between.source is Source.ALIGNED
        assert len(between) == msg.matches
        assert between.reference.stamp_ns == stamp_from_msg(msg.reference_stamp)
        earlier = [
            set(other.track_ids.tolist())
            for other in found.values()
            if other.source is Source.MATCHED
            and other.reference.stamp_ns == between.reference.stamp_ns
            and other.query.stamp_ns < between.query.stamp_ns
        ]
        assert any(set(between.track_ids.tolist()) <= ids for ids in earlier)
