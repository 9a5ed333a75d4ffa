"""The messages alone, and what builds on them without torch: a C++ and a Python consumer."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from cmake_builds import (
    HAS_AMENT,
    PREFIXES,
    WITHOUT_FOREIGN_DIRECTORIES,
    cmake_build,
    cmake_install,
    libraries,
    run,
)

ROOT = Path(__file__).parents[2]
CPP_CMAKE = f"""
cmake_minimum_required(VERSION 3.16)
project(cpp_consumer LANGUAGES C CXX)
find_package(loftr_ros REQUIRED)
{WITHOUT_FOREIGN_DIRECTORIES}
add_executable(consumer consumer.cpp)
target_link_libraries(consumer PRIVATE ${{loftr_ros_TARGETS}})
"""
CPP = """
#include <iostream>
#include <loftr_ros/msg/correspondences.hpp>
#include <loftr_ros/msg/relative_pose.hpp>
int main() {
  loftr_ros::msg::RelativePose pose;
  loftr_ros::msg::Correspondences matches;
  matches.confidence.push_back(0.5f);
  std::cout << int(pose.kind == loftr_ros::msg::RelativePose::KIND_UNKNOWN)
            << matches.confidence.size() << std::endl;
}
"""
PYTHON_SETUP = """
from setuptools import setup
setup(name='python_consumer', version='0.0.1', py_modules=['python_consumer'],
      entry_points={'console_scripts': ['consumer = python_consumer:main']})
"""
PYTHON = """
import sys
from loftr_ros.msg import Correspondences, RelativePose

def main():
    loaded = {'torch', 'cv2', 'numpy.linalg', 'rclpy'} & set(sys.modules)
    print(RelativePose().kind == RelativePose.KIND_UNKNOWN, sorted(loaded - {'numpy.linalg'}))
"""


@pytest.fixture(scope='module')
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The messages, built from a copy of their definitions and nothing else."""
    if not HAS_AMENT:
        pytest.skip('ament_cmake is not installed')
    folder = tmp_path_factory.mktemp('messages')
    for name in ('msg', 'srv'):
        shutil.copytree(ROOT / name, folder / 'source' / name)
    for name in ('CMakeLists.txt', 'package.xml'):
        shutil.copy(ROOT / name, folder / 'source')
    options = ('-DLOFTR_ROS_MESSAGES_ONLY=ON', f'-DCMAKE_INSTALL_PREFIX={folder / "install"}')
    build = folder / 'build'
    cmake_build(folder / 'source', build, PREFIXES, '-DBUILD_TESTING=OFF', *options)
    cmake_install(build)
    return folder / 'install'


def test_nothing_of_the_node_is_installed(installed: Path) -> None:
    assert (installed / 'share' / 'loftr_ros' / 'msg' / 'RelativePose.msg').is_file()
    [package] = installed.glob('lib/python*/*-packages/loftr_ros')
    folders = {path.name for path in package.iterdir() if path.is_dir()}
    assert folders <= {'msg', 'srv', '__pycache__'}
    assert not (installed / 'bin' / 'loftr-ros').exists()
    assert not (installed / 'lib' / 'loftr_ros').exists()


def test_a_consumer_in_cpp_builds_and_runs(installed: Path, tmp_path: Path) -> None:
    (tmp_path / 'CMakeLists.txt').write_text(CPP_CMAKE)
    (tmp_path / 'consumer.cpp').write_text(CPP)
    cmake_build(tmp_path, tmp_path / 'build', [str(installed), *PREFIXES])
    output = run([str(tmp_path / 'build' / 'consumer')], LD_LIBRARY_PATH=libraries(installed))
    assert output.split() == ['11']


def test_a_consumer_in_python_needs_no_torch(installed: Path, tmp_path: Path) -> None:
    (tmp_path / 'setup.py').write_text(PYTHON_SETUP)
    (tmp_path / 'python_consumer.py').write_text(PYTHON)
    target = tmp_path / 'target'
    pip = [sys.executable, '-m', 'pip', 'install', '--no-deps', '--no-build-isolation', '-q']
    run([*pip, '--disable-pip-version-check', '--target', str(target), str(tmp_path)])
    [packages] = installed.glob('lib/python*/*-packages')
    output = run(
        [sys.executable, '-c', 'import python_consumer; python_consumer.main()'],
        PYTHONPATH=f'{target}:{packages}',
        LD_LIBRARY_PATH=libraries(installed),
    )
    assert output.split('\n')[0] == 'True []'
