"""The host waits for a device once per pair, and computing in a fixed number of rows is exact."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from devices import META, ReplayedOnCpu, Waits, record_on_cpu
from numpy.typing import NDArray
from torch import Tensor

from loftr_ros.matching.config import LITE
from loftr_ros.matching.graphs import Inputs, Recording, Replayed
from loftr_ros.matching.matcher import Matcher
from loftr_ros.matching.network import LoFTR
from loftr_ros.matching.precision import FLOAT32, PRECISIONS, Precision
from loftr_ros.matching.preprocessing import NetworkInput, prepare
from loftr_ros.matching.runner import Rows, Runner
from loftr_ros.matching.weights import load_weights

CPU = torch.device('cpu')


def sizes_of(given: Inputs) -> tuple[int, ...]:
    return tuple(len(x) for x in given if x is not None)


def runner_of(
    rows: Rows | None = None,
    device: torch.device = CPU,
    precision: Precision = FLOAT32,
    graphs: type[Replayed] | None = None,
) -> Runner:
    return Runner(load_weights('lite').network, device, precision, rows, graphs)


def images_of(height: int, width: int, masked: bool = False) -> list[NetworkInput]:
    rng = np.random.default_rng(height + width)
    image = rng.integers(0, 255, (height, width), np.uint8)
    mask = None
    if masked:
        mask = np.ones((height, width), np.bool_)
        mask[: height // 2, : width // 3] = False
    shifted = np.roll(image, (3, 5), (0, 1))
    return [prepare(picture, LITE, None, mask) for picture in (image, shifted)]


def matches_of(
    runner: Runner, images: list[NetworkInput], max_matches: int | None = None
) -> NDArray[np.float32]:
    maps0, maps1 = (runner.encode(image) for image in images)
    return runner.match(maps0, maps1, 0.2, max_matches)


@pytest.fixture(scope='module')
def plain() -> Runner:
    return runner_of()


@pytest.mark.parametrize(
    ('size', 'masked', 'max_matches'),
    [((256, 320), False, None), ((256, 320), True, None), ((250, 310), False, 40)],
)
@pytest.mark.parametrize('number', [8, 32, 2048])
def test_a_fixed_number_of_rows_gives_the_same_matches(
    plain: Runner, size: tuple[int, int], masked: bool, max_matches: int | None, number: int
) -> None:
    images = images_of(*size, masked)
    expected = matches_of(plain, images, max_matches)
    rows = Rows(number)

    found = matches_of(runner_of(rows), images, max_matches)

    assert len(expected) > (8 if max_matches is None else 39)
    np.testing.assert_array_equal(found[:, 6], expected[:, 6])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)


def test_the_number_of_rows_follows_the_matches() -> None:
    rows = Rows(512)
    assert not rows.suffice(512)
    assert rows.number == 1024
    assert rows.suffice(1000)
    assert rows.number == 2048
    assert rows.suffice(0)
    assert rows.number == 512


@pytest.mark.parametrize('masked', [False, True])
def test_the_host_waits_for_a_device_once_per_pair(masked: bool) -> None:
    runner = runner_of(Rows(), META)
    uploads = 6 if masked else 2  # masks of cells and of pixels
    # The first images of a size, and those after images of another size, wait no more often.
    for height, width in [(96, 128), (128, 96), (96, 128)]:
        with Waits() as waits:
            matches_of(runner, images_of(height, width, masked))

        assert +waits.counts == {'cpu to meta': uploads, 'meta to cpu': 1}


@pytest.mark.parametrize('name', ['float32', 'bfloat16'])
def test_no_operation_of_a_fixed_number_of_rows_waits(name: str) -> None:
    images = images_of(96, 128)
    counts = []
    for rows in (Rows(), None):
        runner = runner_of(rows, precision=PRECISIONS[name])
        matches_of(runner, images)
        with Waits() as waits:
            matches_of(runner, images)
        counts.append(+waits.counts)

    assert counts[0] == {}
    assert counts[1] == {'nonzero_numpy': 2}


def test_weights_rounded_once_give_what_autocast_gives() -> None:
    images = images_of(128, 160)
    half = runner_of(precision=PRECISIONS['bfloat16'])
    plain = runner_of()
    plain.network.exact_coarse = True
    with torch.inference_mode(), torch.autocast('cpu', torch.bfloat16):
        pixels = [image.image for image in images]
        maps0, maps1 = (plain.network.encode(image) for image in pixels)
        expected = plain.network.match(maps0, maps1, 0.2)

    found = matches_of(half, images)

    np.testing.assert_array_equal(found[:, 6], expected.cells.numpy())
    np.testing.assert_array_equal(found[:, 4], expected.coarse.confidence.numpy())
    np.testing.assert_array_equal(found[:, 2:4], expected.points1.numpy())


def test_replayed_recordings_give_the_same_matches() -> None:
    ReplayedOnCpu.made = 0
    straight, replayed = runner_of(Rows()), runner_of(Rows(), graphs=ReplayedOnCpu)
    sizes = [(96, 128), (128, 96), (96, 128), (96, 128)]

    for height, width in sizes:
        images = images_of(height, width)
        np.testing.assert_array_equal(matches_of(replayed, images), matches_of(straight, images))
    made = ReplayedOnCpu.made
    matches_of(replayed, images_of(96, 128))

    assert ReplayedOnCpu.made == made
    assert made >= 4


def test_a_reference_survives_the_replays_after_it() -> None:
    runner = runner_of(Rows(), graphs=ReplayedOnCpu)
    first, second = images_of(96, 128)
    reference = runner.encode(first)
    before = reference.coarse.clone()
    runner.match(reference, runner.encode(second), 0.2, None)

    assert torch.equal(reference.coarse, before)


def test_recordings_are_kept_for_the_shapes_used_last() -> None:
    recorded: list[tuple[int, ...]] = []

    def record(function: Callable[[], tuple[Tensor, ...]], given: Inputs) -> Recording:
        recorded.append(sizes_of(given))
        return record_on_cpu(function, given)

    replayed = Replayed(lambda x, factor: (x * factor,), record, limit=2)
    for size in (1, 2, 1, 3, 1, 2):
        assert replayed(torch.ones(size), factor=2)[0].tolist() == [2.0] * size
    assert recorded == [(1,), (2,), (3,), (2,)]
    assert replayed(torch.ones(2), factor=5)[0].tolist() == [5.0, 5.0]


def test_a_stream_keeps_its_recording_whatever_is_matched_beside_it() -> None:
    recorded: list[tuple[int, ...]] = []

    def record(function: Callable[[], tuple[Tensor, ...]], given: Inputs) -> Recording:
        recorded.append(sizes_of(given))
        return record_on_cpu(function, given)

    replayed = Replayed(lambda x: (x,), record, limit=2)
    for _ in range(9):
        replayed(torch.ones(1))
    for other in (2, 3, 4, 5):
        replayed(torch.ones(other))
        replayed(torch.ones(1))

    assert recorded == [(1,), (2,), (3,), (4,), (5,)]


def test_the_network_waits_for_nothing_on_another_device() -> None:
    """Boolean indexing or a read of a value would raise on `meta`, which has no values."""
    network = LoFTR(LITE).eval().to(META)
    images = torch.zeros(2, 1, 96, 128, device=META)
    with torch.inference_mode():
        maps = network.encode(images)
        found = network.match(maps, maps, 0.2, None, 64)

    assert found.points1.shape == (64 * LITE.aligned_points, 2)


def test_the_warm_up_runs_every_part_of_the_network() -> None:
    matcher = Matcher('lite', device='cpu')
    ran = set()
    for name, part in matcher.network.named_children():
        part.register_forward_hook(lambda *_, name=name: ran.add(name))
    matcher.warm_up(96, 128)

    assert {'backbone', 'loftr_coarse', 'loftr_fine'} <= ran
