"""Golden pixels for tests/vlm/pixels.test.ts, made with Pillow and the Hugging Face CLIP image processor.

Run: python tests/oracles/vlm_pixels.py   (writes tests/golden/vlm-pixels.json and tests/golden/vlm-images/*)
Large results are stored as SHA-256 of their bytes: the resampler and the blur must be exact.
"""

import base64
import hashlib
import json
import pathlib

import numpy as np
from PIL import Image, ImageFilter
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

root = pathlib.Path(__file__).parent.parent / "golden"
filters = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "hamming": Image.Resampling.HAMMING,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def pattern(height, width):
    """High-frequency integer texture over smooth ramps; the test computes the same one."""
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    texture = (x * 7 + y * 13 + c * 31) ^ (x * y)
    ramp = (x * 255) // width + (y * 255) // height + c * 40
    return np.where(((x // 8) + (y // 8)) % 2 == 0, texture, ramp).astype(np.int64) & 255


def picture(height, width):
    return Image.fromarray(pattern(height, width).astype(np.uint8), "RGB")


def digest(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def resizes():
    sizes = [((37, 53), (24, 24)), ((37, 53), (90, 71)), ((480, 640), (336, 448)), ((5, 3), (1, 1)), ((64, 64), (64, 20))]
    cases = []
    for (h, w), (oh, ow) in sizes:
        for name, resample in filters.items():
            result = np.asarray(picture(h, w).resize((ow, oh), resample=resample))
            case = {"from": [h, w], "to": [oh, ow], "filter": name, "sha256": digest(result)}
            if oh * ow <= 600:
                case["pixels"] = base64.b64encode(result.tobytes()).decode()
            cases.append(case)
    return cases


def blurs():
    cases = []
    shapes = [((48, 64), [0.3, 0.9, 1, 2.5, 7, 30, 100]), ((480, 640), [2, 30]), ((1, 9), [3]), ((2, 2), [5])]
    for (h, w), radii in shapes:
        for radius in radii:
            result = np.asarray(picture(h, w).filter(ImageFilter.GaussianBlur(radius)))
            cases.append({"size": [h, w], "radius": radius, "sha256": digest(result)})
    return cases


def processors():
    configs = {
        "llava-1.5": {
            "size": {"shortest_edge": 336},
            "crop_size": {"height": 336, "width": 336},
            "resample": 3,
        },
        "tiny": {"size": {"height": 64, "width": 64}, "do_center_crop": False, "resample": 2},
        "no-normalise": {
            "size": {"shortest_edge": 40},
            "crop_size": {"height": 56, "width": 30},
            "do_normalize": False,
            "resample": 1,
        },
    }
    cases = []
    for name, config in configs.items():
        for h, w in [(480, 640), (101, 77), (64, 64), (20, 200)]:
            processor = CLIPImageProcessorPil(**config)
            saved = json.loads(processor.to_json_string())
            values = processor(picture(h, w), return_tensors="np")["pixel_values"]
            flat = values.reshape(-1)
            rng = np.random.default_rng(7)
            index = np.sort(rng.choice(flat.size, 200, replace=False))
            cases.append(
                {
                    "name": name,
                    "config": saved,
                    "size": [h, w],
                    "shape": list(values.shape),
                    "index": index.tolist(),
                    "values": [float(v) for v in flat[index]],
                    "sha256": digest(values.astype(np.float32)),
                }
            )
    return cases


def files():
    """The same small picture in several formats, with the pixels that Pillow decodes."""
    folder = root / "vlm-images"
    folder.mkdir(exist_ok=True)
    image = picture(40, 56)
    smooth = image.filter(ImageFilter.GaussianBlur(3))
    alpha = image.convert("RGBA")
    alpha.putalpha(image.convert("L"))
    saves = {
        "rgb.png": (image, {}),
        "rgba.png": (alpha, {}),
        "palette.png": (smooth.quantize(64), {}),
        "grey.png": (image.convert("L"), {}),
        "photo.jpg": (smooth, {"quality": 95, "subsampling": 0}),
        "photo420.jpg": (smooth, {"quality": 90}),
        "lossless.webp": (image, {"lossless": True}),
        "rgb.gif": (smooth.quantize(32), {}),
    }
    cases = []
    for name, (value, options) in saves.items():
        value.save(folder / name, **options)
        pixels = np.asarray(Image.open(folder / name).convert("RGB"))
        cases.append({"file": name, "shape": list(pixels.shape), "pixels": base64.b64encode(pixels.tobytes()).decode()})
    return cases


def main():
    result = {"resize": resizes(), "blur": blurs(), "processor": processors(), "files": files()}
    (root / "vlm-pixels.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
