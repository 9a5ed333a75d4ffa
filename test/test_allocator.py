"""The allocator's settings are those of a process that asks for them, and of no other."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != 'linux', reason='glibc is measured on Linux')

FAULTS = """
import resource
import numpy as np
{setting}
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        np.ones(2**26, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""
KEEP = 'from loftr_ros.allocator import keep_freed_memory; print(keep_freed_memory())'


def run(code: str, **variables: str) -> list[str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith('MALLOC_')}
    process = subprocess.run(
        [sys.executable, '-c', code],
        env=inherited | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    return process.stdout.split()


def test_large_blocks_are_used_again_without_page_faults() -> None:
    set_up, faults = run(FAULTS.format(setting=KEEP))
    (faults_by_default,) = run(FAULTS.format(setting='import loftr_ros'))

    assert set_up == 'True'
    assert int(faults) < 0.1 * int(faults_by_default)


def test_a_choice_made_in_the_environment_stands() -> None:
    assert run(KEEP, MALLOC_TRIM_THRESHOLD_='1000000') == ['False']
