"""ZIP files in all the ways in which they are packed, in bounded memory."""

from __future__ import annotations

import struct
import zipfile

import pytest

from longctx.errors import EmptyCorpusError
from longctx.sources import read
from tests.sources.tree.test_archives import peak_of

TEXT = "".join(f"reading {number * 7919 % 104729} of the tide\n" for number in range(5000))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LONGCTX_CACHE", str(tmp_path / "cache"))


def packed(file, method, entries):
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, text in entries.items():
            archive.writestr(name, text)
    return file


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_entry_is_read_whatever_common_method_packed_it(tmp_path, method):
    corpus = read(packed(tmp_path / "a.zip", method, {"a.txt": TEXT, "empty.txt": "", "b.txt": "b\n"}))
    texts = {source.path: "".join(segment.text for segment in source.segments) for source in corpus.sources}
    assert texts == {"a.txt": TEXT, "b.txt": "b\n"}


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_or_shortened_entry_has_a_row_and_the_rest_is_read(tmp_path, rows, method):
    whole = packed(tmp_path / "a.zip", method, {"a.txt": TEXT, "b.txt": "b\n"}).read_bytes()
    for at in (45, 300, 2000):
        (tmp_path / "a.zip").write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        manifest = rows(read(tmp_path / "a.zip"))
        assert (manifest["a.txt"].status, manifest["b.txt"].status) == ("failed", "read")
        assert manifest["a.txt"].reason.startswith("cannot be unpacked: ")
    size = whole.rindex(b"PK\x01\x02", 0, whole.rindex(b"PK\x01\x02")) + 24  # more than there is
    (tmp_path / "a.zip").write_bytes(whole[:size] + struct.pack("<I", len(TEXT) + 9) + whole[size + 4 :])
    assert rows(read(tmp_path / "a.zip"))["a.txt"].reason == "cannot be unpacked: it ends too early"


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_entry_that_unpacks_to_very_much_takes_no_memory(tmp_path, method):
    packed(tmp_path / "a.zip", method, {"zeros.txt": bytes(300 * 2**20), "a.txt": "a\n"})
    said, grown = peak_of("for row in read(sys.argv[1]).manifest: print(row.path, row.status)", str(tmp_path / "a.zip"))
    assert "a.txt read" in said
    assert grown < 80e6


def test_a_dictionary_that_would_fill_the_memory_is_refused(tmp_path, rows):
    file = packed(tmp_path / "a.zip", zipfile.ZIP_LZMA, {"a.txt": TEXT, "b.txt": "b\n"})
    data = bytearray(file.read_bytes())
    at = 30 + len("a.txt") + 5  # the local header, the name, version and properties
    data[at : at + 4] = struct.pack("<I", 2**32 - 1)
    file.write_bytes(data)
    assert rows(read(file))["a.txt"].reason == "cannot be unpacked: it looks back 4,294,967,295 bytes"


def test_a_program_that_unpacks_itself_is_a_zip_file_too(tmp_path):
    whole = packed(tmp_path / "a.zip", zipfile.ZIP_DEFLATED, {"a.txt": "a\n"}).read_bytes()
    for before in (b"#!/bin/sh\nexec python3 $0\n", b"MZ" + bytes(70_000)):
        (tmp_path / "a.zip").write_bytes(before + whole)
        assert [source.path for source in read(tmp_path / "a.zip").sources] == ["a.txt"]


def test_an_empty_archive_says_so(tmp_path):
    with pytest.raises(EmptyCorpusError, match="empty"):
        read(packed(tmp_path / "a.zip", zipfile.ZIP_STORED, {}))


@pytest.mark.parametrize(("number", "name"), [(9, "Deflate64"), (93, "Zstandard"), (11, "number 11")])
def test_methods_that_are_not_read_are_named(tmp_path, rows, number, name):
    file = packed(tmp_path / "a.zip", zipfile.ZIP_STORED, {"a.txt": "a\n", "b.txt": "b\n"})
    data = bytearray(file.read_bytes())
    at = data.index(b"PK\x01\x02") + 10
    data[at : at + 2] = struct.pack("<H", number)
    file.write_bytes(data)
    assert rows(read(file))["a.txt"].reason == f"packed by a method that is not read: {name}"
