"""The numpy-facing front of the network: images in, matches in original pixels out."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from loftr_ros.matching.graphs import Replayed
from loftr_ros.matching.limits import NetworkSize, SizeLimits
from loftr_ros.matching.matches import Matches
from loftr_ros.matching.pair_network import FeatureMaps
from loftr_ros.matching.precision import FLOAT32, select_precision
from loftr_ros.matching.preprocessing import prepare, to_network, to_original
from loftr_ros.matching.runner import Rows, Runner
from loftr_ros.matching.signature import covariance_signature
from loftr_ros.matching.views import (
    UPRIGHT,
    Support,
    View,
    Views,
    best_view,
    see,
    to_image,
    to_view,
)
from loftr_ros.matching.weights import load_weights

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from loftr_ros.matching.weights import LoadedWeights

BACKENDS = ('torch', 'onnxruntime')


@dataclass(frozen=True)
class ImageFeatures:
    """Features of one image, reusable against any other image of the same matcher.

    Attributes:
        maps: Coarse and fine feature maps.
        scale: Network pixels per original pixel along x and y.
        image_size: Height and width of the original image.
        cells: Number of coarse cells that may match.
        view: How the image was rotated and zoomed before.
        image_A_view: float64 (2, 3), from pixels of the view to those of the image; None for the
            image as it is.
        views: The image in other views, of a matcher that tries them.
    """

    maps: FeatureMaps
    scale: tuple[float, float]
    image_size: tuple[int, int]
    cells: int
    view: View = UPRIGHT
    image_A_view: NDArray[np.float64] | None = None
    views: Views[ImageFeatures] | None = None

    def to_image(self, points: NDArray[Any]) -> NDArray[np.float32]:
        """Pixels (N, 2) of the network to pixels of the image as it came."""
        pixels = to_original(points, self.scale)
        return pixels if self.image_A_view is None else to_image(pixels, self.image_A_view)

    def to_network(self, points: NDArray[Any]) -> NDArray[np.float32]:
        """Pixels (N, 2) of the image as it came to pixels of the network."""
        own = points if self.image_A_view is None else to_view(points, self.image_A_view)
        return to_network(own, self.scale)

    @property
    def pixel(self) -> float:
        """Size of a pixel of the network, px of the image."""
        zoom = 1.0
        if self.image_A_view is not None:
            zoom = float(np.sqrt(abs(np.linalg.det(self.image_A_view[:, :2]))))
        return zoom / float(np.mean(self.scale))


class Matcher:
    """LoFTR on numpy images; not for use by several threads at once."""

    def __init__(
        self,
        weights: str | Path = 'lite',
        *,
        configuration: str | None = None,
        device: str = 'auto',
        precision: str = 'auto',
        longer_side: int | None = 640,
        max_pixels: int | None = None,
        max_memory: int | None = None,
        confidence_threshold: float | None = None,
        max_matches: int | None = None,
        max_sigma: float | None = None,
        try_views: bool = False,
        backend: str = 'torch',
        providers: str = 'CPUExecutionProvider',
        cuda_graphs: bool = False,
    ) -> None:
        """Load the weights onto the device.

        Args:
            weights: ``lite``, ``outdoor``, ``indoor``, ``efficient``, ``anything``, or a file; with
                backend ``onnxruntime`` the folder that ``loftr-ros export`` wrote.
            configuration: Of a file that does not carry its own.
            device: ``auto`` (a GPU if there is one), ``cpu``, ``cuda`` or ``cuda:N``.
            precision: ``float32``, ``tf32``, ``float16``, ``bfloat16``, or ``auto``: float16 on a
                GPU, float32 on most CPUs; see :func:`select_precision` for what a device has. The
                correlations are computed in float32 in any case.
            longer_side: Greatest width or height the network sees, px; None for the full image.
            max_pixels: Greatest number of pixels the network sees; None for all.
            max_memory: Greatest memory for a pair of images, MB, besides what the process takes
                without; images are matched as large as it holds. None for no limit.
            confidence_threshold: theta_c in [0, 1]; None for the one of the weights.
            max_matches: Keep only that many: the surest point of each of the most confident cells,
                then further points of these; None for all.
            max_sigma: Leave out matches with a larger standard deviation, px of the image at the
                size at which it is matched, after the other choices; None for none. For consumers
                that weigh all matches alike, as RANSAC does: the estimates of this package
                believe sigma, and gain from all of them.
            try_views: Rotate a query that hardly matches in quarters, and zoom it; where its
                matches show that it is rotated or zoomed, match it once more without. For cameras
                that roll, and different lenses. Nothing is added where images match as they are.
            backend: ``torch`` or ``onnxruntime``.
            providers: Of backend ``onnxruntime``, separated by commas, the preferred one first.
            cuda_graphs: Record what the GPU does for each size of images, and replay it. The first
                pairs of each size take longer, and each recording holds its memory.

        Raises:
            WeightsError: The weights cannot be used.
            ValueError: Another argument cannot be used; says which and what can.
        """
        self.limits = SizeLimits(longer_side, max_pixels, max_memory)
        self.max_matches = _at_least('max_matches', max_matches, 1)
        if max_sigma is not None and not max_sigma > 0:
            raise ValueError(f'max_sigma must be positive, not {max_sigma}')
        self.max_sigma = max_sigma
        self._try_views = try_views
        self._view = UPRIGHT
        self._device = _select_device(device)
        if backend not in BACKENDS:
            raise ValueError(f"backend '{backend}': expected {' or '.join(BACKENDS)}")
        if backend == 'onnxruntime':
            chosen = FLOAT32
            loaded = _load_exported(weights, providers, precision)
        else:
            loaded = load_weights(weights, configuration)
            loaded.network.fold_batch_norms()
            aligned = loaded.network.config.aligned_points > 0
            chosen = select_precision(precision, self._device, aligned=aligned)
        self.weights_name = loaded.name
        self.weights_hash = loaded.sha256
        graphs = _graphs(self._device, backend) if cuda_graphs else None
        rows = None if self._device.type == 'cpu' else Rows()
        self._runner = Runner(loaded.network, self._device, chosen, rows, graphs)
        self.network = self._runner.network
        if try_views and self.network.fixed_size is not None:
            raise ValueError(
                'try_views needs a network for images of any size: export one with --dynamic'
            )
        self.confidence_threshold = confidence_threshold

    @property
    def device(self) -> str:
        """Device of the network, such as ``cpu`` or ``cuda:0``."""
        return str(self._device)

    @property
    def precision(self) -> str:
        """Number format of backbone and transformers."""
        return self._runner.precision.name

    @property
    def longer_side(self) -> int | None:
        """Greatest width or height the network sees, px."""
        return self.limits.longer_side

    @longer_side.setter
    def longer_side(self, value: int | None) -> None:
        self.limits = replace(self.limits, longer_side=value)

    @property
    def confidence_threshold(self) -> float:
        """Smallest confidence of a match."""
        return self._threshold

    @confidence_threshold.setter
    def confidence_threshold(self, value: float | None) -> None:
        value = self.network.config.confidence_threshold if value is None else value
        if not 0 <= value <= 1:
            raise ValueError(f'confidence_threshold must be within [0, 1], not {value}')
        self._threshold = value

    def network_size(self, height: int, width: int) -> NetworkSize:
        """Size at which images of a size, px, are matched, and which limit makes it smaller."""
        return self.limits.fit((height, width), self.network.config)

    def encode(self, image: NDArray[Any], mask: NDArray[np.bool_] | None = None) -> ImageFeatures:
        """Features of an image (H, W) or (H, W, 1|3|4), RGB; uint8, uint16 or float in [0, 1].

        Args:
            image: The image.
            mask: bool (H, W), false where nothing may match: moving objects, the robot itself.

        Raises:
            ImageError: The image or the mask cannot be used; says why.
        """
        if not self._try_views:
            return self._encode(image, mask, UPRIGHT)
        views = Views(partial(self._encode, image, mask))
        # Most likely the view of the last image; whether it is does not change what is found.
        return replace(views.at(self._view), views=views)

    def _encode(
        self, image: NDArray[Any], mask: NDArray[np.bool_] | None, view: View
    ) -> ImageFeatures:
        limits, size, image_A_view = self.limits, image.shape[:2], None
        if view != UPRIGHT and image.ndim in (2, 3) and min(size) > 0:
            zoom = 1.0
            if not view.is_quarter:
                # Its size is that of the image as it is matched, times the scale of the view.
                matched = self.limits.fit(size, self.network.config).size
                zoom = view.scale * max(matched) / max(size)
                limits = replace(self.limits, longer_side=None)
            seen = see(image, mask, view, zoom)
            image, mask, image_A_view = seen.image, seen.mask, seen.image_A_view
        prepared = prepare(image, self.network.config, limits, mask)
        maps = self._runner.encode(prepared)
        number = maps.cells if prepared.mask is None else int(prepared.mask.sum())
        return ImageFeatures(maps, prepared.scale, size, number, view, image_A_view)

    def starting_at(
        self, features: ImageFeatures, points: NDArray[np.float32]
    ) -> tuple[ImageFeatures, NDArray[np.float32]]:
        """Features of a reference whose matches start at these points before others.

        For points that are followed from one reference to the next: where `max_matches` leaves
        matches out, those of other points of the same cell go first.

        Args:
            features: As `encode` gives them; they stay as they are.
            points: (N, 2), px of the image, those that matter most first.

        Returns:
            The features, and the reference point of each of the points (N, 2), px: the pixel of
            the network that it lies on; NaN where it got none.
        """
        views = features.views
        if views is not None:
            used = views.features
            started, starts = self.starting_at(replace(used, views=None), points)
            encoded = {**views.encoded, views.view.quarter: started}
            return replace(features, views=replace(views, encoded=encoded)), starts
        maps, starts = self._runner.starting_at(features.maps, features.to_network(points))
        return replace(features, maps=maps), features.to_image(starts)

    def match(self, reference: ImageFeatures, query: ImageFeatures) -> Matches:
        """Matches between two encoded images, none if nothing is found."""
        if reference.views is None or query.views is None:
            return self._match(reference, query).matches
        matches = best_view(reference.views, query.views, self._match)
        self._view = query.views.view.quarter
        return matches

    def _match(self, reference: ImageFeatures, query: ImageFeatures) -> Support:
        finer, grid = self.network.config.subdivision, reference.maps.grid
        columns = self._runner.match(reference.maps, query.maps, self._threshold, self.max_matches)
        support = float(columns[0, 7]) if len(columns) else 0.0
        if self.max_sigma is not None:
            columns = columns[columns[:, 5] <= self.max_sigma]
        matches = Matches(
            reference_points=reference.to_image(columns[:, 0:2]),
            query_points=query.to_image(columns[:, 2:4]),
            confidence=np.ascontiguousarray(columns[:, 4], np.float32),
            sigma=(columns[:, 5] * query.pixel).astype(np.float32),
            reference_cells=columns[:, 6].astype(np.int64),
            reference_grid=(grid[0] * finer, grid[1] * finer),
            rotation=(query.view.rotation - reference.view.rotation) % 360,
            zoom=query.view.scale,
        )
        return Support(matches, support, min(reference.cells, query.cells))

    def signature(self, features: ImageFeatures) -> NDArray[np.float32]:
        """Signature (D,) of length 1 of the place; its dot product with others is likeness."""
        used = features if features.views is None else features.views.features
        with torch.inference_mode():
            return covariance_signature(self.network.local_features(used.maps))

    def match_images(self, reference: NDArray[Any], query: NDArray[Any]) -> Matches:
        """Matches between two images; see :meth:`encode` for what an image is."""
        return self.match(self.encode(reference), self.encode(query))

    def match_pairs(self, pairs: Sequence[tuple[NDArray[Any], NDArray[Any]]]) -> list[Matches]:
        """Matches of several pairs of images, such as those of a rig's cameras, in their order.

        The same as of each pair by itself; an image (the very array) that is in several pairs is
        encoded once.
        """
        images = {id(image): image for pair in pairs for image in pair}
        encoded = {key: self.encode(image) for key, image in images.items()}

        def features(image: NDArray[Any]) -> ImageFeatures:
            found = encoded[id(image)]
            # Which view is tried first must not depend on the pairs before.
            return found if found.views is None else replace(found, views=replace(found.views))

        return [self.match(features(first), features(second)) for first, second in pairs]

    def warm_up(self, height: int, width: int) -> float:
        """Run once on noise of the given size, so that no first frame is slow; seconds taken."""
        height, width = self.network.fixed_size or (height, width)
        started = time.perf_counter()
        noise = np.random.default_rng(0).integers(0, 255, (height, width), np.uint8)
        self.match_images(noise, noise)
        return time.perf_counter() - started


def _load_exported(weights: str | Path, providers: str, precision: str) -> LoadedWeights:
    # Imports ONNX Runtime, which need not be there.
    from loftr_ros.matching.onnx_network import load_exported

    if precision not in ('auto', 'float32', 'float16'):
        raise ValueError(
            f"precision '{precision}': backend onnxruntime computes in float32, or in float16 with "
            'TensorRT'
        )
    return load_exported(Path(weights).expanduser(), providers, half=precision == 'float16')


def _select_device(device: str) -> torch.device:
    if device == 'auto':
        return torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    try:
        selected = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"device '{device}': expected auto, cpu, cuda or cuda:N") from error
    if selected.type not in ('cpu', 'cuda'):
        raise ValueError(f"device '{device}': expected auto, cpu, cuda or cuda:N")
    if selected.type == 'cuda':
        number = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if not number:
            raise ValueError(
                f"device '{device}': no CUDA device is available here; use cpu or auto"
            )
        if selected.index is not None and selected.index >= number:
            raise ValueError(f"device '{device}': the last one here is cuda:{number - 1}")
    return selected


def _graphs(device: torch.device, backend: str) -> type[Replayed]:
    if device.type != 'cuda' or backend != 'torch':
        raise ValueError(f'cuda_graphs need backend torch on a GPU, not {backend} on {device}')
    return Replayed


def _at_least(name: str, value: int | None, least: int) -> int | None:
    if value is not None and value < least:
        raise ValueError(f'{name} must be at least {least}, not {value}')
    return value
