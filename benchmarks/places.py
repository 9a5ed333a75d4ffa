"""Places of one run found again by another: `python benchmarks/places.py DATA [--json FILE]`.

Half of a sequence goes through a session, whose places are saved to a file. Then each frame of the
other half is asked alone, by a session that has loaded the file and seen nothing else; and all of
them one after the other by one session, which also knows the motion in between (`reference:
previous`). The same with the halves exchanged. The rendered room has walls and furniture of one
texture only, and is asked on a second lap. Frames of the other sequences, which all lie elsewhere,
are asked as well.

Two views overlap by the smaller of two shares: of the pixels of one that the other sees, by the
true poses and the depth of both (of stereo pairs by semi-global matching), where both depths agree
to 0.1 m + 10 % and the views differ by no more than 60 deg. A find is true if its pose agrees with
the truth to 5 deg and 0.1 m + 20 % of the distance. Recall counts the frames that overlap a saved
place by a third or more.

The time is that of a search, from the features of the frame to its pose in the map, among a
thousand places: those of the file and copies of these, whose signatures are moved by chance as far
as the frames of other sequences are. That tells the time, but nothing about precision. Beside the
time by the clock stands that of the processor, which other programs do not add to.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from loops import LAP, Known, agrees, recorded, room

from loftr_ros.frontend import BaseOdometry, Frame, PlaceSearch, SavedPlaces, Session
from loftr_ros.frontend.place_files import load_places, save_places
from loftr_ros.geometry.rotations import rotation_vector
from loftr_ros.geometry.transforms import inverse_transform
from loftr_ros.settings.matcher import NodeMatcher, load_matcher
from loftr_ros.settings.parameters import NodeParameters
from loftr_ros.visualization.trajectories import AXIS_NAMES, new_figure, save_figure

Array = npt.NDArray[np.float64]

SEQUENCES = {'sevenscenes': 'rgbd', 'hololens_rgbd': 'rgbd', 'kitti_stereo': 'stereo'}
STRANGERS = {**SEQUENCES, 'tum_fr3_office': 'mono', 'euroc_mh05': 'mono'}
OVERLAP = 1.0 / 3.0
WIDEST = np.deg2rad(60.0)
GRID_PX = 8
THOUSAND = 1000
TIMED = 10
"""So many searches that found something are timed, and so many that did not."""
HEADER = (
    f'{"saved half of":24} {"places":>6} {"MB":>5} {"asked":>5} {"overlap":>7} {"found":>5} '
    f'{"true":>5} {"prec. %":>7} {"alone %":>8} {"driven %":>8} {"elsewhere: asked, found":>24}  '
    'of 1000 places, ms: search p50; found p50, p95; not found p50, p95; '
    'processor: found p50, p95, not found p95'
)


@dataclass
class View:
    """A frame whose pose and depth are known."""

    frame: Frame
    world_T_camera: Array
    depth: npt.NDArray[np.floating]


@dataclass
class Outcome:
    """One frame that was asked."""

    overlap: float
    position: Array
    search: PlaceSearch
    true: bool = False

    @property
    def found(self) -> bool:
        return self.search.found is not None


@dataclass
class Score:
    """What one map came to."""

    name: str
    saved: SavedPlaces
    megabytes: float
    places: list[Array]
    asked: list[Outcome] = field(default_factory=list)
    driven: list[Outcome] = field(default_factory=list)
    elsewhere: list[PlaceSearch] = field(default_factory=list)
    seconds: dict[bool, list[tuple[float, float, float]]] = field(
        default_factory=lambda: {True: [], False: []}
    )

    def figures(self) -> dict[str, Any]:
        """Return the figures of the table."""
        near = [one for one in self.asked if one.overlap >= OVERLAP]
        found = sum(one.found for one in self.asked + self.driven)
        true = sum(one.true for one in self.asked + self.driven)
        located = sum(place.located is not None for place in self.saved.places)
        in_map = sum(place.map_T_camera is not None for place in self.saved.places)
        wrong = sum(search.found is not None for search in self.elsewhere)
        times = {
            kind: 1e3 * np.array(self.seconds[kind] or [(np.nan,) * 3]) for kind in (True, False)
        }
        return {
            'map': self.name,
            'places': len(self.saved.places),
            'megabytes': round(self.megabytes, 1),
            'places_with_pose': located,
            'places_in_map': in_map,
            'asked': len(self.asked),
            'overlapping': len(near),
            'found': found,
            'true': true,
            'precision_percent': round(100 * true / found, 1) if found else None,
            'recall_alone_percent': _recall(self.asked),
            'recall_driven_percent': _recall(self.driven),
            'elsewhere_asked': len(self.elsewhere),
            'elsewhere_found': wrong,
            'search_ms_p50': _percentile(np.concatenate(list(times.values()))[:, 0], 50),
            'found_ms_p50': _percentile(times[True][:, 1], 50),
            'found_ms_p95': _percentile(times[True][:, 1], 95),
            'found_cpu_ms_p50': _percentile(times[True][:, 2], 50),
            'found_cpu_ms_p95': _percentile(times[True][:, 2], 95),
            'not_found_cpu_ms_p95': _percentile(times[False][:, 2], 95),
            'not_found_ms_p50': _percentile(times[False][:, 1], 50),
            'not_found_ms_p95': _percentile(times[False][:, 1], 95),
        }


def _recall(outcomes: list[Outcome]) -> float | None:
    near = [one.true for one in outcomes if one.overlap >= OVERLAP]
    return round(100 * sum(near) / len(near), 1) if near else None


def _percentile(values: Array, percent: float) -> float | None:
    known = values[np.isfinite(values)]
    return round(float(np.percentile(known, percent)), 1) if len(known) else None


def line(figures: dict[str, Any]) -> str:
    """Write the figures of one map in a line of the table."""
    shown = {key: '-' if value is None else value for key, value in figures.items()}
    elsewhere = f'{shown["elsewhere_asked"]}, {shown["elsewhere_found"]}'
    return (
        f'{shown["map"]:24} {shown["places"]:6} {shown["megabytes"]:5} {shown["asked"]:5} '
        f'{shown["overlapping"]:7} {shown["found"]:5} {shown["true"]:5} '
        f'{shown["precision_percent"]:>7} {shown["recall_alone_percent"]:>8} '
        f'{shown["recall_driven_percent"]:>8} {elsewhere:>24}  '
        f'{shown["search_ms_p50"]}; {shown["found_ms_p50"]}, {shown["found_ms_p95"]}; '
        f'{shown["not_found_ms_p50"]}, {shown["not_found_ms_p95"]}; '
        f'{shown["found_cpu_ms_p50"]}, {shown["found_cpu_ms_p95"]}, {shown["not_found_cpu_ms_p95"]}'
    )


def depth_of(frame: Frame) -> npt.NDArray[np.floating]:
    """Return the depth of a frame, m; of a rectified stereo pair by semi-global matching."""
    if frame.depth is not None or frame.right is None or frame.camera is None:
        return np.full((1, 1), np.nan) if frame.depth is None else frame.depth
    block = 7
    matcher = cv2.StereoSGBM.create(
        0, 128, block, 8 * block**2, 32 * block**2, uniquenessRatio=10,
        speckleWindowSize=100, speckleRange=2,
    )  # fmt: skip
    images = [cv2.cvtColor(one, cv2.COLOR_RGB2GRAY) if one.ndim == 3 else one
              for one in (frame.image, frame.right.image)]  # fmt: skip
    disparity = matcher.compute(*images) / 16.0
    baseline = np.linalg.norm(frame.right.left_T_right[:3, 3])
    known = np.where(disparity > 1.0, disparity, np.nan)
    return np.asarray(frame.camera.matrix[0, 0] * baseline / known)


def overlap(first: View, second: View) -> float:
    """Return the share of the pixels of either view that the other one sees, the smaller one."""
    rotation = first.world_T_camera[:3, :3].T @ second.world_T_camera[:3, :3]
    if np.linalg.norm(rotation_vector(rotation)) > WIDEST:
        return 0.0
    return min(seen_share(first, second), seen_share(second, first))


def seen_share(first: View, second: View) -> float:
    """Return the share of the pixels of the first view that the second one sees."""
    if first.frame.camera is None or second.frame.camera is None:
        return 0.0
    (height, width), (rows, columns) = first.depth.shape, second.depth.shape
    y, x = np.mgrid[GRID_PX // 2 : height : GRID_PX, GRID_PX // 2 : width : GRID_PX]
    z = first.depth[y, x]
    known = np.isfinite(z) & (z > 0)
    pixels = np.column_stack([x[known], y[known]]).astype(np.float64)
    rays = np.column_stack([first.frame.camera.normalize(pixels), np.ones(len(pixels))])
    second_T_first = inverse_transform(second.world_T_camera) @ first.world_T_camera
    points = rays * z[known][:, None] @ second_T_first[:3, :3].T + second_T_first[:3, 3]
    points = points[points[:, 2] > 0.05]
    seen = np.rint(np.nan_to_num(second.frame.camera.project(points), nan=-1.0)).astype(np.int64)
    inside = ((seen >= 0) & (seen < [columns, rows])).all(axis=1)
    there = second.depth[seen[inside, 1], seen[inside, 0]]
    here = points[inside, 2]
    same = ~(there > 0) | (np.abs(here - there) <= 0.1 + 0.1 * there)
    return float(np.count_nonzero(same) / max(len(pixels), 1))


def views_of(known: Iterator[Known]) -> list[View]:
    return [View(frame, pose, depth_of(frame)) for frame, pose, _ in known]


def parameters_of(mode: str, weights: str) -> NodeParameters:
    """Every keyframe is remembered, and none is compared with those of its own run."""
    values = {'matcher.weights': weights, 'loop.enabled': True, 'loop.interval': 0.0}
    return NodeParameters().with_values({**values, 'mode': mode, 'loop.min_age': 86_400.0})


def map_of(
    name: str, views: list[View], matcher: NodeMatcher, parameters: NodeParameters
) -> tuple[Score, list[View]]:
    """Save the places of a run; returns the map as it was loaded, and the views of its places."""
    session = Session(matcher, parameters.session_options(), odometry=BaseOdometry())
    for view in views:
        session.process(view.frame)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'places.safetensors'
        save_places(session.saved_places(matcher.weights_name, matcher.weights_hash), path)
        megabytes = path.stat().st_size / 1e6
        saved = load_places(path, matcher.weights_hash, parameters.loop.memory)
    by_stamp = {view.frame.stamp_ns: view for view in views}
    kept = [by_stamp[place.frame.stamp_ns] for place in saved.places]
    return Score(name, saved, megabytes, [view.world_T_camera[:3, 3] for view in kept]), kept


def ask(
    frame: Frame, saved: SavedPlaces, matcher: NodeMatcher, options: NodeParameters
) -> PlaceSearch:
    """Ask for one frame, of which nothing else is known."""
    session = Session(matcher, options.session_options(), odometry=BaseOdometry())
    session.load_places(saved)
    search = session.process(frame).places
    assert search is not None
    return search


def time_of(
    frame: Frame, saved: SavedPlaces, matcher: NodeMatcher, options: NodeParameters
) -> tuple[float, float, float]:
    """Return the time of the search, of all, and that of the processor, s."""
    session = Session(matcher, options.session_options(), odometry=BaseOdometry())
    session.load_places(saved)
    step = session.track(frame)
    start = time.process_time()
    search = session.find_place(step)
    spent = time.process_time() - start
    assert search is not None
    return search.seconds['search'], search.seconds['total'], spent


def drive(
    views: list[View], score: Score, kept: list[View], matcher: NodeMatcher, options: NodeParameters
) -> None:
    """Ask for frames that follow each other."""
    options = options.with_values({'reference': 'previous'})
    session = Session(matcher, options.session_options(), odometry=BaseOdometry())
    session.load_places(score.saved)
    for view, alone in zip(views, score.asked, strict=True):
        search = session.process(view.frame).places
        if search is None:  # the frame before is the reference still
            search = PlaceSearch(view.frame, None, (), 0, {})
        true = is_true(search, view, kept)
        score.driven.append(Outcome(alone.overlap, alone.position, search, true))


def is_true(search: PlaceSearch, view: View, kept: list[View]) -> bool:
    if search.found is None:
        return False
    closure = search.found.closure
    [place] = [one for one in kept if one.frame.stamp_ns == closure.reference.stamp_ns]
    return agrees(closure.pose, inverse_transform(place.world_T_camera) @ view.world_T_camera)


def thousand(saved: SavedPlaces, distance: float) -> SavedPlaces:
    """Add copies of places until there are a thousand, with signatures of other views."""
    random, places = np.random.default_rng(0), list(saved.places)
    while len(places) < THOUSAND:
        place = saved.places[len(places) % len(saved.places)]
        noise = random.normal(size=place.signature.shape)
        noise -= (noise @ place.signature) * place.signature
        noise *= np.tan(np.arccos(1.0 - distance)) / np.linalg.norm(noise)
        moved = place.signature + noise
        signature = (moved / np.linalg.norm(moved)).astype(np.float32)
        places.append(replace(place, signature=signature))
    return replace(saved, places=tuple(places))


def run(
    name: str,
    halves: tuple[list[View], list[View]],
    strangers: Iterator[Frame],
    matcher: NodeMatcher,
    parameters: NodeParameters,
) -> Score:
    """Save one half, and ask for the other one and for strangers."""
    score, kept = map_of(name, halves[0], matcher, parameters)
    step = score.saved.typical_step or 0.0
    many = thousand(score.saved, 3.0 * step)
    for view in halves[1]:
        search = ask(view.frame, score.saved, matcher, parameters)
        shared = max(overlap(view, place) for place in kept)
        true = is_true(search, view, kept)
        score.asked.append(Outcome(shared, view.world_T_camera[:3, 3], search, true))
        times = score.seconds[search.found is not None]
        if search.matched and len(times) < TIMED:
            times.append(time_of(view.frame, many, matcher, parameters))
    drive(halves[1], score, kept, matcher, parameters)
    score.elsewhere = [ask(frame, score.saved, matcher, parameters) for frame in strangers]
    return score


def strangers_to(name: str, data: Path, every: int) -> Iterator[Frame]:
    for other, mode in STRANGERS.items():
        if other != name:
            frames = [frame for frame, _, _ in recorded(data / other, mode)]
            yield from frames[::every]


def draw(scores: list[Score], file: Path) -> None:
    """Draw each map from above: its places, and where the frames asked were."""
    figure = new_figure(4.0 * len(scores), 4.2)
    kinds = (
        ('found', 'tab:green', lambda one: one.found),
        ('overlaps, not found', 'tab:red', lambda one: not one.found and one.overlap >= OVERLAP),
        ('overlaps too little', 'lightgrey', lambda one: not one.found and one.overlap < OVERLAP),
    )
    for axes, score in zip(figure.subplots(1, len(scores), squeeze=False)[0], scores, strict=True):
        places = np.array(score.places)
        every = np.array([*score.places, *(one.position for one in score.asked)])
        across, along = sorted(np.argsort(-np.ptp(every, axis=0), kind='stable')[:2].tolist())
        axes.plot(places[:, across], places[:, along], '^', color='tab:blue', label='saved places')
        for label, colour, chosen in kinds:
            points = np.array([one.position for one in score.asked if chosen(one)]).reshape(-1, 3)
            axes.plot(points[:, across], points[:, along], '.', color=colour, label=label)
        axes.set(title=score.name, xlabel=f'{AXIS_NAMES[across]} [m]')
        axes.set(ylabel=f'{AXIS_NAMES[along]} [m]')
        axes.set_aspect('equal', adjustable='datalim')
        axes.grid(alpha=0.3)
    figure.axes[0].legend(fontsize='small')
    save_figure(figure, file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('data', type=Path, help='folder of the recorded sequences')
    parser.add_argument('--case', action='append', default=[], help='only cases that start so')
    parser.add_argument('--weights', default='lite', help='LoFTR weights to match with')
    parser.add_argument('--every', type=int, default=1, help='ask only for every such frame')
    parser.add_argument('--strangers', type=int, default=5, help='every such frame of the others')
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--verbose', action='store_true', help='print each frame asked')
    parser.add_argument('--json', type=Path, help='file for the figures')
    parser.add_argument('--figure', type=Path, help='draw the maps to this file')
    arguments = parser.parse_args()
    cv2.setNumThreads(arguments.threads)
    torch.set_num_threads(arguments.threads)
    matcher = load_matcher(parameters_of('mono', arguments.weights))
    lap = partial(room, 1, 'rgbd', 1)
    cases = {
        name: (mode, partial(recorded, arguments.data / name, mode))
        for name, mode in SEQUENCES.items()
    }
    cases['aliases'] = ('rgbd', lap)
    scores = []
    print(HEADER)
    for name, (mode, read) in cases.items():
        if arguments.case and not name.startswith(tuple(arguments.case)):
            continue
        views = views_of(read())
        half = LAP if name == 'aliases' else len(views) // 2
        every = arguments.every * (4 if name == 'aliases' else 1)
        for label, halves in (
            (f'{name}, first', (views[:half], views[half:][::every])),
            (f'{name}, second', (views[half:], views[:half][::every])),
        ):
            others = strangers_to(name, arguments.data, arguments.strangers)
            scores.append(
                run(label, halves, others, matcher, parameters_of(mode, arguments.weights))
            )
            print(line(scores[-1].figures()), flush=True)
            for one in scores[-1].asked + scores[-1].driven if arguments.verbose else ():
                print(f'    overlap {one.overlap:.2f} true {one.true} {one.search}')
    if arguments.json:
        figures = {
            'weights': arguments.weights,
            'threads': arguments.threads,
            'load': os.getloadavg()[0],
            'maps': [score.figures() for score in scores],
        }
        arguments.json.write_text(json.dumps(figures, indent=1) + '\n', encoding='utf-8')
    if arguments.figure:
        draw([score for score in scores if score.name.endswith('first')], arguments.figure)


if __name__ == '__main__':
    main()
