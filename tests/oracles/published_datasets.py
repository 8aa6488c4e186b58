"""Tiny hand-made files in the schemas of RePOPE, CV-Bench and MMStar (tests/datasets/published.test.ts).

Run: python tests/oracles/published_datasets.py
Needs pyarrow and pillow. Writes tests/fixtures/datasets/.
"""

import io
import json
import pathlib

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageDraw

folder = pathlib.Path(__file__).parent.parent / "fixtures" / "datasets"
COLOURS = {"red": (220, 40, 40), "green": (40, 180, 60), "blue": (50, 80, 220), "yellow": (235, 210, 50)}


def picture(colour, shape, format="PNG"):
    image = Image.new("RGB", (32, 32), (30, 30, 30))
    box = (4, 4, 20, 20)
    getattr(ImageDraw.Draw(image), "ellipse" if shape == "circle" else "rectangle")(box, fill=COLOURS[colour])
    data = io.BytesIO()
    image.save(data, format)
    return data.getvalue()


image_type = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
cv_bench = pa.schema([
    ("idx", pa.int64()), ("type", pa.string()), ("task", pa.string()), ("image", image_type),
    ("question", pa.string()), ("choices", pa.list_(pa.string())), ("answer", pa.string()), ("prompt", pa.string()),
    ("filename", pa.string()), ("source", pa.string()), ("source_dataset", pa.string()),
    ("source_filename", pa.string()), ("target_class", pa.string()), ("target_size", pa.int64()),
    ("bbox", pa.list_(pa.list_(pa.float64()))),
])
mmstar = pa.schema([
    ("index", pa.int64()), ("question", pa.string()), ("image", image_type), ("answer", pa.string()),
    ("category", pa.string()), ("l2_category", pa.string()),
    ("meta_info", pa.struct([("source", pa.string()), ("split", pa.string()), ("image_path", pa.string())])),
])


def cv_row(idx, kind, task, colour, question, choices, answer):
    letters = "".join(f"\n({chr(65 + i)}) {choice}" for i, choice in enumerate(choices))
    three = kind == "3D"
    return {
        "idx": idx, "type": kind, "task": task,
        "image": {"bytes": picture(colour, "circle"), "path": f"{idx}.png"},
        "question": question, "choices": choices, "answer": answer,
        "prompt": f"{question} Select from the following choices.{letters}",
        "filename": f"img/{kind}/{idx}.png", "source": "Omni3D" if three else "ADE20K",
        "source_dataset": "Omni3D_SUNRGBD" if three else "ADE20K", "source_filename": f"{idx}.png",
        "target_class": None, "target_size": None, "bbox": [[1.0, 2.0, 3.0, 4.0]] if three else None,
    }


def mmstar_row(index, category, detail, colour, answer="B"):
    question = f"What color is the circle?\nOptions: A: green, B: {colour}, C: white, D: black"
    return {
        "index": index, "question": question, "image": {"bytes": picture(colour, "circle", "JPEG"), "path": None},
        "answer": answer, "category": category, "l2_category": detail,
        "meta_info": {"source": "hand-made", "split": "val", "image_path": f"images/{index}.jpg"},
    }


def write(path, rows, schema, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    settings = {"compression": "snappy", "row_group_size": 2, "write_statistics": False, **options}
    pq.write_table(pa.Table.from_pylist(rows, schema), path, **settings)


def write_cv_bench():
    two = [
        cv_row(0, "2D", "Count", "red", "How many circles are there?", ["3", "1", "0", "2"], "(B)"),
        cv_row(1, "2D", "Count", "blue", "How many circles are there?", ["3", "2", "1"], "(C)"),
        cv_row(2, "2D", "Relation", "red", "Is the circle above?", ["yes", "no"], "(A)"),
        cv_row(3, "2D", "Relation", "green", "Is the circle above?", ["no", "yes"], "(B)"),
        cv_row(4, "2D", "Count", "yellow", "How many circles are there?", ["0", "2", "3", "4", "5", "1"], "(F)"),
    ]
    three = [
        cv_row(5, "3D", "Depth", "red", "Is the circle closer?", ["yes", "no"], "(A)"),
        cv_row(6, "3D", "Distance", "blue", "Is the circle closer?", ["yes", "no"], "(A)"),
    ]
    write(folder / "cv-bench" / "test_2d.parquet", two, cv_bench, write_statistics=True)
    write(folder / "cv-bench" / "test_3d.parquet", three, cv_bench)
    write(folder / "cv-bench-shuffled" / "test_2d.parquet", two[::-1], cv_bench, row_group_size=5)
    write(folder / "cv-bench-shuffled" / "test_3d.parquet", three[::-1], cv_bench, write_page_index=True)
    bad = [two[0], {**two[1], "answer": "(F)"}, {**two[2], "image": {"bytes": None, "path": "2.png"}}]
    write(folder / "bad" / "cv-bench-rows.parquet", bad, cv_bench)
    write(folder / "bad" / "cv-bench-repeated.parquet", [two[0], two[1], two[0]], cv_bench)


def write_mmstar():
    rows = [
        mmstar_row(0, "coarse perception", "image scene and topic", "red"),
        mmstar_row(1, "coarse perception", "image style & quality", "blue"),
        mmstar_row(2, "math", "geometry", "green"),
        mmstar_row(3, "science & technology", "biology & chemistry & physics", "yellow"),
    ]
    write(folder / "mmstar" / "mmstar.parquet", rows, mmstar)
    # The image feature may also be stored as bare bytes.
    bare = mmstar.set(2, pa.field("image", pa.binary()))
    plain = [{**row, "image": row["image"]["bytes"]} for row in rows]
    write(folder / "mmstar-bytes.parquet", plain, bare, compression="none")
    write(folder / "bad" / "mmstar-zstd.parquet", rows[:1], mmstar, compression="zstd")
    write(folder / "bad" / "mmstar-answers.parquet", [rows[0], mmstar_row(1, "math", "geometry", "blue", "E")], mmstar)


def write_repope():
    lines = {
        "random": [("1", "red circle", "yes"), ("1", "blue square", "no"), ("2", "green square", "yes")],
        "popular": [("1", "red circle", "yes"), ("2", "red circle", "no")],
        "adversarial": [("1", "red circle", "yes"), ("1", "red square", "no"), ("2", "green circle", "no")],
    }
    annotations = folder / "repope" / "annotations"
    images = folder / "repope" / "val2014"
    for path in (annotations, images):
        path.mkdir(parents=True, exist_ok=True)
    for split, rows in lines.items():
        text = "".join(
            json.dumps({
                "question_id": i + 1, "image": f"COCO_val2014_{image:>012}.jpg",
                "text": f"Is there a {thing} in the image?", "label": label,
            }) + "\n"
            for i, (image, thing, label) in enumerate(rows)
        )
        (annotations / f"coco_repope_{split}.json").write_text(text)
    (images / "COCO_val2014_000000000001.jpg").write_bytes(picture("red", "circle", "JPEG"))
    (images / "COCO_val2014_000000000002.jpg").write_bytes(picture("green", "square", "JPEG"))


if __name__ == "__main__":
    write_cv_bench()
    write_mmstar()
    write_repope()
