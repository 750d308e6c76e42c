"""Archives are read like the folder that was packed; nothing in one is believed, and nothing leaves its place."""

from __future__ import annotations

import gzip
import io
import os
import stat
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import pytest

from longctx.errors import EmptyCorpusError, Stopped
from longctx.jobs import Job
from longctx.sources import read
from longctx.sources.tree import archives, unpacking, zips

TREE = {
    "tool-1.0/README.md": "# Tool\n\nIt turns.\n",
    "tool-1.0/src/a.py": "x = 1\ny = 2\n",
    "tool-1.0/src/ünï code.py": "z = 3\n",
    "tool-1.0/.gitignore": "*.log\n",
    "tool-1.0/noise.log": "n\n",
    "tool-1.0/.git/config": "secret\n",
}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LONGCTX_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def zipped(file: Path, entries, **options) -> Path:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, **options) as archive:
        for name, content in entries.items() if isinstance(entries, dict) else entries:
            archive.writestr(name, content)
    return file


def tarred(file: Path, entries, mode: str = "w") -> Path:
    with tarfile.open(file, mode) as archive:
        for name, content in entries.items() if isinstance(entries, dict) else entries:
            if isinstance(content, str):
                info = tarfile.TarInfo(name)
                info.size = len(content.encode())
                archive.addfile(info, io.BytesIO(content.encode()))
            else:
                content.name = name
                archive.addfile(content)
    return file


def attempt(archive: Path):
    """The manifest, or the text of the one error that there may be."""
    try:
        return {row.path: row for row in read(archive).manifest}
    except EmptyCorpusError as error:
        return str(error)


def special(kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo()
    info.type, info.linkname = kind, target
    return info


PACKERS = {
    ".zip": zipped, ".tar": tarred,
    ".tar.gz": lambda file, entries: tarred(file, entries, "w:gz"), ".tgz": lambda file, entries: tarred(file, entries, "w:gz"),
    ".tar.bz2": lambda file, entries: tarred(file, entries, "w:bz2"),
    ".tar.xz": lambda file, entries: tarred(file, entries, "w:xz"),
}  # fmt: skip


# -- read like a folder ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("suffix", PACKERS)
def test_an_archive_is_read_like_the_folder_that_was_packed(tmp_path, rows, suffix):
    archive = PACKERS[suffix](tmp_path / f"tool-1.0{suffix}", TREE)
    corpus = read(archive)
    manifest = rows(corpus)
    assert {source.path for source in corpus.sources} == {"README.md", "src/a.py", "src/ünï code.py", ".gitignore"}
    assert set(manifest) == {source.path for source in corpus.sources} | {archive.name}
    told = manifest[archive.name]
    assert (told.kind, told.status) == ("archive", "read")
    assert "relative to its folder tool-1.0" in told.reason
    assert "1 entry is ignored by its .gitignore files" in told.reason
    for source in corpus.sources:
        text = Path(source.file).read_text(encoding="utf-8")
        assert text == TREE[f"tool-1.0/{source.path}"] == "".join(segment.text for segment in source.segments)


def test_a_real_archive_of_git_is_read(repository, git, tmp_path, rows):
    top = repository({"a.py": "a = 1\n", "sub/b.py": "b = 2\n"})
    for name in ("x.zip", "x.tar.gz"):
        git(top, "archive", "--prefix=x-main/", "-o", str(tmp_path / name), "HEAD")
        assert [source.path for source in read(tmp_path / name).sources] == ["a.py", "sub/b.py"]


@pytest.mark.parametrize("suffix", ["zip", "tar", "tar.gz"])
def test_of_an_archive_that_git_made_everything_is_read_even_what_its_rules_ignore(repository, git, tmp_path, rows, suffix):
    top = repository({"kept.log": "tracked all the same\n"})
    (top / ".gitignore").write_text("*.log\n")
    git(top, "add", "-A")
    git(top, "commit", "-qm", "rules")
    packed = tmp_path / f"a.{suffix}"
    git(top, "archive", "--prefix=top/", "-o", str(packed), "HEAD")
    assert rows(read(packed))["kept.log"].status == "read"


def test_a_tar_is_told_by_its_header_even_where_its_first_name_begins_like_a_zip(tmp_path):
    assert [source.path for source in read(tarred(tmp_path / "a.tar", {"PKGBUILD": "pkgname=tool\n"})).sources] == ["PKGBUILD"]


def test_of_several_tops_none_is_taken_off(tmp_path):
    corpus = read(zipped(tmp_path / "a.zip", {"x/a.py": "a\n", "y/b.py": "b\n"}))
    assert {source.path for source in corpus.sources} == {"x/a.py", "y/b.py"}


def test_beside_other_paths_an_archive_is_cited_by_its_name(tmp_path, write):
    archive = zipped(tmp_path / "tool.zip", TREE)
    paths = {source.path for source in read(archive, write({"b.py": "b\n"})).sources}
    assert paths == {"tool.zip/README.md", "tool.zip/src/a.py", "tool.zip/src/ünï code.py", "tool.zip/.gitignore", "tree/b.py"}


def test_patterns_choose_inside_an_archive(tmp_path, rows):
    manifest = rows(read(zipped(tmp_path / "a.zip", TREE), include=["*.py"], exclude=["ünï*"]))
    assert manifest["src/a.py"].status == "read"
    assert (manifest["README.md"].reason, manifest["src/ünï code.py"].reason) == ("not in include", "left out by exclude")


def test_an_archive_inside_a_folder_says_how_to_read_it(write, rows, tmp_path):
    top = write({"a.py": "a\n"})
    for suffix, pack in PACKERS.items():
        pack(top / f"inner{suffix}", TREE)
    zipped(tmp_path / "outer.zip", {"a.py": "a\n", "inner.zip": (top / "inner.zip").read_bytes()})
    for place, suffixes in ((top, PACKERS), (tmp_path / "outer.zip", [".zip"])):
        manifest = rows(read(place))
        for suffix in suffixes:
            row = manifest[f"inner{suffix}"]
            assert (row.kind, row.status, row.reason) == (
                "archive",
                "skipped",
                "an archive: name it itself to read what is in it",
            )


def test_what_another_program_packed_says_with_what(write, rows):
    heads = {
        "a.tar.zst": b"\x28\xb5\x2f\xfd",
        "b.7z": b"7z\xbc\xaf\x27\x1c",
        "c.rar": b"Rar!\x1a\x07\x01\x00",
        "d.gz": b"\x1f\x8b\x08",
    }
    named = {"a.tar.zst": "Zstandard", "b.7z": "7-Zip", "c.rar": "RAR", "d.gz": "gzip"}
    packed = {name: head + bytes(range(1, 256)) for name, head in heads.items()}
    manifest = rows(read(write({**packed, "BZh.txt": "BZh is how a file begins\n"})))
    assert {name: (manifest[name].kind, manifest[name].reason) for name in named} == {
        name: ("archive", f"packed with {packer}: unpack it, and read what was in it") for name, packer in named.items()
    }
    assert manifest["BZh.txt"].status == "read"


# -- kept --------------------------------------------------------------------------------------------------------------
def test_an_archive_is_unpacked_once_for_its_owner_alone(tmp_path, cache, monkeypatch):
    archive = zipped(tmp_path / "a.zip", TREE)
    first = read(archive)
    monkeypatch.setattr(unpacking.Unpacker, "unpack", lambda *_: pytest.fail("unpacked again"))
    assert read(archive) == first
    copy = tmp_path / "copy.zip"
    copy.write_bytes(archive.read_bytes())
    assert read(copy).sources == first.sources
    for place in [*(cache / "archives").iterdir(), *(cache / "archives").glob("*/tree"), Path(first.sources[0].file)]:
        assert not stat.S_IMODE(place.stat().st_mode) & 0o077, place
    assert stat.S_IMODE((cache / "archives").stat().st_mode) == 0o700


def test_what_was_used_longest_ago_makes_room(tmp_path, cache, monkeypatch):
    monkeypatch.setattr(archives, "MOST_KEPT", 25)
    first, second, third = (zipped(tmp_path / f"{name}.zip", {"t.txt": name * 9 + "\n"}) for name in "abc")
    read(first)
    read(second)
    old = time.time() - 100
    for record in (cache / "archives").glob("*/record.json"):
        os.utime(record, (old, old))
    read(first)
    read(third)
    kept = {record.parent.joinpath("tree", "t.txt").read_text()[0] for record in (cache / "archives").glob("*/record.json")}
    assert kept == {"a", "c"}
    assert read(second).sources[0].segments[0].text == "bbbbbbbbb\n"


def test_what_a_killed_process_left_half_unpacked_is_never_read(tmp_path, cache):
    archive = zipped(tmp_path / "a.zip", TREE)
    whole = read(archive)
    next((cache / "archives").glob("*/record.json")).unlink()
    Path(whole.files["src/a.py"]).unlink()
    assert read(archive) == whole


def test_a_stop_ends_unpacking_and_leaves_nothing(tmp_path, cache):
    archive = zipped(tmp_path / "a.zip", {f"{n}.txt": "x\n" for n in range(50)})
    calls = []

    def work(job):
        real = job.check
        job.check = lambda: (calls.append(1), len(calls) > 20 and job.cancel(), real())
        return read(archive, job=job)

    job = Job(work, title="read")
    job.run()
    with pytest.raises(Stopped):
        job.result()
    assert list((cache / "archives").iterdir()) == []


# -- nothing leaves its place --------------------------------------------------------------------------------------------
EVIL = ["/etc/evil.txt", "../evil.txt", "a/../../evil.txt", "..", "a/b/../../../evil.txt"]


@pytest.mark.parametrize("pack", [zipped, tarred], ids=["zip", "tar"])
def test_no_name_leads_out_and_each_has_a_row(tmp_path, rows, pack):
    suffix = ".zip" if pack is zipped else ".tar"
    archive = pack(tmp_path / f"a{suffix}", {"good.txt": "g\n", **dict.fromkeys(EVIL, "evil\n")})
    before = {path for path in tmp_path.rglob("*") if "cache" not in path.parts}
    manifest = rows(read(archive))
    assert manifest["good.txt"].status == "read"
    for name in EVIL:
        assert manifest[name].status == "skipped"
        assert manifest[name].reason.startswith("not unpacked: its name ")
    assert {path for path in tmp_path.rglob("*") if "cache" not in path.parts} == before
    assert not list(tmp_path.rglob("evil.txt"))


def test_links_and_devices_of_a_tar_are_rows_and_nothing_is_written_through_them(tmp_path, rows):
    outside = tmp_path / "outside"
    outside.mkdir()
    entries = [
        ("good.txt", "g\n"), ("door", special(tarfile.SYMTYPE, str(outside))), ("door/evil.txt", "evil\n"),
        ("same.txt", special(tarfile.LNKTYPE, "good.txt")), ("passwd", special(tarfile.LNKTYPE, "/etc/passwd")),
        ("pipe", special(tarfile.FIFOTYPE)), ("null", special(tarfile.CHRTYPE)), ("disk", special(tarfile.BLKTYPE)),
    ]  # fmt: skip
    corpus = read(tarred(tmp_path / "a.tar", entries))
    manifest = rows(corpus)
    assert list(outside.iterdir()) == []
    assert {source.path for source in corpus.sources} == {"good.txt", "door/evil.txt"}
    assert manifest["door~2" if "door~2" in manifest else "door"].kind == "link"
    assert manifest["same.txt"].reason == "a hard link, duplicate of good.txt"
    assert manifest["passwd"].kind == "link"
    assert manifest["pipe"].reason == "a named pipe: never unpacked"
    assert manifest["null"].reason == manifest["disk"].reason == "a device: never unpacked"


def test_links_and_encrypted_entries_of_a_zip_are_rows(tmp_path, rows):
    link = zipfile.ZipInfo("link")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    archive = zipped(tmp_path / "a.zip", [("good.txt", "g\n"), (link, "/etc/passwd"), ("locked.txt", "l\n")])
    data = bytearray(archive.read_bytes())
    at = data.rindex(b"locked.txt") - 46
    data[at + 8] |= 1
    archive.write_bytes(data)
    manifest = rows(read(archive))
    assert manifest["link"].reason == "a link to /etc/passwd: links of an archive are not followed"
    assert manifest["locked.txt"].reason.startswith("encrypted: ")
    assert manifest["good.txt"].status == "read"


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("pack", [zipped, tarred], ids=["zip", "tar"])
def test_of_entries_of_one_name_the_last_is_read_and_the_others_have_a_row(tmp_path, rows, pack):
    suffix = ".zip" if pack is zipped else ".tar"
    entries = [("a.txt", "first\n"), ("a.txt", "second\n"), ("./a.txt", "third\n"), ("a.txt/b.txt", "below a file\n")]
    corpus = read(pack(tmp_path / f"a{suffix}", entries))
    manifest = rows(corpus)
    assert [(source.path, source.segments[0].text) for source in corpus.sources] == [("a.txt", "third\n")]
    assert (
        sorted(row.reason for row in manifest.values() if row.status == "skipped")
        == ["an earlier entry of the same name: the last one is read"] * 2
    )
    assert manifest["a.txt/b.txt"].status == "failed"


def test_names_in_other_encodings_and_of_windows_are_told_apart(tmp_path, rows):
    windows = zipfile.ZipInfo("unknown")
    windows.filename, windows.create_system = "dir\\b.txt", 0
    archive = zipped(tmp_path / "a.zip", [("c.txt", "c\n"), (windows, "b\n"), ("xyzw.txt", "u\n")])
    archive.write_bytes(archive.read_bytes().replace(b"xyzw.txt", "üü".encode() + b".txt"))  # UTF-8 that is not marked as such
    assert {source.path for source in read(archive).sources} == {"c.txt", "dir/b.txt", "üü.txt"}
    odd = tarred(tmp_path / "b.tar", {os.fsdecode(b"\xff.txt"): "o\n", "new\nline.txt": "n\n"})
    assert {source.path for source in read(odd).sources} == {os.fsdecode(b"\xff.txt"), "new\nline.txt"}


# -- bombs -------------------------------------------------------------------------------------------------------------
def peak_of(code: str, *arguments: str) -> tuple[str, int]:
    """What a script prints, and the most memory in bytes that it took beyond what its imports take."""
    head = "import resource, sys; from longctx.sources import read; from longctx.errors import EmptyCorpusError; "
    head += "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024; began = peak()\n"
    done = subprocess.run(
        [sys.executable, "-c", f"{head}{code}\nprint(peak() - began)", *arguments], check=True, capture_output=True, text=True
    )
    *said, grown = done.stdout.strip().splitlines()
    return "\n".join(said), int(grown)


SHOW = "for row in read(sys.argv[1]).manifest: print(row.path, row.status, row.reason, sep='|')"


@pytest.mark.parametrize("suffix", [".zip", ".tar.gz", ".tar.xz"])
def test_a_bomb_ends_where_too_much_comes_out_in_flat_memory(tmp_path, rows, monkeypatch, suffix):
    monkeypatch.setattr(archives, "LEAST", 2**20)
    monkeypatch.setattr(archives, "MOST_TIMES", 1)
    archive = PACKERS[suffix](tmp_path / f"a{suffix}", {"good.txt": "g\n", "bomb.txt": "\0" * 2**22, "after.txt": "a\n"})
    manifest = rows(read(archive))
    assert manifest["good.txt"].status == "read"
    assert manifest["bomb.txt"].reason == "not unpacked: more than 1,048,576 bytes come out of this archive"
    if suffix == ".zip":
        assert manifest["after.txt"].status == "read"
    else:
        assert manifest[archive.name].status == "truncated"
        assert "more than 1,048,576 bytes come out" in manifest[archive.name].reason


def test_a_gigabyte_in_a_megabyte_is_refused_and_takes_no_memory(tmp_path):
    with gzip.open(tmp_path / "a.tgz", "wb", compresslevel=1) as packed:
        info = tarfile.TarInfo("zeros.txt")
        info.size = 2 * 2**30
        packed.write(info.tobuf())
        for _ in range(1100):
            packed.write(bytes(2**20))
    said, grown = peak_of(f"try:\n  {SHOW}\nexcept EmptyCorpusError as error: print(error)", str(tmp_path / "a.tgz"))
    assert "more than 1,073,741,824 bytes come out of this archive" in said
    assert grown < 60e6


def test_a_header_that_claims_a_huge_name_is_refused_in_flat_memory(tmp_path):
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 2**32
    with gzip.open(tmp_path / "a.tgz", "wb", compresslevel=1) as packed:
        good = tarfile.TarInfo("good.txt")
        good.size = 2
        packed.write(good.tobuf() + b"g\n".ljust(512, b"\0") + info.tobuf())
        for _ in range(300):
            packed.write(b"a" * 2**20)
    said, grown = peak_of(f"try:\n  {SHOW}\nexcept EmptyCorpusError as error: print(error)", str(tmp_path / "a.tgz"))
    assert "a header of" in said
    assert grown < 60e6


def test_only_so_many_entries_are_looked_at(tmp_path, rows, monkeypatch):
    monkeypatch.setattr(unpacking, "MOST_ENTRIES", 3)
    for suffix in (".zip", ".tar"):
        archive = PACKERS[suffix](tmp_path / f"a{suffix}", {f"{n}.txt": f"{suffix}\n" for n in range(9)})
        manifest = rows(read(archive))
        assert set(manifest) == {"0.txt", "1.txt", "2.txt", archive.name}
        assert manifest[archive.name].reason == "unpacked; only its first 3 entries were looked at"
        assert manifest[archive.name].status == "truncated"


def test_an_entry_that_is_too_large_is_left_out_and_the_rest_is_read(tmp_path, rows, monkeypatch):
    monkeypatch.setattr(archives, "LEAST", 2**20)
    monkeypatch.setattr(archives, "MOST_TIMES", 1)
    (tmp_path / "tree").mkdir()
    with open(tmp_path / "tree" / "a-sparse.txt", "wb") as file:
        file.truncate(2**33)
    (tmp_path / "tree" / "b.txt").write_text("b\n")
    packed = ["tar", "--sort=name", "--sparse", "-cf", str(tmp_path / "a.tar"), "-C", str(tmp_path), "tree"]
    subprocess.run(packed, check=True)
    manifest = rows(read(tmp_path / "a.tar"))
    assert manifest["a-sparse.txt"].reason == "not unpacked: more than 1,048,576 bytes come out of this archive"
    assert (manifest["b.txt"].status, manifest["a.tar"].status) == ("read", "read")


# -- damage --------------------------------------------------------------------------------------------------------------
BIG = {f"{n}.txt": "".join(f"reading {k * 7919 % 104729} of station {n}\n" for k in range(400)) for n in range(20)}


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tar.bz2", ".tar.xz"])
def test_of_a_tar_that_is_cut_off_what_comes_before_is_read(tmp_path, suffix):
    archive = PACKERS[suffix](tmp_path / f"a{suffix}", BIG)
    whole = archive.read_bytes()
    archive.write_bytes(whole[: len(whole) * 2 // 3])
    manifest = attempt(archive)
    if suffix in (".tar.bz2", ".tar.xz"):  # one block may hold all of it
        assert isinstance(manifest, dict) or "damaged or cut off" in manifest
        return
    assert manifest["0.txt"].status == "read"
    assert manifest[archive.name].status == "truncated"
    assert any(words in manifest[archive.name].reason for words in ("cut off", "damaged"))


def test_a_tar_that_ends_between_two_entries_or_has_a_broken_header_says_so(tmp_path, rows):
    archive = tarred(tmp_path / "a.tar", {"a.txt": "a\n", "b.txt": "b\n"})
    whole = archive.read_bytes()
    archive.write_bytes(whole[:1024])
    assert rows(read(archive))["a.tar"].reason == "unpacked; cut off: its end mark is missing"
    archive.write_bytes(whole[:1024] + b"?" * 512 + whole[1536:])
    manifest = rows(read(archive))
    assert set(manifest) == {"a.txt", "a.tar"}
    assert "no header stands at byte 1,024" in manifest["a.tar"].reason


def test_a_damaged_entry_of_a_zip_has_a_row_and_the_rest_is_read(tmp_path, rows):
    archive = zipped(tmp_path / "a.zip", BIG)
    data = bytearray(archive.read_bytes())
    for at in range(data.index(b"5.txt") + 100, data.index(b"5.txt") + 140):
        data[at] ^= 0x55
    archive.write_bytes(data)
    manifest = rows(read(archive))
    assert manifest["5.txt"].status == "failed"
    assert manifest["5.txt"].reason.startswith("cannot be unpacked: ")
    assert sum(row.status == "read" for row in manifest.values()) == len(BIG) - 1 + 1


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and no more", b"no archive at all", b"\x1f\x8b\x08 no", b"PK"])
@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz"])
def test_what_is_no_archive_is_one_clear_error_or_row(tmp_path, write, rows, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(EmptyCorpusError, match=r"not an archive|damaged or cut off"):
        read(tmp_path / name)
    manifest = rows(read(tmp_path / name, write({"a.txt": "a\n"})))
    assert (manifest[name].kind, manifest[name].status) == ("archive", "failed")
    assert manifest["tree/a.txt"].status == "read"


def test_mutated_archives_end_with_rows_or_one_error_of_ours(tmp_path):
    import random

    random.seed(7)
    for suffix in (".zip", ".tar", ".tar.gz", ".tar.xz"):
        whole = PACKERS[suffix](tmp_path / f"whole{suffix}", TREE).read_bytes()
        for number in range(40):
            data = bytearray(whole)
            for _ in range(random.randint(1, 8)):
                data[random.randrange(len(data))] = random.randrange(256)
            mutant = tmp_path / f"{number}{suffix}"
            mutant.write_bytes(data[: random.randint(len(data) // 2, len(data))] if number % 3 == 0 else data)
            found = attempt(mutant)
            assert mutant.name in found, found


def test_a_cache_that_cannot_be_written_is_a_row(tmp_path, rows, write, monkeypatch):
    (tmp_path / "file").write_text("no folder\n")
    monkeypatch.setenv("LONGCTX_CACHE", str(tmp_path / "file"))
    manifest = rows(read(zipped(tmp_path / "a.zip", TREE), write({"a.txt": "a\n"})))
    assert (manifest["a.zip"].status, manifest["a.zip"].reason) == ("failed", "cannot be unpacked: Not a directory")


def test_a_directory_that_would_fill_the_memory_is_refused(tmp_path, monkeypatch):
    archive = zipped(tmp_path / "a.zip", {f"{n}.txt": "x\n" for n in range(20)})
    monkeypatch.setattr(zips, "MOST_DIRECTORY", 500)
    with pytest.raises(EmptyCorpusError, match=r"its directory has 1,\d\d\d bytes"):
        read(archive)


def test_a_huge_file_that_is_only_called_an_archive_is_refused_at_once(tmp_path, monkeypatch):
    for name in ("huge.zip", "huge.tar.gz", "huge.tar"):
        (tmp_path / name).touch()
        os.truncate(tmp_path / name, 10 * 2**30)
        monkeypatch.setattr(archives, "_sha256", lambda *_: pytest.fail("all of it was read"))
        with pytest.raises(EmptyCorpusError, match="not an archive: it begins with"):
            read(tmp_path / name)
