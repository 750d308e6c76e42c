"""Whatever is named or met gives one clear error or one row, and everything else is read."""

from __future__ import annotations

import errno
import io
import os
import socket
import time
from pathlib import Path

import pytest

from longctx.errors import EmptyCorpusError, SourceNotFoundError, UsageError
from longctx.sources import files, read


# -- errors ----------------------------------------------------------------------------------------------------------
def test_a_missing_path_is_named_with_what_was_meant(write):
    top = write({"manual.txt": "m\n"})
    with pytest.raises(SourceNotFoundError) as caught:
        read(top / "manuel.txt")
    assert str(top / "manuel.txt") in caught.value.message
    assert "did you mean 'manual.txt'?" in caught.value.hint
    assert str(top) in caught.value.hint


def test_a_link_to_nothing_that_is_named_is_an_error(tmp_path):
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    for name in ("link", "loop"):
        with pytest.raises(SourceNotFoundError, match=r"is a link to nothing: '(nowhere|loop)'"):
            read(tmp_path / name)


def test_a_path_from_a_current_folder_that_is_gone_is_an_error_of_ours(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    for path in (".", "a.py"):
        with pytest.raises(SourceNotFoundError, match="the current folder is no longer there"):
            read(path)


def test_links_that_vanish_or_must_not_be_followed_have_a_row(place, rows, monkeypatch):
    for name in ("gone", "closed"):
        (place / name).symlink_to("good.txt")
    readlink = os.readlink

    def at_the_last_moment(path, *arguments, **options):
        match os.path.basename(path):
            case "gone":
                raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
            case "closed":
                raise PermissionError(errno.EACCES, "Permission denied", path)
        return readlink(path, *arguments, **options)

    monkeypatch.setattr(os, "readlink", at_the_last_moment)
    manifest = rows(read(place))
    assert manifest["gone"].reason == "a link to nothing: ?"
    assert manifest["closed"].reason == "a link that cannot be followed: Permission denied"
    assert manifest["good.txt"].status == "read"


def test_a_file_that_has_nothing_to_say_yet_is_not_waited_for(place, rows, monkeypatch):
    opened = files.open_file
    (place / "messages").write_text("later\n")

    class Silent(io.BufferedReader):
        def read(self, *_):
            return None

    def silent(file):
        stream = opened(file)
        return Silent(stream.detach()) if file.endswith("messages") else stream

    monkeypatch.setattr(files, "open_file", silent)
    manifest = rows(read(place))
    assert (manifest["messages"].status, manifest["good.txt"].status) == ("failed", "read")
    assert manifest["messages"].reason.startswith("cannot be read: ")


def test_one_missing_path_among_others_is_an_error(write):
    with pytest.raises(SourceNotFoundError):
        read(write({"a.txt": "a\n"}), "/no/such/place")


@pytest.mark.parametrize(
    ("address", "hint"),
    [
        ("https://github.com/psf/requests", "run first: git clone https://github.com/psf/requests\n  then read 'requests'"),
        ("https://github.com/psf/requests/blob/main/README.md#L3", "git clone https://github.com/psf/requests\n"),
        ("https://gitlab.com/group/part/tool/-/tree/main", "git clone https://gitlab.com/group/part/tool\n"),
        ("https://example.org/x/tool.git", "git clone https://example.org/x/tool.git\n  then read 'tool'"),
        ("git@github.com:psf/requests.git", "git clone git@github.com:psf/requests.git\n  then read 'requests'"),
        ("https://www.youtube.com/watch?v=a&t=1", "yt-dlp 'https://www.youtube.com/watch?v=a&t=1'\n"),
        ("https://youtu.be/a", "yt-dlp https://youtu.be/a\n"),
        ("https://vimeo.com/1", "yt-dlp https://vimeo.com/1\n"),
        ("https://example.org/a/paper.pdf?x=1", "curl -LO 'https://example.org/a/paper.pdf?x=1'\n  then read 'paper.pdf'"),
        ("ftp://example.org/data.csv", "curl -LO ftp://example.org/data.csv\n  then read 'data.csv'"),
        ("HTTP://EXAMPLE.org/", "curl -LO HTTP://EXAMPLE.org/\n  then read 'the file it writes'"),
        (Path("https://github.com/psf/requests"), "git clone https://github.com/psf/requests\n"),
        (b"https://example.org/a", "curl -LO https://example.org/a\n"),
        ("https://example.org/a;rm -rf ~", "curl -LO 'https://example.org/a;rm -rf ~'"),
        ("file:///tmp/x", "name the path itself: '/tmp/x'"),
        ("https://[broken", "curl -LO 'https://[broken'"),
    ],
)
def test_an_address_is_not_fetched_and_the_hint_says_what_to_run(address, hint):
    with pytest.raises(SourceNotFoundError) as caught:
        read(address)
    assert hint in caught.value.hint


@pytest.mark.parametrize("paths", [(), ("",), (b"",)])
def test_nothing_named_is_wrong_use(paths):
    with pytest.raises(UsageError, match="nothing to read"):
        read(*paths)


def test_what_is_no_path_is_an_error_of_ours():
    with pytest.raises(SourceNotFoundError, match=r"'a\\x00b'"):
        read("a\x00b")


@pytest.mark.parametrize("arguments", [{"include": ["!"]}, {"exclude": ["a", 5]}, {"max_file_bytes": 0}])
def test_wrong_options_are_wrong_use(write, arguments):
    with pytest.raises(UsageError, match=str(next(iter(arguments)))):
        read(write({"a.txt": "a\n"}), **arguments)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "no files"),
        ({"a.bin": b"\x00", "b.bin": b"\x00", "c.ipynb": b"{"}, "2 × binary, 1 × not a notebook"),
        ({"only.bin": b"\x00"}, "binary"),
        ({"empty.txt": ""}, "empty"),
    ],
)
def test_nothing_readable_is_one_error_with_the_main_reasons(write, files, words):
    top = write(files)
    with pytest.raises(EmptyCorpusError) as caught:
        read(top)
    assert str(top) in caught.value.message
    assert words in caught.value.message
    assert caught.value.hint


# -- rows ------------------------------------------------------------------------------------------------------------
@pytest.fixture(params=["walked", "git"])
def place(request, write, git):
    """A folder that is walked, and one that git lists."""
    top = write({"good.txt": "good\n"})
    if request.param == "git":
        git(top, "init", "-q")
    return top


def test_links_are_reported_and_never_followed(place, tmp_path, rows):
    (tmp_path / "secret.txt").write_text("secret\n")
    (place / "lib").mkdir()
    (place / "lib" / "a.txt").write_text("a\n")
    links = {
        "dangling": "nowhere", "loop": "loop", "ping": "pong", "pong": "ping", "out": "../secret.txt", "up": "..",
        "same": "lib/a.txt", "folder": "lib", "self": ".",
    }  # fmt: skip
    for name, target in links.items():
        (place / name).symlink_to(target)
    corpus = read(place)
    manifest = rows(corpus)
    assert {source.path for source in corpus.sources} == {"good.txt", "lib/a.txt"}
    assert {name: (manifest[name].kind, manifest[name].status, manifest[name].reason) for name in links} == {
        "dangling": ("link", "skipped", "a link to nothing: nowhere"),
        "loop": ("link", "skipped", "a link loop"),
        "ping": ("link", "skipped", "a link loop"),
        "pong": ("link", "skipped", "a link loop"),
        "out": ("link", "skipped", "a link out of the folder: ../secret.txt"),
        "up": ("link", "skipped", "a link out of the folder: .."),
        "same": ("link", "skipped", "a link, duplicate of lib/a.txt"),
        "folder": ("link", "skipped", "a link to the folder lib"),
        "self": ("link", "skipped", "a link to the folder ."),
    }


def test_a_tracked_file_behind_a_new_link_is_not_read(repository, tmp_path, rows):
    top = repository({"lib/a.txt": "a\n", "b.txt": "b\n"})
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.txt").write_text("secret\n")
    (top / "lib" / "a.txt").unlink()
    (top / "lib").rmdir()
    (top / "lib").symlink_to(tmp_path / "elsewhere")
    corpus = read(top)
    assert [source.path for source in corpus.sources] == ["b.txt"]
    assert rows(corpus)["lib/a.txt"].reason.startswith("behind a link")


def test_a_tracked_file_that_was_deleted_has_a_row(repository, rows):
    top = repository({"a.txt": "a\n", "b.txt": "b\n"})
    (top / "a.txt").unlink()
    row = rows(read(top))["a.txt"]
    assert (row.status, row.reason) == ("skipped", "deleted: listed, but no longer there")


@pytest.mark.parametrize("swap", ["pipe", "link"])
def test_documents_in_whose_place_something_else_stands_once_they_are_open_are_not_read_through_it(
    place, rows, tmp_path, monkeypatch, swap
):
    (tmp_path / "outside.html").write_text("<html><body><p>Not to be read.</p></body></html>")
    heads = {
        "a.html": b"<html><body><p>Hello.</p></body></html>",
        "b.pdf": b"%PDF-1.4",
        "c.png": b"\x89PNG\r\n\x1a\n",
        "d.epub": b"PK\x03\x04",
    }
    for name, head in heads.items():
        (place / name).write_bytes(head)
    opened = files.open_file

    def and_then(file):
        stream = opened(file)
        if os.path.basename(file) in heads:
            os.unlink(file)
            os.mkfifo(file) if swap == "pipe" else os.symlink(tmp_path / "outside.html", file)
        return stream

    monkeypatch.setattr(files, "open_file", and_then)
    before = time.monotonic()
    corpus = read(place)
    assert time.monotonic() - before < 30
    assert "Not to be read" not in repr(corpus.sources)
    manifest = rows(corpus)
    assert all("it is a file no longer" in manifest[name].reason for name in heads)
    assert (manifest["b.pdf"].status, manifest["good.txt"].status) == ("failed", "read")


def test_files_that_vanish_or_refuse_or_turn_into_pipes_while_being_read_have_a_row(place, rows, monkeypatch):
    for name in ("gone.txt", "locked.txt", "pipe.txt", "link.txt"):
        (place / name).write_text("x\n")
    opened = files.open_file

    def at_the_last_moment(file):
        match os.path.basename(file):
            case "gone.txt":
                os.unlink(file)
            case "locked.txt":
                raise PermissionError(errno.EACCES, "Permission denied", file)
            case "pipe.txt":
                os.unlink(file)
                os.mkfifo(file)
            case "link.txt":
                os.unlink(file)
                os.symlink("/etc/passwd", file)
        return opened(file)

    monkeypatch.setattr(files, "open_file", at_the_last_moment)
    manifest = rows(read(place))
    assert (manifest["gone.txt"].status, manifest["gone.txt"].reason) == ("failed", "cannot be read: No such file or directory")
    assert (manifest["locked.txt"].status, manifest["locked.txt"].reason) == ("failed", "cannot be read: Permission denied")
    assert (manifest["pipe.txt"].status, manifest["pipe.txt"].reason) == ("skipped", "a named pipe: never opened")
    assert (manifest["link.txt"].status, manifest["good.txt"].status) == ("failed", "read")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is unreadable for root")
def test_unreadable_files_and_folders_have_a_row(write, rows):
    top = write({"a.txt": "a\n", "locked.txt": "x\n", "closed/b.txt": "b\n"})
    (top / "locked.txt").chmod(0)
    (top / "closed").chmod(0)
    try:
        manifest = rows(read(top))
    finally:
        (top / "closed").chmod(0o700)
    assert manifest["locked.txt"].reason == "cannot be read: Permission denied"
    assert (manifest["closed"].kind, manifest["closed"].status) == ("folder", "failed")


def test_a_folder_that_cannot_be_listed_has_a_row(write, rows, monkeypatch):
    top = write({"a.txt": "a\n", "closed/b.txt": "b\n"})
    scan = os.scandir

    def refuse(folder):
        if str(folder).endswith("closed"):
            raise PermissionError(errno.EACCES, "Permission denied", folder)
        return scan(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    row = rows(read(top))["closed"]
    assert (row.kind, row.status, row.reason) == ("folder", "failed", "the folder cannot be listed: Permission denied")


def test_pipes_sockets_and_devices_are_never_opened(write, rows, monkeypatch):
    top = write({"a.txt": "a\n"})
    os.mkfifo(top / "pipe")
    monkeypatch.chdir(top)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        manifest = rows(read(top, os.devnull))
    assert manifest["tree/pipe"].reason == "a named pipe: never opened"
    assert manifest["tree/socket"].reason == "a socket: never opened"
    assert manifest["null"].reason == "a device: never opened"
    with pytest.raises(EmptyCorpusError, match="a device: never opened"):
        read(os.devnull)


def test_odd_names_are_kept_as_they_are(place, rows):
    odd = [b"new\nline.txt", b"\xff\xfe.txt", b" .txt", "üñ.txt".encode(), b"-rf.txt", b"a\\b.txt", b"tab\t.txt", b"'$(x)'.txt"]
    for name in odd:
        with open(os.path.join(os.fsencode(place), name), "wb") as stream:
            stream.write(b"x\n")
    corpus = read(place)
    assert {source.path for source in corpus.sources} == {os.fsdecode(name) for name in odd} | {"good.txt"}
    for source in corpus.sources:
        assert os.path.exists(source.file)


def test_a_very_deep_folder_is_read_to_the_bottom(place):
    deep = place.joinpath(*["folder"] * 60)
    deep.mkdir(parents=True)
    (deep / "bottom.txt").write_text("x\n")
    assert any(source.path.endswith("/bottom.txt") for source in read(place).sources)


def test_a_huge_sparse_file_costs_nothing(write, rows):
    top = write({"a.txt": "a\n", "huge.txt": "", "huge.csv": "1,2\n", "huge.pdf": "%PDF-1.7\n", "huge.ipynb": "{}"})
    for name in ("huge.txt", "huge.csv", "huge.pdf", "huge.ipynb"):
        os.truncate(top / name, 10 * 2**30)
    manifest = rows(read(top))
    assert manifest["huge.txt"].reason == manifest["huge.csv"].reason == "binary"
    assert manifest["huge.pdf"].reason == manifest["huge.ipynb"].reason == "too large: 10,737,418,240 bytes"
    assert manifest["a.txt"].status == "read"
