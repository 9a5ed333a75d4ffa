"""Whether an error says that memory ran out, whatever library says it."""

from __future__ import annotations

SIGNS = (
    # torch on a CPU
    "can't allocate memory",
    'not enough memory',
    # CUDA, by torch and ONNX Runtime: `CUDA error: out of memory`, `CUDA failure 2: out of memory`
    'out of memory',
    'cudaerrormemoryallocation',
    # cuDNN, cuBLAS, cuSOLVER, cuSPARSE
    '_status_alloc_failed',
    '_allocation_failed',
    # Jetson, whose driver shares the memory of the CPU
    'nvmapmemalloc',
    'nvml_success == r',
    # The arenas of ONNX Runtime
    'bfcarena',
    'failed to allocate memory',
    'bad_alloc',
    'bad allocation',
)
"""What messages say, in small letters."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out, on a GPU or in the machine."""
    if isinstance(error, MemoryError):
        return True
    names = {kind.__name__ for kind in type(error).__mro__}
    if 'OutOfMemoryError' in names:  # of torch, which need not be imported for this
        return True
    # The exceptions of ONNX Runtime share no base.
    known = isinstance(error, RuntimeError) or type(error).__module__.startswith('onnxruntime')
    return known and any(sign in str(error).lower() for sign in SIGNS)
