"""Documents that are bombs, damaged, encrypted or something else: a row each, the rest is read, nothing hangs."""

from __future__ import annotations

import random
import zipfile

import docx
import openpyxl
import pptx
import pytest

from longctx.sources import read
from longctx.sources.office import package

OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504)


@pytest.fixture
def documents(tmp_path):
    """A sound document of each kind, as bytes."""
    word, deck, book = docx.Document(), pptx.Presentation(), openpyxl.Workbook()
    word.add_heading("Tides", 1)
    word.add_paragraph("It rises twice a day.")
    deck.slides.add_slide(deck.slide_layouts[5]).shapes.title.text = "Tides"
    book.active.append(["Port", "Height"])
    found = {}
    for kind, document in (("docx", word), ("pptx", deck), ("xlsx", book)):
        document.save(tmp_path / f"sound.{kind}")
        found[kind] = (tmp_path / f"sound.{kind}").read_bytes()
    return found


MAIN = {"docx": "word/document.xml", "pptx": "ppt/slides/slide1.xml", "xlsx": "xl/worksheets/sheet1.xml"}
CALLED = {"docx": "Word document", "pptx": "PowerPoint presentation", "xlsx": "Excel workbook"}


def changed(tmp_path, kind, member, change):
    """The sound document with one member changed."""
    file = tmp_path / f"changed.{kind}"
    with zipfile.ZipFile(tmp_path / f"sound.{kind}") as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, change(old.read(name)) if name == member else old.read(name))
    return file


@pytest.mark.parametrize("kind", MAIN)
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not a {}: the file is empty"),
        (b"Dear reader", "not a {}: it begins with b'Dear reader'"),
        (OLE + "EncryptedPackage".encode("utf-16-le"), "encrypted: it opens with a password only; save it without one"),
        (OLE, "not a .{kind}: a document of an older Office under this name; save it as .{kind}"),
        (b"PK\x03\x04" + bytes(200), "damaged or cut off: its directory cannot be read"),
    ],
)
def test_what_is_no_such_document_says_what_it_is(write, lone, kind, data, reason):
    row = lone(write({f"a.{kind}": data}) / f"a.{kind}")
    assert (row.kind, row.status, row.reason) == (kind, "failed", reason.format(CALLED[kind], kind=kind))


@pytest.mark.parametrize(("kind", "other"), [("docx", "xlsx"), ("pptx", "docx"), ("xlsx", "pptx")])
def test_a_wrong_ending_is_named(write, lone, documents, kind, other):
    row = lone(write({f"a.{kind}": documents[other]}) / f"a.{kind}")
    assert row.reason == f"not a {CALLED[kind]}: a {CALLED[other]} under this name"


@pytest.mark.parametrize("kind", MAIN)
def test_a_document_that_is_cut_off_has_a_row(write, lone, documents, kind):
    row = lone(write({f"a.{kind}": documents[kind][:-300]}) / f"a.{kind}")
    assert (row.status, row.reason) == ("failed", "damaged or cut off: its directory cannot be read")


@pytest.mark.parametrize("kind", MAIN)
def test_entities_are_refused_and_never_expanded(tmp_path, lone, documents, kind):
    bomb = b'<!DOCTYPE b [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY x SYSTEM "file:///etc/passwd">]>'

    def with_entities(xml):
        head, _, rest = xml.partition(b"?>")
        return head + b"?>" + bomb + rest

    row = lone(changed(tmp_path, kind, MAIN[kind], with_entities))
    assert (row.status, row.reason) == ("failed", "refused: it declares entities, which a sound document never does")


@pytest.mark.parametrize("padding", [b"<!-- <a> -->" * 9000, b" " * 99_000, b"<?x " + b"y" * 99_000 + b"?>"])
def test_entities_behind_padding_are_refused_too(tmp_path, lone, documents, padding):
    def padded(xml):
        head, _, rest = xml.partition(b"?>")
        return head + b"?>" + padding + b'<!DOCTYPE b [<!ENTITY a "aaaaaaaaaa">]>' + rest

    row = lone(changed(tmp_path, "docx", MAIN["docx"], padded))
    assert (row.status, row.reason) == ("failed", "damaged: word/document.xml holds no XML")


@pytest.mark.parametrize("kind", MAIN)
def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path, lone, documents, kind):
    file = tmp_path / f"bomb.{kind}"
    with zipfile.ZipFile(tmp_path / f"sound.{kind}") as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
        new.writestr("custom/zeros.bin", bytes(2**20))
        new.getinfo("custom/zeros.bin").file_size = 2**31 - 1
    row = lone(file)
    assert row.status == "failed"
    assert row.reason.startswith("too large: 2,14")
    assert row.reason.endswith("bytes when it is unpacked")


@pytest.mark.parametrize("kind", MAIN)
def test_a_bomb_that_lies_about_its_size_is_not_unpacked_beyond_it(tmp_path, lone, documents, kind):
    file = tmp_path / f"liar.{kind}"
    with zipfile.ZipFile(tmp_path / f"sound.{kind}") as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name) if name != MAIN[kind] else old.read(name) + b" " * 50_000_000)
        new.getinfo(MAIN[kind]).file_size = 4000
    row = lone(file)
    assert (row.status, row.reason.partition(":")[0]) == ("failed", "damaged")


def test_a_tree_that_is_too_large_is_refused(tmp_path, lone, documents):
    file = changed(
        tmp_path, "docx", MAIN["docx"], lambda xml: xml.replace(b"<w:sectPr", b" " * (package.MOST_TREE + 1) + b"<w:sectPr")
    )
    assert lone(file).reason.startswith("too large: word/document.xml holds 134,")


@pytest.mark.parametrize("kind", MAIN)
def test_members_behind_a_password_are_told(tmp_path, lone, documents, kind):
    file = tmp_path / f"locked.{kind}"
    with zipfile.ZipFile(tmp_path / f"sound.{kind}") as old, zipfile.ZipFile(file, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
        new.getinfo(MAIN[kind]).flag_bits |= 1
    row = lone(file)
    assert (row.status, row.reason) == ("failed", "encrypted: it opens with a password only")


@pytest.mark.parametrize("kind", MAIN)
def test_broken_xml_is_a_row(tmp_path, lone, documents, kind):
    row = lone(changed(tmp_path, kind, MAIN[kind], lambda xml: xml[: len(xml) // 2]))
    assert row.status == "failed"
    assert row.reason.startswith("damaged: ")


@pytest.mark.parametrize("kind", MAIN)
def test_mutated_documents_end_with_a_row_each(tmp_path, documents, kind):
    random_ = random.Random(7)
    folder = tmp_path / "mutated"
    folder.mkdir()
    for number in range(10):
        data = bytearray(documents[kind])
        for _ in range(random_.choice((1, 5, 50))):
            data[random_.randrange(len(data))] = random_.randrange(256)
        (folder / f"{number}.{kind}").write_bytes(data)
    (folder / "beside.txt").write_text("x\n")
    corpus = read(folder)
    rows = {row.path: row for row in corpus.manifest}
    assert len(rows) == 11
    assert rows["beside.txt"].status == "read"
    assert all(row.status in ("read", "truncated") or row.reason for row in rows.values())


def test_without_the_libraries_the_row_says_what_to_install(write, lone, documents, monkeypatch, tmp_path):
    for module in ("docx", "pptx", "openpyxl"):
        folder = tmp_path / "without" / module
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text("raise ImportError('not here')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "without"))
    for kind in MAIN:
        row = lone(write({f"a.{kind}": documents[kind]}) / f"a.{kind}")
        assert (row.status, row.reason) == ("skipped", "needs the extra: pip install 'longctx-jupyter[documents]'")


@pytest.mark.parametrize(
    ("name", "head", "words"),
    [
        ("a.doc", OLE, "save it as .docx"),
        ("a.ppt", OLE, "save it as .pptx"),
        ("a.xls", OLE, "save it as .xlsx"),
        ("a.odt", b"PK\x03\x04", "save it as .docx"),
        ("a.rtf", b"{\\rtf1 x}", "save it as .docx"),
        ("a.msg", OLE, "save it as text or HTML"),
    ],
)
def test_an_old_format_says_what_to_convert_it_to(write, lone, name, head, words):
    row = lone(write({name: head}) / name)
    assert (row.kind, row.status) == ("document", "skipped")
    assert words in row.reason


def test_a_text_under_the_name_of_an_old_format_stays_a_text(write):
    corpus = read(write({"notes.doc": "Dear reader\n", "server.key": "-----BEGIN NOTHING\n"}))
    assert {row.status for row in corpus.manifest} == {"read"}


def test_macros_are_never_run_and_told(tmp_path, documents):
    file = tmp_path / "a.xlsm"
    with zipfile.ZipFile(tmp_path / "sound.xlsx") as old, zipfile.ZipFile(file, "w") as new:
        for name in old.namelist():
            text = old.read(name).replace(
                b"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml",
                b"application/vnd.ms-excel.sheet.macroEnabled.main+xml",
            )
            new.writestr(name, text)
        new.writestr("xl/vbaProject.bin", b"Sub AutoOpen()")
    (row,) = read(file).manifest
    assert (row.kind, row.status, row.reason) == ("xlsx", "read", "left out: 1 macro project, never run")


@pytest.mark.parametrize("name", ["a.docx", "a.ipynb"])
def test_a_pointer_of_git_lfs_says_that_the_document_was_not_fetched(write, lone, name):
    row = lone(write({name: "version https://git-lfs.github.com/spec/v1\noid sha256:x\nsize 9\n"}) / name)
    assert (row.status, row.reason) == ("skipped", "not fetched: it stands for a file in Git LFS (git lfs pull)")
