"""What exists while the node is configured, and what is done with all of it."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from loftr_ros.frontend import Localization, Step
    from loftr_ros.ros.dispatch import Dispatcher
    from loftr_ros.ros.frames import Arrival
    from loftr_ros.ros.odometry import OdometryOutputs
    from loftr_ros.ros.outputs import Outputs
    from loftr_ros.ros.processing import Processor
    from loftr_ros.ros.transforms import TransformListener
    from loftr_ros.ros.worker import Worker
    from loftr_ros.settings.parameters import NodeParameters


@dataclass(frozen=True)
class Pipeline:
    """From an arrival to all that is published.

    Attributes:
        processor: Makes results.
        worker: The thread that does all of it.
        outputs: Publishes matches and poses.
        odometry: Publishes odometry; None where motion is not metric.
        transforms: Receives the transforms of the robot.
        dispatcher: Hands arrivals to the worker, or to a thread that aligns; None where the worker
            takes all of them.
    """

    processor: Processor
    worker: Worker[Arrival]
    outputs: Outputs
    odometry: OdometryOutputs | None
    transforms: TransformListener
    dispatcher: Dispatcher | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def dropped(self) -> int:
        """How many arrivals were dropped for newer ones."""
        return self.worker.dropped if self.dispatcher is None else self.dispatcher.dropped

    def model(self) -> dict[str, str]:
        """Return name, hash and device of the weights, and the size that images are matched at."""
        matcher = self.processor.matcher
        return {
            'weights': matcher.weights_name,
            'weights sha256': matcher.weights_hash,
            'device': matcher.device,
            'size': self.processor.network_size,
        }

    def submit(self, arrival: Arrival) -> None:
        """Hand over an arrival; from any thread."""
        if self.dispatcher is None:
            self.worker.submit(arrival)
        else:
            self.dispatcher.submit(arrival)

    def clear(self) -> None:
        """Forget the arrivals that wait; from any thread."""
        if self.dispatcher is None:
            self.worker.clear()
        else:
            self.dispatcher.clear()

    def problem(self) -> str:
        """Say why a thread does not go on; '' where all is well."""
        aligning = None if self.dispatcher is None else self.dispatcher.aligning
        return self.worker.problem() or ('' if aligning is None else aligning.problem())

    def stop(self, timeout: float) -> bool:
        """End the threads; returns whether they have ended within `timeout` seconds."""
        deadline = time.monotonic() + timeout
        ended = self.dispatcher is None or self.dispatcher.stop(timeout)
        return self.worker.stop(max(0.0, deadline - time.monotonic())) and ended

    def publish(self, step: Step, parameters: NodeParameters) -> None:
        """Publish matches, pose and odometry; in the thread that made them."""
        odometry = self.processor.session.odometry
        with self._lock:
            if step.result is not None:
                self.outputs.publish(step.result, parameters)
            if self.odometry is not None and odometry is not None:
                self.odometry.publish(step, parameters, odometry.started)

    def close_loops(self, step: Step) -> None:
        """Look for saved places and loops at a keyframe; in the worker's thread."""
        places = self.processor.find_place(step)
        if places is not None and places.found is not None:
            self._publish_place(places.found)
        search = self.processor.find_loops(step)
        for closure in () if search is None else search.closures:
            self.outputs.publish_loop(closure)

    def relocalize(self) -> str:
        """Look for the present keyframe in saved places; in the worker's thread.

        Returns:
            What was found, in words.

        Raises:
            ValueError: It was not found, or there is nothing to look for.
        """
        search = self.processor.session.relocalize()
        if search.found is None:
            raise ValueError(str(search))
        self._publish_place(search.found)
        return str(search)

    def _publish_place(self, found: Localization) -> None:
        self.outputs.publish_loop(found.closure)
        odometry = self.processor.session.odometry
        if self.odometry is not None and odometry is not None:
            frame_id = found.closure.query.frame_id
            self.odometry.publish_map_pose(found, odometry.extrinsics(frame_id))

    def set_keyframe(self) -> None:
        """Make the next frame the keyframe; in the worker's thread."""
        self.processor.set_keyframe()

    def reset(self) -> None:
        """Forget all frames so far and all motion; in the worker's thread."""
        self.processor.reset()
        if self.dispatcher is not None:
            self.dispatcher.aligning.call(self.processor.between.reset)
        if self.odometry is not None:
            self.odometry.clear_path()

    def set_pose(
        self, odom_T_base: npt.NDArray[np.float64], covariance: npt.NDArray[np.float64]
    ) -> None:
        """Set the pose of the base between two frames; from any thread."""
        self.worker.call(lambda: self._set_pose(odom_T_base, covariance))

    def _set_pose(
        self, odom_T_base: npt.NDArray[np.float64], covariance: npt.NDArray[np.float64]
    ) -> None:
        odometry = self.processor.session.odometry
        if odometry is not None and self.odometry is not None:
            odometry.set_pose(odom_T_base, covariance)
            self.processor.session.moved_odometry()
            self.odometry.clear_path()

    def set_speed(self, stamp_ns: int, metres_per_second: float) -> None:
        """Give the odometry the speed of the base at a time; from any thread."""
        odometry = self.processor.session.odometry
        if odometry is not None:
            self.worker.call(lambda: odometry.set_speed(stamp_ns, metres_per_second))

    def close(self) -> None:
        """Give back what others listen to or send to; the worker is stopped before."""
        self.outputs.close()
        if self.odometry is not None:
            self.odometry.close()
        self.transforms.close()
