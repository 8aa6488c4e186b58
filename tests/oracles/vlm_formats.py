"""Golden pixels of image formats that decoders disagree about, for tests/vlm/formats.test.ts.

Run: python tests/oracles/vlm_formats.py   (writes tests/golden/vlm-formats/*; made with Pillow and transformers)
"""

import base64
import json
import pathlib
import struct
import zlib

import numpy as np
from PIL import Image
from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil

folder = pathlib.Path(__file__).parent.parent / "golden" / "vlm-formats"


def pattern(height, width):
    """The texture of tests/vlm/pattern.ts."""
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    texture = (x * 7 + y * 13 + c * 31) ^ (x * y)
    ramp = (x * 255) // width + (y * 255) // height + c * 40
    return (np.where(((x // 8) + (y // 8)) % 2 == 0, texture, ramp).astype(np.int64) & 255).astype(np.uint8)


def chunk(kind, data):
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def png16(values, colour):
    height, width = values.shape[:2]
    rows = b"".join(b"\0" + values[y].astype(">u2").tobytes() for y in range(height))
    header = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def bmp(width, height, bits, pixels, compression=0, palette=b"", masks=b"", header_size=40):
    header = struct.pack("<IiiHHIIiiII", header_size, width, height, 1, bits, compression, len(pixels), 2835, 2835, len(palette) // 4, 0)
    start = 14 + len(header) + len(masks) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start) + header + masks + palette + pixels


def rows(values, bits):
    """Packed rows of indices, padded to four bytes."""
    packed = b""
    for row in values:
        text = "".join(format(int(v), f"0{bits}b") for v in row)
        text += "0" * (-len(text) % 32)
        packed += int(text, 2).to_bytes(len(text) // 8, "big")
    return packed


def without_adobe(jpeg):
    at = jpeg.index(b"\xff\xee")
    return jpeg[:at] + jpeg[at + 2 + struct.unpack(">H", jpeg[at + 2 : at + 4])[0] :]


def saved(image, name, **options):
    image.save(folder / name, **options)
    return (folder / name).read_bytes()


def files():
    image = pattern(12, 19)
    rgb = Image.fromarray(image, "RGB")
    cmyk = Image.merge("CMYK", [Image.fromarray(np.ascontiguousarray(channel)) for channel in [*image.transpose(2, 0, 1), image[::-1, :, 1] // 2]])
    adobe = saved(cmyk, "cmyk.jpg", quality=100)
    wide = image.astype(np.uint16) * 256 + image[::-1]
    grey = image[:, :, 0].astype(np.uint16) * 3
    colours = np.arange(256)
    palette = b"".join(struct.pack("BBBB", (c * 37) % 256, (c * 91) % 256, (c * 5) % 256, 0) for c in colours)
    four = image[:, :, 0] % 16
    sixteen = (image[:, :, 0].astype(np.uint16) << 8) | image[:, :, 1]
    padded = np.zeros((12, 20), np.uint16)
    padded[:, :19] = sixteen
    quads = np.dstack([image, image[:, :, :1]])
    line = bytes([5, 7, 4, 1, 0, 6]) + bytes([9, 8, 7, 6, 5, 4]) + bytes([4, 2, 0, 0])
    runs = line * 8 + bytes([0, 2, 3, 2, 16, 11, 0, 0]) + line + bytes([0, 1])
    short = b"".join(bytes([5, 0x71, 4, 0x10, 0, 6]) + bytes([0x98, 0x76, 0x54, 0]) + bytes([4, 0x23, 0, 0]) for _ in range(12)) + bytes([0, 1])
    return {
        "cmyk.jpg": adobe,
        "cmyk-plain.jpg": without_adobe(adobe),
        "cmyk.tif": saved(cmyk, "cmyk.tif", compression="tiff_lzw"),
        "rgb16.png": png16(wide, 2),
        "rgba16.png": png16(np.dstack([wide, wide[:, :, :1]]), 6),
        "grey16.png": png16(grey, 0),
        "grey-alpha16.png": png16(wide[:, :, :2], 4),
        "24.bmp": saved(rgb, "24.bmp"),
        "top-down.bmp": bmp(19, -12, 24, b"".join(r.tobytes().ljust(60, b"\0") for r in image)),
        "32.bmp": bmp(19, 12, 32, quads.tobytes()),
        "1.bmp": bmp(19, 12, 1, rows(image[:, :, 0] > 99, 1), palette=palette[:8]),
        "4.bmp": bmp(19, 12, 4, rows(four, 4), palette=palette[:64]),
        "8.bmp": bmp(19, 12, 8, rows(image[:, :, 0], 8), palette=palette),
        "16-555.bmp": bmp(19, 12, 16, padded.astype("<u2").tobytes()),
        "16-565.bmp": bmp(19, 12, 16, padded.astype("<u2").tobytes(), 3, masks=struct.pack("<III", 0xF800, 0x7E0, 0x1F)),
        "runs8.bmp": bmp(19, 12, 8, runs, 1, palette=palette),
        "runs4.bmp": bmp(19, 12, 4, short, 2, palette=palette[:64]),
    }


def main():
    folder.mkdir(exist_ok=True)
    cases = []
    for name, data in files().items():
        (folder / name).write_bytes(data)
        pixels = np.asarray(Image.open(folder / name).convert("RGB"))
        cases.append({"file": name, "shape": list(pixels.shape), "pixels": base64.b64encode(pixels.tobytes()).decode()})
    padding = []
    config = {"do_pad": True, "size": {"shortest_edge": 40}, "crop_size": {"height": 40, "width": 40}}
    for height, width in [(21, 50), (51, 22), (30, 30)]:
        processor = LlavaImageProcessorPil(**config)
        values = processor(Image.fromarray(pattern(height, width)), return_tensors="np")["pixel_values"].astype(np.float32)
        padding.append({"config": json.loads(processor.to_json_string()), "size": [height, width], "values": base64.b64encode(values.tobytes()).decode()})
    (folder / "golden.json").write_text(json.dumps({"files": cases, "padding": padding}, indent=1) + "\n")


if __name__ == "__main__":
    main()
