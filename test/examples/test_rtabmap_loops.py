"""Loop closures between images become links between the nodes of another program's graph."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st
from rtabmap_loops import KEPT_LOOPS, Loop, LoopLinks

from loftr_ros.geometry.rotations import rotation_from_vector
from loftr_ros.geometry.transforms import inverse_transform, make_transform

Array = npt.NDArray[np.float64]
SECOND = 10**9
BASE_T_CAMERA = make_transform(
    np.array([[0, 0, 1.0], [-1, 0, 0], [0, -1, 0]]), np.array([0.2, 0, 0.1])
)
SPREAD = np.diag([0.01, 0.02, 0.03, 0.001, 0.002, 0.003]) ** 2


def base(index: int) -> Array:
    """Pose of the base in the world at a second, on a circle of 2 m."""
    angle = index * np.pi / 10
    position = np.array([2 * np.sin(angle), 2 - 2 * np.cos(angle), 0.1 * np.sin(3 * angle)])
    return make_transform(rotation_from_vector(np.array([0, 0, angle])), position)


def loop(reference: int, query: int) -> Loop:
    """The true motion of the camera between two seconds."""
    ends = base(reference) @ BASE_T_CAMERA, base(query) @ BASE_T_CAMERA
    motion = inverse_transform(ends[0]) @ ends[1]
    return Loop(reference * SECOND, query * SECOND, motion, SPREAD)


def links_of(seconds: int, drift: Array | None = None, growth: float = 0.0) -> LoopLinks:
    """Odometry of each second; `drift` (4, 4) comes in with each, and `growth` m^2 and rad^2."""
    links, pose = LoopLinks(BASE_T_CAMERA), np.eye(4)
    for index in range(seconds):
        if index:
            step = inverse_transform(base(index - 1)) @ base(index)
            pose = pose @ step @ (np.eye(4) if drift is None else drift)
        links.add_odometry(index * SECOND, pose, np.eye(6) * growth * index)
    return links


def add_nodes(links: LoopLinks, nodes: dict[int, int]) -> None:
    """Let the graph grow by a node at each of these seconds."""
    for count, (node, second) in enumerate(nodes.items(), start=1):
        links.add_node(node, second * SECOND)
        links.add_graph(list(nodes)[:count], [])


@given(st.integers(0, 8), st.integers(12, 20))
def test_a_link_is_the_true_motion_of_the_base_whatever_images_the_loop_is_between(
    reference: int, query: int
) -> None:
    links = links_of(21)
    add_nodes(links, {1: 2, 2: 7, 5: 13, 6: 19})
    links.add_loop(loop(reference, query))
    [link] = links.take()
    assert link.to_id == (1 if reference <= 4 else 2)
    assert link.from_id == (5 if query <= 16 else 6)
    times = links.nodes[link.from_id] // SECOND, links.nodes[link.to_id] // SECOND
    true = inverse_transform(base(times[0])) @ base(times[1])
    np.testing.assert_allclose(link.from_T_to, true, atol=1e-9)


def test_a_link_corrects_the_drift_between_its_ends() -> None:
    drift = make_transform(rotation_from_vector(np.array([0, 0, 0.03])), np.array([0.02, 0, 0]))
    links = links_of(21, drift)
    add_nodes(links, {1: 0, 2: 19})
    links.add_loop(loop(0, 20))
    [link] = links.take()
    true = inverse_transform(base(19)) @ base(0)
    # What is left is the drift of the one second between image and node.
    assert np.linalg.norm(link.from_T_to[:3, 3] - true[:3, 3]) < 0.05


def test_the_information_is_that_of_the_least_certain_direction_and_of_the_odometry() -> None:
    links = links_of(21, growth=1e-4)
    add_nodes(links, {1: 0, 2: 20})
    links.add_loop(loop(0, 20))
    [link] = links.take()
    variance = 1 / np.diag(link.information)
    arm = np.linalg.norm(BASE_T_CAMERA[:3, 3])
    np.testing.assert_allclose(variance[3:], 0.003**2)
    np.testing.assert_allclose(variance[:3], 0.03**2 + arm**2 * 0.003**2)

    links = links_of(21, growth=1e-4)
    add_nodes(links, {1: 2, 2: 19})
    links.add_loop(loop(0, 20))
    [link] = links.take()
    np.testing.assert_allclose(1 / np.diag(link.information)[3:], 0.003**2 + 3e-4)
    assert np.count_nonzero(link.information - np.diag(np.diag(link.information))) == 0


def test_a_loop_waits_for_the_odometry_of_its_images_and_for_nodes() -> None:
    links = links_of(20)
    links.add_loop(loop(0, 20))
    assert links.take() == []
    add_nodes(links, {1: 0, 2: 19})
    assert links.take() == []
    links.add_odometry(20 * SECOND, base(20), np.eye(6) * 1e-6)
    assert len(links.take()) == 1
    assert links.take() == []


def test_so_many_loops_wait_and_the_newest_are_kept() -> None:
    links = links_of(21)
    for _ in range(KEPT_LOOPS):
        links.add_loop(loop(0, 19))
    assert links.waiting == KEPT_LOOPS
    for _ in range(KEPT_LOOPS):
        links.add_loop(loop(0, 20))
    assert links.waiting == KEPT_LOOPS
    add_nodes(links, {1: 0, 2: 19, 3: 20})
    assert [(link.from_id, link.to_id) for link in links.take()] == [(3, 1)]


def test_a_loop_within_one_node_is_no_link() -> None:
    links = links_of(21)
    add_nodes(links, {1: 10})
    links.add_loop(loop(0, 20))
    assert links.take() == []
    assert not links.waiting


def test_two_nodes_are_linked_once_unless_the_link_was_not_taken() -> None:
    links = links_of(21)
    add_nodes(links, {1: 0, 2: 20})
    links.add_loop(loop(0, 20))
    links.add_loop(loop(1, 20))
    [link] = links.take()
    links.add_loop(loop(0, 19))
    assert links.take() == []  # asked for, and not answered
    assert links.add_graph([1, 2], []) == []
    links.add_answer(link)
    assert links.add_graph([1, 2], []) == [(link, False)]
    links.add_loop(loop(0, 19))
    [link] = links.take()
    links.add_answer(link)
    assert links.add_graph([1, 2], [(1, 2)]) == [(link, True)]
    links.add_loop(loop(0, 19))
    assert links.take() == []


def test_nodes_that_rtabmap_forgot_or_made_unseen_are_not_used() -> None:
    links = links_of(21)
    links.add_node(3, 2 * SECOND)
    assert links.nodes == {}  # no graph has it yet
    links.add_graph([1, 2, 3], [])  # 1 and 2 were made before anyone listened
    assert links.nodes == {3: 2 * SECOND}
    links.add_node(4, 3 * SECOND)
    links.add_graph([1, 2, 3, 5], [])
    links.add_node(6, 4 * SECOND)
    links.add_graph([-7, 1, 2, 4, 5, 6], [])  # -7 is a landmark
    assert links.nodes == {6: 4 * SECOND}


def test_a_node_whose_image_has_no_odometry_is_not_used() -> None:
    links = links_of(21)
    links.add_node(1, SECOND // 2)
    links.add_graph([1], [])
    links.add_loop(loop(0, 20))
    assert links.take() == []
    add_nodes(links, {2: 2, 3: 19})
    [link] = links.take()
    assert (link.from_id, link.to_id) == (3, 2)
