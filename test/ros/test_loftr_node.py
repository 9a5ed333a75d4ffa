"""The node with LoFTR itself: weights that cannot be had, and weights that can."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from harness import Camera, Client, NodeProcess, running_node, wait_until

from loftr_ros.matching.config import OUTDOOR
from loftr_ros.matching.network import LoFTR

COMMAND = [sys.executable, '-m', 'loftr_ros.ros.node']


@pytest.fixture(scope='module')
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    parameters = {
        'matcher.weights': '/nowhere/none.safetensors',
        'matcher.num_threads': 1,
        'matcher.longer_side': 160,
    }
    with running_node(tmp_path_factory.mktemp('loftr'), parameters, COMMAND) as process:
        yield process


@pytest.fixture(scope='module')
def client(node: NodeProcess) -> Iterator[Client]:
    with closing(Client()) as client:
        yield client


def test_unknown_weights_leave_the_node_unconfigured_with_the_reason(
    client: Client, node: NodeProcess
) -> None:
    wait_until(lambda: 'configure failed' in client.message('node'), 'the failure to be reported')
    assert '/nowhere/none.safetensors' in client.message('node')
    assert '/nowhere/none.safetensors' in node.text()
    assert client.state() == 'unconfigured'


def test_a_file_that_holds_no_weights_is_refused(client: Client, tmp_path: Path) -> None:
    wrong = tmp_path / 'wrong.safetensors'
    wrong.write_bytes(b'no weights')
    assert client.set_parameter('matcher.weights', str(wrong)).successful
    assert not client.change_state('configure')
    wait_until(lambda: 'wrong.safetensors' in client.message('node'), 'the failure to be reported')
    assert client.state() == 'unconfigured'


def test_the_bundled_weights_match(client: Client) -> None:
    assert client.set_parameter('matcher.weights', 'lite').successful
    assert client.change_state('configure')
    assert client.change_state('activate')
    camera = Camera(client)
    camera.wait_for_subscriber()
    wait_until(lambda: client.correspondences and client.poses, 'a result', camera.send)
    found = client.correspondences[-1]
    assert found.weights_name == 'lite'
    assert len(found.weights_hash) == 64
    assert len(found.reference_points) == 2 * len(found.confidence)
    assert client.poses[-1].matches == len(found.confidence)
    wait_until(lambda: client.value('node', 'weights') == 'lite', 'the weights to be reported')
    assert client.value('node', 'weights sha256') == found.weights_hash


def test_a_fine_tuned_official_checkpoint_needs_its_configuration_and_then_matches(
    client: Client, tmp_path: Path
) -> None:
    for transition in ('deactivate', 'cleanup'):
        assert client.change_state(transition)
    torch = pytest.importorskip('torch')
    state = LoFTR(OUTDOOR).state_dict()
    file = tmp_path / 'fine_tuned.ckpt'
    torch.save({'state_dict': {f'matcher.{key}': value for key, value in state.items()}}, file)
    assert client.set_parameter('matcher.weights', str(file)).successful
    assert not client.change_state('configure')
    wait_until(
        lambda: 'fine_tuned.ckpt: the file does not say which' in client.message('node'),
        'the failure to be reported',
    )
    assert 'matcher.configuration' in client.message('node')

    assert client.set_parameter('matcher.configuration', 'outdoor').successful
    assert client.change_state('configure')
    assert client.change_state('activate')
    camera = Camera(client)
    camera.wait_for_subscriber()
    client.correspondences.clear()
    wait_until(lambda: client.correspondences, 'a result', camera.send)
    found = client.correspondences[-1]
    assert found.weights_name == 'fine_tuned'
    assert found.weights_hash == hashlib.sha256(file.read_bytes()).hexdigest()
