"""Which numbers a device computes with: a rule for each, and the switches of torch that obey it."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Iterator

TENSOR_CORES = (7, 0)
"""From this compute capability on (Volta), float16 is several times as fast as float32."""

AMPERE = (8, 0)
"""From this compute capability on, a GPU knows bfloat16 and TF32."""


@dataclass(frozen=True)
class Precision:
    """Numbers of backbone and transformers; correlations are computed in float32 in any case.

    bfloat16, with three bits less than float16, is for backbone and fine transformer alone: in the
    coarse transformer it would lose one match in fifty.

    Attributes:
        name: ``float32``, ``tf32``, ``float16`` or ``bfloat16``.
        dtype: Of weights and activations.
    """

    name: str
    dtype: torch.dtype

    @property
    def is_half(self) -> bool:
        """Whether activations take two bytes."""
        return self.dtype != torch.float32

    @property
    def exact_coarse(self) -> bool:
        """Whether coarse features are float32 all the same, from the backbone's output on."""
        return self.dtype == torch.bfloat16


FLOAT32 = Precision('float32', torch.float32)
PRECISIONS = {
    'float32': FLOAT32,
    'tf32': Precision('tf32', torch.float32),
    'float16': Precision('float16', torch.float16),
    'bfloat16': Precision('bfloat16', torch.bfloat16),
}


def select_precision(name: str, device: torch.device, *, aligned: bool = False) -> Precision:
    """Precision by name; ``auto`` is the fastest that keeps the matches.

    ==============================  ========  ======================================
    device                          auto      others
    ==============================  ========  ======================================
    CPU with AMX, points aligned    bfloat16  float32
    other CPU                       float32   bfloat16
    GPU, compute capability >= 8.0  float16   float32, tf32, bfloat16
    GPU, compute capability 7.x     float16   float32
    older GPU                       float32   float16
    ==============================  ========  ======================================

    Args:
        name: Of `PRECISIONS`, or ``auto``.
        device: Where the network runs.
        aligned: Whether points are aligned on the images, in float32, after the network.

    Raises:
        ValueError: There is no such precision, or this device does not have it.
    """
    capability = torch.cuda.get_device_capability(device) if device.type == 'cuda' else None
    if name == 'auto':
        if capability is None:
            return PRECISIONS['bfloat16'] if aligned and _has_amx(device) else FLOAT32
        return PRECISIONS['float16'] if capability >= TENSOR_CORES else FLOAT32
    if name not in PRECISIONS:
        raise ValueError(f"precision '{name}': expected auto, {', '.join(PRECISIONS)}")
    if capability is None and name in ('tf32', 'float16'):
        raise ValueError(f"precision '{name}' needs a GPU; on a CPU use float32 or bfloat16")
    if capability is not None and capability < AMPERE and name in ('tf32', 'bfloat16'):
        raise ValueError(
            f"precision '{name}' needs a GPU of compute capability 8.0 or more; {device} has "
            f'{capability[0]}.{capability[1]}: use float32 or float16'
        )
    return PRECISIONS[name]


@cache
def cpu_capabilities() -> dict[str, Any]:
    """Name of the CPU, and which instructions it has; empty where torch does not say."""
    found: dict[str, Any] = getattr(torch.cpu, 'get_capabilities', dict)()
    return found


def _has_amx(device: torch.device) -> bool:
    """Whether a CPU multiplies matrices of bfloat16 in tiles (AMX).

    Only that pays for a small network: by AVX-512 alone, bfloat16 is no faster than float32.
    """
    return device.type == 'cpu' and bool(cpu_capabilities().get('amx_bf16'))


def store_weights(network: nn.Module, precision: Precision) -> None:
    """Round the weights of products once; autocast would do it again for each frame.

    The same numbers come out: autocast rounds just these. Norms stay in float32.
    """
    for name, part in network.named_children():
        if precision.is_half and not (precision.exact_coarse and name == 'loftr_coarse'):
            for module in part.modules():
                if isinstance(module, (nn.Conv2d, nn.Linear)):
                    module.to(precision.dtype)


def on_device(device: torch.device) -> AbstractContextManager[object]:
    """Context in which a GPU is the current one, as streams, graphs and libraries ask for."""
    if device.type == 'cuda' and torch.cuda.is_available():
        return torch.cuda.device(device)
    return nullcontext()


def computing(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """Context in which the network computes with a precision; leaves no setting behind."""
    stack = ExitStack()
    stack.enter_context(on_device(device))
    if device.type == 'cuda':
        stack.enter_context(_tf32_on_cuda(precision.name == 'tf32'))
    if precision.is_half:
        stack.enter_context(torch.autocast(device.type, precision.dtype, cache_enabled=False))
    return stack


def exact_products(device: torch.device) -> AbstractContextManager[object]:
    """Context for products in float32, whatever the network computes with."""
    if device.type == 'cuda':
        stack = ExitStack()
        stack.enter_context(_tf32_on_cuda(False))
        stack.enter_context(torch.autocast('cuda', enabled=False))
        return stack
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


@contextmanager
def _tf32_on_cuda(allowed: bool) -> Iterator[None]:
    """TF32 on or off for products and for convolutions: torch's own defaults are off and on.

    The older of torch's two interfaces: it is in every version, and mixing both is an error.
    """
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32, cudnn.allow_tf32 = allowed, allowed
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before
