"""Runs the code cells of a notebook one after the other, with the standard library alone.

Usage: python3 run_notebook.py NOTEBOOK [--keep]   (--keep writes what the cells print into the notebook)
"""
import contextlib
import io
import json
import sys
from pathlib import Path

path = Path(sys.argv[1]).resolve()
sys.path.insert(0, str(path.parent))
notebook = json.loads(path.read_text(encoding="utf-8"))
space = {"__name__": "__main__"}
count = 0
for cell in notebook["cells"]:
    if cell["cell_type"] != "code":
        continue
    count += 1
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            exec(compile("".join(cell["source"]), f"{path.name}, cell {count}", "exec"), space)
    finally:
        sys.stdout.write(f"--- cell {count}\n{printed.getvalue()}")
        sys.stdout.flush()
    text = printed.getvalue()
    cell["execution_count"] = count
    cell["outputs"] = [{"name": "stdout", "output_type": "stream", "text": text.splitlines(True)}] if text else []
if "--keep" in sys.argv:
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
