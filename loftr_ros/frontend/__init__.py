"""What to match with what: frames, pairing, keyframes and tracks; knows no ROS."""

from loftr_ros.frontend.base_odometry import BaseOdometry
from loftr_ros.frontend.frame import Frame, FrameError, RightView
from loftr_ros.frontend.gyroscope import Gyroscope, GyroscopeOptions, GyroscopeRotation
from loftr_ros.frontend.localization import Localization, PlaceSearch, SavedPlaces
from loftr_ros.frontend.loop_options import LoopOptions
from loftr_ros.frontend.loops import LoopCloser, LoopClosure, LoopSearch
from loftr_ros.frontend.masks import Masks
from loftr_ros.frontend.odometry import Odometry, OdometryEstimate, OdometryOptions
from loftr_ros.frontend.options import TrackerOptions
from loftr_ros.frontend.session import (
    Between,
    Session,
    SessionMatcher,
    SessionOptions,
    Start,
    Step,
)
from loftr_ros.frontend.states import Source, TrackingState
from loftr_ros.frontend.tracker import Anchor, Matcher, Tracker, TrackingResult

__all__ = [
    'Anchor',
    'BaseOdometry',
    'Between',
    'Frame',
    'FrameError',
    'Gyroscope',
    'GyroscopeOptions',
    'GyroscopeRotation',
    'Localization',
    'LoopCloser',
    'LoopClosure',
    'LoopOptions',
    'LoopSearch',
    'Masks',
    'Matcher',
    'Odometry',
    'OdometryEstimate',
    'OdometryOptions',
    'PlaceSearch',
    'RightView',
    'SavedPlaces',
    'Session',
    'SessionMatcher',
    'SessionOptions',
    'Source',
    'Start',
    'Step',
    'Tracker',
    'TrackerOptions',
    'TrackingResult',
    'TrackingState',
]
