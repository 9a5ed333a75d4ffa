"""Every library says in its own words that memory ran out."""

import pytest
import torch

from loftr_ros.matching.memory import is_out_of_memory


class Fail(Exception):  # noqa: N818 - its name there
    """As ONNX Runtime defines them: no base but Exception."""


Fail.__module__ = 'onnxruntime.capi.onnxruntime_pybind11_state'

ERRORS = [
    MemoryError(),
    torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 GiB'),
    RuntimeError('CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported'),
    RuntimeError('cuDNN error: CUDNN_STATUS_ALLOC_FAILED'),
    RuntimeError('cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED'),
    RuntimeError('CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`'),
    RuntimeError('NvMapMemAllocInternalTagged: 1075072515 error 12'),
    RuntimeError('NVML_SUCCESS == r INTERNAL ASSERT FAILED at "CUDACachingAllocator.cpp":1131'),
    RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
    Fail(
        'onnxruntime::BFCArena::AllocateRawInternal Failed to allocate memory for requested buffer'
    ),
    Fail('CUDA failure 2: out of memory ; GPU=0'),
]
OTHERS = [
    RuntimeError('CUDA error: an illegal memory access was encountered'),
    RuntimeError('CUDA error: invalid device ordinal'),
    ValueError('the image is out of memory of anyone'),
    Fail('Got invalid dimensions for input: image'),
    KeyError('BFCArena'),
]


@pytest.mark.parametrize('error', ERRORS, ids=str)
def test_out_of_memory_is_recognized(error: Exception) -> None:
    assert is_out_of_memory(error)


@pytest.mark.parametrize('error', OTHERS, ids=str)
def test_other_errors_are_not_taken_for_it(error: Exception) -> None:
    assert not is_out_of_memory(error)
