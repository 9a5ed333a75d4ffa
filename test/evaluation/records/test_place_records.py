from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest

from loftr_ros.evaluation.records.place_records import place_record
from loftr_ros.frontend import Frame, Localization, LoopClosure, PlaceSearch
from loftr_ros.frontend.places import Located
from loftr_ros.geometry import RelativePose
from loftr_ros.matching.matches import Matches


def frame(stamp_ns: int) -> Frame:
    return Frame(stamp_ns, np.zeros((4, 4), np.uint8), 'eye')


def test_a_find_has_the_place_and_both_poses() -> None:
    motion, in_map = np.eye(4), np.eye(4)
    motion[:3, 3], in_map[:3, 3] = (1.0, 2.0, 3.0), (4.0, 5.0, 6.0)
    inliers = np.array([True, False, True])
    pose = RelativePose.in_metres(
        motion, np.eye(6), method='pnp', inliers=inliers, median_residual=0.5
    )
    closure = LoopClosure(frame(7), frame(9), Matches.empty(), pose, 1.0)
    found = Localization(closure, Located(0, in_map), np.eye(6))
    record = place_record(3, PlaceSearch(frame(9), found, ('no',), 2, {}))
    assert (record.index, record.stamp_ns, record.place_stamp_ns) == (3, 9, 7)
    assert (record.matched, record.found, record.inliers, record.metric) == (2, True, 2, True)
    assert record.reference_T_query == pytest.approx((1.0, 2.0, 3.0, 0.0, 0.0, 0.0, 1.0))
    assert record.map_T_camera == pytest.approx((4.0, 5.0, 6.0, 0.0, 0.0, 0.0, 1.0))


def test_a_search_in_vain_has_its_reason_alone() -> None:
    record = place_record(3, PlaceSearch(frame(9), None, ('too few', 'too few'), 2, {}))
    assert record.reason.endswith('fits: too few')
    known = {key for key, value in asdict(record).items() if value is not None}
    assert known == {'index', 'stamp_ns', 'matched', 'found', 'reason'}
