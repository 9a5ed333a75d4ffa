"""Answers of the node's services: the worker does the work, and they wait for it.

They are coroutines, so that the one thread of the executor goes on meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from rclpy.task import Future
from std_srvs.srv import SetBool, Trigger

from loftr_ros.codecs.conversions import relative_pose_to_msg
from loftr_ros.codecs.correspondences import View
from loftr_ros.geometry import PoseState, RelativePose
from loftr_ros.msg import RelativePose as RelativePoseMsg
from loftr_ros.ros.frames import ImageInput, InputError
from loftr_ros.ros.monitoring import LONGEST_TEXT
from loftr_ros.ros.outputs import result_to_msgs
from loftr_ros.ros.pipeline import Pipeline
from loftr_ros.ros.processing import Processor
from loftr_ros.ros.worker import WorkerStoppedError
from loftr_ros.srv import MatchImages, PlacesFile
from loftr_ros.texts import shortened

if TYPE_CHECKING:
    import concurrent.futures

    from rclpy.executors import Executor

    from loftr_ros.frontend import SavedPlaces, TrackingResult
    from loftr_ros.settings.parameters import NodeParameters

Result = TypeVar('Result')
CreateService = Callable[[type[Any], str, Callable[..., Any]], object]


class Waiting:
    """Answers that wait for the worker; for use in the executor's thread alone."""

    def __init__(self, executor: Callable[[], Executor | None]) -> None:
        """Start with none; `executor` returns the one that spins the node."""
        self._executor = executor
        self._works: dict[concurrent.futures.Future[Any], Future[None]] = {}
        self._reason = ''

    async def result(self, work: concurrent.futures.Future[Result]) -> Result:
        """Return the result of the worker without holding up the executor meanwhile.

        Raises:
            WorkerStoppedError: The worker is stopped or stuck.
        """
        executor = self._executor()
        finished: Future[None] = Future(executor=executor)

        def wake(_: object) -> None:
            finished.set_result(None)
            if executor is not None:  # it still has the node
                executor.wake()

        self._works[work] = finished
        work.add_done_callback(wake)
        await finished
        del self._works[work]
        if work.cancelled() or not work.done():
            raise WorkerStoppedError(self._reason)
        error = work.exception()
        if error is not None and not isinstance(error, Exception):  # it must not end the executor
            raise WorkerStoppedError(f'{type(error).__name__}: {error}')
        return work.result()

    def abandon(self, reason: str) -> None:
        """Let all that wait fail; what the worker has not begun by now it will not do."""
        self._reason = reason
        for work, finished in self._works.items():
            if not work.cancel():
                finished.set_result(None)


class Served(Protocol):
    """A node that has these services."""

    state: str
    paused: bool
    parameters: NodeParameters
    pipeline: Pipeline | None

    def clear_inputs(self) -> None:
        """Forget the messages that wait."""


class Services:
    """The services of a node, whose callbacks wait for the worker."""

    def __init__(self, node: Served, create: CreateService, waiting: Waiting) -> None:
        """Create them; `create` takes the type, the name and the callback of a service."""
        self._node = node
        self._waiting = waiting
        for service_type, name, callback in (
            (MatchImages, '~/match_images', self._match_images),
            (Trigger, '~/reset', self._reset),
            (Trigger, '~/set_keyframe', self._set_keyframe),
            (SetBool, '~/pause', self._pause),
            (PlacesFile, '~/save_places', self._save_places),
            (PlacesFile, '~/load_places', self._load_places),
            (Trigger, '~/relocalize', self._relocalize),
        ):
            create(service_type, name, callback)

    async def _match_images(
        self, request: MatchImages.Request, response: MatchImages.Response
    ) -> MatchImages.Response:
        node = self._node
        return await match_images(request, response, node.pipeline, node.state, self._waiting)

    async def _reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._node.clear_inputs()
        return await self._between_frames(response, Pipeline.reset)

    async def _set_keyframe(
        self, _: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        return await self._between_frames(response, Pipeline.set_keyframe)

    async def _relocalize(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        return await self._between_frames(response, Pipeline.relocalize)

    async def _between_frames(
        self, response: Trigger.Response, action: Callable[[Pipeline], str | None]
    ) -> Trigger.Response:
        node = self._node
        return await trigger(response, node.pipeline, action, node.state, self._waiting)

    async def _save_places(
        self, request: PlacesFile.Request, response: PlacesFile.Response
    ) -> PlacesFile.Response:
        return await self._use_places(request, response, Processor.save_places)

    async def _load_places(
        self, request: PlacesFile.Request, response: PlacesFile.Response
    ) -> PlacesFile.Response:
        most = self._node.parameters.loop.memory
        return await self._use_places(
            request, response, lambda processor, path: processor.load_places(path, most)
        )

    async def _use_places(
        self,
        request: PlacesFile.Request,
        response: PlacesFile.Response,
        action: Callable[[Processor, Path], SavedPlaces],
    ) -> PlacesFile.Response:
        node = self._node
        arguments = node.pipeline, action, node.state, self._waiting
        return await use_places(request, response, *arguments)

    def _pause(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self._node.paused = request.data
        response.success = True
        response.message = 'paused' if request.data else 'running'
        return response


async def match_images(
    request: MatchImages.Request,
    response: MatchImages.Response,
    pipeline: Pipeline | None,
    state: str,
    waiting: Waiting,
) -> MatchImages.Response:
    """Match the two images of a request, or say in the response why that is not possible."""
    pair = (
        ImageInput(request.image0, request.camera_info0, 'image0', 'camera_info0'),
        ImageInput(request.image1, request.camera_info1, 'image1', 'camera_info1'),
    )
    if pipeline is None:
        return _failure(response, _not_configured(state))
    processor = pipeline.processor
    try:
        result = await waiting.result(pipeline.worker.call(lambda: processor.match_images(*pair)))
    except (InputError, WorkerStoppedError) as error:
        return _failure(response, str(error))
    except Exception as error:  # of torch, for example: one answer must not end the node
        return _failure(response, f'unexpected {type(error).__name__}: {error}')
    matcher = processor.matcher
    response.correspondences, response.relative_pose = result_to_msgs(
        result, RelativePoseMsg.KIND_PAIR, matcher.weights_name, matcher.weights_hash
    )
    response.success, response.message = True, _summary(result)
    return response


async def trigger(
    response: Trigger.Response,
    pipeline: Pipeline | None,
    action: Callable[[Pipeline], str | None],
    state: str,
    waiting: Waiting,
) -> Trigger.Response:
    """Do something with the pipeline between two frames; the answer is what it returns."""
    if pipeline is None:
        response.success, response.message = False, _not_configured(state)
        return response
    try:
        text = await waiting.result(pipeline.worker.call(lambda: action(pipeline)))
    except Exception as error:  # as above
        response.success, response.message = False, shortened(str(error), LONGEST_TEXT)
        return response
    response.success, response.message = True, shortened(text or 'done', LONGEST_TEXT)
    return response


async def use_places(
    request: PlacesFile.Request,
    response: PlacesFile.Response,
    pipeline: Pipeline | None,
    action: Callable[[Processor, Path], SavedPlaces],
    state: str,
    waiting: Waiting,
) -> PlacesFile.Response:
    """Save places to the file of a request, or load them from it, between two frames."""
    if pipeline is None:
        response.success, response.message = False, _not_configured(state)
        return response
    processor = pipeline.processor
    try:
        path = Path(request.path).expanduser().absolute()
        saved = await waiting.result(pipeline.worker.call(lambda: action(processor, path)))
    except Exception as error:  # as above
        response.success, response.message = False, shortened(str(error), LONGEST_TEXT)
        return response
    located = sum(place.map_T_camera is not None for place in saved.places)
    response.success, response.places = True, len(saved.places)
    text = f'{len(saved.places)} places, {located} with a pose in the map: {path}'
    response.message = shortened(text, LONGEST_TEXT)
    return response


def _not_configured(state: str) -> str:
    return f'the node is {state} and has no model: configure it first'


def _failure(response: MatchImages.Response, reason: str) -> MatchImages.Response:
    reason = shortened(reason, LONGEST_TEXT)
    # An empty RelativePose message holds the identity, which looks like an estimate.
    nowhere = View(0, '', (0, 0))
    failed = RelativePose.failed(PoseState.LOST, reason)
    kind = RelativePoseMsg.KIND_PAIR
    response.relative_pose = relative_pose_to_msg(failed, nowhere, nowhere, kind)
    response.success, response.message = False, reason
    return response


def _summary(result: TrackingResult) -> str:
    pose = result.pose
    text = f'{len(result.matches)} matches, {int(pose.inliers.sum())} inliers, {pose.state.name}'
    return f'{text}: {pose.reason}' if pose.reason else text
