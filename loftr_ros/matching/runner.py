"""Run the network on a device: what goes there, in which numbers, and when the host waits for it.

Per pair of images the host waits for a GPU once: for the matches, which come as one array.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from loftr_ros.matching.alignment import Corners
from loftr_ros.matching.graphs import Replayed
from loftr_ros.matching.memory import is_out_of_memory
from loftr_ros.matching.pair_network import FeatureMaps
from loftr_ros.matching.precision import computing, store_weights

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from torch import Tensor

    from loftr_ros.matching.graphs import Function
    from loftr_ros.matching.pair_network import NetworkMatches
    from loftr_ros.matching.precision import Precision
    from loftr_ros.matching.preprocessing import NetworkInput
    from loftr_ros.matching.weights import Network

LEAST_ROWS = 512
MARGIN = 1.25
"""Rows per match of the frame before, so that the next one has some more."""


@dataclass
class Rows:
    """How many rows a GPU computes matches in, since only it knows how many there are.

    Powers of two, so that few different shapes come up.

    Attributes:
        number: Of rows; always more than there are matches, or some might be missing.
    """

    number: int = 2048

    def suffice(self, matches: int) -> bool:
        """Whether that many matches are all there are; adapts the number to them."""
        if matches >= self.number:
            self.number *= 2
            return False
        self.number = max(LEAST_ROWS, 2 ** int(np.ceil(np.log2(MARGIN * matches + 1))))
        return True


class Runner:
    """A network on a device; not for use by several threads at once."""

    def __init__(
        self,
        network: Network,
        device: torch.device,
        precision: Precision,
        rows: Rows | None = None,
        graphs: type[Replayed] | None = None,
    ) -> None:
        """Move the network to the device.

        Args:
            network: In evaluation mode.
            device: Where it runs.
            precision: Its numbers.
            rows: Compute matches in that many rows, without asking how many there are; None for
                just the matches, which makes the host wait once more.
            graphs: Record what the device does, and replay it; needs ``rows``.
        """
        self.device = device
        self.precision = precision
        self._rows = rows
        moved = network.to(device)
        self.network: Any = moved.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        store_weights(self.network, precision)
        self.network.exact_coarse = precision.exact_coarse
        self._columns: Function = self._compute_columns
        self._recorded: list[Replayed] = []
        if graphs is not None:
            # The encoding of positions is added outside: it changes with the size of images.
            backbone = self.network.backbone
            self._recorded = [graphs(backbone.forward), graphs(self._columns)]
            backbone.forward, self._columns = self._recorded

    def encode(self, image: NetworkInput) -> FeatureMaps:
        """Features of a prepared image; does not wait for the device."""
        with self._computing():
            cells = None if image.mask is None else self._upload(image.mask)
            allowed = None if image.allowed is None else self._upload(image.allowed)
            pixels = self._upload(image.image)
            maps: FeatureMaps = self.network.encode(pixels, cells, allowed=allowed)
            return maps

    def starting_at(
        self, maps: FeatureMaps, points: NDArray[np.float32]
    ) -> tuple[FeatureMaps, NDArray[np.float32]]:
        """Features whose matches start at these points before others; see the network."""
        with torch.inference_mode():
            started: tuple[FeatureMaps, NDArray[np.float32]] = self.network.starting_at(
                maps, points
            )
            return started

    def match(
        self,
        maps0: FeatureMaps,
        maps1: FeatureMaps,
        threshold: float,
        max_matches: int | None,
    ) -> NDArray[np.float32]:
        """Matches (M, 8): x0 y0 x1 y1 in px of the network, confidence, sigma, cell, support."""
        tensors = (*_tensors(maps0), *_tensors(maps1))
        options = {'threshold': threshold, 'max_matches': max_matches}
        with self._computing():
            while True:
                rows = None if self._rows is None else self._rows.number
                (columns,) = self._columns(*tensors, **options, capacity=rows)
                matches: NDArray[np.float32] = columns.cpu().numpy()
                # Where half precision overflows there is no match.
                found = (matches[:, 8] > 0) & np.isfinite(matches[:, :7]).all(axis=1)
                if self._rows is None or self._rows.suffice(int(matches[0, 9])):
                    return matches[found, :8]

    @contextmanager
    def _computing(self) -> Iterator[None]:
        """Compute for inference; where memory runs out, drop that of all recordings.

        Whoever falls back to smaller images needs it.
        """
        try:
            with torch.inference_mode(), computing(self.precision, self.device):
                yield
        except Exception as error:
            if is_out_of_memory(error):
                for recorded in self._recorded:
                    recorded.forget()
            raise

    def _compute_columns(self, *tensors: Tensor | None, **options: object) -> tuple[Tensor, ...]:
        """Flatten :meth:`LoFTR.match` to tensors in, one tensor out."""
        half = len(tensors) // 2
        maps0, maps1 = _maps(*tensors[:half]), _maps(*tensors[half:])  # type: ignore[arg-type]
        found = self.network.match(maps0, maps1, **options)
        return (_to_columns(found),)

    def _upload(self, tensor: Tensor) -> Tensor:
        """Copy to the device; from pinned memory the host need not wait for it."""
        if self.device.type == 'cuda':
            tensor = tensor.pin_memory()
        return tensor.to(self.device, non_blocking=True)


def _tensors(maps: FeatureMaps) -> tuple[Tensor | None, ...]:
    corners = (None, None, None) if maps.corners is None else maps.corners.tensors()
    own = maps.coarse, maps.fine, maps.middle, maps.mask, maps.image, maps.tracked
    return *own, *corners


def _maps(
    coarse: Tensor,
    fine: Tensor,
    middle: Tensor | None,
    mask: Tensor | None,
    image: Tensor | None,
    tracked: Tensor | None,
    *corners: Tensor,
) -> FeatureMaps:
    found = None if image is None else Corners(*corners)
    return FeatureMaps(coarse, fine, mask, image, found, middle, tracked)


def _to_columns(matches: NetworkMatches) -> Tensor:
    """x0 y0 x1 y1 confidence sigma cell support found count (M, 10), float32."""
    coarse = matches.coarse
    # float32 holds integers exactly up to 2**24: a grid of 4096 x 4096 cells.
    columns = [coarse.confidence, matches.sigma, matches.cells, matches.support, matches.found]
    columns = [column.float().expand(len(coarse.batch)) for column in [*columns, matches.count]]
    return torch.cat([matches.points0, matches.points1, torch.stack(columns, dim=1)], dim=1)
