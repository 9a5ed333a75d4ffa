"""Reports of the node as diagnostic_msgs/DiagnosticArray, for rqt and robot monitors."""

from __future__ import annotations

from dataclasses import dataclass, field

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from loftr_ros.ros.monitoring import HORIZON_S, TopicReport, WorkReport
from loftr_ros.ros.odometry import OdometryReport


@dataclass(frozen=True, kw_only=True)
class NodeReport:
    """All that /diagnostics reports about the node.

    Attributes:
        name: Full name of the node.
        state: State of its lifecycle.
        paused: Whether ~/pause keeps it from processing.
        now: Time of the report, s of the monotonic clock.
        problems: What keeps it from working, in words.
        topics: Its subscriptions.
        work: Its processing.
        model: Name, hash and device of the weights; empty before configuration.
        failure: Why the last configuration failed; '' if it did not.
        fallback: Why images are matched at a smaller size than asked for; '' if they are not.
        odometry: Its odometry; None where there is none.
        stuck: Why its worker does not go on; '' if it does.
    """

    name: str
    state: str
    paused: bool
    now: float
    problems: list[str] = field(default_factory=list)
    topics: list[TopicReport] = field(default_factory=list)
    work: WorkReport = field(default_factory=WorkReport)
    model: dict[str, str] = field(default_factory=dict)
    failure: str = ''
    fallback: str = ''
    odometry: OdometryReport | None = None
    stuck: str = ''


def diagnostics_to_msg(report: NodeReport, stamp: Time) -> DiagnosticArray:
    """Write a report as the statuses node, inputs and processing, and odometry where there is."""
    array = DiagnosticArray(status=[_node(report), _inputs(report), _processing(report)])
    if report.odometry is not None:
        array.status.append(_odometry(report, report.odometry))
    array.header.stamp = stamp
    return array


def _node(report: NodeReport) -> DiagnosticStatus:
    values = {'lifecycle': report.state, 'paused': str(report.paused).lower(), **report.model}
    if report.failure:
        return _status(report, 'node', DiagnosticStatus.ERROR, report.failure, values)
    message = f'{report.state}, paused' if report.paused else report.state
    return _status(report, 'node', DiagnosticStatus.OK, message, values)


def _inputs(report: NodeReport) -> DiagnosticStatus:
    values: dict[str, str] = {}
    for topic in report.topics:
        values[f'{topic.name} rate [Hz]'] = f'{topic.rate:.2f}'
        values[f'{topic.name} received'] = str(topic.received)
        values[f'{topic.name} refused'] = str(topic.refused)
        if topic.publishers is not None:
            values[f'{topic.name} publishers'] = str(topic.publishers)
    refusal = report.work.last_refusal
    values['last refused'] = '' if refusal is None else str(refusal)
    if report.problems:
        message = '; '.join(report.problems)
        return _status(report, 'inputs', DiagnosticStatus.WARN, message, values)
    if refusal is not None and report.now - refusal.time < HORIZON_S:
        message = f'refused {refusal}'
        return _status(report, 'inputs', DiagnosticStatus.WARN, message, values)
    message = 'receiving' if report.topics else 'not subscribed'
    return _status(report, 'inputs', DiagnosticStatus.OK, message, values)


def _processing(report: NodeReport) -> DiagnosticStatus:
    work, last, errors = report.work, report.work.last, report.work.errors
    values = {
        'rate [Hz]': f'{work.rate:.2f}',
        'processed': str(work.processed),
        'dropped': str(work.dropped),
        'errors': str(errors.count),
        'last error': errors.last,
        'latency p50 [ms]': f'{work.latency_p50 * 1e3:.1f}',
        'latency p95 [ms]': f'{work.latency_p95 * 1e3:.1f}',
        **{f'{name} [ms]': f'{seconds * 1e3:.1f}' for name, seconds in work.seconds.items()},
        'matches': str(last.matches),
        'rotation [deg]': str(last.rotation),
        'inliers': str(last.inliers),
        'state': last.state,
        **{f'state {name}': str(count) for name, count in work.states.items()},
        'tracking': last.tracking,
        **{f'tracking {name}': str(count) for name, count in work.trackings.items()},
        'resets': str(work.resets),
    }
    if report.stuck:
        return _status(report, 'processing', DiagnosticStatus.ERROR, report.stuck, values)
    if errors.recent:
        message = f'{errors.count} unexpected errors, the last: {errors.last}'
        return _status(report, 'processing', DiagnosticStatus.ERROR, message, values)
    if report.fallback:
        return _status(report, 'processing', DiagnosticStatus.WARN, report.fallback, values)
    return _status(report, 'processing', DiagnosticStatus.OK, last.state or 'no result yet', values)


def _odometry(report: NodeReport, odometry: OdometryReport) -> DiagnosticStatus:
    values = {
        'published': str(odometry.published),
        'gaps': str(odometry.gaps),
        'standard deviation [m]': f'{odometry.deviation:.3f}',
        'missing': odometry.missing,
    }
    if odometry.problem or odometry.missing:
        message = odometry.problem or f'no estimate: {odometry.missing}'
        return _status(report, 'odometry', DiagnosticStatus.WARN, message, values)
    message = 'estimating' if odometry.published else 'no motion yet'
    return _status(report, 'odometry', DiagnosticStatus.OK, message, values)


def _status(
    report: NodeReport, part: str, level: bytes, message: str, values: dict[str, str]
) -> DiagnosticStatus:
    pairs = [KeyValue(key=key, value=value) for key, value in values.items()]
    return DiagnosticStatus(
        level=level, name=f'{report.name}: {part}', message=message, values=pairs
    )
