"""Loop closures of loftr_ros as links between the nodes of RTAB-Map's graph.

Plain Python: no ROS here. RTAB-Map makes a node of an image now and then, and a loop closure is
between two other images; the odometry says what lies between.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from loftr_ros.geometry.transforms import inverse_transform

Array = npt.NDArray[np.float64]

KEPT_ODOMETRY = 100_000
"""So many poses are kept, an hour at 30 Hz: a loop closure may lead back to any of them."""

KEPT_LOOPS = 100
"""So many loop closures wait for the odometry of their images and for nodes."""


@dataclass(frozen=True, eq=False)
class Loop:
    """A measured pose of the camera at one time in the camera at another.

    Attributes:
        reference_ns: Time of the earlier image, ns.
        query_ns: Time of the later image, ns.
        reference_T_query: float64 (4, 4), m.
        covariance: float64 (6, 6), order x y z rx ry rz [m^2, m rad, rad^2].
    """

    reference_ns: int
    query_ns: int
    reference_T_query: Array
    covariance: Array


@dataclass(frozen=True, eq=False)
class Link:
    """A loop closure between two nodes, from the later to the earlier one as RTAB-Map's own.

    Attributes:
        from_id: The later node.
        to_id: The earlier node.
        from_T_to: The base at the earlier node in the base at the later one, float64 (4, 4), m.
        information: Inverse of the covariance, float64 (6, 6), order x y z rx ry rz. Without
            directions, as RTAB-Map keeps one matrix for both directions of a link.
        loop: What it was made of.
    """

    from_id: int
    to_id: int
    from_T_to: Array
    information: Array
    loop: Loop

    @property
    def nodes(self) -> frozenset[int]:
        """Both nodes."""
        return frozenset((self.from_id, self.to_id))


@dataclass(frozen=True, eq=False)
class _Place:
    """Pose of the base (4, 4), and variances of position [m^2] and rotation [rad^2] (2,)."""

    odom_T_base: Array
    variances: Array


class LoopLinks:
    """Takes odometry, nodes and loop closures as they come, and gives links."""

    def __init__(self, base_T_camera: Array) -> None:
        """Begin without any; `base_T_camera` (4, 4) is the optical frame in the base."""
        self._base_T_camera = base_T_camera
        self._odometry: dict[int, _Place] = {}
        self._stamps: dict[int, int] = {}
        self._present: set[int] = set()
        self._waiting: list[Loop] = []
        # What RTAB-Map was asked for; its answer says nothing, and is lost now and then.
        self._asked: dict[frozenset[int], Link] = {}
        self._answered: set[frozenset[int]] = set()
        self._linked: set[frozenset[int]] = set()

    @property
    def nodes(self) -> dict[int, int]:
        """Time of each node of the graph whose time is known, by its number, ns."""
        return {node: stamp for node, stamp in self._stamps.items() if node in self._present}

    @property
    def waiting(self) -> int:
        """So many loop closures are no links yet."""
        return len(self._waiting)

    def add_odometry(self, stamp_ns: int, odom_T_base: Array, covariance: Array) -> None:
        """Remember where the base was; covariance (6, 6) in the order x y z rx ry rz."""
        self._odometry[stamp_ns] = _Place(odom_T_base, greatest_variances(covariance))
        if len(self._odometry) > KEPT_ODOMETRY:
            del self._odometry[next(iter(self._odometry))]

    def add_node(self, node: int, stamp_ns: int) -> None:
        """Take note of the image that a node was made of."""
        self._stamps[node] = stamp_ns

    def add_graph(
        self, nodes: Iterable[int], links: Iterable[tuple[int, int]]
    ) -> list[tuple[Link, bool]]:
        """Take the graph as it is now: RTAB-Map forgets nodes, at once where the camera stands.

        Returns:
            The links that were asked for, and whether they were taken, as far as it shows now.
        """
        self._present = set(nodes)
        newest = max(self._present, default=0)
        self._stamps = {
            node: stamp
            for node, stamp in self._stamps.items()
            if node in self._present or node > newest
        }
        self._linked = {frozenset(pair) for pair in links}
        decided = self._asked.keys() & (self._linked | self._answered)
        self._answered -= decided
        return [(self._asked.pop(pair), pair in self._linked) for pair in decided]

    def add_answer(self, link: Link) -> None:
        """Take note that RTAB-Map is done with a link."""
        self._answered.add(link.nodes)

    def add_loop(self, loop: Loop) -> None:
        """Let a loop closure wait until it can be a link."""
        self._waiting = [*self._waiting[1 - KEPT_LOOPS :], loop]

    def take(self) -> list[Link]:
        """Return the links that can be made now.

        None for a loop within one node or between two that are linked: RTAB-Map ignores these.
        """
        ready = [loop for loop in self._waiting if self._is_ready(loop)]
        self._waiting = [loop for loop in self._waiting if not self._is_ready(loop)]
        known = self._linked | self._asked.keys()
        links = {link.nodes: link for link in map(self._link, ready)}
        new = {pair: link for pair, link in links.items() if len(pair) == 2 and pair not in known}
        self._asked |= new
        return list(new.values())

    def _is_ready(self, loop: Loop) -> bool:
        stamps = loop.reference_ns, loop.query_ns
        known = any(stamp in self._odometry for stamp in self.nodes.values())
        return known and all(stamp in self._odometry for stamp in stamps)

    def _link(self, loop: Loop) -> Link:
        nodes = self.nodes
        from_id, to_id = self._nearest(loop.query_ns), self._nearest(loop.reference_ns)
        ends = [(nodes[from_id], loop.query_ns), (loop.reference_ns, nodes[to_id])]
        steps = [self._step(*end) for end in ends]
        from_T_query, reference_T_to = steps
        base_T_camera = self._base_T_camera
        query_T_reference = inverse_transform(loop.reference_T_query)
        closing = base_T_camera @ query_T_reference @ inverse_transform(base_T_camera)
        variances = greatest_variances(loop.covariance) + sum(self._growth(*end) for end in ends)
        # What an error of the rotation moves, at the ends of the steps and of the camera's arm.
        arm = sum(np.linalg.norm(pose[:3, 3]) for pose in (base_T_camera, *steps))
        variances[0] += arm**2 * variances[1]
        information = np.diag(np.repeat(1 / variances, 3))
        return Link(from_id, to_id, from_T_query @ closing @ reference_T_to, information, loop)

    def _nearest(self, stamp_ns: int) -> int:
        """Return the node whose image is nearest in time."""
        known = {node: at for node, at in self.nodes.items() if at in self._odometry}
        return min(known, key=lambda node: abs(known[node] - stamp_ns))

    def _step(self, a_ns: int, b_ns: int) -> Array:
        """Return the pose of the base at b in the base at a."""
        a, b = self._odometry[a_ns], self._odometry[b_ns]
        return inverse_transform(a.odom_T_base) @ b.odom_T_base

    def _growth(self, a_ns: int, b_ns: int) -> Array:
        """Return by how much the odometry has become less certain between two times."""
        return np.abs(self._odometry[b_ns].variances - self._odometry[a_ns].variances)


def greatest_variances(covariance: Array) -> Array:
    """Return those of the least certain direction and axis (2,) of a covariance (6, 6)."""
    blocks = covariance[:3, :3], covariance[3:, 3:]
    return np.array([np.linalg.eigvalsh(block)[-1] for block in blocks])
