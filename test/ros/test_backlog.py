"""Images come faster than they can be matched: the newest wins, and nothing piles up."""

from __future__ import annotations

import sys
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import numpy.typing as npt
from harness import Camera, Client, running_node, wait_until
from scenes import camera_info_msg, image_msg, picture
from sensor_msgs.msg import CameraInfo, Image
from slow_node import SECONDS as SLOW_S
from std_srvs.srv import SetBool

from loftr_ros.codecs.stamps import stamp_from_msg
from loftr_ros.msg import RelativePose
from loftr_ros.srv import MatchImages

COMMAND = [sys.executable, str(Path(__file__).parents[1] / 'helpers' / 'slow_node.py')]
# Nothing is lost in transport, so that every image can be accounted for.
PARAMETERS = {'input.silent_timeout': 1.0, 'input.reliability': 'reliable', 'input.queue_size': 500}
RATE = 30.0
SECONDS = 3.0


def test_at_30_hz_the_delay_does_not_grow_and_drops_are_counted(tmp_path: Path) -> None:
    with running_node(tmp_path, PARAMETERS, COMMAND), closing(Client()) as client:
        client.publisher(Image, '/image', 500)
        client.publisher(CameraInfo, '/camera_info', 500)
        camera = Camera(client, start_ns=10**9)
        camera.wait_for_subscriber()
        wait_until(lambda: client.poses, 'the first pose', camera.send)
        wait_until(lambda: client.value('processing', 'dropped'), 'a report')
        time.sleep(1.0)  # what was sent so far shall be done
        for _ in range(2):
            client.diagnostics.clear()
            wait_until(lambda: {'inputs', 'processing'} <= set(client.diagnostics), 'a report')
        client.poses.clear()
        before = counts(client)
        arrived: dict[int, float] = {}

        def note(msg: RelativePose) -> None:
            arrived[stamp_from_msg(msg.header.stamp)] = time.perf_counter()

        client.listen(RelativePose, '/loftr/relative_pose', note)
        sent: dict[int, float] = {}
        start = time.perf_counter()
        while len(sent) < RATE * SECONDS:
            time.sleep(max(0.0, start + len(sent) / RATE - time.perf_counter()))
            sent[camera.send()] = time.perf_counter()
        last = max(sent)
        wait_until(
            lambda: client.poses and stamp_from_msg(client.poses[-1].header.stamp) == last,
            'the pose of the newest image',
        )

        def done() -> bool:
            received, processed, dropped = (counts(client) - before).tolist()
            return bool(received == processed + dropped == len(sent))

        wait_until(done, 'a report that accounts for every image')
        _, processed, dropped = (counts(client) - before).tolist()
        stamps = [stamp_from_msg(msg.header.stamp) for msg in client.poses]
    assert processed == len(stamps)
    assert dropped > len(sent) / 3
    assert stamps == sorted(set(stamps))
    latencies = [arrived[stamp] - sent[stamp] for stamp in stamps if stamp in arrived]
    first, last_third = latencies[: len(latencies) // 3], latencies[-len(latencies) // 3 :]
    # A busy machine takes longer for each. A queue of all images would hold dozens at the end.
    period = max(SLOW_S, SECONDS / processed)
    assert np.median(last_third) < np.median(first) + 3 * period
    assert np.median(latencies) < 5 * period


def counts(client: Client) -> npt.NDArray[np.int64]:
    """Return how many images were received, processed and dropped, as the node reports."""
    received = client.value('inputs', '/image received')
    done = (client.value('processing', key) for key in ('processed', 'dropped'))
    return np.array([received, *done]).astype(np.int64)


def test_services_that_wait_for_the_worker_hold_up_neither_others_nor_the_end(
    tmp_path: Path,
) -> None:
    with running_node(tmp_path, PARAMETERS, COMMAND) as node, closing(Client()) as client:
        wait_until(lambda: client.state() == 'active', 'an active node')
        request = MatchImages.Request()
        request.image0, request.image1 = image_msg(picture(3), 0), image_msg(picture(4), 0)
        request.camera_info0 = request.camera_info1 = camera_info_msg(0)
        matching = client.client(MatchImages, '/loftr/match_images')
        answers = [matching.call_async(request) for _ in range(40)]
        # The first ones are lost where discovery has met only half of the service.
        wait_until(lambda: any(answer.done() for answer in answers), 'an answer')

        assert client.call(SetBool, '/loftr/pause', SetBool.Request(data=True)).success
        assert not answers[-1].done()
        assert node.stop() == 0
