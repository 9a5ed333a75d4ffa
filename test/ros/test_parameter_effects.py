"""Each parameter changes what the node does; one without a case here fails."""

from __future__ import annotations

import array
import operator
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import pytest
import rclpy
import torch
from flow_matcher import FlowMatcher
from known_world import known_matcher
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecyclePublisher
from rclpy.parameter import Parameter
from scenes import HEIGHT, MATRIX, STEP_NS, WIDTH, camera_info_msg, header, image_msg, picture
from sensor_msgs.msg import Image

from loftr_ros.evaluation.replay.backends import prepare_process
from loftr_ros.frontend import BaseOdometry, Session, Step, TrackingResult
from loftr_ros.ros import transforms
from loftr_ros.ros.frames import Arrival, DepthInput, FrameReader, ImageInput
from loftr_ros.ros.inputs import Inputs
from loftr_ros.ros.node import LoftrNode
from loftr_ros.ros.processing import Processor, ignore, know_no_transform
from loftr_ros.settings.matcher import load_matcher
from loftr_ros.settings.parameters import NodeParameters, declarations

Values = dict[str, Any]
BASELINE_M = 0.03
"""How far the camera of `scenes` moves from one picture to the next where the walls are so near."""
SENT: list[tuple[str, Any]] = []
"""Topics and messages that lifecycle publishers were given, and transforms as '/tf'."""


@dataclass(frozen=True)
class Effect:
    """What a parameter changes.

    Attributes:
        value: Another value than the default.
        observe: Returns what happens with all values.
        compare: Holds between what happens before and after the change.
        given: Values of other parameters.
    """

    value: Any
    observe: Callable[[Values], Any]
    compare: Callable[[Any, Any], bool] = operator.ne
    given: Values = field(default_factory=dict)


# --- the matcher ---


def matcher(values: Values) -> Any:  # noqa: ANN401 - of any features
    return load_matcher(NodeParameters().with_values(values))


def matches(values: Values, rotated: bool = False) -> Any:  # noqa: ANN401
    first, second = picture(0), picture(1)
    return matcher(values).match_images(first, second[::-1, ::-1].copy() if rotated else second)


def loading(values: Values) -> str:
    """Return the name of the weights and their device, or why there is none."""
    try:
        found = matcher(values)
    except (OSError, ValueError) as error:
        return str(error)
    return f'{found.weights_name} on {found.device}'


def threads(values: Values) -> int:
    before = torch.get_num_threads(), cv2.getNumThreads()
    prepare_process(NodeParameters().with_values(values))
    found = torch.get_num_threads()
    torch.set_num_threads(before[0])
    cv2.setNumThreads(before[1])
    return found


# --- frames and tracking ---


def image_input(index: int, number: int, name: str = 'image') -> ImageInput:
    info = camera_info_msg(0)
    info.d[0] = 0.05
    info.p = np.column_stack([MATRIX, np.zeros(3)]).reshape(12)
    return ImageInput(image_msg(picture(index), (number + 1) * STEP_NS), info, f'/{name}', '/info')


def depth_input(number: int) -> DepthInput:
    """Return the depth of the two walls, which pass by 1.2 and 3 px with each picture."""
    metres = np.full((HEIGHT, WIDTH), MATRIX[0, 0] * BASELINE_M / 1.2, np.float32)
    metres[HEIGHT // 2 :] = MATRIX[0, 0] * BASELINE_M / 3
    msg = Image(header=header((number + 1) * STEP_NS), height=HEIGHT, width=WIDTH)
    msg.encoding, msg.step = '32FC1', 4 * WIDTH
    msg.data = array.array('B', metres.tobytes())
    return DepthInput(msg, '/depth')


def arrivals(mode: str, indices: list[int]) -> Iterator[Arrival]:
    for number, index in enumerate(indices):
        depth = depth_input(number) if mode == 'rgbd' else None
        yield Arrival((image_input(index, number),), 0.0, depth)


def steps(values: Values, indices: list[int]) -> list[Step]:
    parameters = NodeParameters().with_values({'input.rectified': True, **values})
    processor = Processor(FlowMatcher(), parameters, lambda *_: None)
    return [processor.process(arrival) for arrival in arrivals(parameters.mode, indices)]


def results(values: Values, count: int = 4) -> list[TrackingResult]:
    return [step.result for step in steps(values, list(range(count))) if step.result is not None]


def aligned(values: Values) -> bool:
    """Return whether a frame can be aligned with the last matched one."""
    parameters = NodeParameters().with_values({'input.rectified': True, **values})
    processor = Processor(FlowMatcher(), parameters, lambda *_: None)
    *first, last = arrivals(parameters.mode, list(range(4)))
    for arrival in first:
        processor.process(arrival)
    return processor.align(last) is not None


def keyframes(values: Values) -> int:
    """Count the keyframes after the first, where a quarter of the view is lost with each frame."""
    world = known_matcher()
    world.kept_rows = {number: slice(0, 30 - 6 * number) for number in range(1, 4)}
    session = Session(world, NodeParameters().with_values(values).session_options())
    found = [session.process(world.frame(number)).result for number in range(1, 4)]
    return sum(result.new_keyframe for result in found if result is not None)


def references(values: Values) -> list[int]:
    return [result.reference.stamp_ns for result in results(values)]


def states(values: Values) -> str:
    return results(values)[-1].pose.state.name


def deviation(values: Values) -> float:
    covariance = results(values)[-1].pose.covariance
    assert covariance is not None
    return float(np.trace(covariance))


def is_metric(values: Values) -> bool:
    return results(values)[-1].pose.metric


def bridged(values: Values) -> int:
    """Count the estimates of a camera that sees nothing any more."""
    values = {'odometry.extrinsics': 'parameter', 'input.rectified': True, **values}
    parameters = NodeParameters().with_values(values)
    gyroscope = parameters.make_gyroscope()
    odometry = BaseOdometry(gyroscope=gyroscope)
    given = lambda *_: None, know_no_transform, ignore, odometry, gyroscope
    processor = Processor(FlowMatcher(), parameters, *given)
    *lit, dark = arrivals(parameters.mode, [0, 1, 2, 3])
    dark.images[0].image.data = array.array('B', bytes(range(100)) * (HEIGHT * WIDTH // 100))
    for sample in range(0, 5 * STEP_NS, STEP_NS // 10):
        processor.add_imu(sample, np.zeros(3), 'imu')
    found = [processor.process(arrival).estimate for arrival in (*lit, dark)]
    return sum(estimate is not None and estimate.bridged for estimate in found)


def masked(values: Values) -> int:
    reference = results(values)[-1].reference
    return 0 if reference.mask is None else int((~reference.mask).sum())


THERE_AND_BACK = [*range(0, 14, 2), *range(12, -1, -2)]
LOOPS = {'reference': 'previous', 'loop.min_age': 0.2, 'loop.interval': 0.0, 'loop.enabled': True}


def searches(values: Values) -> list[bool]:
    """Return of each search for a loop whether there was a place that looks alike."""
    parameters = NodeParameters().with_values({'input.rectified': True, **values})
    processor = Processor(FlowMatcher(), parameters, lambda *_: None)
    found = []
    for arrival in arrivals('mono', THERE_AND_BACK):
        search = processor.session.find_loops(processor.process(arrival))
        if search is not None:
            found.append(search.candidate is not None)
    return found


def fewer(before: list[bool], after: list[bool]) -> bool:
    return sum(before) > sum(after)


def shorter(before: list[bool], after: list[bool]) -> bool:
    return len(before) > len(after)


def distortion(values: Values) -> float:
    reader = FrameReader(NodeParameters().with_values(values), lambda *_: None, lambda *_: None)
    camera = reader.image(image_input(0, 0)).camera
    assert camera is not None
    return float(np.abs(camera.distortion).sum())


def baseline(values: Values) -> float:
    reader = FrameReader(NodeParameters().with_values(values), lambda *_: None, lambda *_: None)
    frame = reader.stereo(image_input(0, 0, 'left'), image_input(1, 0, 'right'))
    return 0.0 if frame.right is None else float(frame.right.left_T_right[0, 3])


# --- the node ---


@contextmanager
def node_of(values: Values) -> Iterator[LoftrNode]:
    context = rclpy.Context()
    rclpy.init(context=context)
    overrides = [Parameter(name, value=value) for name, value in values.items()]
    node = LoftrNode(lambda _: FlowMatcher(), context=context, parameter_overrides=overrides)
    try:
        yield node
    finally:
        node.destroy_node()
        rclpy.shutdown(context=context)


@contextmanager
def active(values: Values) -> Iterator[LoftrNode]:
    with node_of({'autostart': False, **values}) as node:
        node.trigger_configure()
        if node.state == 'inactive':
            node.trigger_activate()
        yield node


def subscriptions(values: Values) -> dict[str, tuple[str, str, int]]:
    """Return type, reliability and depth of the node's subscriptions by their topic."""
    with active(values) as node:
        return {
            each.topic_name: (
                each.msg_type.__name__,
                each.qos_profile.reliability.name,
                each.qos_profile.depth,
            )
            for each in node.subscriptions
        }


def published(values: Values) -> list[tuple[str, Any]]:
    """Return what the node publishes about a few frames with depth."""
    SENT.clear()
    given = {'mode': 'rgbd', 'odometry.extrinsics': 'parameter', 'input.rectified': True}
    with active(given | values) as node:
        for arrival in arrivals('rgbd', [0, 1, 2]):
            node._process(arrival)
    return list(SENT)


def topics(values: Values) -> set[str]:
    return {topic for topic, _ in published(values)}


def odometry(values: Values) -> tuple[str, str, tuple[float, ...]]:
    """Return the frames and the last position of the odometry; of none the state of the node."""
    found = [msg for topic, msg in published(values) if topic.endswith('/odometry')]
    if not found:
        return '', '', ()
    position = found[-1].pose.pose.position
    place = tuple(round(number, 3) for number in (position.x, position.y, position.z))
    return found[-1].header.frame_id, found[-1].child_frame_id, place


def twist_variance(values: Values) -> float:
    found = [msg for topic, msg in published(values) if topic.endswith('/odometry')]
    return float(found[-1].twist.covariance[0])


def state(values: Values) -> str:
    with node_of(values) as node:
        executor = SingleThreadedExecutor(context=node.context)
        executor.add_node(node)
        deadline = time.monotonic() + (10 if node.parameters.autostart else 0.5)
        while node.state != 'active' and time.monotonic() < deadline:
            executor.spin_once(0.05)
        executor.shutdown()
        return node.state


def dropped(values: Values) -> int:
    """Return how many of three frames are dropped that come while the worker is busy."""
    with active(values) as node:
        assert node.pipeline is not None
        worker, busy, free = node.pipeline.worker, threading.Event(), threading.Event()
        worker.call(busy.set)
        worker.call(lambda: free.wait(10))
        assert busy.wait(10)
        for arrival in arrivals('mono', [0, 1, 2]):
            worker.submit(arrival)
        free.set()
        worker.call(lambda: None).result(10)
        return worker.dropped


def sets(values: Values) -> int:
    """Return how many pairs arrive of one that is 5 ms apart and one of equal stamps."""
    found: list[Arrival] = []
    parameters = NodeParameters().with_values({'mode': 'pair', **values})
    with node_of({'autostart': False}) as node:
        given = found.append, lambda *_: None, lambda *_: None
        inputs = Inputs(node, parameters, *given)
        inputs._latest_infos = [camera_info_msg(0)] * 2
        for stamps in ((100_000_000, 105_000_000), (300_000_000, 300_000_000)):
            for index, stamp in enumerate(stamps):
                inputs._on_image(image_msg(picture(0), stamp), index)
        inputs.close()
    return len(found)


def silent(values: Values) -> bool:
    parameters = NodeParameters().with_values(values)
    with node_of({'autostart': False}) as node:
        inputs = Inputs(node, parameters, lambda _: None, lambda *_: None, lambda _: None)
        time.sleep(0.15)
        problems = inputs.report()[1]
        inputs.close()
    return bool(problems)


def mask_files(folder: Any) -> list[str]:  # noqa: ANN401
    mask = np.full((HEIGHT, WIDTH), 255, np.uint8)
    mask[:40] = 0
    assert cv2.imwrite(str(folder / 'mask.png'), mask)
    return [str(folder / 'mask.png')]


def calibration_files(folder: Any) -> list[str]:  # noqa: ANN401
    (folder / 'sensor.yaml').write_text(
        f'resolution: [{WIDTH}, {HEIGHT}]\nintrinsics: [130, 130, 79.5, 59.5]\n'
        'distortion_model: radtan\ndistortion_coefficients: [0.3, 0.3, 0, 0]\n'
    )
    return [str(folder / 'sensor.yaml')]


RGBD = {'mode': 'rgbd'}
LASTING = {'keyframe.min_survival': 0.0, 'keyframe.min_overlap': 0.0, 'keyframe.max_parallax': 10.0}
EFFECTS: Mapping[str, Effect] = {
    'mode': Effect('pair', lambda values: set(subscriptions(values))),
    'reference': Effect('previous', references),
    'autostart': Effect(False, state),
    'every_frame': Effect('aligned', aligned, operator.lt),
    'matcher.weights': Effect('/nowhere/none.safetensors', loading),
    'matcher.configuration': Effect('nowhere', loading),
    'matcher.device': Effect('cuda:99', loading),
    'matcher.longer_side': Effect(320, lambda values: matcher(values).network_size(480, 640).size),
    'matcher.precision': Effect(
        'bfloat16',
        lambda values: matches(values).confidence.tobytes(),
        given={'matcher.precision': 'float32'},
    ),
    'matcher.providers': Effect('RocketExecutionProvider', loading),
    'matcher.num_threads': Effect(2, threads, given={'matcher.num_threads': 1}),
    'matcher.confidence_threshold': Effect(
        1.0, lambda values: len(matches(values).confidence), operator.gt
    ),
    'matcher.max_matches': Effect(
        10, lambda values: len(matches(values).confidence), lambda _, after: after == 10
    ),
    'matcher.try_views': Effect(True, lambda values: matches(values, rotated=True).rotation),
    'input.image_transport': Effect('compressed', subscriptions),
    'input.depth_transport': Effect('compressedDepth', subscriptions, given=RGBD),
    'input.rectified': Effect(True, distortion, operator.gt),
    'input.left_T_right': Effect(
        (0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0), baseline, lambda _, after: after == 0.5
    ),
    'input.calibration_file': Effect(None, distortion, operator.lt),
    'input.masks': Effect(None, masked, operator.lt),
    'input.gyroscope': Effect((1e-3, 1e-5, 0.0, 0.0, 0.0, 1.0), bridged, operator.lt, RGBD),
    'input.reliability': Effect('reliable', subscriptions),
    'input.queue_size': Effect(7, subscriptions),
    'input.process_every_frame': Effect(True, dropped, operator.gt),
    'input.sync_slop': Effect(0.0, sets, operator.gt),
    'input.silent_timeout': Effect(0.1, silent),
    'keyframe.min_survival': Effect(1.0, keyframes, operator.lt, LASTING),
    'keyframe.min_overlap': Effect(1.0, keyframes, operator.lt, LASTING),
    'keyframe.max_parallax': Effect(0.001, keyframes, operator.lt, LASTING),
    'pose.min_support': Effect(5000.0, states),
    'pose.max_direction_sigma': Effect(0.001, states),
    'pose.shared_growth': Effect(0.5, deviation, operator.lt),
    'depth.range': Effect((10.0, 20.0), is_metric, operator.gt, RGBD),
    'depth.noise': Effect((0.2, 0.0), deviation, operator.lt, RGBD),
    'odometry.odom_frame': Effect('start', odometry),
    'odometry.base_frame': Effect('robot', odometry),
    'odometry.scale': Effect('odometry', lambda values: set(subscriptions(values))),
    'odometry.extrinsics': Effect('tf', odometry, given={'odometry.extrinsics': 'parameter'}),
    'odometry.base_T_camera': Effect((0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0), odometry),
    'odometry.twist_covariance': Effect('displacement', twist_variance, operator.gt),
    'loop.enabled': Effect(False, searches, shorter, LOOPS),
    'loop.memory': Effect(3, searches, fewer, LOOPS),
    'loop.min_age': Effect(100.0, searches, fewer, LOOPS),
    'loop.interval': Effect(10.0, searches, shorter, LOOPS),
    'publish.tf': Effect(False, topics),
}


@pytest.fixture(autouse=True)
def record(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what is published, so that no other node has to receive it."""
    monkeypatch.setattr(
        LifecyclePublisher, 'publish', lambda self, msg: SENT.append((self.topic_name, msg))
    )
    monkeypatch.setattr(
        transforms.TransformSender, 'send', lambda _, *sent: SENT.append(('/tf', sent))
    )


@pytest.mark.parametrize('name', declarations())
def test_a_parameter_has_an_effect(name: str, tmp_path: Any) -> None:  # noqa: ANN401
    effect = EFFECTS[name]
    files = {'input.masks': mask_files, 'input.calibration_file': calibration_files}
    value = files[name](tmp_path) if name in files else effect.value
    given = dict(effect.given)
    if name == 'matcher.providers':
        pytest.importorskip('onnxruntime', reason='onnxruntime is not installed (extra onnx)')
        given['matcher.weights'] = str(tmp_path)
    before, after = effect.observe(given), effect.observe(given | {name: value})
    assert effect.compare(before, after), (before, after)
