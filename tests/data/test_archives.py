"""Archives of the official shapes, made here; rar ones byte by byte, since no free tool can."""

import base64
import io
import shutil
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest

from sideways_tf.data.archives import unpack_all
from sideways_tf.errors import UserError

HMDB = {"hmdb51_org": ("hmdb51_org.rar",), "splits": ("splits.rar",)}
CATER = {"all_actions": ("all_actions.zip", "all_actions.tar.gz")}

needs_unpacker = pytest.mark.skipif(
    not (shutil.which("bsdtar") or shutil.which("unrar")),
    reason="no program to unpack rar: install libarchive-tools",
)


def make_rar(files: dict[str, bytes]) -> bytes:
    """A RAR 5 archive that stores `files` without compression."""

    def number(value: int) -> bytes:
        encoded = b""
        while value >= 0x80:
            encoded += bytes([value & 0x7F | 0x80])
            value >>= 7
        return encoded + bytes([value])

    def block(header: bytes, data: bytes = b"") -> bytes:
        sized = number(len(header)) + header
        return struct.pack("<I", zlib.crc32(sized)) + sized + data

    archive = b"Rar!\x1a\x07\x01\x00" + block(number(1) + number(0) + number(0))
    for name, data in files.items():
        encoded = name.encode()
        header = number(2) + number(2) + number(len(data))  # a file, data follow
        header += number(4) + number(len(data)) + number(0o644)  # with checksum
        header += struct.pack("<I", zlib.crc32(data)) + number(0) + number(1)  # stored, Unix
        archive += block(header + number(len(encoded)) + encoded, data)
    return archive + block(number(5) + number(0) + number(0))


def make_zip(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def make_tar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


MAKERS = {"zip": make_zip, "tar.gz": make_tar, "rar": make_rar}
VIDEO = bytes(range(256)) * 20


def _hmdb(source: Path) -> None:
    source.mkdir()
    classes = {
        f"{name}.rar": make_rar({f"{name}/{name}_!(1)#&[]+;~@.avi": VIDEO})
        for name in ("pour", "wave")
    }
    (source / "hmdb51_org.rar").write_bytes(make_rar(classes))
    (source / "splits.rar").write_bytes(make_rar({"splits/a.txt": b"a"}))


def _tree(root: Path) -> dict[str, bytes]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


@needs_unpacker
def test_rar_with_a_rar_for_each_class(tmp_path: Path) -> None:
    _hmdb(tmp_path / "source")
    target = unpack_all(tmp_path / "source", HMDB, tmp_path / "target")
    assert _tree(target) == {
        "hmdb51_org/pour/pour_!(1)#&[]+;~@.avi": VIDEO,
        "hmdb51_org/wave/wave_!(1)#&[]+;~@.avi": VIDEO,
        "splits/a.txt": b"a",
    }


@pytest.mark.parametrize("suffix", ["zip", "tar.gz"])
def test_zip_and_tar(tmp_path: Path, suffix: str) -> None:
    files = {"all_actions/videos/a.avi": VIDEO, "all_actions/lists/train.txt": b"a.avi 0"}
    (tmp_path / f"all_actions.{suffix}").write_bytes(MAKERS[suffix](files))
    target = unpack_all(tmp_path, CATER, tmp_path / "target")
    assert _tree(target) == files


@needs_unpacker
def test_a_folder_and_an_archive_side_by_side(tmp_path: Path) -> None:
    _hmdb(tmp_path / "source")
    (tmp_path / "source/splits.rar").unlink()
    (tmp_path / "source/splits").mkdir()
    (tmp_path / "source/splits/b.txt").write_bytes(b"b")
    target = unpack_all(tmp_path / "source", HMDB, tmp_path / "target")
    assert (target / "splits/b.txt").read_bytes() == b"b"
    assert len(list((target / "hmdb51_org").rglob("*.avi"))) == 2


def test_unpacked_folders_are_used_where_they_are(tmp_path: Path) -> None:
    (tmp_path / "all_actions").mkdir()
    assert unpack_all(tmp_path, CATER, tmp_path / "target") == tmp_path
    assert not (tmp_path / "target").exists()


@needs_unpacker
def test_an_interrupted_unpacking_continues_with_the_next_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sideways_tf.data import archives

    _hmdb(tmp_path / "source")
    original, unpacked = archives._unpack, []

    def interrupted(archive: Path, target: Path) -> None:
        if archive.name == "wave.rar" and "stop" not in unpacked:
            unpacked.append("stop")
            raise KeyboardInterrupt
        unpacked.append(archive.name)
        original(archive, target)

    monkeypatch.setattr(archives, "_unpack", interrupted)
    with pytest.raises(KeyboardInterrupt):
        unpack_all(tmp_path / "source", HMDB, tmp_path / "target")
    assert not (tmp_path / "target/hmdb51_org").exists()
    unpack_all(tmp_path / "source", HMDB, tmp_path / "target")
    assert unpacked == ["hmdb51_org.rar", "pour.rar", "stop", "wave.rar", "splits.rar"]
    assert len(list((tmp_path / "target/hmdb51_org").rglob("*.avi"))) == 2


@pytest.mark.parametrize("suffix", MAKERS)
@pytest.mark.parametrize("name", ["../outside.txt", "/outside.txt", "all_actions/../../o.txt"])
def test_an_archive_that_climbs_out(tmp_path: Path, suffix: str, name: str) -> None:
    archives = {"all_actions": (f"a.{suffix}",)}
    source = tmp_path / "a" / "b"
    source.mkdir(parents=True)
    (source / f"a.{suffix}").write_bytes(MAKERS[suffix]({"all_actions/a": b"a", name: b"b"}))
    with pytest.raises(UserError, match="leads out of the archive"):
        unpack_all(source, archives, source / "target")
    assert list(_tree(tmp_path)) == [f"a/b/a.{suffix}"]


@pytest.mark.parametrize("suffix", [pytest.param("rar", marks=needs_unpacker), "zip", "tar.gz"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_an_archive_cut_short(tmp_path: Path, suffix: str, share: float) -> None:
    files = {f"all_actions/{i}.avi": VIDEO for i in range(5)}
    content = MAKERS[suffix](files)
    (tmp_path / f"a.{suffix}").write_bytes(content[: int(share * len(content))])
    with pytest.raises(UserError, match=rf"a.{suffix}: damaged or cut short .*download it again"):
        unpack_all(tmp_path, {"all_actions": (f"a.{suffix}",)}, tmp_path / "target")
    assert list(_tree(tmp_path)) == [f"a.{suffix}"]


def test_no_program_to_unpack_rar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _hmdb(tmp_path / "source")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="apt install libarchive-tools"):
        unpack_all(tmp_path / "source", HMDB, tmp_path / "target")


# Of the tests of the package rarfile: two small texts, compressed and solid, in both formats.
RAR3_SOLID = (
    "UmFyIRoHADvQcwgADQAAAAAAAAArNHSAkCwAXAAAAAAIAAADoua3xbBmzD4dMwoApIEAAHN0ZXN0MS50eHQAwBEMzP6M"
    "nrD+MYGrrLG7QHeoCmTWSzeDwQe8AeCFku77th0ACCAACIjpeAzSDAdhOkF4S7Nun1IK2sonQLrnC2SKYnH7uACRnlAv"
    "2FX/+sZY6+vE14h+VJaHH03s2RZ0kJAsAA4AAAAACAAAA6Lmt8WwZsw+HTMKAKSBAABzdGVzdDIudHh0AMCxIACIB+vy"
    "Cmn6/JTe0MQ9ewBABwA="
)
RAR5_SOLID = (
    "UmFyIRoHAQAJ78hvCwEFBwQGAQGAgIAA3vVwchwCAroABIAQtoMCoua3xYAbAQpzdGVzdDEudHh0waw3REQj+iP2l/1i"
    "U1G+TJGBQQKMwQN5XL9Ho6otoDaT3aBYAEACANRQBHb2xH8y6p8ypcTM14PfABDoLYkcAgKNAASAELaDAqLmt8XAGwEK"
    "c3Rlc3QyLnR4dEUVCmABAAgD37f79vwdd1ZRAwUEAA=="
)


@pytest.mark.skipif(not shutil.which("bsdtar"), reason="needs bsdtar: install libarchive-tools")
def test_a_compressed_and_solid_rar(tmp_path: Path) -> None:
    (tmp_path / "a.rar").write_bytes(base64.b64decode(RAR5_SOLID))
    target = unpack_all(tmp_path, {"a": ("a.rar",)}, tmp_path / "target")
    assert sorted(_tree(target)) == ["a/stest1.txt", "a/stest2.txt"]


def test_a_rar_that_no_installed_program_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda tool: tool if tool == "bsdtar" else None)
    (tmp_path / "a.rar").write_bytes(base64.b64decode(RAR3_SOLID))
    with pytest.raises(UserError, match="a kind of rar that bsdtar cannot read; install unrar"):
        unpack_all(tmp_path, {"a": ("a.rar",)}, tmp_path / "target")
    assert list(_tree(tmp_path)) == ["a.rar"]
