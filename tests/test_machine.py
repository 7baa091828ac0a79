"""What a run says of the machine it ran on."""

import os
import platform

import pytest

from sideways_tf.machine import machine_words

pytestmark = pytest.mark.once
SYSTEM = f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}"


@pytest.mark.parametrize(
    ("flags", "widest"),
    [("sse avx avx2 avx512f", ", AVX-512"), ("sse avx avx2", ", AVX2"), ("sse", "")],
)
def test_processor_and_its_widest_vectors(tmp_path, monkeypatch, flags, widest):
    monkeypatch.delenv("TF_NUM_INTRAOP_THREADS", raising=False)
    cpuinfo = tmp_path / "cpuinfo"
    core = "processor\t: {}\nmodel name\t: Some CPU @ {}.0\nflags\t\t: {}\n\n"
    cpuinfo.write_text(core.format(0, 2, flags) + core.format(1, 3, "avx512f"))
    assert machine_words(cpuinfo) == f"Some CPU @ 2.0{widest}, {SYSTEM}"


def test_threads_are_named_where_they_are_set(tmp_path, monkeypatch):
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "1")
    monkeypatch.setattr(platform, "processor", lambda: "")
    words = f"{os.cpu_count()} cores, 1 thread a kernel, {platform.machine()}, {platform.system()}"
    assert machine_words(tmp_path / "missing") == f"{platform.machine()}, {words}"
