"""Keep the discovery of the tests on this machine, apart from other ROS systems on it."""

import os
import sys
from pathlib import Path

# The modules that the tests share: flow_matcher, harness, scenes.
sys.path.insert(0, str(Path(__file__).parent))

os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
os.environ['ROS_DOMAIN_ID'] = str(1 + os.getpid() % 100)
# Messages check the types of their fields only if asked to, and tests are there to ask.
os.environ.setdefault('ROS_PYTHON_CHECK_FIELDS', '1')
