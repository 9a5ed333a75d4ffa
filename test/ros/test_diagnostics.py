"""Reports become diagnostics whose level and message say what matters."""

from __future__ import annotations

import dataclasses

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus

from loftr_ros.ros.diagnostics import NodeReport, diagnostics_to_msg
from loftr_ros.ros.monitoring import ErrorReport, LastResult, Refusal, TopicReport, WorkReport

TOPIC = TopicReport(name='/image', received=12, refused=3, rate=10.0, silence=0.1)


def statuses(**fields: object) -> dict[str, DiagnosticStatus]:
    values: dict[str, object] = {'name': 'loftr', 'state': 'active', 'paused': False, 'now': 100.0}
    report = NodeReport(**{**values, **fields})  # type: ignore[arg-type]
    array = diagnostics_to_msg(report, Time(sec=7))
    assert array.header.stamp.sec == 7
    return {status.name.partition(': ')[2]: status for status in array.status}


def pairs(status: DiagnosticStatus) -> dict[str, str]:
    return {pair.key: pair.value for pair in status.values}


def test_a_node_that_works_is_ok() -> None:
    last = LastResult(state='OK', matches=321, inliers=200)
    found = statuses(topics=[TOPIC], work=WorkReport(last=last))
    assert {name: status.level for name, status in found.items()} == {
        'node': DiagnosticStatus.OK,
        'inputs': DiagnosticStatus.OK,
        'processing': DiagnosticStatus.OK,
    }
    assert found['processing'].message == 'OK'
    assert pairs(found['processing'])['matches'] == '321'
    assert pairs(found['inputs'])['/image rate [Hz]'] == '10.00'


def test_publishers_are_counted_where_their_number_is_known() -> None:
    known = dataclasses.replace(TOPIC, publishers=2)
    assert pairs(statuses(topics=[known])['inputs'])['/image publishers'] == '2'
    assert '/image publishers' not in pairs(statuses(topics=[TOPIC])['inputs'])


def test_the_model_is_named() -> None:
    values = pairs(statuses(model={'weights': 'lite', 'device': 'cpu'})['node'])
    assert (values['weights'], values['device'], values['lifecycle']) == ('lite', 'cpu', 'active')


def test_a_problem_of_the_inputs_is_a_warning() -> None:
    status = statuses(topics=[TOPIC], problems=['/image is silent'])['inputs']
    assert (status.level, status.message) == (DiagnosticStatus.WARN, '/image is silent')


def test_a_refused_input_is_a_warning_for_a_while_and_stays_readable() -> None:
    for time, level in ((99.0, DiagnosticStatus.WARN), (50.0, DiagnosticStatus.OK)):
        work = WorkReport(last_refusal=Refusal('/image', 'step is 3 bytes', time))
        status = statuses(topics=[TOPIC], work=work)['inputs']
        assert status.level == level
        assert pairs(status)['last refused'] == '/image: step is 3 bytes'
        assert pairs(status)['/image refused'] == '3'


def test_a_failed_configuration_is_an_error() -> None:
    status = statuses(state='unconfigured', failure='no such weights')['node']
    assert (status.level, status.message) == (DiagnosticStatus.ERROR, 'no such weights')


def test_an_unexpected_error_is_an_error() -> None:
    work = WorkReport(errors=ErrorReport(count=2, last='KeyError: 1', recent=True))
    status = statuses(work=work)['processing']
    assert status.level == DiagnosticStatus.ERROR
    assert 'KeyError: 1' in status.message


def test_a_paused_node_says_so() -> None:
    assert statuses(paused=True)['node'].message == 'active, paused'
