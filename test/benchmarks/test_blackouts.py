"""The gaps are as they are named, and each method keeps an easy track."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from blackouts import (
    AFTER,
    BEFORE,
    GAPS,
    NO_GAP,
    Cached,
    Frames,
    Gap,
    Scores,
    Speeds,
    is_kept,
    overall,
    pose_of,
    room,
    through_lucas_kanade,
    through_session,
)
from odometry import Peer

from loftr_ros.geometry.transforms import inverse_transform

RATE_HZ = 10.0


@pytest.fixture(scope='module')
def walk() -> Frames:
    return room()[: BEFORE + AFTER + 2]


def truth_of(frames: Frames) -> np.ndarray:
    return inverse_transform(pose_of(frames[0])) @ pose_of(frames[-1])


def test_dropped_frames_are_missing_and_dark_ones_show_nothing(walk: Frames) -> None:
    rng = np.random.default_rng(0)
    dropped = Gap('2 dropped', drops=2).apply(walk, RATE_HZ, rng)
    assert dropped == [*walk[:BEFORE], *walk[BEFORE + 2 :]]
    dark = Gap('0.2 s dark', dark_s=0.2).apply(walk, RATE_HZ, rng)
    assert len(dark) == len(walk)
    for number, (before, after) in enumerate(zip(walk, dark, strict=True)):
        hidden = number in (BEFORE, BEFORE + 1)
        assert (before is not after) is hidden
        if hidden:
            assert after.frame.image.max() < 20
            assert after.frame.depth is not None
            assert np.isnan(after.frame.depth).all()
    assert NO_GAP.apply(walk, RATE_HZ, rng) == walk


def test_a_track_is_kept_within_the_limits(walk: Frames) -> None:
    truth = truth_of(walk)
    far = truth.copy()
    far[0, 3] += 0.1 * sum(
        float(np.linalg.norm(pose_of(b)[:3, 3] - pose_of(a)[:3, 3]))
        for a, b in itertools.pairwise(walk)
    )
    assert is_kept(truth, walk)
    assert not is_kept(far, walk)
    assert not is_kept(None, walk)


def test_every_method_keeps_an_easy_track(walk: Frames) -> None:
    matcher, speeds = Cached(Peer()), Speeds.of(walk)
    tracks = [
        through_session(matcher, speeds, walk),
        through_session(matcher, speeds, walk, with_gyroscope=True),
        through_lucas_kanade(speeds),
    ]
    for track in tracks:
        assert is_kept(track(walk), walk)


def test_lucas_kanade_has_its_scale_from_the_speed_where_there_is_no_depth(walk: Frames) -> None:
    flat = [replace(one, frame=replace(one.frame, depth=None)) for one in walk]
    pose = through_lucas_kanade(Speeds.of(walk))(flat)
    assert pose is not None
    way = np.linalg.norm(truth_of(walk)[:3, 3])
    assert np.linalg.norm(pose[:3, 3] - truth_of(walk)[:3, 3]) < 0.2 * way


def test_shares_are_of_all_runs_that_a_sequence_was_long_enough_for() -> None:
    short, long = Scores('short'), Scores('long')
    for gap in GAPS[:2]:
        short.runs[gap.name] = 2
        short.add('ours', gap, kept=True)
    for gap in GAPS:
        long.runs[gap.name] = 2
        long.add('ours', gap, kept=False)
    shares = overall([short, long])['ours']
    assert shares[GAPS[0].name] == 25.0
    assert shares[GAPS[-1].name] == 0.0
