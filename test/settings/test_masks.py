"""Masks from files, as the node and the evaluation put them on frames."""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from flow_matcher import FlowMatcher
from scenes import STEP_NS, camera_info_msg, image_msg, picture

from loftr_ros.ros.frames import Arrival, ImageInput, InputError
from loftr_ros.ros.processing import Processor
from loftr_ros.settings.declarations import ParameterError
from loftr_ros.settings.masks import read_mask, read_masks
from loftr_ros.settings.parameters import NodeParameters

HEIGHT, WIDTH = 120, 160
LEFT_HALF = np.repeat(np.arange(WIDTH)[None] < WIDTH // 2, HEIGHT, axis=0)


def write(path: Path, mask: npt.NDArray[np.bool_]) -> str:
    assert cv2.imwrite(str(path), mask.astype(np.uint8) * 255)
    return str(path)


def arrival(*indices: int) -> Arrival:
    images = tuple(
        ImageInput(
            image_msg(picture(index), (index + 1) * STEP_NS),
            camera_info_msg(0),
            f'/image{place}',
            f'/camera_info{place}',
        )
        for place, index in enumerate(indices)
    )
    return Arrival(images, 0.0)


def processor(parameters: NodeParameters) -> Processor:
    return Processor(FlowMatcher(), parameters, lambda *_: None)


@pytest.mark.parametrize('suffix', ['png', 'bmp', 'jpg', 'webp'])
def test_a_mask_is_false_where_its_image_is_dark(tmp_path: Path, suffix: str) -> None:
    found = read_mask('mask', write(tmp_path / f'mask.{suffix}', LEFT_HALF))
    assert found is not None
    np.testing.assert_array_equal(found, LEFT_HALF)


def test_an_empty_path_is_no_mask() -> None:
    assert read_mask('mask', '') is None


def test_colour_and_transparency_make_no_difference(tmp_path: Path) -> None:
    coloured = np.dstack([LEFT_HALF.astype(np.uint8) * 255] * 3 + [np.zeros_like(LEFT_HALF, 'u1')])
    assert cv2.imwrite(str(tmp_path / 'mask.png'), coloured)
    np.testing.assert_array_equal(read_mask('mask', str(tmp_path / 'mask.png')), LEFT_HALF)


@pytest.mark.parametrize(
    ('content', 'reason'),
    [
        (None, r'input\.masks: .*mask.png cannot be read \(No such file'),
        (b'', r'input\.masks: .*mask.png is no image; save the mask as PNG'),
        (b'no image at all', r'input\.masks: .*mask.png is no image'),
        (b'\x89PNG\r\n\x1a\n' + bytes(40), r'input\.masks: .*mask.png is no image'),
    ],
)
def test_files_that_are_no_masks_are_refused_with_the_reason(
    tmp_path: Path, content: bytes | None, reason: str
) -> None:
    path = tmp_path / 'mask.png'
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ParameterError, match=reason):
        read_masks(NodeParameters().with_values({'input.masks': [str(path)]}))


def test_a_mask_of_zeros_and_ones_is_refused_with_the_remedy(tmp_path: Path) -> None:
    assert cv2.imwrite(str(tmp_path / 'mask.png'), LEFT_HALF.astype(np.uint8))
    with pytest.raises(ParameterError, match=r'brightest 1, it takes 128.*paint white, 255'):
        read_mask('mask', str(tmp_path / 'mask.png'))


def test_nothing_matches_where_the_mask_of_the_node_is_dark(tmp_path: Path) -> None:
    path = write(tmp_path / 'mask.png', LEFT_HALF)
    masked, plain = (
        processor(NodeParameters().with_values({'input.masks': [path]})),
        processor(NodeParameters()),
    )
    results = []
    for each in (masked, plain):
        each.process(arrival(0))
        results.append(each.process(arrival(1)).result)
    assert results[0] is not None
    assert results[1] is not None
    assert len(results[0].matches) > 10
    assert (results[0].matches.reference_points[:, 0] < WIDTH / 2).all()
    assert (results[1].matches.reference_points[:, 0] > WIDTH / 2).any()


def test_a_mask_of_another_size_is_refused_at_the_topic(tmp_path: Path) -> None:
    path = write(tmp_path / 'mask.png', LEFT_HALF[:100])
    each = processor(NodeParameters().with_values({'input.masks': [path]}))
    with pytest.raises(InputError, match=r'/image0: .*the mask is bool of 160x100 px.* 160x120 px'):
        each.process(arrival(0))


def test_each_camera_of_a_pair_has_its_own_mask(tmp_path: Path) -> None:
    second = np.ones((HEIGHT, WIDTH), np.bool_)
    paths = write(tmp_path / 'a.png', LEFT_HALF), write(tmp_path / 'b.png', second)
    each = processor(NodeParameters().with_values({'mode': 'pair', 'input.masks': paths}))

    result = each.process(arrival(0, 1)).result

    assert result is not None
    np.testing.assert_array_equal(result.reference.mask, LEFT_HALF)
    np.testing.assert_array_equal(result.query.mask, second)


def test_images_of_a_request_have_no_mask(tmp_path: Path) -> None:
    each = processor(
        NodeParameters().with_values({'input.masks': [write(tmp_path / 'mask.png', LEFT_HALF)]})
    )
    result = each.match_images(*arrival(0, 1).images)
    assert (result.matches.reference_points[:, 0] > WIDTH / 2).any()
