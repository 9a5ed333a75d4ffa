"""What a GPU computes, without a GPU: on tensors that have a device and a shape but no values.

Fake tensors (`torch._subclasses`) raise where devices are mixed, where the host reads a value, and
where a shape depends on values. They are on the device `meta`: a build of torch without CUDA cannot
slice those of other devices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from devices import META, ReplayedOnCpu, Waits
from torch import Tensor, nn
from torch._functorch import config as functorch_config
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from loftr_ros.matching import graphs
from loftr_ros.matching.config import ANYTHING, EFFICIENT, LITE, OUTDOOR, EfficientConfig
from loftr_ros.matching.efficient import EfficientLoFTR
from loftr_ros.matching.graphs import Recording
from loftr_ros.matching.memory import is_out_of_memory
from loftr_ros.matching.precision import FLOAT32
from loftr_ros.matching.preprocessing import NetworkInput, prepare
from loftr_ros.matching.runner import Rows, Runner
from loftr_ros.matching.weights import Network, network_of

CONFIGS = {'lite': LITE, 'full': OUTDOOR, 'efficient': EFFICIENT, 'anything': ANYTHING}
SMALL = EfficientConfig(blocks=(1, 1, 1, 1), layers=1, aligned_points=1, confidence_threshold=0.0)
WORDS = [
    lambda: torch.OutOfMemoryError('CUDA out of memory'),
    lambda: RuntimeError('CUDA error: out of memory'),
    lambda: RuntimeError('cuDNN error: CUDNN_STATUS_ALLOC_FAILED'),
    lambda: RuntimeError('CUDA error: CUBLAS_STATUS_ALLOC_FAILED'),
]


@pytest.fixture(autouse=True)
def meta_is_a_device() -> Iterator[None]:
    with functorch_config.patch(fake_tensor_allow_meta=True):
        yield


def without_values(network: nn.Module) -> None:
    """Put all parameters onto the device; to be called in the mode of fake tensors."""
    for module in network.modules():
        for name, value in [*module._parameters.items(), *module._buffers.items()]:
            if value is not None:
                empty = torch.empty(value.shape, dtype=value.dtype, device=META)
                kept = nn.Parameter(empty, requires_grad=False)
                setattr(module, name, kept if name in module._parameters else empty)


@pytest.fixture(params=list(CONFIGS.values()), ids=list(CONFIGS))
def network(request: pytest.FixtureRequest) -> Network:
    network = network_of(request.param).eval()
    network.fold_batch_norms()
    return network


@pytest.mark.parametrize('masked', [False, True], ids=['', 'masked'])
@pytest.mark.parametrize('max_matches', [None, 20])
def test_nothing_waits_or_mixes_devices(
    network: Network, masked: bool, max_matches: int | None
) -> None:
    stride = network.config.stride
    with FakeTensorMode(), Waits() as waits, torch.inference_mode():
        without_values(network)
        maps = []
        for height, width in [(96, 128), (160, 64)]:
            image = torch.empty(1, 1, height, width, device=META)
            cells = torch.ones(1, height // stride, width // stride, dtype=torch.bool, device=META)
            allowed = torch.ones(image.shape, dtype=torch.bool, device=META)
            options = {'mask': cells, 'allowed': allowed} if masked else {}
            maps.append(network.encode(image, **options))  # type: ignore[arg-type]
        found = network.match(maps[0], maps[1], 0.2, max_matches, 64)

    assert found.points1.device == META
    assert len(found.points1) in (20, 48, 64, 80, 3 * 48, 3 * 64)
    assert +waits.counts == {}


def test_what_the_fake_tensors_refuse() -> None:
    """A mixed device, a value that is read, a shape that depends on one, a copy."""
    with FakeTensorMode():
        there, here = torch.empty(4, device=META), torch.empty(4)
        with pytest.raises(RuntimeError, match='same device'):
            there + here
        with pytest.raises(Exception, match='nonzero'):
            there.nonzero()
        with pytest.raises(Exception, match=r'item|_local_scalar_dense'):
            there.sum().item()
        with Waits() as waits:
            here.to(there)
        assert waits.counts == {'cpu to meta': 1}


@pytest.mark.parametrize('masked', [False, True], ids=['', 'masked'])
def test_the_host_waits_for_efficient_once_per_pair(masked: bool) -> None:
    runner = Runner(network_of(EFFICIENT).eval(), META, FLOAT32, Rows())
    image = np.zeros((96, 128), np.uint8)
    mask = np.ones((96, 128), np.bool_)
    mask[:50] = False
    prepared = prepare(image, EFFICIENT, None, mask if masked else None)
    with Waits() as waits:
        runner.match(runner.encode(prepared), runner.encode(prepared), 0.2, None)

    uploads = 6 if masked else 2
    assert +waits.counts == {'cpu to meta': uploads, 'meta to cpu': 1}


class Allocator(TorchDispatchMode):
    """Runs out of memory at one of the operations that make a tensor."""

    def __init__(self, fails_at: int | None = None) -> None:
        super().__init__()
        self.count = 0
        self.fails_at = fails_at

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        self.count += 1
        if self.count == self.fails_at:
            raise WORDS[self.count % len(WORDS)]()
        return func(*args, **kwargs or {})


def pair_of(size: int) -> list[NetworkInput]:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (size, size), np.uint8)
    return [prepare(picture, SMALL) for picture in (image, np.roll(image, 3, 1))]


def matched(runner: Runner, images: list[NetworkInput]) -> Any:  # noqa: ANN401
    maps0, maps1 = (runner.encode(image) for image in images)
    return runner.match(maps0, maps1, 0.0, None)


def test_wherever_memory_runs_out_smaller_images_are_matched_next() -> None:
    torch.manual_seed(0)
    network = EfficientLoFTR(SMALL).eval()
    runner = Runner(network, torch.device('cpu'), FLOAT32, Rows(), ReplayedOnCpu)
    small, large = pair_of(32), pair_of(64)
    expected = matched(runner, small)
    for replayed in runner._recorded:
        replayed.forget()
    with Allocator() as counted:
        matched(runner, large)

    assert counted.count > 300
    # One in 41, a prime, for the sake of time: layers that repeat fail at different operations.
    for fails_at in range(1, counted.count + 1, 41):
        for replayed in runner._recorded:  # whose memory is wanted
            replayed.forget()
            replayed._recordings['before'] = Recording((), (), lambda: None)
        with Allocator(fails_at), pytest.raises(RuntimeError) as caught:
            matched(runner, large)
        assert is_out_of_memory(caught.value)
        assert not any(replayed._recordings for replayed in runner._recorded)
    np.testing.assert_array_equal(matched(runner, small), expected)


def test_recordings_are_made_and_replayed_on_the_device_of_their_inputs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With a stand-in for torch.cuda: what is current when is the whole of it."""
    cuda = Cuda()
    for name in ('Stream', 'current_stream', 'stream', 'CUDAGraph', 'graph', 'device'):
        monkeypatch.setattr(torch.cuda, name, getattr(cuda, name))
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    second = torch.device('cuda', 1)
    there = type('There', (), {'device': second})()

    def work() -> tuple[Tensor, ...]:
        cuda.log.append(('work', cuda.current))
        return (torch.ones(1),)

    recording = graphs.record_cuda_graph(work, (None, there))
    recording.replay()

    assert cuda.current == 0
    assert {entry[1] for entry in cuda.log} == {second}
    assert [entry[0] for entry in cuda.log].count('work') == graphs.WARM_UPS + 1
    assert cuda.log[-1] == ('replay', second)
    assert ('thread_local', second) in cuda.log


class Cuda:
    """What is current, and what was done with what."""

    def __init__(self) -> None:
        self.current: Any = 0
        self.log: list[tuple[str, Any]] = []

    def device(self, device: torch.device) -> Any:  # noqa: ANN401
        cuda = self

        class Current:
            def __enter__(self) -> None:
                self.before, cuda.current = cuda.current, device

            def __exit__(self, *error: object) -> None:
                cuda.current = self.before

        return Current()

    def Stream(self, device: torch.device) -> Any:  # noqa: ANN401, N802
        self.log.append(('stream', device))
        return Waiting()

    def current_stream(self, device: torch.device) -> Any:  # noqa: ANN401
        self.log.append(('current stream', device))
        return Waiting()

    def stream(self, stream: object) -> Any:  # noqa: ANN401, ARG002
        return self.device(self.current)

    def CUDAGraph(self) -> Any:  # noqa: ANN401, N802
        log = self.log
        return type('G', (), {'replay': lambda _: log.append(('replay', self.current))})()

    def graph(self, graph: object, capture_error_mode: str) -> Any:  # noqa: ANN401, ARG002
        self.log.append((capture_error_mode, self.current))
        return self.device(self.current)


class Waiting:
    """A stream."""

    def wait_stream(self, other: object) -> None:
        """Nothing runs here."""
