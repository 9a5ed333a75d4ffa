"""Make what exists while the node is configured: the matcher and the pipeline."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import wait
from dataclasses import dataclass
from typing import TYPE_CHECKING

from loftr_ros.frontend import BaseOdometry
from loftr_ros.ros.dispatch import Dispatcher
from loftr_ros.ros.odometry import OdometryOutputs, extrinsics_of
from loftr_ros.ros.outputs import Outputs
from loftr_ros.ros.pipeline import Pipeline
from loftr_ros.ros.processing import Processor
from loftr_ros.ros.transforms import TransformListener

if TYPE_CHECKING:
    from rclpy.lifecycle import LifecycleNode

    from loftr_ros.ros.frames import Arrival, Refuse
    from loftr_ros.ros.worker import Worker
    from loftr_ros.settings.matcher import NodeMatcher
    from loftr_ros.settings.parameters import NodeParameters

WARM_UP_SIZE = 480, 640
"""Height and width of the images that the model is warmed up with, px."""


@dataclass(frozen=True, kw_only=True)
class Hooks:
    """What the pipeline calls.

    Attributes:
        refuse: Takes the topic and the reason of an input that is not used.
        align: Aligns an arrival; returns whether it was done.
        fail: Takes an unexpected error.
    """

    refuse: Refuse
    align: Callable[[Arrival], bool]
    fail: Callable[[BaseException], None]


def load_in_worker(
    worker: Worker[Arrival],
    make: Callable[[], NodeMatcher],
    meanwhile: Callable[[], None],
    interval_s: float,
) -> tuple[NodeMatcher, float]:
    """Load and warm up a matcher in the thread that will match.

    OpenMP keeps a team for each thread that loads or computes, and once the teams outnumber the
    cores it sends them to sleep after each operation.

    Args:
        worker: The thread.
        make: Loads the matcher.
        meanwhile: Called every `interval_s` seconds: a download may take minutes.
        interval_s: Time between two calls, s.

    Returns:
        The matcher, and the time of its warm-up, s.
    """

    def load() -> tuple[NodeMatcher, float]:
        matcher = make()
        return matcher, matcher.warm_up(*WARM_UP_SIZE)

    loading = worker.call(load)
    while wait([loading], timeout=interval_s).not_done:
        meanwhile()
    return loading.result()


def new_pipeline(
    node: LifecycleNode,
    parameters: NodeParameters,
    matcher: NodeMatcher,
    worker: Worker[Arrival],
    hooks: Hooks,
) -> Pipeline:
    """Create all publishers and what computes for them."""
    transforms = TransformListener(node if parameters.needs_transforms else None)
    odometry, gyroscope = None, parameters.make_gyroscope()
    if parameters.has_odometry:
        odometry = BaseOdometry(extrinsics_of(parameters, transforms.lookup), gyroscope)
    elif parameters.mode == 'mono':
        node.get_logger().info('one camera knows no scale: no odometry (odometry.scale)')
    warn = node.get_logger().warning
    given = hooks.refuse, transforms.lookup, warn, odometry, gyroscope
    processor = Processor(matcher, parameters, *given)
    dispatcher = None
    if parameters.aligns:
        dispatcher = Dispatcher(
            worker, hooks.align, lambda: processor.start is not None, hooks.fail
        )
    return Pipeline(
        processor=processor,
        worker=worker,
        outputs=Outputs(node, matcher.weights_name, matcher.weights_hash),
        odometry=OdometryOutputs(node, parameters) if parameters.has_odometry else None,
        transforms=transforms,
        dispatcher=dispatcher,
    )
