"""Angular rates of a recording, in the order in which they came."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class ImuSamples:
    """Samples of the gyroscope beside a camera.

    Attributes:
        source: File or topic that they are from.
        stamps_ns: int64 (N,), ns.
        rates: float64 (N, 3), about the axes of the gyroscope, rad/s.
        camera_R_imu: float64 (3, 3), rotation of these axes in the optical frame; None if unknown.

    """

    source: str
    stamps_ns: NDArray[np.int64]
    rates: NDArray[np.float64]
    camera_R_imu: NDArray[np.float64] | None = None

    def until(self, first: int, stamp_ns: int) -> Iterator[tuple[int, int, NDArray[np.float64]]]:
        """Yield number, time and rate of those from number `first` on, up to a time.

        The first one behind that time is among them.
        """
        for number in range(first, len(self.stamps_ns)):
            sample_ns = int(self.stamps_ns[number])
            yield number, sample_ns, self.rates[number]
            if sample_ns >= stamp_ns:
                return

    def restarted(self, first: int) -> int:
        """Return the number, from `first` on, of the sample with which time went back."""
        back = np.flatnonzero(np.diff(self.stamps_ns[max(first - 1, 0) :]) < 0)
        return first if not len(back) else max(first - 1, 0) + int(back[0]) + 1
