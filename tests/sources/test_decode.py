"""Images of every mode and size, against values computed by hand or by torchvision."""

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ncfm_hub.sources.decode import Undecodable, decode_image
from tests.sources.small_images import encoded


def one_colour(mode: str, colour: object, kind: str = "PNG", **options: object) -> bytes:
    return encoded(Image.new(mode, (6, 6), colour), kind, **options)


@pytest.mark.parametrize(
    ("data", "rgb", "remark"),
    [
        (one_colour("RGB", (10, 20, 30)), (10, 20, 30), "colour"),
        (one_colour("L", 77), (77, 77, 77), "grey"),
        (one_colour("1", 1), (255, 255, 255), "grey"),
        # 40 % black ink over white: 255 * 0.6 = 153
        (one_colour("LA", (0, 102)), (153, 153, 153), "transparent"),
        (one_colour("RGBA", (255, 0, 0, 51)), (255, 204, 204), "transparent"),
        (one_colour("RGBA", (1, 2, 3, 0)), (255, 255, 255), "transparent"),
        (one_colour("RGBA", (1, 2, 3, 255)), (1, 2, 3), "transparent"),
        (one_colour("CMYK", (0, 255, 0, 0), "TIFF"), (255, 0, 255), "colour"),
        (one_colour("I;16", 257 * 200), (200, 200, 200), "16-bit"),
        (one_colour("I", 65535, "TIFF"), (255, 255, 255), "16-bit"),
        (one_colour("F", 0.2, "TIFF"), (51, 51, 51), "grey"),
        (one_colour("F", 100.0, "TIFF"), (100, 100, 100), "grey"),
        (one_colour("RGB", (9, 8, 7), transparency=(9, 8, 7)), (255, 255, 255), "transparent"),
    ],
)
def test_modes(data: bytes, rgb: tuple[int, int, int], remark: str) -> None:
    image, remarks = decode_image(data, 6, 3)
    assert image.dtype == np.uint8
    assert image.shape == (3, 6, 6)
    assert np.abs(image.reshape(3, -1).astype(int) - np.array(rgb)[:, None]).max() <= 1
    assert remark in remarks


def palette_image(**options: object) -> bytes:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([200, 0, 0, 0, 100, 50])
    image.putpixel((0, 0), 0)
    return encoded(image, **options)


def test_palette_and_its_transparent_entry() -> None:
    opaque, _ = decode_image(palette_image(), 4, 3)
    assert opaque[:, 0, 0].tolist() == [200, 0, 0]
    assert opaque[:, 1, 1].tolist() == [0, 100, 50]
    clear, remarks = decode_image(palette_image(transparency=0), 4, 3)
    assert clear[:, 0, 0].tolist() == [255, 255, 255]
    assert clear[:, 1, 1].tolist() == [0, 100, 50]
    assert "transparent" in remarks


def test_one_channel_weighs_the_colours() -> None:
    image, remarks = decode_image(one_colour("RGB", (200, 100, 50)), 6, 1)
    assert image.shape == (1, 6, 6)
    assert abs(int(image[0, 0, 0]) - (0.299 * 200 + 0.587 * 100 + 0.114 * 50)) <= 1  # ITU-R 601
    assert remarks == {"colour"}


@pytest.mark.parametrize("size", [(50, 31), (31, 50), (33, 97), (20, 20), (7, 12), (16, 40), (200, 16)])
@pytest.mark.parametrize("channels", [1, 3])
def test_resizes_the_shorter_side_and_cuts_the_centre_as_torchvision_does(size: tuple[int, int], channels: int) -> None:
    from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    picture = Image.fromarray(noise).convert("L" if channels == 1 else "RGB")
    expected = np.asarray(Compose([Resize(16, InterpolationMode.BICUBIC), CenterCrop(16)])(picture))
    found, _ = decode_image(encoded(picture), 16, channels)
    assert (found == expected.reshape(16, 16, channels).transpose(2, 0, 1)).all()


def test_a_line_of_pixels_stays_small() -> None:
    image, _ = decode_image(encoded(Image.new("L", (60_000, 1), 9)), 32, 3)
    assert image.shape == (3, 32, 32)
    assert (image == 9).all()


def test_orientation_of_the_camera_is_honoured() -> None:
    upright = np.zeros((8, 8, 3), np.uint8)
    upright[:4] = 255  # bright above
    exif = Image.Exif()
    exif[0x0112] = 3  # turned by 180 degrees
    data = encoded(Image.fromarray(upright), "JPEG", exif=exif, quality=95)
    image, _ = decode_image(data, 8, 1)
    assert image[0, :3].mean() < 10
    assert image[0, 5:].mean() > 245


@pytest.mark.parametrize("exif", [b"no TIFF header", b"II*\0\x08\0"], ids=["foreign", "cut"])
def test_an_image_whose_exif_cannot_be_read_is_taken_as_it_lies(exif: bytes) -> None:
    ramp = np.arange(64, dtype=np.uint8).reshape(8, 8)
    data = encoded(Image.fromarray(ramp), exif=exif)
    assert b"eXIf" + exif in data
    image, _ = decode_image(data, 8, 1)
    assert (image[0] == ramp).all()


@pytest.mark.parametrize("turn", range(1, 9))
def test_every_orientation_is_undone(turn: int) -> None:
    # By the EXIF standard the first row and column stored are: 2 top, right; 3 bottom, right; 4 bottom, left;
    # 5 left, top; 6 right, top; 7 right, bottom; 8 left, bottom of the scene.
    scene = np.arange(64, dtype=np.uint8).reshape(8, 8)
    stored = {
        1: scene,
        2: scene[:, ::-1],
        3: scene[::-1, ::-1],
        4: scene[::-1],
        5: scene.T,
        6: scene[:, ::-1].T,
        7: scene[::-1, ::-1].T,
        8: scene[::-1].T,
    }[turn]
    exif = Image.Exif()
    exif[0x0112] = turn
    image, _ = decode_image(encoded(Image.fromarray(np.ascontiguousarray(stored)), exif=exif), 8, 1)
    assert (image[0] == scene).all()


def test_reads_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(one_colour("L", 3))
    assert (decode_image(tmp_path / "a.png", 6, 1)[0] == 3).all()


def test_refuses_what_is_no_number() -> None:
    values = np.zeros((6, 6), np.float32)
    values[2, 3] = np.nan
    with pytest.raises(Undecodable, match="NaN"):
        decode_image(encoded(Image.fromarray(values), "TIFF"), 6, 3)
    with pytest.raises(Undecodable, match="from -1 to 0"):
        decode_image(encoded(Image.fromarray(np.where(values == 0, 0, -1).astype(np.float32)), "TIFF"), 6, 3)
    with pytest.raises(Undecodable, match="expected 16 bits"):
        decode_image(one_colour("I", 70_000, "TIFF"), 6, 3)


def test_refuses_corrupt_truncated_and_foreign_bytes() -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    for kind in ("PNG", "JPEG", "WEBP"):
        whole = encoded(noise, kind)
        with pytest.raises(Undecodable):
            decode_image(whole[: len(whole) // 2], 8, 3)
    with pytest.raises(Undecodable, match="no known format"):
        decode_image(b"not an image", 8, 3)
    with pytest.raises(Undecodable):
        decode_image(b"", 8, 3)
    # PostScript is a program, which Pillow would hand to an interpreter.
    with pytest.raises(Undecodable, match="no known format"):
        decode_image(encoded(noise, "EPS"), 8, 3)


def test_whatever_pillow_trips_over_has_a_reason_of_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def trip(*_: object, **__: object) -> None:
        raise struct.error("unpack requires\na buffer")

    monkeypatch.setattr(Image, "open", trip)
    with pytest.raises(Undecodable, match="it is damaged") as caught:
        decode_image(b"", 8, 3)
    assert "\n" not in str(caught.value)
