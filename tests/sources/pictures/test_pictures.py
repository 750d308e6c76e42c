"""Pictures: sizes, upright pixels, a JPEG to look at, and a row for everything that is none or not whole."""

from __future__ import annotations

import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageDraw

from longctx.corpus import Page
from longctx.errors import EmptyCorpusError, SourceChangedError
from longctx.sources import read
from longctx.sources.kinds import picture_of
from longctx.sources.pictures import pixels as pictures


def go_on():
    pass


def scene(width=120, height=80):
    """A picture whose corners differ: red, green, blue and yellow."""
    picture = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(picture)
    for corner, colour in zip(((0, 0), (1, 0), (0, 1), (1, 1)), ("red", "lime", "blue", "yellow"), strict=True):
        x, y = corner[0] * width // 2, corner[1] * height // 2
        draw.rectangle((x, y, x + width // 2 - 1, y + height // 2 - 1), fill=colour)
    return picture


def encoded(picture, format="PNG", **options):
    stream = io.BytesIO()
    picture.save(stream, format, **options)
    return stream.getvalue()


def source_of(corpus, path):
    return next(source for source in corpus.sources if source.path == path)


def pixels(source, width, height):
    (segment,) = source.segments
    (visual,) = segment.visuals
    return [frame.pixels for frame in visual.medium.frames(visual.places, width, height, go_on)]


def near(pixels, colour, tolerance=12):
    return np.abs(pixels.astype(int) - colour).max() <= tolerance


RED, LIME, BLUE, YELLOW = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)


def corners(pixels):
    height, width = pixels.shape[:2]
    return [pixels[y * height // 4, x * width // 4] for y in (1, 3) for x in (1, 3)]


# -- what is read ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("a.png", "PNG"), ("a.jpg", "JPEG"), ("a.jpeg", "JPEG"), ("a.webp", "WEBP"), ("a.gif", "GIF"), ("a.bmp", "BMP"),
        ("a.tif", "TIFF"), ("a.tiff", "TIFF"), ("a.avif", "AVIF"), ("jpeg.png", "JPEG"), ("unnamed", "PNG"), ("a.txt", "WEBP"),
    ],
)  # fmt: skip
def test_a_picture_is_read_by_its_bytes_whatever_its_name(write, rows, name, format):
    corpus = read(write({name: encoded(scene(), format)}))
    assert (rows(corpus)[name].kind, rows(corpus)[name].status, rows(corpus)[name].reason) == ("image", "read", "")
    source = source_of(corpus, name)
    (segment,) = source.segments
    assert (segment.text, segment.origin) == ("", Page(name, 1, (0.0, 0.0, 120.0, 80.0), picture=True))
    assert (segment.visuals[0].width, segment.visuals[0].height) == (120, 80)
    (frame,) = pixels(source, 64, 32)
    assert frame.shape == (32, 64, 3)
    assert all(near(found, wanted, 40) for found, wanted in zip(corners(frame), (RED, LIME, BLUE, YELLOW), strict=True))


def test_pixels_are_those_of_pillow_s_bicubic_resize(write):
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 150, 3), dtype=np.uint8))
    corpus = read(write({"a.png": encoded(picture)}))
    (frame,) = pixels(source_of(corpus, "a.png"), 64, 32)
    assert np.array_equal(frame, np.asarray(picture.resize((64, 32), Image.Resampling.BICUBIC)))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_to_size_pixels_and_looks(write, orientation):
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(scene(), "JPEG", exif=exif, quality=95)
    source = source_of(read(write({"a.jpg": data})), "a.jpg")
    wanted = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    visual = source.segments[0].visuals[0]
    assert (visual.width, visual.height) == wanted.size
    (frame,) = pixels(source, *wanted.size)
    assert np.abs(frame.astype(int) - np.asarray(wanted).astype(int)).max() <= 2
    assert Image.open(io.BytesIO(source.medium.look(0.0, 60))).size == tuple(side // 2 for side in wanted.size)


def test_one_pixel_is_a_picture(write):
    source = source_of(read(write({"a.png": encoded(Image.new("RGB", (1, 1), (10, 200, 30)))})), "a.png")
    (frame,) = pixels(source, 32, 32)
    assert near(frame, (10, 200, 30), 1)
    assert Image.open(io.BytesIO(source.medium.look(0.0, 500, (0, 0, 1, 1)))).size == (1, 1)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "PA"])
def test_what_is_transparent_is_white(write, mode):
    picture = Image.new("RGBA", (40, 40), (0, 0, 0, 0))
    ImageDraw.Draw(picture).rectangle((0, 0, 19, 39), fill=(0, 0, 0, 255))
    format = "TIFF" if mode == "PA" else "PNG"
    picture = picture if mode == "RGBA" else picture.convert("LA" if mode in ("LA", "PA") else mode)
    (frame,) = pixels(source_of(read(write({"a.png": encoded(picture, format)})), "a.png"), 40, 40)
    assert near(frame[:, 4:16], (0, 0, 0)), mode
    assert near(frame[:, 24:36], (255, 255, 255)), mode


def test_sixteen_bits_cmyk_and_two_colours_become_rgb(write):
    ramp = np.linspace(0, 65535, 64).astype(np.uint16)[None].repeat(8, axis=0)
    files = {
        "sixteen.png": encoded(Image.fromarray(ramp)),
        "sixteen.tif": encoded(Image.fromarray(ramp), "TIFF"),
        "float.tif": encoded(Image.fromarray(ramp.astype(np.float32) / 65535), "TIFF"),
        "cmyk.jpg": encoded(Image.new("CMYK", (64, 8), (0, 255, 255, 0)), "JPEG"),
        "two.png": encoded(Image.new("1", (64, 8), 1)),
    }
    corpus = read(write(files))
    frames = {name: pixels(source_of(corpus, name), 64, 8)[0] for name in files}
    for name in ("sixteen.png", "sixteen.tif", "float.tif"):
        assert np.abs(frames[name][4, :, 0].astype(int) - (ramp[0] / 257).astype(int)).max() <= 1, name
    assert near(frames["cmyk.jpg"], RED, 3)
    assert near(frames["two.png"], (255, 255, 255), 0)


@pytest.mark.parametrize(("name", "format"), [("a.gif", "GIF"), ("a.webp", "WEBP"), ("a.png", "PNG"), ("a.tif", "TIFF")])
def test_of_several_pictures_the_first_is_read_and_the_row_says_so(write, rows, name, format):
    first, others = scene(), [Image.new("RGB", (120, 80), colour) for colour in ("black", "gray")]
    options = {} if format == "TIFF" else {"duration": 100}
    corpus = read(write({name: encoded(first, format, save_all=True, append_images=others, **options)}))
    assert rows(corpus)[name].status == "truncated"
    assert rows(corpus)[name].reason == "several pictures in one file: the first is read"
    (frame,) = pixels(source_of(corpus, name), 120, 80)
    assert near(corners(frame)[0], RED, 40)


# -- looks -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("ground", ["white", "black", (214, 0, 110)])
def test_a_box_is_seen_on_light_and_on_dark_and_what_it_holds_is_untouched(write, ground):
    source = source_of(read(write({"a.png": encoded(Image.new("RGB", (800, 600), ground))})), "a.png")
    plain = np.asarray(Image.open(io.BytesIO(source.medium.look(0.0, 400)))).astype(int)
    framed = np.asarray(Image.open(io.BytesIO(source.medium.look(0.0, 400, (200, 200, 600, 400))))).astype(int)
    differs = np.abs(plain - framed).max(axis=2) > 60
    assert plain.shape == (300, 400, 3)
    assert differs[100:200, 97:100].any(axis=1).all()
    assert not differs[102:198, 102:298].any()
    assert not differs[:90].any()


def test_a_box_at_the_edge_or_beyond_is_drawn_inside(write):
    source = source_of(read(write({"a.png": encoded(Image.new("RGB", (300, 300), "white"))})), "a.png")
    for box in ((0, 0, 300, 300), (-50, -50, 900, 900), (299, 299, 299, 299), (400, 400, 500, 500)):
        framed = np.asarray(Image.open(io.BytesIO(source.medium.look(0.0, 300, box)))).astype(int)
        assert framed.shape == (300, 300, 3)
        assert (framed.min(axis=2) < 150).any(), box


# -- what is too large -----------------------------------------------------------------------------------------------
def png_of(width, height):
    """A black picture of two colours, written row by row."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    packer = zlib.compressobj(1)
    row = bytes(1 + (width + 7) // 8)
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def test_a_bomb_has_a_row_and_no_warning_and_the_next_picture_is_read(write, rows, capfd):
    corpus = read(write({"bomb.png": png_of(30_000, 30_000), "small.png": png_of(30, 30)}))
    assert (rows(corpus)["bomb.png"].status, rows(corpus)["bomb.png"].reason) == (
        "failed",
        "too large: 30,000 x 30,000 pixels",
    )
    assert rows(corpus)["small.png"].status == "read"
    assert capfd.readouterr() == ("", "")


def test_a_large_picture_is_held_only_once_and_reduced_while_it_is_decoded(write, monkeypatch):
    monkeypatch.setattr(pictures, "REDUCED", 1000)
    top = write({"a.jpg": encoded(scene(800, 640), "JPEG"), "a.png": encoded(scene(800, 640)), "b.png": png_of(800, 640)})
    for name, colours in (
        ("a.jpg", (RED, LIME, BLUE, YELLOW)),
        ("a.png", (RED, LIME, BLUE, YELLOW)),
        ("b.png", [(0, 0, 0)] * 4),
    ):
        small = np.asarray(pictures.upright(str(top / name), 50, 40))
        assert small.shape == (40, 50, 3)
        assert all(near(found, wanted, 40) for found, wanted in zip(corners(small), colours, strict=True))
    decoded = []
    monkeypatch.setattr(pictures, "_reduced", lambda picture, wanted: decoded.append(picture.size) or picture)
    pictures.upright(str(top / "a.jpg"), 50, 40)
    assert decoded == [(100, 80)]


def test_only_a_jpeg_in_plain_order_may_have_more_pixels_than_are_held(write, monkeypatch):
    monkeypatch.setattr(pictures, "MOST_PIXELS", 2000)
    files = {
        "plain.jpg": encoded(scene(), "JPEG"),
        "progressive.jpg": encoded(scene(), "JPEG", progressive=True),
        "a.png": encoded(scene()),
        "huge.jpg": encoded(scene(400, 400), "JPEG"),
    }
    top = write(files)
    told = {name: next(pictures.probe(str(top / name))) for name in files}
    assert told["plain.jpg"]["width"] == 120
    assert {told[name]["error"] for name in ("progressive.jpg", "a.png")} == {"too large: 120 x 80 pixels"}
    assert told["huge.jpg"]["error"] == "too large: 400 x 400 pixels"


# -- what is no picture, or less than one ----------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "data", "status", "reason"),
    [
        ("a.png", b"", "failed", "not a picture: the file is empty"),
        ("a.png", b"plain text\n", "failed", "not a picture: it begins with b'plain text\\n'"),
        ("a.jpg", b"\xff\xd8\xff\xe0" + b"\0" * 50, "failed", "damaged: it cannot be opened"),
        ("a.png", b"\x89PNG\r\n\x1a\n", "failed", "damaged: it cannot be opened"),
        ("a.heic", b"\0\0\0\x18ftypheic" + b"\0" * 40, "skipped", "HEIC is not read: convert the picture to JPEG or PNG"),
        ("a.jpg", b"\0\0\0\x18ftypmif1" + b"\0" * 40, "skipped", "HEIC is not read: convert the picture to JPEG or PNG"),
    ],
)
def test_what_is_no_picture_has_a_row_and_the_rest_is_read(write, rows, name, data, status, reason):
    manifest = rows(read(write({name: data, "other.txt": "still read\n"})))
    assert (manifest[name].kind, manifest[name].status, manifest[name].reason) == ("image", status, reason)
    assert manifest["other.txt"].status == "read"


def test_a_text_that_begins_like_a_bitmap_stays_a_text(write, rows):
    assert rows(read(write({"a.txt": "BM is short for bitmap\n"})))["a.txt"].kind == "text"


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF"])
def test_a_picture_that_is_cut_off_never_passes_as_whole(write, rows, format):
    noise = Image.fromarray(np.random.default_rng(1).integers(0, 256, (160, 160, 3), dtype=np.uint8))
    data = encoded(noise, format, **({"compression": "raw"} if format == "TIFF" else {}))
    files = {f"{share}.png": data[: int(share * len(data))] for share in (0.02, 0.3, 0.7, 0.97)}
    manifest = rows(read(write({**files, "other.txt": "still read\n"})))
    for name in files:
        row = manifest[name]
        assert row.status in ("failed", "truncated"), (format, row)
        assert row.reason, (format, row)


def test_what_is_left_of_a_cut_off_jpeg_can_be_seen(write, rows):
    data = encoded(scene(400, 400), "JPEG")
    corpus = read(write({"a.jpg": data[: int(0.7 * len(data))]}))
    assert (rows(corpus)["a.jpg"].status, rows(corpus)["a.jpg"].reason) == (
        "truncated",
        "cut off or damaged: what is left of it is read",
    )
    (frame,) = pixels(source_of(corpus, "a.jpg"), 40, 40)
    assert near(frame[5, 5], RED, 40)
    assert source_of(corpus, "a.jpg").medium.look(0.0, 40)


def test_mutated_pictures_end_with_a_row_each(write, rows):
    chance = np.random.default_rng(3)
    files = {}
    for format in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "AVIF"):
        data = encoded(scene(), format)
        for number in range(6):
            mutated = bytearray(data)
            for _ in range((1, 5, 40)[number % 3]):
                mutated[chance.integers(len(mutated))] = chance.integers(256)
            files[f"{format}{number}.png"] = bytes(mutated)
    manifest = rows(read(write({**files, "other.txt": "still read\n"})))
    assert set(manifest) == {*files, "other.txt"}
    assert manifest["other.txt"].status == "read"


def test_heads_of_pictures_are_told_apart():
    avif = b"\0\0\0\x20ftypmif1\0\0\0\0mif1avifmiafMA1B"
    assert [picture_of(head) for head in (avif, b"\0\0\0\x14ftypmp42\0\0\0\0isom", b"BM" + bytes(12) + b"\x28\0\0\0")] == [
        "picture",
        "",
        "picture",
    ]


# -- after the read --------------------------------------------------------------------------------------------------
def test_a_picture_that_changed_or_is_gone_is_no_longer_shown(write):
    top = write({"a.png": encoded(scene())})
    source = source_of(read(top), "a.png")
    os.utime(top / "a.png", ns=(1, 1))
    for act in (lambda: pixels(source, 32, 32), lambda: source.medium.look(0.0, 32)):
        with pytest.raises(SourceChangedError, match=r"a\.png: changed since it was read"):
            act()
    (top / "a.png").unlink()
    for act in (lambda: pixels(source, 32, 32), lambda: source.medium.look(0.0, 32)):
        with pytest.raises(SourceChangedError, match=r"a\.png: gone since it was read"):
            act()


def test_a_place_that_a_picture_does_not_have_is_left_out_by_a_page_and_named(write, pymupdf):
    with pymupdf.open() as document:
        document.new_page().insert_text((72, 72), "text")
        source = read(write({"a.pdf": document.tobytes()})).sources[0]
    assert [frame.place for frame in source.medium.frames([1.0, 7.0], 32, 32, go_on)] == [1.0]
    with pytest.raises(SourceChangedError, match="there is no page 7"):
        source.medium.look(7.0, 32)


def test_a_stop_ends_the_decoding(write):
    source = source_of(read(write({"a.png": encoded(scene())})), "a.png")

    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(source.medium.frames([0.0], 32, 32, stop))


def test_the_identity_names_the_bytes_and_the_decoder(write):
    corpus = read(write({"a.png": encoded(scene()), "b.png": encoded(scene()), "c.png": encoded(scene(8, 8))}))
    first, second, third = (source_of(corpus, f"{name}.png").medium.identity for name in "abc")
    assert first == second != third
    assert "pillow" in first


def test_a_folder_of_broken_pictures_alone_is_an_empty_corpus(write):
    with pytest.raises(EmptyCorpusError, match="not a picture"):
        read(write({"a.png": b"text"}))
