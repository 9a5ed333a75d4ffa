"""`loftr-ros export-matches`: the matches and tracks of a sequence as a database of COLMAP."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2

from loftr_ros.codecs.correspondences import Correspondences
from loftr_ros.console import counting_bar, new_console
from loftr_ros.data.colmap import import_pycolmap
from loftr_ros.data.errors import DatasetError
from loftr_ros.data.sequences import RefusedFrame
from loftr_ros.evaluation.replay.backends import prepare_process
from loftr_ros.evaluation.replay.colmap_database import MatchDatabase, image_name
from loftr_ros.evaluation.replay.inputs import open_input
from loftr_ros.evaluation.replay.task import InputChoice
from loftr_ros.frontend import FrameError, Session
from loftr_ros.settings.masks import read_masks
from loftr_ros.settings.matcher import load_matcher

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from loftr_ros.data.bags.topics import TopicNames
    from loftr_ros.settings.parameters import NodeParameters


@dataclass(frozen=True, kw_only=True)
class ExportCommand:
    """What to match, and where to write it.

    Attributes:
        path: A bag or a dataset.
        output: The new database.
        parameters: Of the node.
        mode: 'mono', 'stereo' or 'rgbd'.
        topics: Of a bag.
        images: Folder for the images by their names in the database; None for none.
        frames: How many; None for all.
    """

    path: Path
    output: Path
    parameters: NodeParameters
    mode: str
    topics: TopicNames
    images: Path | None = None
    frames: int | None = None

    def run(self) -> None:
        """Match the sequence as the node would, and write the database.

        Raises:
            DatasetError: The input cannot be used, or gives no matches.
            ValueError: pycolmap is missing, or the database exists.
        """
        import_pycolmap()
        if self.output.exists():
            raise ValueError(f'{self.output} exists: choose another name, or remove it')
        sequence = open_input(
            self.path, InputChoice(mode=self.mode, topics=self.topics), self.parameters
        )
        threads = {'matcher.num_threads': self.parameters.matcher.num_threads or 1}
        prepare_process(self.parameters.with_values(threads))
        options, masks = self.parameters.session_options(), read_masks(self.parameters)
        session: Session[Any] = Session(load_matcher(self.parameters), options, masks)
        database, refused = MatchDatabase(), []
        total = min(self.frames or len(sequence), len(sequence))
        console = new_console()
        with counting_bar(console) as bar:
            task = bar.add_task('matching', total=total)
            for item in itertools.islice(sequence.items(), total):
                bar.advance(task)
                if isinstance(item, RefusedFrame):
                    refused.append(item.reason)
                    continue
                try:
                    result = session.process(item.frame).result
                except FrameError as error:
                    refused.append(str(error))
                    continue
                self._write_image(item.frame.stamp_ns, item.frame.image)
                if result is not None and len(result.matches):
                    database.add(Correspondences.of(result), result.pose)
        if not database.pairs:
            reason = f'; first of {len(refused)} refused: {refused[0]}' if refused else ''
            raise DatasetError(self.path, f'no image matches another{reason}', 'Check the images.')
        database.write(self.output)
        if refused:
            text = f'{len(refused)} of {total} frames were refused, first: {refused[0]}'
            console.print(text, markup=False, soft_wrap=True)
        console.print(f'{database.summary}: {self.output}', markup=False, soft_wrap=True)

    def _write_image(self, stamp_ns: int, image: NDArray[Any]) -> None:
        if self.images is None:
            return
        self.images.mkdir(parents=True, exist_ok=True)
        path = self.images / image_name(stamp_ns)
        if not cv2.imwrite(str(path), image if image.ndim == 2 else image[..., ::-1]):
            raise OSError(f'{path}: the image cannot be written')
