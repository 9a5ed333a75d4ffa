"""Results of a live run in the layout of `loftr-ros evaluate`, for `report` and `compare`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from loftr_ros.evaluation.records.result_files import write_json, write_records
from loftr_ros.evaluation.records.results import FRAMES, RUN, SEQUENCE, SEQUENCES, SUMMARY
from loftr_ros.evaluation.records.summaries import summarize, total_of
from loftr_ros.evaluation.records.trajectory_metrics import (
    estimated_poses,
    trajectory_metrics,
    true_poses,
    write_trajectory,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from loftr_ros.evaluation.live.comparison import LiveRun
    from loftr_ros.evaluation.records.results import RunFolder, SequenceFolder


def write_live_run(
    path: Path,
    replay: RunFolder,
    sequence: SequenceFolder,
    runs: Iterable[LiveRun],
    settings: Mapping[str, Any],
) -> Path:
    """Write one sequence for each time that the bag was played; returns the folder.

    Args:
        path: The new folder.
        replay: The replay of the bag.
        sequence: The sequence of the replay.
        runs: What came out.
        settings: Of the node.

    """
    summaries = {}
    for run in runs:
        folder = path / SEQUENCES / run.name
        summaries[run.name] = {'status': 'complete', 'error': '', **_write(folder, run)}
        info = replace(sequence.info, name=run.name, expected=len(run.live.records))
        write_json(folder / SEQUENCE, info)
    parameters = {**replay.info.parameters, **settings['parameters'], 'rate': settings['rate']}
    run_info = replace(
        replay.info,
        inputs=(sequence.info.path,),
        parameters=parameters,
        weights_sha256=settings['weights_sha256'],
        device=settings['device'],
        threads=parameters['matcher.num_threads'],
    )
    write_json(path / RUN, run_info)
    write_json(path / SUMMARY, {'sequences': summaries, 'total': total_of(summaries)})
    return path


def _write(folder: Path, run: LiveRun) -> dict[str, Any]:
    records = run.live.records
    summary = summarize(records, run.live.track_lengths)
    summary['trajectory'] = trajectory_metrics(records)
    write_records(folder / FRAMES, records)
    write_json(folder / SUMMARY, summary)
    write_trajectory(folder / 'trajectory', estimated_poses(records))
    write_trajectory(folder / 'truth', true_poses(records))
    return summary
