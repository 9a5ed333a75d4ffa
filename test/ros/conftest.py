"""Keep the tests on this machine, and apart from all other ROS systems on it."""

import os
import socket
import sys
from pathlib import Path

# The modules that the tests share: flow_matcher, harness, scenes.
sys.path.insert(0, str(Path(__file__).parent))


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
# Messages check the types of their fields only if asked to, and tests are there to ask.
os.environ.setdefault('ROS_PYTHON_CHECK_FIELDS', '1')
