"""tools/slow_link.py: no packet comes too early, or out of order; bad words end in one line."""

import importlib.util
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from sideways_tf.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
SPEC = importlib.util.spec_from_file_location("slow_link", ROOT / "tools" / "slow_link.py")
slow_link = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(slow_link)

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(sys.platform != "linux", reason="network namespaces are Linux'"),
]


def test_packets_come_as_a_wire_delivers_them():
    """Three of 1000 bytes at 10 kB/s and 0.2 s: after 0.3, 0.4 and 0.5 s, or later."""
    entry, source = socket.socketpair(type=socket.SOCK_DGRAM)
    sink, end = socket.socketpair(type=socket.SOCK_DGRAM)
    ends = source.fileno(), sink.fileno()
    threading.Thread(target=slow_link.carry, args=(*ends, 1e4, 0.2), daemon=True).start()
    begun = time.monotonic()
    for number in range(3):
        entry.send(bytes([number]) * 1000)
    for number in range(3):
        packet = end.recv(2000)
        assert packet == bytes([number]) * 1000
        assert time.monotonic() - begun >= 0.2 + 0.1 * (number + 1)


@pytest.mark.parametrize(
    ("words", "said"),
    [(["fast"], "'fast' is no flag"), (["--gbps=0"], "gbps"), (["--delay_ms=-1"], "delay_ms")],
)
def test_bad_words_end_in_one_line(words, said):
    command = [sys.executable, "tools/slow_link.py", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_without_root_it_says_so(monkeypatch):
    slow_link.FLAGS(["slow_link"])
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(UserError, match="only root makes network namespaces"):
        slow_link.main([])
