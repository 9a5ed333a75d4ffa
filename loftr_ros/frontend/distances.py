"""Distance travelled, as another sensor measures it."""

from __future__ import annotations

from collections import deque

import numpy as np

_SAMPLES = 10_000


class DistanceLog:
    """Distances over time from speeds or from an odometer; the two are not to be mixed.

    Backward speeds count negative, so that a path forth and back has length 0.
    """

    def __init__(self, longest_gap_s: float) -> None:
        """Start without samples; over more than `longest_gap_s` between two nothing is known."""
        self._gap_ns = longest_gap_s * 1e9
        self._stamps: deque[int] = deque(maxlen=_SAMPLES)
        self._distances: deque[float] = deque(maxlen=_SAMPLES)
        self._speeds: deque[float] = deque(maxlen=_SAMPLES)

    def add_speed(self, stamp_ns: int, speed: float) -> None:
        """Add the forward speed at a time, m/s.

        Raises:
            ValueError: It is not finite.
        """
        _check_finite('speed', speed)
        if self._goes_on(stamp_ns):
            seconds = (stamp_ns - self._stamps[-1]) / 1e9
            distance = self._distances[-1] + 0.5 * (self._speeds[-1] + speed) * seconds
        else:
            distance = 0.0
        self._append(stamp_ns, distance, speed)

    def add_distance(self, stamp_ns: int, distance: float) -> None:
        """Add the distance travelled up to a time since any start, m.

        Raises:
            ValueError: It is not finite.
        """
        _check_finite('distance', distance)
        speed = 0.0
        if self._goes_on(stamp_ns):
            seconds = (stamp_ns - self._stamps[-1]) / 1e9
            speed = (distance - self._distances[-1]) / seconds
        self._append(stamp_ns, distance, speed)

    def between(self, start_ns: int, end_ns: int) -> float | None:
        """Return the distance between two times, m; None where it was not measured."""
        if not self._stamps or start_ns < self._stamps[0]:
            return None
        if end_ns - self._stamps[-1] > self._gap_ns:
            return None
        stamps = np.array(self._stamps, dtype=np.int64) - self._stamps[0]
        times = np.array([start_ns, end_ns], dtype=np.int64) - self._stamps[0]
        # The newest sample may be a little older than the images.
        late = np.maximum(times - stamps[-1], 0) / 1e9
        first, last = np.interp(times, stamps, np.array(self._distances)) + late * self._speeds[-1]
        return abs(float(last - first))

    def _goes_on(self, stamp_ns: int) -> bool:
        return bool(self._stamps) and 0 < stamp_ns - self._stamps[-1] <= self._gap_ns

    def _append(self, stamp_ns: int, distance: float, speed: float) -> None:
        if not self._goes_on(stamp_ns):
            for samples in (self._stamps, self._distances, self._speeds):
                samples.clear()
        self._stamps.append(stamp_ns)
        self._distances.append(distance)
        self._speeds.append(speed)


def _check_finite(name: str, value: float) -> None:
    if not np.isfinite(value):
        raise ValueError(f'{name} must be finite, not {value!r}')
