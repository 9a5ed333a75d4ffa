"""Settings of all tests.

Those of ROS stay on this machine, apart from all other ROS systems on it. Property tests try the
same examples every time; `HYPOTHESIS_PROFILE=explore` tries new ones.
"""

import os
import sys
from pathlib import Path

try:
    from hypothesis import settings
except ModuleNotFoundError:  # then its tests skip
    settings = None  # type: ignore[assignment,misc]

from loftr_ros.evaluation.live.processes import reserve_domain

# Processes of the tests run side by side, so each computes in one thread. NumPy, OpenCV and torch,
# which are not imported yet, read these.
for name in ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'OPENCV_FOR_THREADS_NUM'):
    os.environ.setdefault(name, '1')

# The modules that tests of several rooms share.
sys.path.insert(0, str(Path(__file__).parent / 'helpers'))
pytest_plugins = ['optional_modules', 'tiny_datasets']

# A busy machine is slow now and then: no example has a deadline.
if settings is not None:
    settings.register_profile('fixed', derandomize=True, deadline=None)
    settings.register_profile('explore', deadline=None, max_examples=1000)
    settings.load_profile(os.environ.get('HYPOTHESIS_PROFILE', 'fixed'))

os.environ['ROS_DOMAIN_ID'] = str(reserve_domain()[0])
os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
# Over shared memory two nodes now and then do not find each other.
os.environ.setdefault('FASTDDS_BUILTIN_TRANSPORTS', 'UDPv4')
# Messages check the types of their fields only if asked to, and tests are there to ask.
os.environ.setdefault('ROS_PYTHON_CHECK_FIELDS', '1')
