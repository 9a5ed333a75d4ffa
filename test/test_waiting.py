"""Threads soon sleep where they wait in a process that asks for it before PyTorch is loaded."""

import os
import subprocess
import sys

import pytest

ASK = 'from loftr_ros.waiting import wait_briefly; print(wait_briefly())'
SHOW = "import os; print(os.environ.get('GOMP_SPINCOUNT'))"
CHOICES = 'OMP_WAIT_POLICY', 'GOMP_SPINCOUNT', 'KMP_BLOCKTIME'


def run(*lines: str, **variables: str) -> list[str]:
    inherited = {name: value for name, value in os.environ.items() if name not in CHOICES}
    command = [sys.executable, '-c', '\n'.join(lines)]
    process = subprocess.run(
        command, env=inherited | variables, capture_output=True, text=True, check=True
    )
    return process.stdout.split()


def test_threads_sleep_soon() -> None:
    assert run(ASK, SHOW) == ['True', '6000']


@pytest.mark.parametrize('name', CHOICES)
def test_a_choice_made_in_the_environment_stands(name: str) -> None:
    assert run(ASK, f'import os; print(os.environ[{name!r}])', **{name: '1'}) == ['False', '1']


def test_once_pytorch_is_loaded_it_is_too_late() -> None:
    assert run('import torch', ASK, SHOW) == ['False', 'None']


@pytest.mark.parametrize('module', ['loftr_ros.commands.main', 'loftr_ros.ros.node'])
def test_the_programs_ask_before_pytorch_is_loaded(module: str) -> None:
    assert run(f'import sys, {module}', "print('torch' in sys.modules)") == ['False']
