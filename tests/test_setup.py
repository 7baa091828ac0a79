"""tools/setup_venv.sh: which Python and stack it takes, and that only a whole .venv passes."""

import shutil
import signal
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

SCRIPT = Path(__file__).parent.parent / "tools" / "setup_venv.sh"
BASE_PYTHON = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"
COMMANDS = ["bash", "cat", "chmod", "cmp", "cp", "dirname", "mkdir", "rm", "sleep"]
CARD, CURRENT = "requirements.txt", "requirements-current.txt"
OWN_LOCK = CARD if sys.version_info < (3, 12) else CURRENT  # of the Python that runs the tests
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
        for lock in (CARD, CURRENT):
            (self.root / lock).write_text(f"{line} # {lock}\n")

    @property
    def installed(self) -> str:
        """The lock that .venv holds."""
        return (self.venv / "requirements.installed").read_text().split()[-1]

    def write_script(self, path: Path, body: str) -> None:
        path.write_text(f"#!{self.bin / 'bash'}\n{body}\n")
        path.chmod(0o755)

    def add_command(self, name: str, body: str) -> None:
        self.write_script(self.bin / name, body)

    def add_real_python(self, name: str) -> None:
        self.add_command(name, f'exec "{BASE_PYTHON}" "$@"')

    def add_other_python(self, name: str, version: str, has_venv: bool = True) -> None:
        lacks = "" if has_venv else "case $2 in *ensurepip*) exit 1 ;; esac\n"
        self.add_command(name, f"{lacks}echo {version}")

    def add_stand_in(self, name: str, version: str) -> None:
        """A Python that says its version, and makes a venv of the like; pip does nothing."""
        says = f"case $2 in *%d*) echo {version} ;; esac"
        self.write_script(self.root / f"made-{name}", says)
        makes = f"case $2 in venv) mkdir -p $3/bin; cp made-{name} $3/bin/python ;; esac"
        self.add_command(name, f"{says}\n{makes}")

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        environment = {
            **variables,
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

    def run(self, *arguments: str, **variables: str) -> tuple[int, str, str]:
        process = self.start(*arguments, **variables)
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


def assert_nothing_left(checkout: Checkout) -> None:
    assert list(checkout.root.glob(".venv*")) == []


def test_installs_once_and_again_when_the_requirements_change(checkout: Checkout) -> None:
    checkout.add_command("python3.11", "exit 127")  # a version manager's name for nothing
    checkout.add_real_python("python3")
    status, output, errors = checkout.run()
    assert (status, errors) == (0, "")
    assert output.startswith("Making .venv with python3 (Python 3.1")
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
    assert f"setup: {OWN_LOCK} did not install" in errors
    assert_nothing_left(checkout)


def test_a_failed_venv_shows_the_error_and_leaves_nothing(checkout: Checkout) -> None:
    checkout.add_command(
        "python3.11", "case $* in *-m*) echo disk full >&2; : >.venv; exit 3 ;; esac; echo 3.11.2"
    )
    status, _, errors = checkout.run()
    assert status == 1
    assert errors == "disk full\nsetup: python3.11 could not make .venv; its words are above\n"
    assert_nothing_left(checkout)


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
    assert_nothing_left(checkout)


@pytest.mark.parametrize(
    ("stack", "version", "lock"),
    [
        ("", "3.10.13", CARD),
        ("", "3.11.2", CARD),
        ("", "3.12.1", CURRENT),
        ("", "3.13.0", CURRENT),
        ("card", "3.10.13", CARD),
        ("current", "3.10.13", CURRENT),
        ("current", "3.11.2", CURRENT),
        ("current", "3.13.0", CURRENT),
    ],
)
def test_the_stack_follows_the_python_or_is_chosen(
    checkout: Checkout, stack: str, version: str, lock: str
) -> None:
    checkout.add_stand_in("python3", version)
    status, _, errors = checkout.run(STACK=stack)
    assert (status, errors) == (0, "")
    assert checkout.installed == lock


@pytest.mark.parametrize(
    ("stack", "version"), [("card", "3.12.1"), ("current", "3.9.18"), ("", "3.14.0")]
)
def test_a_python_that_the_stack_does_not_run_on_is_refused(
    checkout: Checkout, stack: str, version: str
) -> None:
    checkout.add_other_python("python3.x", version)
    status, output, errors = checkout.run("python3.x", STACK=stack)
    assert (status, output) == (1, "")
    pythons = "3.10 or 3.11, for STACK=card" if stack == "card" else "3.10 to 3.13"
    assert_one_line(errors, f"python3.x is Python {version}", pythons, "PYTHON=python3.11")


def test_a_stack_that_there_is_not_is_refused(checkout: Checkout) -> None:
    checkout.add_real_python("python3")
    status, output, errors = checkout.run(STACK="newest")
    assert (status, output) == (1, "")
    assert_one_line(errors, "STACK=newest", "card", "current")


def test_a_whole_venv_is_kept_unless_another_stack_is_asked_for(checkout: Checkout) -> None:
    checkout.add_stand_in("python3", "3.11.2")
    assert checkout.run(STACK="current")[0] == 0
    assert checkout.run() == (0, "", "")
    assert checkout.installed == CURRENT
    assert "Making .venv" in checkout.run(STACK="card")[1]
    assert checkout.installed == CARD


def test_venv_names_another_folder(checkout: Checkout) -> None:
    checkout.add_stand_in("python3", "3.12.1")
    assert checkout.run(VENV=".venv-other")[0] == 0
    assert (checkout.root / ".venv-other" / "requirements.installed").exists()
    assert not checkout.venv.exists()


def test_a_named_python_that_does_not_run_is_refused(checkout: Checkout) -> None:
    status, _, errors = checkout.run("python3.11")
    assert status == 1
    assert_one_line(errors, "python3.11 does not run")


def test_no_usable_python_lists_what_was_found(checkout: Checkout) -> None:
    checkout.add_other_python("python3", "3.14.0", has_venv=False)
    checkout.add_command("python3.10", "exit 127")
    status, _, errors = checkout.run()
    assert status == 1
    assert_one_line(errors, "python3.10 does not run", "python3 is Python 3.14.0", "PYTHON=")
    assert_nothing_left(checkout)


def test_a_missing_venv_module_names_its_package(checkout: Checkout) -> None:
    checkout.add_other_python("python3", "3.11.2", has_venv=False)
    status, _, errors = checkout.run()
    assert status == 1
    assert_one_line(errors, "apt-get install python3.11-venv")


FETCHES = """\
echo "$@" >uv_arguments
mkdir -p .venv/bin
echo "#!$BASH
case \\$2 in *%d*) echo $5.9 ;; esac" >.venv/bin/python
chmod +x .venv/bin/python"""


@pytest.mark.parametrize(
    ("stack", "version"), [("", "3.11"), ("card", "3.11"), ("current", "3.13")]
)
def test_uv_brings_a_python_where_none_is_usable(
    checkout: Checkout, stack: str, version: str
) -> None:
    checkout.add_other_python("python3", "3.14.0")
    checkout.add_command("uv", FETCHES)
    status, _, errors = checkout.run(STACK=stack)
    assert (status, errors) == (0, "")
    arguments = (checkout.root / "uv_arguments").read_text()
    assert arguments == f"venv --quiet --seed --python {version} .venv\n"
    assert checkout.installed == (CURRENT if stack == "current" else CARD)


def add_python_with_pip(checkout: Checkout, uv: str) -> None:
    """A python3 of 3.14 whose `-m venv` makes one whose `-m pip install uv` gives this `uv`."""
    checkout.write_script(checkout.root / "uv", uv)
    installs = 'case "$2 ${@: -1}" in "pip uv") cp uv .venv-uv/bin/uv ;; *) exit 1 ;; esac'
    checkout.write_script(checkout.root / "made", installs)
    makes = "venv) mkdir -p $3/bin; cp made $3/bin/python ;;"
    checkout.add_command("python3", f"case $2 in *%d*) echo 3.14.0 ;; {makes} *) ;; esac")


def test_uv_comes_from_pip_where_there_is_none(checkout: Checkout) -> None:
    add_python_with_pip(checkout, FETCHES)
    status, output, errors = checkout.run()
    assert (status, errors) == (0, "")
    assert "getting uv" in output
    assert checkout.installed == CARD
    assert not (checkout.root / ".venv-uv").exists()


def test_a_uv_that_fetches_nothing_leaves_one_line(checkout: Checkout) -> None:
    add_python_with_pip(checkout, "echo three lines of a network >&2; exit 2")
    status, _, errors = checkout.run()
    assert status == 1
    assert_one_line(errors, "python3 is Python 3.14.0", "no uv could fetch another", "PYTHON=")
    assert_nothing_left(checkout)
