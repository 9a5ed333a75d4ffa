"""Messages in, results out, without a ROS graph."""

from __future__ import annotations

import array

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from flow_matcher import FlowFeatures, FlowMatcher
from scenes import STEP_NS, camera_info_msg, compressed_msg, image_msg, picture
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from loftr_ros.frontend import TrackingResult
from loftr_ros.ros import frames
from loftr_ros.ros.frames import Arrival, ImageInput, InputError, read_frame
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
            NodeParameters().with_values(parameters),
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
        NodeParameters().with_values(
            {
                'reference': 'previous',
                'matcher.max_matches': 25,
                'matcher.confidence_threshold': 0.4,
            }
        )
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


def test_rotations_reach_loftr() -> None:
    matcher = load_matcher(NodeParameters().with_values({'matcher.try_rotations': True}))
    image = picture(0)
    features = [matcher.encode(each) for each in (image, np.ascontiguousarray(image[::-1, ::-1]))]
    assert matcher.match(*features).rotation == 180


@pytest.mark.parametrize(
    ('topic', 'rectified', 'focal'),
    [
        ('/camera/image_raw', False, 130),
        ('/camera/image_rect', False, 100),
        ('/camera/image_rect_color/compressed', False, 100),
        ('/image_rect/image', False, 130),
        ('/camera/image_raw', True, 100),
    ],
)
def test_a_rectified_image_is_known_by_its_name(topic: str, rectified: bool, focal: float) -> None:
    info = camera_info_msg(0)
    info.p = [100.0, 0.0, 79.5, 0.0, 0.0, 100.0, 59.5, 0.0, 0.0, 0.0, 1.0, 0.0]
    image = ImageInput(image_msg(picture(0), STEP_NS), info, topic, '/camera_info')
    frame, problem = read_frame(image, rectified)
    assert not problem
    assert frame.camera is not None
    assert frame.camera.matrix[0, 0] == focal


def test_the_reason_of_a_lost_pose_distinguishes_a_refused_calibration_from_none() -> None:
    bench = Bench()
    wrong = camera_info_msg(0, width=320, height=240)
    bench.mono(0, wrong)
    pose = require(bench.mono(1, wrong)).pose
    assert 'the calibration of the reference image is refused: the image has 160x120' in pose.reason
    other = Bench()
    other.mono(0, None)
    assert require(other.mono(1, None)).pose.reason.startswith('no camera calibration')


def test_a_small_file_of_many_pixels_is_refused_and_later_images_keep_their_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cv2, 'imdecode', lambda *_: pytest.fail('it was decoded'))
    bench = Bench()
    bench.mono(0)
    large = cv2.imencode('.png', np.zeros((1000, 1000), np.uint8))[1].tobytes()
    msg = CompressedImage(format='mono8; png compressed ', data=array.array('B', large))
    with pytest.raises(InputError, match=r'has 1000x1000 px, but its camera_info is for 160x120'):
        bench.processor.process(Arrival((image_input(msg),), 0.0))
    assert len(require(bench.mono(1)).matches) > 20
    assert not bench.processor.fallback


def test_an_image_that_memory_cannot_hold_is_no_lack_of_memory_for_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    bench = Bench()
    with monkeypatch.context() as patch:
        patch.setattr(frames, 'image_from_msg', fail)
        with pytest.raises(InputError, match='no memory to read the image'):
            bench.mono(0)
    assert not bench.processor.fallback
    assert bench.matcher.longer_side is None
