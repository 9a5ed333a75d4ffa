"""Messages in, results out, without a ROS graph."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from flow_matcher import FlowFeatures, FlowMatcher
from scenes import STEP_NS, camera_info_msg, compressed_msg, image_msg, picture
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from loftr_ros.frontend import TrackingResult
from loftr_ros.matching.config import LITE
from loftr_ros.matching.limits import NetworkSize, SizeLimits
from loftr_ros.ros.frames import Arrival, ImageInput, InputError
from loftr_ros.ros.processing import Processor
from loftr_ros.settings.matcher import load_matcher
from loftr_ros.settings.parameters import NodeParameters

CALIBRATION = camera_info_msg(0)


class Bench:
    def __init__(self, **parameters: object) -> None:
        self.refusals: list[tuple[str, str]] = []
        self.matcher = FlowMatcher()
        self.processor = Processor(
            self.matcher,
            NodeParameters(**parameters),  # type: ignore[arg-type]
            lambda topic, reason: self.refusals.append((topic, reason)),
        )

    def mono(
        self, index: int, camera_info: CameraInfo | None = CALIBRATION
    ) -> TrackingResult | None:
        msg = image_msg(picture(index), (index + 1) * STEP_NS)
        return self.processor.process(Arrival((image_input(msg, camera_info),), 0.0)).result


def image_input(
    msg: Image | CompressedImage, camera_info: CameraInfo | None = CALIBRATION, name: str = ''
) -> ImageInput:
    return ImageInput(msg, camera_info, f'/image{name}', f'/camera_info{name}')


def require(result: TrackingResult | None) -> TrackingResult:
    assert result is not None
    return result


def test_the_first_frame_has_nothing_to_be_matched_to() -> None:
    bench = Bench()
    assert bench.mono(0) is None
    result = require(bench.mono(1))
    assert (result.reference.stamp_ns, result.query.stamp_ns) == (STEP_NS, 2 * STEP_NS)
    assert len(result.matches) > 20
    assert not bench.refusals


def test_without_a_calibration_there_are_matches_but_no_pose() -> None:
    bench = Bench()
    bench.mono(0, None)
    result = require(bench.mono(1, None))
    assert len(result.matches) > 20
    assert not result.pose.state.has_pose
    assert 'no camera calibration' in result.pose.reason


def test_a_calibration_that_comes_late_starts_a_new_keyframe() -> None:
    bench = Bench(reference='keyframe')
    bench.mono(0, None)
    bench.mono(1, None)
    assert require(bench.mono(2)).new_keyframe
    assert 'calibration' not in require(bench.mono(3)).pose.reason


def test_a_calibration_of_another_size_is_left_out_and_reported() -> None:
    bench = Bench()
    bench.mono(0)
    result = require(bench.mono(1, camera_info_msg(0, width=320, height=240)))
    assert len(result.matches) > 20
    assert not result.pose.state.has_pose
    [(topic, reason)] = bench.refusals
    assert topic == '/camera_info'
    assert 'the image has 160x120 px, but its camera_info is for 320x240 px' in reason


def test_an_image_that_cannot_be_read_names_its_topic_and_leaves_no_trace() -> None:
    bench = Bench()
    bench.mono(0)
    broken = image_msg(picture(1), 2 * STEP_NS)
    broken.step = 3
    with pytest.raises(InputError, match='/image: step is 3 bytes') as caught:
        bench.processor.process(Arrival((image_input(broken),), 0.0))
    assert caught.value.topic == '/image'
    assert require(bench.mono(2)).reference.stamp_ns == STEP_NS


def test_an_image_that_the_matcher_refuses_names_its_topic() -> None:
    bench = Bench()
    msg = image_msg(picture(0), STEP_NS)
    msg.encoding, msg.width, msg.data = 'mono16', msg.width // 2, msg.data
    with pytest.raises(InputError, match=r'/image: frame .* images must be uint8'):
        bench.processor.process(Arrival((image_input(msg, None),), 0.0))


def test_after_a_reset_an_earlier_stamp_is_the_first() -> None:
    bench = Bench()
    bench.mono(3)
    with pytest.raises(InputError, match='not after the last one'):
        bench.mono(0)
    bench.processor.reset()
    assert bench.mono(0) is None


def test_a_pair_is_matched_from_the_first_on() -> None:
    bench = Bench(mode='pair')
    images = (
        image_input(image_msg(picture(0), 7), name='0'),
        image_input(image_msg(picture(1), 8), name='1'),
    )
    result = require(bench.processor.process(Arrival(images, 0.0)).result)
    assert (result.reference.stamp_ns, result.query.stamp_ns) == (7, 8)
    assert len(set(result.track_ids.tolist())) == len(result.matches)


def test_matching_on_request_does_not_disturb_the_sequence() -> None:
    bench = Bench()
    bench.mono(0)
    pair = [image_input(image_msg(picture(i), 0), name=str(i)) for i in (8, 9)]
    assert len(bench.processor.match_images(*pair).matches) > 20
    assert require(bench.mono(1)).reference.stamp_ns == STEP_NS


def test_a_request_with_a_wrong_calibration_is_refused() -> None:
    first = image_input(image_msg(picture(0), 0), name='0')
    second = image_input(image_msg(picture(1), 0), camera_info_msg(0, 320, 240), '1')
    with pytest.raises(InputError, match='/camera_info1: the image has 160x120 px'):
        Bench().processor.match_images(first, second)


def test_compressed_images_give_the_same_matches() -> None:
    bench = Bench()
    for index in (0, 1):
        msg = compressed_msg(picture(index), index + 1)
        step = bench.processor.process(Arrival((image_input(msg),), 0.0))
    matches = require(step.result).matches
    moved = np.median(matches.query_points - matches.reference_points, axis=0)
    assert -4 < moved[0] < -1


def test_parameters_reach_tracker_and_matcher() -> None:
    bench = Bench()
    bench.processor.apply(
        NodeParameters(reference='previous', max_matches=25, confidence_threshold=0.4)
    )
    assert bench.processor.session.tracker.options.reference == 'previous'
    assert (bench.matcher.max_matches, bench.matcher.confidence_threshold) == (25, 0.4)
    bench.processor.apply(NodeParameters())
    assert (bench.matcher.max_matches, bench.matcher.confidence_threshold) == (600, None)


class SmallDevice(FlowMatcher):  # type: ignore[misc,unused-ignore]
    """A device whose memory holds images up to a size."""

    def __init__(self, largest: int, error: Exception) -> None:
        super().__init__()
        self.largest, self.error = largest, error

    def encode(
        self, image: npt.NDArray[np.uint8], mask: npt.NDArray[np.bool_] | None = None
    ) -> FlowFeatures:
        if min(max(image.shape), self.longer_side or 10_000) > self.largest:
            raise self.error
        return super().encode(image, mask)


NO_MEMORY = RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 80 GB")


@pytest.mark.parametrize('error', [NO_MEMORY, MemoryError('no more')])
def test_out_of_memory_the_node_goes_on_at_half_the_size_and_says_so(error: Exception) -> None:
    bench = Bench()
    warnings: list[str] = []
    bench.matcher = SmallDevice(100, error)
    bench.processor = Processor(
        bench.matcher, NodeParameters(), lambda *_: None, warn=warnings.append
    )
    assert bench.mono(0) is None
    assert len(require(bench.mono(1)).matches) > 20
    assert bench.matcher.longer_side == 80
    assert warnings == [bench.processor.fallback]
    assert warnings[0].startswith('cpu ran out of memory: images are matched at 80 px')


class LimitedDevice(SmallDevice):
    """A device for images of 15000 px."""

    def network_size(self, height: int, width: int) -> NetworkSize:
        return SizeLimits(self.longer_side, max_pixels=15_000).fit((height, width), LITE)


def test_a_limit_that_makes_images_smaller_is_reported_once_with_how_to_change_it() -> None:
    bench = Bench()
    warnings: list[str] = []
    bench.matcher = LimitedDevice(1000, NO_MEMORY)
    bench.processor = Processor(
        bench.matcher, NodeParameters(), lambda *_: None, warn=warnings.append
    )
    for index in range(3):
        bench.mono(index)
    [text] = warnings
    assert 'images of 160x120 px are matched at 141x106 px, as max_pixels is 15000 px' in text
    assert 'Raise max_pixels' in text
    assert bench.processor.network_size == text


def test_without_memory_half_of_the_limited_size_is_taken() -> None:
    bench = Bench()
    bench.matcher = LimitedDevice(100, NO_MEMORY)
    bench.processor = Processor(bench.matcher, NodeParameters(), lambda *_: None)
    assert bench.mono(0) is None
    assert bench.matcher.longer_side == 70


def test_it_falls_back_once_only() -> None:
    bench = Bench()
    bench.matcher = SmallDevice(10, NO_MEMORY)
    bench.processor = Processor(bench.matcher, NodeParameters(), lambda *_: None)
    for index in range(2):
        with pytest.raises(RuntimeError, match='allocate memory'):
            bench.mono(index)
    assert bench.matcher.longer_side == 80


def test_other_errors_are_no_lack_of_memory() -> None:
    bench = Bench()
    bench.matcher = SmallDevice(10, RuntimeError('wrong shape'))
    bench.processor = Processor(bench.matcher, NodeParameters(), lambda *_: None)
    with pytest.raises(RuntimeError, match='wrong shape'):
        bench.mono(0)
    assert bench.matcher.longer_side is None
    assert not bench.processor.fallback


def test_limits_and_rotations_reach_loftr() -> None:
    matcher = load_matcher(NodeParameters(max_pixels=5000, max_memory=900, try_rotations=True))
    assert matcher.network_size(480, 640).limit == 'max_pixels'
    image = picture(0)
    features = [matcher.encode(each) for each in (image, np.ascontiguousarray(image[::-1, ::-1]))]
    assert matcher.match(*features).rotation == 180
    assert load_matcher(NodeParameters()).network_size(480, 640).limit == ''
