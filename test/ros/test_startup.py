"""What the first frame would wait for is done before the node is active."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticArray
from harness import Camera, Client, NodeProcess, running_node, wait_until

NODE = [sys.executable, str(Path(__file__).parents[1] / 'helpers' / 'warm_node.py')]


@contextmanager
def connected(tmp_path: Path, *options: str) -> Iterator[tuple[NodeProcess, Client]]:
    with (
        running_node(tmp_path, {'autostart': False}, [*NODE, *options]) as node,
        closing(Client()) as client,
    ):
        yield node, client


def lines(node: NodeProcess, start: str) -> list[str]:
    return [line for line in node.text().splitlines() if line.startswith(start)]


def test_configure_loads_and_warms_up_in_the_thread_that_matches(tmp_path: Path) -> None:
    with connected(tmp_path) as (node, client):
        assert client.change_state('configure')
        assert lines(node, 'load') == ['load in loftr-worker']
        assert lines(node, 'warm-up') == ['warm-up in loftr-worker']
        assert client.change_state('activate')
        camera = Camera(client)
        camera.wait_for_subscriber()
        wait_until(lambda: client.correspondences, 'a result', camera.send)

        assert set(lines(node, 'match')) == {'match in loftr-worker'}


def test_a_warm_up_that_fails_fails_the_transition_and_leaves_nothing(tmp_path: Path) -> None:
    with connected(tmp_path, '--broken') as (node, client):
        for _ in range(2):
            assert not client.change_state('configure')
            assert client.state() == 'unconfigured'

        assert 'configure failed: no kernel for this GPU' in node.text()
        # Services are found before the node's name is.
        wait_until(lambda: 'loftr' in client.node.get_node_names(), 'the node in the graph')
        published = client.node.get_publisher_names_and_types_by_node('loftr', '/')
        assert '/loftr/correspondences' not in {name for name, _ in published}


def test_diagnostics_go_on_while_the_weights_load(tmp_path: Path) -> None:
    with connected(tmp_path, '--slow') as (_, client):
        states: list[str] = []

        def note(msg: DiagnosticArray) -> None:
            values = (pair for status in msg.status for pair in status.values)
            states.extend(pair.value for pair in values if pair.key == 'lifecycle')

        client.listen(DiagnosticArray, '/diagnostics', note)
        wait_until(lambda: states, 'a report')
        assert client.change_state('configure')
        assert states.count('configuring') >= 2
