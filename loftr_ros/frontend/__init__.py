"""What to match with what: frames, pairing, keyframes and tracks; knows no ROS and no files."""

from loftr_ros.frontend.frame import Frame, FrameError
from loftr_ros.frontend.options import TrackerOptions
from loftr_ros.frontend.tracker import Matcher, Tracker, TrackingResult

__all__ = [
    'Frame',
    'FrameError',
    'Matcher',
    'Tracker',
    'TrackerOptions',
    'TrackingResult',
]
