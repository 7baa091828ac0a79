"""tools/setup_venv.sh: which Python it takes, and that only a whole .venv passes for one."""

import shutil
import signal
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "tools" / "setup_venv.sh"
BASE_PYTHON = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"
COMMANDS = ["bash", "cat", "cmp", "cp", "dirname", "rm", "sleep"]
WHEEL = "pebble-1.0-py3-none-any.whl"


class Checkout:
    """A checkout of its own, with a PATH on which only the named commands exist."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.venv = root / ".venv"
        self.bin = root / "bin"
        self.script = root / "tools" / "setup_venv.sh"
        self.script.parent.mkdir()
        self.bin.mkdir()
        shutil.copy(SCRIPT, self.script)
        for command in COMMANDS:
            found = shutil.which(command)
            assert found, command
            (self.bin / command).symlink_to(found)
        write_wheel(root / WHEEL)
        self.require(f"./{WHEEL}")

    def require(self, line: str) -> None:
        (self.root / "requirements.txt").write_text(line + "\n")

    def add_command(self, name: str, body: str) -> None:
        path = self.bin / name
        path.write_text(f"#!{self.bin / 'bash'}\n{body}\n")
        path.chmod(0o755)

    def add_real_python(self, name: str) -> None:
        self.add_command(name, f'exec "{BASE_PYTHON}" "$@"')

    def add_other_python(self, name: str, version: str, has_venv: bool = True) -> None:
        lacks = "" if has_venv else "case $2 in *ensurepip*) exit 1 ;; esac\n"
        self.add_command(name, f"{lacks}echo {version}")

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        environment = {
            "PATH": str(self.bin),
            "HOME": str(self.root),
            "PIP_CONFIG_FILE": "/dev/null",
            "PIP_TIMEOUT": "300",  # longer than any test waits: pip must not end by itself
        }
        return subprocess.Popen(
            [str(self.bin / "bash"), str(self.script), *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> tuple[int, str, str]:
        process = self.start(*arguments)
        output, errors = process.communicate(timeout=120)
        return process.returncode, output, errors


def write_wheel(path: Path) -> None:
    """The smallest package that pip installs: one module that holds one number."""
    info = "pebble-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("pebble.py", "weight = 7\n")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: pebble\nVersion: 1.0\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def assert_one_line(errors: str, *parts: str) -> None:
    assert errors.count("\n") == 1, errors
    for part in parts:
        assert part in errors


def test_installs_once_and_again_when_the_requirements_change(checkout: Checkout) -> None:
    checkout.add_command("python3.11", "exit 127")  # a version manager's name for nothing
    checkout.add_real_python("python3")
    status, output, errors = checkout.run()
    assert (status, errors) == (0, "")
    assert output.startswith("Making .venv with python3:")
    weight = [checkout.venv / "bin" / "python", "-c", "import pebble; print(pebble.weight)"]
    assert subprocess.check_output(weight, text=True) == "7\n"

    assert checkout.run() == (0, "", "")

    checkout.require(f"./{WHEEL} # changed")
    (checkout.venv / "left_over").touch()
    status, output, _ = checkout.run()
    assert status == 0
    assert "Making .venv" in output
    assert not (checkout.venv / "left_over").exists()

    (checkout.venv / "requirements.installed").unlink()  # as a kill in mid-install leaves it
    (checkout.venv / "left_over").touch()
    assert checkout.run()[0] == 0
    assert not (checkout.venv / "left_over").exists()


def test_a_failed_install_shows_pips_error_and_leaves_nothing(checkout: Checkout) -> None:
    checkout.add_real_python("python3")
    checkout.require("./missing-1.0-py3-none-any.whl")
    status, _, errors = checkout.run()
    assert status == 1
    assert "missing-1.0-py3-none-any.whl" in errors
    assert "setup: requirements.txt did not install" in errors
    assert not checkout.venv.exists()


def test_a_failed_venv_shows_the_error_and_leaves_nothing(checkout: Checkout) -> None:
    checkout.add_command(
        "python3.11", "case $* in *-m*) echo disk full >&2; : >.venv; exit 3 ;; esac; echo 3.11.2"
    )
    status, _, errors = checkout.run()
    assert status == 1
    assert errors == "disk full\nsetup: python3.11 could not make .venv; its words are above\n"
    assert not checkout.venv.exists()


def test_an_interrupt_ends_pip_and_leaves_nothing(checkout: Checkout) -> None:
    checkout.add_real_python("python3")
    with socket.create_server(("127.0.0.1", 0)) as server:  # accepts, never answers
        server.settimeout(60)
        port = server.getsockname()[1]
        checkout.require(f"http://127.0.0.1:{port}/{WHEEL}")
        process = checkout.start()
        connection, _ = server.accept()
        connection.settimeout(30)
        process.send_signal(signal.SIGTERM)  # to the script alone: it must end pip itself
        process.communicate(timeout=30)
        while connection.recv(4096):  # ends when pip is gone
            pass
    assert process.returncode == 143
    assert not checkout.venv.exists()


def test_a_named_python_of_another_version_is_refused(checkout: Checkout) -> None:
    checkout.add_real_python("python3")
    checkout.add_other_python("python3.12", "3.12.1")
    status, output, errors = checkout.run("python3.12")
    assert (status, output) == (1, "")
    assert_one_line(errors, "python3.12 is Python 3.12.1", "3.10 or 3.11", "PYTHON=python3.11")


def test_a_named_python_that_does_not_run_is_refused(checkout: Checkout) -> None:
    status, _, errors = checkout.run("python3.11")
    assert status == 1
    assert_one_line(errors, "python3.11 does not run")


def test_no_usable_python_lists_what_was_found(checkout: Checkout) -> None:
    checkout.add_other_python("python3", "3.13.0")
    checkout.add_command("python3.10", "exit 127")
    status, _, errors = checkout.run()
    assert status == 1
    assert_one_line(errors, "python3.10 does not run", "python3 is Python 3.13.0", "PYTHON=")


def test_a_missing_venv_module_names_its_package(checkout: Checkout) -> None:
    checkout.add_other_python("python3", "3.11.2", has_venv=False)
    status, _, errors = checkout.run()
    assert status == 1
    assert_one_line(errors, "apt-get install python3.11-venv")


def test_uv_brings_a_python_where_none_is_usable(checkout: Checkout) -> None:
    checkout.add_other_python("python3", "3.13.0")
    checkout.add_command("uv", f'echo "$@" >uv_arguments; exec "{BASE_PYTHON}" -m venv .venv')
    status, _, errors = checkout.run()
    assert (status, errors) == (0, "")
    arguments = (checkout.root / "uv_arguments").read_text()
    assert arguments == "venv --quiet --seed --python 3.11 .venv\n"
    assert (checkout.venv / "requirements.installed").exists()
