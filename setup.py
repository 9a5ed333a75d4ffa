"""Install loftr_ros where there is no ROS: `pip install -e .`.

On a ROS installation `colcon build` uses CMakeLists.txt instead. The client library of ROS 2 and
its messages are not requirements here: a ROS installation brings its own, and for machines without
one requirements/ros2-jazzy.txt lists wheels.
"""

from pathlib import Path
from xml.etree import ElementTree as ET

from setuptools import find_packages, setup

ROOT = Path(__file__).parent


def read_version() -> str:
    """Return the version that package.xml declares.

    Raises:
        RuntimeError: it declares none.
    """
    version = ET.parse(ROOT / 'package.xml').findtext('version')  # nosec B314
    if not version:
        raise RuntimeError('package.xml declares no version')
    return version


def read_requirements(name: str) -> list[str]:
    """Return the requirements that requirements/<name>.txt lists."""
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text(encoding='utf-8').splitlines()
    return [line for line in lines if line and not line.startswith(('#', '-'))]


setup(
    name='loftr_ros',
    version=read_version(),
    description='LoFTR matches, tracks and relative poses from camera images, for ROS 2',
    license='Apache-2.0',
    python_requires='>=3.10',
    packages=find_packages(include=['loftr_ros', 'loftr_ros.*']),
    package_data={'loftr_ros': ['weights/*', 'evaluation/reports/templates/*', '*.so']},
    zip_safe=False,
    install_requires=read_requirements('runtime'),
    extras_require={
        name: read_requirements(name)
        for name in ('benchmark', 'dev', 'docs', 'gtsam', 'onnx', 'ray', 'rerun', 'ros2-jazzy')
    },
    entry_points={
        'console_scripts': [
            'loftr-ros = loftr_ros.commands.main:main',
            'loftr_node = loftr_ros.ros.node:run',
        ],
    },
)
