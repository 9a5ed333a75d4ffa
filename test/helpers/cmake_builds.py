"""Build packages with CMake as colcon does, on a ROS installation or on the wheels."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

PREFIXES = [*filter(None, os.environ.get('AMENT_PREFIX_PATH', '').split(':')), sys.prefix]
CMAKE = shutil.which('cmake') or str(Path(sys.prefix) / 'bin' / 'cmake')
HAS_AMENT = any((Path(prefix) / 'share' / 'ament_cmake').is_dir() for prefix in PREFIXES)

WITHOUT_FOREIGN_DIRECTORIES = """
# As in the CMakeLists.txt of loftr_ros: wheels name include directories of another machine.
get_property(imported_targets DIRECTORY PROPERTY IMPORTED_TARGETS)
foreach(target IN LISTS imported_targets)
  get_target_property(directories ${target} INTERFACE_INCLUDE_DIRECTORIES)
  if(directories)
    foreach(directory IN LISTS directories)
      if(IS_ABSOLUTE "${directory}" AND NOT EXISTS "${directory}")
        list(REMOVE_ITEM directories "${directory}")
      endif()
    endforeach()
    set_target_properties(${target} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${directories}")
  endif()
endforeach()
"""


def run(command: list[str], **variables: str) -> str:
    """Run a command that must succeed, and return what it printed."""
    result = subprocess.run(
        command,
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-4000:]
    return result.stdout


def cmake_build(source: Path, build: Path, prefixes: list[str], *options: str) -> None:
    """Configure and build a package against these prefixes."""
    names = 'AMENT_PREFIX_PATH', 'CMAKE_PREFIX_PATH'
    variables = dict.fromkeys(names, ':'.join(prefixes))
    path = f'{Path(sys.prefix) / "bin"}:{os.environ["PATH"]}'
    python = f'-DPython3_EXECUTABLE={sys.executable}'
    run([CMAKE, '-S', str(source), '-B', str(build), python, *options], PATH=path, **variables)
    run([CMAKE, '--build', str(build), '--parallel', '2'], PATH=path, **variables)


def cmake_install(build: Path) -> None:
    """Install what was built where it was configured to."""
    run([CMAKE, '--install', str(build)])


def libraries(installed: Path) -> str:
    """Return LD_LIBRARY_PATH with the libraries of an install space."""
    return f'{installed / "lib"}:{os.environ.get("LD_LIBRARY_PATH", "")}'
