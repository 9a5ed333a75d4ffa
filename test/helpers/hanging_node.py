"""The real node with a matcher that a white image hangs, and that a black one asks to exit.

With a URL in the variable `WEIGHTS_URL` it waits for a download first.
"""

import os
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import numpy.typing as npt
from flow_matcher import FlowFeatures, FlowMatcher

from loftr_ros.matching.download import download
from loftr_ros.ros.ending import leave
from loftr_ros.ros.node import main


class HangingMatcher(FlowMatcher):  # type: ignore[misc,unused-ignore]
    def encode(self, image: npt.NDArray[Any], mask: Any = None) -> FlowFeatures:  # noqa: ANN401
        if image.min() == 255:
            threading.Event().wait()
        if image.size and not image.any() and image.shape[0] != 480:  # but the warm-up's
            raise SystemExit('a library asks to exit')
        return super().encode(image, mask)


def load(_: object) -> HangingMatcher:
    if url := os.environ.get('WEIGHTS_URL'):
        file = Path(tempfile.mkdtemp()) / 'weights'
        download([url], file, lambda _: True, 10**6)
    return HangingMatcher()


if __name__ == '__main__':
    leave(main(matcher_factory=load))
