"""What to match with what: frames, pairing, keyframes and tracks; knows no ROS and no files."""

from loftr_ros.frontend.base_odometry import BaseOdometry
from loftr_ros.frontend.frame import Frame, FrameError, RightView
from loftr_ros.frontend.loop_options import LoopOptions
from loftr_ros.frontend.loops import LoopCloser, LoopClosure, LoopSearch
from loftr_ros.frontend.masks import Masks
from loftr_ros.frontend.odometry import Odometry, OdometryEstimate, OdometryOptions
from loftr_ros.frontend.options import TrackerOptions
from loftr_ros.frontend.session import Session, SessionMatcher, SessionOptions, Step
from loftr_ros.frontend.states import TrackingState
from loftr_ros.frontend.tracker import Matcher, Tracker, TrackingResult

__all__ = [
    'BaseOdometry',
    'Frame',
    'FrameError',
    'LoopCloser',
    'LoopClosure',
    'LoopOptions',
    'LoopSearch',
    'Masks',
    'Matcher',
    'Odometry',
    'OdometryEstimate',
    'OdometryOptions',
    'RightView',
    'Session',
    'SessionMatcher',
    'SessionOptions',
    'Step',
    'Tracker',
    'TrackerOptions',
    'TrackingResult',
    'TrackingState',
]
