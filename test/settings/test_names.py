"""Names that are no parameters are explained, those of version 0.1 with their successors."""

from __future__ import annotations

import pytest

from loftr_ros.settings.names import REMOVED, RENAMED, is_retired, name_problem
from loftr_ros.settings.parameters import declarations


@pytest.mark.parametrize('name', ['mode', 'pose.min_support', 'use_sim_time', 'qos_overrides./a.b'])
def test_parameters_of_the_node_and_of_rclpy_have_no_problem(name: str) -> None:
    assert name_problem(name) == ''
    assert not is_retired(name)


def test_an_old_name_comes_with_the_new_one() -> None:
    assert name_problem('loop_min_age') == 'loop_min_age is called loop.min_age since version 0.2'
    assert is_retired('loop_min_age')


def test_a_parameter_that_is_gone_comes_with_what_holds_instead() -> None:
    assert name_problem('max_memory') == (
        'max_memory is no parameter since version 0.2: '
        'matcher.longer_side limits the size of images'
    )
    assert is_retired('max_memory')


def test_successors_are_parameters_and_old_names_are_not() -> None:
    assert set(RENAMED.values()) <= declarations().keys()
    assert not declarations().keys() & {*RENAMED, *REMOVED}
    assert not RENAMED.keys() & REMOVED.keys()


def test_all_62_parameters_of_version_0_1_are_known() -> None:
    kept = {'mode', 'reference', 'autostart'}
    assert len({*RENAMED, *REMOVED, *kept}) == 62


@pytest.mark.parametrize(
    ('name', 'nearest'),
    [
        ('weigths', 'matcher.weights'),
        ('pose.min_suport', 'pose.min_support'),
        ('longer_sid', 'matcher.longer_side'),
        ('enabled', 'loop.enabled'),
        ('odometry.tf', 'publish.tf'),
    ],
)
def test_misspelt_names_come_with_the_nearest_parameter(name: str, nearest: str) -> None:
    assert name_problem(name) == f'there is no parameter {name}; did you mean {nearest}?'
    assert not is_retired(name)


def test_a_name_like_none_is_reported_without_a_guess() -> None:
    assert name_problem('xyzzy') == 'there is no parameter xyzzy'
