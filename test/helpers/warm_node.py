"""The real node with a matcher that reports which threads load it, warm it up and match."""

import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from flow_matcher import FlowFeatures, FlowMatcher

from loftr_ros.matching.matches import Matches
from loftr_ros.ros.node import main


class TellingMatcher(FlowMatcher):  # type: ignore[misc,unused-ignore]
    def __init__(self) -> None:
        super().__init__()
        print(f'load in {threading.current_thread().name}', flush=True)
        if '--slow' in sys.argv:
            time.sleep(4.0)

    def warm_up(self, height: int, width: int) -> float:
        print(f'warm-up in {threading.current_thread().name}', flush=True)
        if '--broken' in sys.argv:
            raise RuntimeError('no kernel for this GPU')
        return float(super().warm_up(height, width))

    def match(self, reference: FlowFeatures, query: FlowFeatures) -> Matches:
        print(f'match in {threading.current_thread().name}', flush=True)
        return super().match(reference, query)


if __name__ == '__main__':
    sys.exit(main(matcher_factory=lambda _: TellingMatcher()))
