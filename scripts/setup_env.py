"""Make the environment for machines without ROS: .venv with ROS 2 as wheels, and this package's messages.

Each step leaves a stamp that holds a hash of all it depends on, so a second run is done at once and a
change of requirements, messages or build files repeats just what it must.
"""

import sys

if sys.version_info < (3, 10):
    sys.exit(
        'Python 3.10 to 3.13 is needed; {} is {}.{}.\n'
        'Install a newer one and name it, for example: make demo PYTHON=python3.11'.format(
            sys.executable, *sys.version_info[:2]
        )
    )

import argparse
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sysconfig
import time
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / '.venv'
PYTHON = VENV / 'bin' / 'python'
BUILD = ROOT / 'build' / 'wheels'
STAMPS = VENV / 'stamps'
LOG = VENV / 'setup.log'
PACKAGE = 'loftr_ros'

# A sourced ROS installation must not leak into the environment of the wheels.
FOREIGN_VARIABLES = ('AMENT_PREFIX_PATH', 'CMAKE_PREFIX_PATH', 'PYTHONPATH', 'PYTHONHOME')

TORCH_CPU_INDEX = 'https://download.pytorch.org/whl/cpu'
APT = 'Debian or Ubuntu: sudo apt install'
NETWORK_SIGNS = (
    'NewConnectionError',
    'Failed to establish a new connection',
    'Temporary failure in name resolution',
    'ConnectTimeoutError',
    'ProxyError',
    'Network is unreachable',
    'Read timed out',
)


class SetupError(Exception):
    """Something that the person at the keyboard can put right; the message says how."""


def check_prerequisites() -> None:
    """Name whatever this machine lacks before anything long starts.

    Raises:
        SetupError: something is missing; the message names all of it and the remedies.
    """
    problems = [*python_problems(), *compiler_problems()]
    if problems:
        raise SetupError('\n'.join(problems))


def python_problems() -> Iterable[str]:
    """Yield what is wrong with the Python that runs this script."""
    version = '{}.{}'.format(*sys.version_info[:2])
    if sys.version_info >= (3, 14):
        found = [f'python3.{minor}' for minor in (13, 12, 11, 10) if shutil.which(f'python3.{minor}')]
        remedy = f'PYTHON={found[0]}' if found else 'PYTHON=python3.13 after installing it'
        yield (
            f'Python 3.10 to 3.13 is needed (there are no ROS 2 wheels for others); {sys.executable} is '
            f'{version}. Run make again with {remedy}.'
        )
    if not all(importlib.util.find_spec(name) for name in ('venv', 'ensurepip')):
        yield f'Python lacks its venv module. {APT} python{version}-venv'
    if not Path(sysconfig.get_path('include'), 'Python.h').is_file():
        yield f'Python lacks its C headers (Python.h). {APT} python{version}-dev'


def compiler_problems() -> Iterable[str]:
    """Yield which compilers are missing."""
    for language, variable, names in (
        ('C', 'CC', ('cc', 'gcc', 'clang')),
        ('C++', 'CXX', ('c++', 'g++', 'clang++')),
    ):
        names = (os.environ[variable].split()[0],) if os.environ.get(variable) else names
        if not any(map(shutil.which, names)):
            tried = ', '.join(names)
            yield f'There is no {language} compiler (looked for {tried}). {APT} build-essential'


def hash_of(*parts: str | Path) -> str:
    """Return one hash of texts, files and folders (all their files)."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            digest.update(part.encode() + b'\0')
            continue
        for path in sorted(part.rglob('*')) if part.is_dir() else [part]:
            digest.update(f'{path.relative_to(ROOT)}\0'.encode() + path.read_bytes() + b'\0')
    return digest.hexdigest()


def is_done(step: str, key: str) -> bool:
    """Tell whether a step was completed with this key."""
    stamp = STAMPS / step
    return stamp.is_file() and stamp.read_text(encoding='utf-8') == key


def mark_done(step: str, key: str) -> None:
    """Remember that a step was completed with this key."""
    STAMPS.mkdir(parents=True, exist_ok=True)
    (STAMPS / step).write_text(key, encoding='utf-8')


def environment(**extra: str) -> dict[str, str]:
    """Return the variables that the tools of the environment run with."""
    kept = {name: value for name, value in os.environ.items() if name not in FOREIGN_VARIABLES}
    return {**kept, 'PATH': f'{VENV / "bin"}{os.pathsep}{kept.get("PATH", "")}', **extra}


def run(command: list[str | Path], **variables: str) -> str:
    """Run a command, with its output in the log, and return what it printed.

    Raises:
        SetupError: the command failed; the message holds the end of its output and a remedy.
    """
    text = ' '.join(map(str, command))
    result = subprocess.run(
        command,
        cwd=ROOT,
        env=environment(**variables),
        text=True,
        errors='replace',
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    with LOG.open('a', encoding='utf-8') as log:
        log.write(f'$ {text}\n{result.stdout}\n')
    if result.returncode:
        tail = '\n'.join(result.stdout.splitlines()[-15:])
        raise SetupError(f'{tail}\n\nThis command failed: {text}\n{remedy_for(result.stdout)}')
    return result.stdout


def remedy_for(output: str) -> str:
    """Return what to do about a command that failed with this output."""
    if any(sign in output for sign in NETWORK_SIGNS):
        return (
            'The package index could not be reached. Connect this machine to the network (behind a proxy set '
            'HTTPS_PROXY, for a mirror set PIP_INDEX_URL) and run make again: it goes on where it stopped.'
        )
    if 'No space left on device' in output:
        return 'The disk is full: the environment needs about 3 GB. Make room and run make again.'
    return f'The whole output is in {LOG}. Run make again when the cause is gone.'


def announce(text: str) -> None:
    """Print a line about what comes next, at once even into a pipe."""
    print(f'==> {text}', flush=True)


def make_venv() -> None:
    """Make an empty environment, unless a working one of the same Python is there."""
    key = hash_of(sys.version, str(ROOT))
    if is_done('venv', key) and PYTHON.exists():
        return
    announce('Making a Python environment in .venv (10 seconds)')
    shutil.rmtree(VENV, ignore_errors=True)
    VENV.mkdir()
    run([sys.executable, '-m', 'venv', VENV])
    mark_done('venv', key)


def install_packages() -> None:
    """Install everything that the package, its tests and its checks need, at the versions that were tried."""
    constraints = ROOT / 'constraints.txt'
    key = hash_of(sys.version, ROOT / 'requirements', constraints, ROOT / 'setup.py')
    if is_done('packages', key):
        return
    announce('Installing PyTorch, ROS 2 and other packages into .venv (2 to 5 minutes, 500 MB to download)')
    pip: list[str | Path] = [PYTHON, '-m', 'pip', 'install', '--disable-pip-version-check', '-c', constraints]
    run([*pip, '--upgrade', 'pip', 'setuptools', 'wheel'])
    run([*pip, *torch_source(pip), 'torch'])
    run([*pip, '-r', 'requirements/runtime.txt', '-r', 'requirements/ros2.txt', '-r', 'requirements/dev.txt'])
    run([*pip, '--no-build-isolation', '--no-deps', '--editable', '.'])
    mark_done('packages', key)


def torch_source(pip: list[str | Path]) -> list[str]:
    """Return the options for pip that get a build of PyTorch fit for this machine.

    PyPI serves the CUDA build on Linux: gigabytes that a machine without an NVIDIA GPU has no use for.
    TORCH_INDEX_URL overrules the choice: an index for pip, or nothing for pip's own.
    """
    if 'TORCH_INDEX_URL' in os.environ:
        url = os.environ['TORCH_INDEX_URL']
        return ['--index-url', url] if url else []
    if Path('/proc/driver/nvidia/version').exists():
        return []
    plan = VENV / 'torch.json'
    run([*pip, '--dry-run', '--report', plan, 'torch'])
    wanted = [item['metadata']['name'] for item in json.loads(plan.read_bytes())['install']]
    if not any(name.startswith(('nvidia', 'cuda')) for name in wanted):
        return []
    announce(f'No NVIDIA GPU here: PyTorch comes from {TORCH_CPU_INDEX} (TORCH_INDEX_URL overrules it)')
    return ['--index-url', TORCH_CPU_INDEX]


def build_messages() -> None:
    """Generate the messages with the CMakeLists that ROS uses and put them beside the sources."""
    sources = [ROOT / name for name in ('msg', 'srv', 'CMakeLists.txt', 'package.xml', 'requirements/ros2.txt')]
    key = hash_of(sys.version, str(ROOT), ROOT / 'constraints.txt', *sources)
    if is_done('messages', key) and (ROOT / PACKAGE / 'msg' / '__init__.py').exists():
        return
    announce("Building this package's messages (half a minute)")
    source, stage = copy_sources(), BUILD / 'stage'
    prefixes = {'AMENT_PREFIX_PATH': str(VENV), 'CMAKE_PREFIX_PATH': str(VENV)}
    cmake = VENV / 'bin' / 'cmake'
    options = [f'-DCMAKE_INSTALL_PREFIX={stage}', f'-DPython3_EXECUTABLE={PYTHON}', '-DCMAKE_BUILD_TYPE=Release']
    binary = BUILD / 'binary'
    run([cmake, '-S', source, '-B', binary, *options], **prefixes)
    run([cmake, '--build', binary, '--parallel', str(os.cpu_count() or 1)], **prefixes)
    run([cmake, '--install', binary], **prefixes)
    place_messages(stage)
    run([PYTHON, '-c', f'import rclpy; from {PACKAGE}.msg import Correspondences; Correspondences()'])
    mark_done('messages', key)


def copy_sources() -> Path:
    """Return a fresh folder with all of the package but its Python code, which stays where it is.

    CMake refuses targets that export a path below their own source folder, as numpy's headers in .venv are.
    """
    shutil.rmtree(BUILD, ignore_errors=True)
    source = BUILD / 'source'
    (source / PACKAGE).mkdir(parents=True)
    for name in ('CMakeLists.txt', 'package.xml'):
        shutil.copy2(ROOT / name, source)
    for name in ('bin', 'config', 'launch', 'msg', 'srv'):
        shutil.copytree(ROOT / name, source / name)
    return source


def place_messages(stage: Path) -> None:
    """Copy generated libraries into the environment and generated modules beside the sources."""
    for library in (stage / 'lib').glob('*.so'):
        shutil.copy2(library, VENV / 'lib')
    generated = next(stage.glob(f'lib/python*/*-packages/{PACKAGE}'))
    for old in (ROOT / PACKAGE).glob('*.so'):
        old.unlink()
    for module in generated.glob('*.so'):
        shutil.copy2(module, ROOT / PACKAGE)
    for folder in ('msg', 'srv'):
        target = ROOT / PACKAGE / folder
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(generated / folder, target, ignore=shutil.ignore_patterns('*.c', '__pycache__'))


def main() -> int:
    """Bring the environment up to date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--rebuild-messages', action='store_true', help='even where they are up to date')
    arguments = parser.parse_args()
    start = time.monotonic()
    try:
        check_prerequisites()
        make_venv()
        install_packages()
        if arguments.rebuild_messages:
            (STAMPS / 'messages').unlink(missing_ok=True)
        build_messages()
    except SetupError as error:
        print(f'\nSet-up stopped.\n{error}', file=sys.stderr)
        return 1
    seconds = time.monotonic() - start
    if seconds > 1:
        announce(f'The environment is ready after {seconds:.0f} s')
    return 0


if __name__ == '__main__':
    sys.exit(main())
