"""Make the environment for machines without ROS: .venv with ROS 2 as wheels, messages built.

Each step leaves a stamp that holds a hash of all it depends on, so a second run is done at once and
a change of requirements, messages or build files repeats just what it must.
"""

import shutil
import sys

# Lines up to here run on any Python 3, to say that it is not one of these.
PYTHONS = ((3, 13), (3, 12), (3, 11), (3, 10), (3, 14))

if sys.version_info[:2] not in PYTHONS:
    names = ['python{}.{}'.format(*version) for version in PYTHONS]
    found = [name for name in names if shutil.which(name)]
    sys.exit(
        'Python 3.10 to 3.14 is needed (for others there are no ROS 2 wheels), but {} is {}.{}.\n'
        '{}run make again with its name, for example: make demo PYTHON={}'.format(
            sys.executable,
            *sys.version_info[:2],
            'This machine has {}: '.format(', '.join(found)) if found else 'Install one and ',
            (found or names)[0],
        )
    )

import argparse
import hashlib
import importlib.util
import json
import os
import platform
import subprocess
import sysconfig
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / '.venv'
PYTHON = VENV / 'bin' / 'python'
BUILD = ROOT / 'build' / 'wheels'
STAMPS = VENV / 'stamps'
LOG = VENV / 'setup.log'
PACKAGE = 'loftr_ros'
VERSION = '{}.{}'.format(*sys.version_info[:2])
PIP = (
    PYTHON,
    '-m',
    'pip',
    'install',
    '--disable-pip-version-check',
    '--constraint=constraints.txt',
)

# A sourced ROS installation must not leak into the environment of the wheels.
FOREIGN_VARIABLES = ('AMENT_PREFIX_PATH', 'CMAKE_PREFIX_PATH', 'PYTHONPATH', 'PYTHONHOME')

# Distributions of ROS 2 that there are wheels of; without ROS=... the first.
DISTRIBUTIONS = ('jazzy', 'kilted')
REQUIREMENTS = ('dev', 'docs', 'runtime')
EXTRAS = ('gtsam', 'onnx', 'ray', 'rerun')

TORCH_CPU_INDEX = 'https://download.pytorch.org/whl/cpu'
APT = 'Debian or Ubuntu: sudo apt install'
NETWORK_SIGNS = (
    'Retrying (Retry(total=0',
    'NewConnectionError',
    'NameResolutionError',
    'ConnectTimeoutError',
    'ProxyError',
    'Read timed out',
)


class SetupError(Exception):
    """Something that the person at the keyboard can put right; the message says how."""


def check_prerequisites() -> None:
    """Name all that this machine lacks before anything long starts.

    Raises:
        SetupError: something is missing; the message names it and the remedy.
    """
    problems = [*machine_problems(), *python_problems(), *compiler_problems()]
    if problems:
        raise SetupError('\n'.join(problems))


def machine_problems() -> Iterator[str]:
    """Yield what ROS 2 has no wheels for."""
    if platform.machine() not in ('x86_64', 'AMD64'):
        yield (
            f'There are no wheels of ROS 2 for {platform.machine()}, only for x86_64. Install\n'
            'ROS 2 itself and build this package with colcon: docs/installation.md.'
        )


def distribution() -> str:
    """Return the distribution of ROS 2 that ROS names, or that it named before.

    Raises:
        SetupError: it is none that there are wheels of.
    """
    wanted = os.environ.get('ROS', '') or read_stamp('asked') or DISTRIBUTIONS[0]
    if wanted not in DISTRIBUTIONS:
        raise SetupError(f'ROS={wanted}: there are wheels of {" and ".join(DISTRIBUTIONS)} alone')
    return wanted


def python_problems() -> Iterator[str]:
    """Yield what the Python that runs this script lacks."""
    if not all(map(importlib.util.find_spec, ('venv', 'ensurepip'))):
        yield f'{sys.executable} lacks its venv module. {APT} python{VERSION}-venv'
    if not Path(sysconfig.get_path('include'), 'Python.h').is_file():
        yield f'{sys.executable} lacks its C headers (Python.h). {APT} python{VERSION}-dev'


def compiler_problems() -> Iterator[str]:
    """Yield which compilers are missing."""
    compilers = {'C': ('CC', 'cc', 'gcc', 'clang'), 'C++': ('CXX', 'c++', 'g++', 'clang++')}
    for language, (variable, *usual) in compilers.items():
        names = os.environ.get(variable, '').split()[:1] or usual
        if not any(map(shutil.which, names)):
            tried = ', '.join(names)
            yield f'There is no {language} compiler ({tried}). {APT} build-essential'
    if not shutil.which('make'):
        yield f'There is no make. {APT} build-essential'


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


def read_stamp(name: str) -> str:
    """Return what a stamp of the environment says; nothing where there is none."""
    stamp = STAMPS / name
    return stamp.read_text(encoding='utf-8') if stamp.is_file() else ''


def is_done(step: str, key: str) -> bool:
    """Return whether a step was completed with this key."""
    return read_stamp(step) == key


def mark_done(step: str, key: str) -> None:
    """Remember that a step was completed with this key."""
    STAMPS.mkdir(parents=True, exist_ok=True)
    (STAMPS / step).write_text(key, encoding='utf-8')


def environment(**extra: str) -> dict[str, str]:
    """Return the variables that the tools of the environment run with."""
    kept = {name: value for name, value in os.environ.items() if name not in FOREIGN_VARIABLES}
    return {**kept, 'PATH': f'{VENV / "bin"}{os.pathsep}{kept.get("PATH", "")}', **extra}


def run(command: Sequence[str | Path], **variables: str) -> str:
    """Run a command, with its output in the log, and return what it printed.

    Raises:
        SetupError: the command failed; the message says why and what to do.
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
        raise SetupError(f'This command failed: {text}\n{explain(result.stdout)}')
    return result.stdout


def explain(output: str) -> str:
    """Return why a command with this output failed, and what to do."""
    if any(sign in output for sign in NETWORK_SIGNS):
        return (
            'The package index could not be reached. Connect this machine to the network (behind\n'
            'a proxy set HTTPS_PROXY, for a mirror set PIP_INDEX_URL) and run make again: it goes\n'
            'on where it stopped.'
        )
    if 'No space left on device' in output:
        return 'The disk is full: the environment needs 3 GB. Make room and run make again.'
    tail = '\n'.join(output.splitlines()[-15:])
    return f'{tail}\nThe whole output is in {LOG}. Run make again when the cause is gone.'


def announce(text: str) -> None:
    """Print a line about what comes next, at once even into a pipe."""
    print(f'==> {text}', flush=True)


def make_venv(key: str) -> None:
    """Make an empty environment."""
    present = read_stamp('distribution')
    if present not in ('', distribution()):
        announce(
            f'.venv has ROS 2 {present.title()} and is made again with {distribution().title()}; '
            f'ROS={present} makes one of {present.title()}'
        )
    announce('Making a Python environment in .venv (10 seconds)')
    shutil.rmtree(VENV, ignore_errors=True)
    VENV.mkdir()
    run([sys.executable, '-m', 'venv', VENV])
    mark_done('distribution', distribution())
    mark_done('venv', key)


def install_packages(key: str) -> None:
    """Install all that the package, its tests and its checks need, at the versions tried."""
    announce(
        f'Installing PyTorch, ROS 2 {distribution().title()} and other packages into .venv '
        '(1 to 5 minutes, 600 MB)'
    )
    run([*PIP, '--upgrade', 'pip', 'setuptools', 'wheel'])
    install_torch()
    install_requirements(*REQUIREMENTS, *ros_requirements())
    install_this_package()
    mark_done('packages', key)


def install_beside(base: Path, key: str) -> None:
    """Install ROS 2 alone; all else is seen in another environment, which loses to this one."""
    announce(f'Installing ROS 2 {distribution().title()} beside the packages of {base} (1 minute)')
    packages = Path('lib', f'python{VERSION}', 'site-packages')
    seen = VENV / packages / 'beside.pth'
    seen.unlink(missing_ok=True)  # what pip sees it would not install
    install_requirements(*ros_requirements())
    install_this_package()
    seen.write_text(f'{base / packages}\n', encoding='utf-8')
    mark_done('packages', key)


def ros_requirements() -> tuple[str, str]:
    """Return the requirements of ROS 2 and of building messages."""
    return f'ros2-{distribution()}', 'build'


def install_requirements(*names: str) -> None:
    """Install what requirements/<name>.txt list."""
    run([*PIP, *(f'--requirement=requirements/{name}.txt' for name in names)])


def install_this_package() -> None:
    """Install this checkout, to be edited."""
    run([*PIP, '--no-build-isolation', '--no-deps', '--editable', '.'])


def install_extras(key: str) -> None:
    """Install what only some commands need, so that the tests have it all."""
    announce('Installing GTSAM, ONNX, Ray and Rerun, which some tests use (1 minute, 350 MB)')
    install_requirements(*EXTRAS)
    mark_done('extras', key)


def install_torch() -> None:
    """Install the build of PyTorch that fits this machine.

    On Linux PyPI serves the CUDA build: gigabytes that a machine without an NVIDIA GPU cannot use.
    TORCH_INDEX_URL overrules the choice: an index for pip, or nothing for pip's own.
    """
    if 'TORCH_INDEX_URL' in os.environ:
        index = os.environ['TORCH_INDEX_URL']
        run([*PIP, *(['--index-url', index] if index else []), 'torch'])
        return
    if not Path('/proc/driver/nvidia/version').exists() and is_torch_for_cuda():
        announce(f'No NVIDIA GPU here: PyTorch for the CPU, from {TORCH_CPU_INDEX}')
        try:
            run([*PIP, '--index-url', TORCH_CPU_INDEX, 'torch'])
        except SetupError:
            announce('That failed: PyTorch for CUDA instead, from the usual index (3 GB)')
    run([*PIP, 'torch'])


def is_torch_for_cuda() -> bool:
    """Return whether pip, left alone, would install PyTorch for NVIDIA GPUs."""
    plan = VENV / 'torch.json'
    run([*PIP, '--dry-run', '--report', plan, 'torch'])
    names = [item['metadata']['name'] for item in json.loads(plan.read_bytes())['install']]
    return any(name.startswith(('nvidia', 'cuda')) for name in names)


def build_messages(key: str) -> None:
    """Generate the messages with the CMakeLists that ROS uses and put them beside the sources."""
    announce("Building this package's messages (half a minute)")
    source, stage, binary = copy_sources(), BUILD / 'stage', BUILD / 'binary'
    prefixes = {'AMENT_PREFIX_PATH': str(VENV), 'CMAKE_PREFIX_PATH': str(VENV)}
    cmake = VENV / 'bin' / 'cmake'
    options = {
        'BUILD_TESTING': 'OFF',
        'CMAKE_BUILD_TYPE': 'Release',
        'CMAKE_INSTALL_PREFIX': stage,
        'Python3_EXECUTABLE': PYTHON,
    }
    definitions = [f'-D{name}={value}' for name, value in options.items()]
    run([cmake, '-S', source, '-B', binary, *definitions], **prefixes)
    run([cmake, '--build', binary, '--parallel', str(os.cpu_count() or 1)], **prefixes)
    run([cmake, '--install', binary], **prefixes)
    place_messages(stage)
    run(
        [
            PYTHON,
            '-c',
            f'import rclpy; from {PACKAGE}.msg import Correspondences as Message; Message()',
        ]
    )
    mark_done('messages', key)


def copy_sources() -> Path:
    """Return a fresh folder with what CMake needs of the package; the Python code stays.

    CMake refuses targets that export a path below their own source folder, and numpy's headers in
    .venv are such a path.
    """
    shutil.rmtree(BUILD, ignore_errors=True)
    source = BUILD / 'source'
    (source / PACKAGE).mkdir(parents=True)
    for name in ('CMakeLists.txt', 'package.xml'):
        shutil.copy2(ROOT / name, source)
    for name in ('bin', 'config', 'examples', 'launch', 'msg', 'policies', 'srv'):
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
        ignored = shutil.ignore_patterns('*.c', '__pycache__')
        shutil.copytree(generated / folder, target, ignore=ignored)


def step_keys(extras: bool = False) -> dict[str, str]:
    """Return for each step, in order, a hash of all that its result depends on."""
    keys = {'venv': hash_of(VERSION, str(ROOT), distribution())}
    packages = ('requirements', 'constraints.txt', 'setup.py')
    keys['packages'] = hash_of(keys['venv'], *(ROOT / name for name in packages))
    keys['messages'] = hash_of(
        keys['packages'], *(ROOT / name for name in ('msg', 'srv', 'CMakeLists.txt', 'package.xml'))
    )
    if extras:
        keys['extras'] = hash_of(keys['packages'])
    return keys


def pending_steps(keys: dict[str, str]) -> list[str]:
    """Return the steps that are still to be done: the first that is not done and all after it."""
    results = dict.fromkeys(keys, PYTHON) | {'messages': ROOT / PACKAGE / 'msg'}
    steps = list(keys)
    for index, step in enumerate(steps):
        if not (results[step].exists() and is_done(step, keys[step])):
            return steps[index:]
    return []


def main() -> int:
    """Bring the environment up to date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--rebuild-messages', action='store_true', help='even where they are up to date'
    )
    parser.add_argument('--extras', action='store_true', help='what only some commands need, too')
    parser.add_argument(
        '--beside', metavar='ENVIRONMENT', type=Path, help='install ROS 2 alone, see the rest there'
    )
    options = parser.parse_args()
    start = time.monotonic()
    functions = {
        'venv': make_venv,
        'packages': partial(install_beside, options.beside) if options.beside else install_packages,
        'messages': build_messages,
        'extras': install_extras,
    }
    try:
        keys = step_keys(options.extras)
        steps = pending_steps(keys)
        if options.rebuild_messages and not steps:
            steps = ['messages']
        if steps:
            check_prerequisites()
        for step in steps:
            functions[step](keys[step])
        if os.environ.get('ROS'):
            mark_done('asked', distribution())
    except SetupError as error:
        print(f'\nSet-up stopped.\n{error}', file=sys.stderr)
        return 1
    if steps:
        announce(f'The environment is ready after {time.monotonic() - start:.0f} s')
    return 0


if __name__ == '__main__':
    sys.exit(main())
