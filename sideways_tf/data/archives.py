"""The official archives -> the official unpacked layout."""

import gzip
import os
import shutil
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

import rarfile  # type: ignore[import-untyped]

from sideways_tf import progress
from sideways_tf.errors import UserError

# Each unpacks all of an archive in one pass; rarfile alone would start one for every file. None
# but unrar reads all kinds: bsdtar no old solid ones, unar not all new ones, and some systems'
# 7z none. So they are tried in turn.
_RAR_TOOLS: dict[str, Callable[[str, str], list[str]]] = {
    "unrar": lambda archive, target: ["unrar", "x", "-y", "-p-", archive, target + "/"],
    "bsdtar": lambda archive, target: ["bsdtar", "-xvf", archive, "-C", target],
    "7z": lambda archive, target: ["7z", "x", "-y", "-p-", "-bb1", f"-o{target}", archive],
    "unar": lambda archive, target: ["unar", "-f", "-D", "-o", target, archive],
}
_CHUNK = 2**20  # bytes
_DAMAGED = (
    rarfile.Error,
    gzip.BadGzipFile,
    zipfile.BadZipFile,
    tarfile.TarError,
    EOFError,
    zlib.error,
    subprocess.SubprocessError,
)


def unpack_all(source_dir: Path, archives: Mapping[str, Sequence[str]], target: Path) -> Path:
    """Makes the official layout out of what `source_dir` holds, archives or folders.

    What is unpacked already stays as it is, so that an interrupted run continues.

    Args:
        source_dir: holds, for each folder of the layout, the folder or one of its archives.
        archives: names of archives by folder.
        target: where archives are unpacked, beside links to the folders that are there.

    Returns:
        `source_dir` where nothing was to unpack, else `target`.

    Raises:
        UserError: an archive is damaged, climbs out, or cannot be unpacked here.
    """
    found = {
        folder: archive
        for folder, names in archives.items()
        if not (source_dir / folder).is_dir()
        for archive in [next((source_dir / n for n in names if (source_dir / n).is_file()), None)]
        if archive is not None
    }
    half = {folder for folder in archives if any((source_dir / folder).glob("*.rar"))}
    if not found and not half:
        return source_dir
    target.mkdir(parents=True, exist_ok=True)
    for folder in archives:
        if (target / folder).exists():
            continue
        if folder in found:
            _unpack_folder(found[folder], target / folder)
        elif folder in half:
            _unpack_rest(source_dir / folder, target / folder)
        elif (source_dir / folder).is_dir():
            (target / folder).symlink_to((source_dir / folder).resolve())
    return target


def _unpack_rest(folder: Path, target: Path) -> None:
    """Makes `target` out of a folder that holds a folder or a rar for each class."""
    whole = target.with_name(f".{target.name}.classes")
    whole.mkdir(exist_ok=True)
    for path in sorted(folder.iterdir()):  # the folder `wave` before its archive `wave.rar`
        made = whole / path.stem
        if path.is_dir() and not made.exists():
            made.symlink_to(path.resolve())
        elif path.suffix == ".rar" and not made.exists():
            _unpack_folder(path, made)
    whole.rename(target)


def _unpack_folder(archive: Path, folder: Path) -> None:
    """Makes `folder` out of an archive that holds it, its contents, or one rar for each class."""
    whole = folder.with_name(f".{folder.name}.archive")
    if not whole.exists():
        _unpack(archive, whole)
    for nested in sorted(whole.glob("*.rar")):
        _unpack_folder(nested, whole / nested.stem)
        nested.unlink()
    inner = whole / folder.name
    (inner if inner.is_dir() else whole).rename(folder)
    shutil.rmtree(whole, ignore_errors=True)


def _unpack(archive: Path, target: Path) -> None:
    """Unpacks one archive; `target` appears when it is whole."""
    partial = target.with_name(f"{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    by_suffix = {".rar": _unpack_rar, ".zip": _unpack_zip, ".gz": _unpack_tar}
    try:
        by_suffix[archive.suffix](archive, partial)
    except _DAMAGED as error:
        shutil.rmtree(partial)
        raise UserError(
            f"{archive}: damaged or cut short ({_one_line(error)}); download it again"
        ) from error
    except BaseException:
        shutil.rmtree(partial)
        raise
    partial.rename(target)


def _unpack_zip(archive: Path, target: Path) -> None:
    with zipfile.ZipFile(archive) as file:
        members = file.infolist()
        _check_names(archive, (member.filename for member in members))
        for member in progress.over(members, archive.name, " files"):
            file.extract(member, target)


def _unpack_tar(archive: Path, target: Path) -> None:
    with gzip.open(archive) as stream, tarfile.open(fileobj=stream, mode="r:") as file:
        for member in progress.over(file, archive.name, " files"):
            _check_names(archive, [member.name])
            file.extract(member, target, filter="data")
        while stream.read(_CHUNK):  # only the end of the stream holds its checksum
            pass


def _unpack_rar(archive: Path, target: Path) -> None:
    with rarfile.RarFile(archive) as file:
        members, locked, solid = file.infolist(), file.needs_password(), file.is_solid()
        several = len(file.volumelist()) > 1
    old = any(member.extract_version < 50 for member in members)
    _check_names(archive, (member.filename for member in members))
    if any(member.is_symlink() for member in members):
        raise UserError(f"{archive}: holds a link, the official one holds none; download it again")
    if locked:
        raise UserError(f"{archive}: has a password, the official one has none; download it again")
    end = max((member.data_offset + member.compress_size for member in members), default=0)
    if end > archive.stat().st_size and not several:
        raise rarfile.BadRarFile(f"it holds {archive.stat().st_size} of {end} bytes or more")
    tools = [tool for tool in _RAR_TOOLS if shutil.which(tool)]
    if not tools:
        raise UserError(
            f"{archive}: no program to unpack rar is installed; install bsdtar (Debian, Ubuntu: "
            "apt install libarchive-tools; Fedora: bsdtar) or unrar, or unpack it yourself"
        )
    problem: Exception | None = None
    for tool in tools:
        if tool == "bsdtar" and ((solid and old) or several):
            continue  # it would go on to the end before it says so
        command = _RAR_TOOLS[tool](os.fspath(archive), os.fspath(target))
        try:
            _run_with_progress(command, archive.name, len(members))
            _check_sizes(members, target)
            return
        except (subprocess.SubprocessError, rarfile.BadRarFile) as error:
            problem = error
    raise UserError(
        f"{archive}: damaged, or a kind of rar that {' and '.join(tools)} cannot read"
        f"{f' ({_one_line(problem)})' if problem else ''}; install unrar, or download it again"
    )


def _check_sizes(members: Iterable[rarfile.RarInfo], target: Path) -> None:
    for member in members:
        path = target / member.filename
        if not member.is_dir() and (not path.is_file() or path.stat().st_size != member.file_size):
            raise rarfile.BadRarFile(f"{member.filename} did not come out whole")


def _run_with_progress(command: list[str], name: str, count: int) -> None:
    """Runs an unpacker that prints a line for each file."""
    last = ""
    with (
        progress.bar(name, count, " files") as bar,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            last = line.strip() or last
            bar.update(min(1, count - bar.n))
    if process.returncode:
        raise subprocess.SubprocessError(last)


def _check_names(archive: Path, names: Iterable[str]) -> None:
    """Refuses an archive with a name that leads out of the folder it is unpacked into."""
    for name in names:
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts:
            raise UserError(f"{archive}: {name!r} leads out of the archive; do not trust this file")


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
