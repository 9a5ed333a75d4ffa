"""Settings of all tests.

Those of ROS stay on this machine, apart from all other ROS systems on it. Property tests try the
same examples every time; `HYPOTHESIS_PROFILE=explore` tries new ones.
"""

import os
import socket
import sys
from pathlib import Path

try:
    from hypothesis import settings
except ModuleNotFoundError:  # then its tests skip
    settings = None  # type: ignore[assignment,misc]

# The modules that tests of several rooms share.
sys.path.insert(0, str(Path(__file__).parent / 'helpers'))
pytest_plugins = ['optional_modules', 'tiny_datasets']

# A busy machine is slow now and then: no example has a deadline.
if settings is not None:
    settings.register_profile('fixed', derandomize=True, deadline=None)
    settings.register_profile('explore', deadline=None, max_examples=1000)
    settings.load_profile(os.environ.get('HYPOTHESIS_PROFILE', 'fixed'))


def reserve_domain() -> tuple[int, socket.socket]:
    """Find a ROS domain that no other run of these tests has; it is ours while the socket lives."""
    for domain in range(1, 101):
        reservation = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            reservation.bind(('127.0.0.1', 47000 + domain))
        except OSError:
            reservation.close()
        else:
            return domain, reservation
    raise RuntimeError('all ROS domains are taken by other runs of these tests')


DOMAIN, RESERVATION = reserve_domain()
os.environ['ROS_DOMAIN_ID'] = str(DOMAIN)
os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'
# Over shared memory two nodes now and then do not find each other.
os.environ.setdefault('FASTDDS_BUILTIN_TRANSPORTS', 'UDPv4')
# Messages check the types of their fields only if asked to, and tests are there to ask.
os.environ.setdefault('ROS_PYTHON_CHECK_FIELDS', '1')
