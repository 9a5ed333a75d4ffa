"""The real node with the matcher of the tests in place of LoFTR; run as a process of its own."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from flow_matcher import FlowMatcher

from loftr_ros.ros.ending import leave
from loftr_ros.ros.node import main

if __name__ == '__main__':
    leave(main(matcher_factory=lambda _: FlowMatcher()))
