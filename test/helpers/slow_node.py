"""The real node with a matcher that takes longer than images take to come."""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from flow_matcher import FlowFeatures, FlowMatcher

from loftr_ros.matching.matches import Matches
from loftr_ros.ros.node import main

SECONDS = 0.15


class SlowMatcher(FlowMatcher):  # type: ignore[misc,unused-ignore]
    def match(self, reference: FlowFeatures, query: FlowFeatures) -> Matches:
        time.sleep(SECONDS)
        return super().match(reference, query)


if __name__ == '__main__':
    sys.exit(main(matcher_factory=lambda _: SlowMatcher()))
