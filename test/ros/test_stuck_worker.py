"""A worker that hangs or is asked to exit: reported within 2 s, and nothing waits for it."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from harness import Camera, Client, NodeProcess, running_node, wait_until
from rclpy.qos import QoSProfile
from scenes import HEIGHT, WIDTH, camera_info_msg, image_msg, picture
from sensor_msgs.msg import CameraInfo, Image
from servers import serving, slow_body
from std_srvs.srv import Trigger

from loftr_ros.srv import MatchImages

COMMAND = [sys.executable, str(Path(__file__).parents[1] / 'helpers' / 'hanging_node.py')]
# Of the watchdog's two seconds one goes by until the frame is recognised as stuck.
REPORTED_S = 2.0
SLACK_S = 1.0
"""For a machine that is busy with other things."""
WHITE = np.full((HEIGHT, WIDTH), 255, np.uint8)


@contextmanager
def stuck_node(folder: Path, every: bool) -> Iterator[tuple[NodeProcess, Client, Camera]]:
    """Run a node until it reports that its worker hangs."""
    parameters = {
        'input.process_every_frame': str(every).lower(),
        'input.reliability': 'reliable',
        'input.queue_size': 2,
    }
    with running_node(folder, parameters, COMMAND) as node, closing(Client()) as client:
        client.publisher(Image, '/image', QoSProfile(depth=20))
        client.publisher(CameraInfo, '/camera_info', QoSProfile(depth=20))
        camera = Camera(client)
        camera.wait_for_subscriber()
        wait_until(lambda: len(client.poses) > 2, 'poses', camera.send)
        wait_until(lambda: client.message('processing'), 'a report')

        def send_white() -> None:
            camera.send(camera.next_image(WHITE))

        start = time.monotonic()
        wait_until(lambda: is_error(client), 'an error', send_white)
        assert time.monotonic() - start < REPORTED_S + SLACK_S
        yield node, client, camera


def is_error(client: Client, part: str = 'processing') -> bool:
    return bool(client.diagnostics[part][0].level == DiagnosticStatus.ERROR)


def ask(client: Client, kind: type[Any], name: str, request: Any) -> Any:  # noqa: ANN401
    """Call a service, again and again: the first calls are lost where discovery is not done."""
    service = client.client(kind, name)
    answers: list[Any] = []
    wait_until(
        lambda: any(answer.done() for answer in answers),
        f'an answer of {name}',
        lambda: answers.append(service.call_async(request)),
    )
    return next(answer.result() for answer in answers if answer.done())


@pytest.mark.parametrize('every', [False, True])
def test_a_worker_that_hangs_holds_up_nobody_and_is_named(tmp_path: Path, every: bool) -> None:
    with stuck_node(tmp_path, every) as (node, client, _):
        assert client.message('processing').startswith('the worker has been busy with one frame')
        # Messages that nobody takes are not those of a silent topic.
        assert client.message('inputs') == 'receiving'

        request = MatchImages.Request(image0=image_msg(picture(3), 0), image1=image_msg(WHITE, 0))
        request.camera_info0 = request.camera_info1 = camera_info_msg(0)
        for kind, name, asked in (
            (MatchImages, '/loftr/match_images', request),
            (Trigger, '/loftr/reset', Trigger.Request()),
        ):
            answer = ask(client, kind, name, asked)
            assert not answer.success
            assert 'the worker has been busy' in answer.message

        start = time.monotonic()
        assert node.stop(signal.SIGTERM) == 0
        assert time.monotonic() - start < REPORTED_S + SLACK_S
        assert node.text().count('the worker has been busy') == 1


def test_another_worker_takes_the_place_of_one_that_hangs(tmp_path: Path) -> None:
    with stuck_node(tmp_path, every=True) as (_, client, camera):
        for transition in ('deactivate', 'cleanup', 'configure', 'activate'):
            assert client.change_state(transition)
        client.poses.clear()
        wait_until(lambda: client.poses, 'a pose', camera.send)
        wait_until(lambda: not is_error(client), 'a report without an error', camera.send)


def test_a_load_that_hangs_is_reported_and_obeys_sigterm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(slow_body) as url:
        monkeypatch.setenv('WEIGHTS_URL', url)
        with running_node(tmp_path, command=COMMAND) as node, closing(Client()) as client:
            wait_until(lambda: client.message('node') == 'configuring', 'a report')
            start = time.monotonic()
            assert node.stop(signal.SIGTERM) == 0
            assert time.monotonic() - start < REPORTED_S + SLACK_S


def test_a_library_that_asks_to_exit_costs_one_frame(tmp_path: Path) -> None:
    with running_node(tmp_path, command=COMMAND) as node, closing(Client()) as client:
        camera = Camera(client)
        camera.wait_for_subscriber()
        wait_until(lambda: client.poses, 'poses', camera.send)

        def send_black() -> None:
            camera.send(camera.next_image(np.zeros_like(WHITE)))

        wait_until(lambda: 'SystemExit' in client.message('processing'), 'the error', send_black)
        assert is_error(client)
        black = image_msg(np.zeros_like(WHITE), 0)
        request = MatchImages.Request(image0=black, image1=black)
        answer = ask(client, MatchImages, '/loftr/match_images', request)
        assert (answer.success, answer.message) == (False, 'SystemExit: a library asks to exit')
        client.poses.clear()
        wait_until(lambda: client.poses, 'the next pose', camera.send)
        assert 'unexpected SystemExit: a library asks to exit' in node.text()
