"""Which number format convolutions run in: the fastest one this CPU has."""

from functools import cache
from pathlib import Path
from typing import Literal

Precision = Literal["auto", "float32", "bfloat16"]


def compute_dtype(precision: Precision = "auto") -> str:
    """Return ``"float32"`` or ``"bfloat16"``; ``auto`` is bfloat16 exactly where the CPU multiplies it natively."""
    if precision != "auto":
        return precision
    return "bfloat16" if cpu_has_bfloat16() else "float32"


@cache
def cpu_has_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Read the CPU flags for bfloat16 dot products (AVX512_BF16 or AMX_BF16); False where they can't be read."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:  # not Linux
        return False
    flags = next((set(line.split()) for line in lines if line.startswith("flags")), set())
    return bool(flags & {"avx512_bf16", "amx_bf16"})
