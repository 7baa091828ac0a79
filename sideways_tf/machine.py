"""What a run was computed on, in words: speed depends on it, and how sums are rounded."""

from __future__ import annotations

import datetime
import os
import platform
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")  # Of Linux.
# The widest that a processor has: TensorFlow's kernels add up in another order with each.
VECTORS = {"avx512f": "AVX-512", "avx2": "AVX2", "avx": "AVX", "sve": "SVE", "asimd": "NEON"}


def machine_words(cpuinfo: Path = CPUINFO) -> str:
    """Processor, its vector instructions, cores, kernels' threads where they are set, system."""
    facts: dict[str, str] = {}  # Of the first core.
    for line in cpuinfo.read_text().splitlines() if cpuinfo.exists() else []:
        name, _, value = line.partition(":")
        facts.setdefault(name.strip(), value.strip())
    flags = facts.get("flags", facts.get("Features", "")).split()
    processor = facts.get("model name") or platform.processor() or platform.machine()
    widest = next((words for flag, words in VECTORS.items() if flag in flags), None)
    parts = [processor, *([widest] if widest else []), f"{os.cpu_count()} cores"]
    threads = os.environ.get("TF_NUM_INTRAOP_THREADS")
    if threads:
        parts.append(f"{threads} threads a kernel" if threads != "1" else "1 thread a kernel")
    return ", ".join([*parts, platform.machine(), platform.system()])


def machine_today() -> str:
    """The same, with the date."""
    return f"{machine_words()}, {datetime.date.today().isoformat()}"
