"""Texts of others come to logs, diagnostics and answers cut, and only now and then."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from harness import Camera, Client, NodeProcess, running_node, wait_until
from scenes import camera_info_msg, image_msg, picture

from loftr_ros.ros.monitoring import LONGEST_TEXT, REPEAT_S
from loftr_ros.srv import MatchImages

LONG = '\x1b[2J' + 'x' * 10**6
LONGEST = 2 * LONGEST_TEXT


@pytest.fixture(scope='module')
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[NodeProcess, Client, Camera]]:
    folder: Path = tmp_path_factory.mktemp('foreign')
    with running_node(folder) as process, closing(Client()) as client:
        camera = Camera(client)
        camera.wait_for_subscriber()
        wait_until(lambda: client.poses, 'a pose', camera.send)
        yield process, client, camera


def check(process: NodeProcess, client: Client) -> None:
    text = process.text()
    assert max(map(len, text.splitlines())) < LONGEST
    assert '\x1b[2J' not in text
    for status, values in client.diagnostics.values():
        for shown in (status.message, *values.values()):
            assert len(shown) < LONGEST
            assert '\x1b' not in shown


@pytest.mark.parametrize(
    ('field', 'refusal'),
    [
        ('encoding', 'refused /image: encoding'),
        ('frame_id', 'refused /image: the image is empty'),
        ('distortion_model', 'refused /camera_info: distortion model'),
    ],
)
def test_a_megabyte_of_text_is_cut_and_logged_once(
    node: tuple[NodeProcess, Client, Camera], field: str, refusal: str
) -> None:
    process, client, camera = node
    started = time.monotonic()
    count = int(client.value('inputs', '/image received') or 0)

    def send() -> None:
        image, info = camera.next_image(), camera_info_msg(camera.stamp_ns)
        if field == 'encoding':
            image.encoding = LONG
        elif field == 'frame_id':
            image.header.frame_id, image.width = LONG, 0
        else:
            info.distortion_model, info.d = LONG, [0.1]
        camera.send(image, info)

    def received() -> bool:
        # Diagnostics come late: at first they may count images of the test before.
        images = int(client.value('inputs', '/image received') or 0)
        return images > count + 20 and refusal in process.text()

    wait_until(received, 'images', send)
    check(process, client)
    assert process.text().count(refusal) <= 1 + (time.monotonic() - started) // REPEAT_S


def test_answers_of_a_service_are_cut(node: tuple[NodeProcess, Client, Camera]) -> None:
    _, client, _ = node

    def ask(**fields: Any) -> str:  # noqa: ANN401
        image = image_msg(picture(3), 0)
        request = MatchImages.Request(image0=image, image1=image_msg(picture(4), 0))
        request.camera_info0 = request.camera_info1 = camera_info_msg(0)
        for name, value in fields.items():
            setattr(image, name, value)
        answer = client.call(MatchImages, '/loftr/match_images', request)
        assert not answer.success
        assert answer.message == answer.relative_pose.reason
        return str(answer.message)

    assert "'\\\\x1b[2Jxxx" in ask(encoding=LONG)
    assert len(ask(encoding=LONG)) < LONGEST
    assert 'uint8, not uint16' in ask(encoding='mono16', step=320, data=[0] * 320 * 120)
