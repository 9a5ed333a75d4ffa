"""Look up the names in our parameter files for other packages in the sources of these packages.

    git clone https://github.com/cra-ros-pkg/robot_localization /tmp/robot_localization
    git clone https://github.com/introlab/rtabmap_ros /tmp/rtabmap_ros
    python scripts/check_consumers.py /tmp/robot_localization /tmp/rtabmap_ros

Prints where each parameter is declared, and the topics, services and fields of messages that
examples/rtabmap_loops_node.py uses. A node says nothing of a parameter that it does not know, so a
misspelt name goes unnoticed.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import yaml

CONFIG = Path(__file__).resolve().parent.parent / 'config'
# Package -> our file, and the sources of the node that reads it.
FILES = {
    'robot_localization': ('robot_localization_ekf.yaml', ('src/ros_filter.cpp',)),
    'rtabmap_ros': (
        'rtabmap_odometry.yaml',
        ('rtabmap_slam/src/CoreWrapper.cpp', 'rtabmap_sync/src/CommonDataSubscriber.cpp'),
    ),
}
# Sources of rtabmap_ros -> what examples/rtabmap_loops_node.py relies on, as written there.
RELIED_ON = {
    'rtabmap_msgs/msg/Info.msg': ('std_msgs/Header header', 'int32 ref_id'),
    'rtabmap_msgs/msg/MapGraph.msg': (
        *('std_msgs/Header header', 'geometry_msgs/Transform map_to_odom', 'int32[] poses_id'),
        *('geometry_msgs/Pose[] poses', 'Link[] links'),
    ),
    'rtabmap_msgs/msg/Link.msg': (
        *('int32 from_id', 'int32 to_id', 'int32 type', 'geometry_msgs/Transform transform'),
        'float64[36] information',
    ),
    'rtabmap_msgs/srv/AddLink.srv': ('Link link',),
    'rtabmap_slam/src/CoreWrapper.cpp': ('"info"', '"mapGraph"', 'servicePrefix + "add_link"'),
}
# What robot_localization puts before the names of the settings of an input.
INPUT = re.compile(r'^(odom|pose|twist|imu)\d+')


class CheckError(ValueError):
    """The check cannot be made; the message says why."""


def parameters_of(file: Path) -> list[str]:
    """Return the names of the parameters that a file sets."""
    nodes = yaml.safe_load(file.read_text(encoding='utf-8'))
    return [name for node in nodes.values() for name in node['ros__parameters']]


def read_sources(checkout: Path, names: Iterable[str]) -> dict[str, str]:
    """Return sources by their path in a checkout.

    Raises:
        CheckError: One is missing.
    """
    try:
        return {name: (checkout / name).read_text(encoding='utf-8') for name in names}
    except OSError as error:
        raise CheckError(
            f'{checkout} is no checkout with the sources looked for: {error}'
        ) from error


def declaration_of(name: str, sources: Mapping[str, str]) -> str | None:
    """Return file and line of the call that declares a parameter; None where there is none."""
    suffix = INPUT.sub('', name)
    if suffix == name:
        # load_covariance of robot_localization declares what it is given.
        pattern = rf'(declare_parameter(<\w+>)?|load_covariance)\(\s*"{re.escape(name)}"'
    elif suffix:
        # Declared with the number of the input: declare_parameter(odom_topic_name + "_relative").
        pattern = rf'\+\s*(std::string\()?"{re.escape(suffix)}"'
    else:
        pattern = rf'"{name.rstrip("0123456789")}"\s*<<'
    return next(_places(pattern, sources), None)


def _places(pattern: str, sources: Mapping[str, str]) -> Iterator[str]:
    for path, text in sources.items():
        if match := re.search(pattern, text):
            yield f'{path}:{text.count(chr(10), 0, match.start()) + 1}'


def check(package: str, checkout: Path) -> int:
    """Print where each parameter of our file is declared; returns how many are not.

    Raises:
        CheckError: The checkout lacks a source.
    """
    file, names = FILES[package]
    sources, missing = read_sources(checkout, names), 0
    for name in parameters_of(CONFIG / file):
        place = declaration_of(name, sources)
        missing += place is None
        print(f'{file}: {name}: {place or "NOT DECLARED"}')
    return missing


def check_loops(checkout: Path) -> int:
    """Print where RTAB-Map has what the example of loop closures uses; returns how much it lacks.

    Raises:
        CheckError: The checkout lacks a source.
    """
    missing = 0
    for path, text in read_sources(checkout, RELIED_ON).items():
        for wanted in RELIED_ON[path]:
            pattern = r'\s+'.join(map(re.escape, wanted.split()))
            place = next(_places(pattern, {path: text}), None)
            missing += place is None
            print(f'rtabmap_loops_node.py: {wanted}: {place or "NOT THERE"}')
    return missing


def main() -> int:
    """Check both files and the example.

    Returns:
        Exit code: 0 if all names are declared.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    for package in FILES:
        parser.add_argument(package, type=Path, help=f'a checkout of {package}')
    options = vars(parser.parse_args())
    try:
        missing = sum(check(package, options[package]) for package in FILES)
        missing += check_loops(options['rtabmap_ros'])
    except CheckError as error:
        print(error, file=sys.stderr)
        return 2
    return 1 if missing else 0


if __name__ == '__main__':
    sys.exit(main())
