"""Runs of `loftr-ros evaluate` made up of known errors, with the package's own writers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from loftr_ros.evaluation.records.result_files import from_json, write_json, write_records
from loftr_ros.evaluation.records.results import (
    FRAME_TIMES,
    FRAMES,
    RUN,
    SEQUENCE,
    SEQUENCES,
    SUMMARY,
    TIMING,
    WORST,
    CovariantPose,
    FrameRecord,
    FrameTimes,
    MatchArrays,
    MatchFigures,
    PoseErrors,
    ReferenceRecord,
    RunInfo,
    SequenceInfo,
    write_matches,
)
from loftr_ros.evaluation.records.summaries import summarize, summarize_times, total_of, worst_of
from loftr_ros.evaluation.records.trajectory_metrics import trajectory_metrics
from loftr_ros.geometry.quaternions import quaternion_from_rotation

FRAME_COUNT = 40


def write_run(
    folder: Path,
    errors: dict[str, float],
    *,
    seed: int = 0,
    parameters: dict[str, Any] | None = None,
    failed: tuple[str, ...] = (),
    latency: float = 0.1,
) -> Path:
    """Write a run; `errors` are sequence name -> size of its errors, about 1."""
    info = RunInfo(
        inputs=tuple(f'/bags/{name}' for name in errors),
        parameters=parameters or {'longer_side': 640, 'confidence_threshold': 0.2},
        weights='lite',
        weights_sha256='ab12' * 16,
        device='cpu',
        precision='float32',
        threads=1,
        versions={'loftr_ros': '0.2.0', 'torch': '2.13.0'},
        machine={'system': 'Linux', 'processor': 'imagined', 'cpus': 2},
    )
    write_json(folder / RUN, info)
    summaries: dict[str, dict[str, Any]] = {}
    times = {}
    for number, (name, size) in enumerate(errors.items()):
        rng = np.random.default_rng([seed, number])
        place = folder / SEQUENCES / name
        status = 'failed' if name in failed else 'complete'
        error = 'frame 3 is damaged' if name in failed else ''
        info_of = SequenceInfo(
            name=name,
            path=f'/bags/{name}',
            layout='bag',
            mode='mono',
            topics={},
            expected=FRAME_COUNT,
            camera=None,
            status=status,
            error=error,
        )
        write_json(place / SEQUENCE, info_of)
        if name in failed:
            summaries[name] = {'status': status, 'error': error}
            continue
        records = make_records(rng, size)
        summary = summarize(records, [3, 5, 9], worst_of(records, 2))
        summary['trajectory'] = trajectory_metrics(records)
        frame_times = [
            FrameTimes(
                index=r.index,
                read=0.01,
                encode=0.4 * latency,
                match=0.5 * latency,
                pose=0.1 * latency,
                total=latency,
            )
            for r in records
        ]
        write_records(place / FRAMES, records)
        write_records(place / FRAME_TIMES, frame_times)
        write_json(place / SUMMARY, summary)
        for index in summary['worst']:
            write_matches(place / WORST, make_matches(rng, index))
        summaries[name] = {'status': status, 'error': '', **summary}
        times[name] = summarize_times(frame_times)
    write_json(folder / SUMMARY, {'sequences': summaries, 'total': total_of(summaries)})
    write_json(folder / TIMING, {'started': '2026-01-01T00:00:00+00:00', 'sequences': times})
    return folder


def frame_record(**values: object) -> FrameRecord:
    """Make a record of the values of one line of frames.jsonl."""
    return from_json(values, FrameRecord, Path('frames.jsonl'))


def make_records(rng: np.random.Generator, size: float) -> list[FrameRecord]:
    """Walk on a circle; the estimate drifts in proportion to `size`."""
    records = [
        FrameRecord(
            index=0, stamp_ns=10**9, status='reference', world_T_camera=_on_circle(0, 0.0, 1.0)
        )
    ]
    drift = 0.0
    for index in range(1, FRAME_COUNT):
        drift += size * rng.normal(0.004, 0.01)
        lost = index == 20
        records.append(
            FrameRecord(
                index=index,
                stamp_ns=10**9 + index * 10**8,
                status='matched',
                reason='too little parallax' if lost else '',
                reference=ReferenceRecord(
                    reference_index=index - 1,
                    reference_stamp_ns=10**9 + (index - 1) * 10**8,
                    new_keyframe=index % 8 == 0,
                ),
                matching=MatchFigures(
                    matches=int(400 + rng.normal(0, 20)),
                    inliers=0 if lost else int(350 - 20 * size + rng.normal(0, 10)),
                    continued_tracks=200,
                    confidence=0.8,
                    sigma_px=0.5,
                    displacement_px=12.0,
                    residual_px=0.4,
                    precision=0.9,
                ),
                pose=CovariantPose(
                    state='lost' if lost else 'ok',
                    method='none' if lost else 'essential',
                    metric=False,
                    reference_T_query=None if lost else (1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0),
                ),
                errors=PoseErrors(
                    true_reference_T_query=(0.1, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0),
                    rotation_error_deg=None if lost else size * float(rng.uniform(0.05, 0.1)),
                    direction_error_deg=None if lost else size * float(rng.uniform(0.5, 1.0)),
                    nees=None if lost else 5.0 * size,
                    nees_dof=None if lost else 5,
                ),
                odom_T_base=None if lost else _on_circle(index, drift, 0.5),
                gap=index == 21,
                world_T_camera=_on_circle(index, 0.0, 1.0),
            )
        )
    return records


def make_matches(rng: np.random.Generator, index: int) -> MatchArrays:
    image = rng.integers(0, 255, (96, 128, 3), np.uint8)
    points = rng.uniform(5, 90, (30, 2)).astype(np.float32)
    return MatchArrays(
        index=index,
        reference_index=index - 1,
        reference_image=image,
        query_image=np.roll(image, 4, axis=1),
        reference_points=points,
        query_points=points + np.float32(4),
        confidence=np.full(30, 0.7, np.float32),
        sigma=np.ones(30, np.float32),
        inliers=np.arange(30) % 3 > 0,
        track_ids=np.arange(30),
    )


def _on_circle(index: int, drift: float, scale: float) -> tuple[float, ...]:
    """Pose x y z and quaternion of an optical frame that looks along the circle."""
    angle = 2 * math.pi * index / FRAME_COUNT
    position = scale * np.array([4 * math.sin(angle), 4 * (1 - math.cos(angle)) + drift, 0.2])
    forward = np.array([math.cos(angle), math.sin(angle), 0])
    down = np.array([0.0, 0.0, -1.0])
    rotation = np.column_stack([np.cross(down, forward), down, forward])
    return (*position.tolist(), *quaternion_from_rotation(rotation).tolist())
