"""Execute the notebooks and store what their cells print and draw; with --check compare it with what is stored.

python tests/refresh_notebooks.py [--check] [NOTEBOOK ...], then review the change with `git diff`.

Text has to be equal. An image has to have the same size, and to look the same: fonts and lines are not drawn alike by
all versions of Matplotlib, so small differences are allowed, see `unlike`. What is stored and still true stays as it
is, byte for byte.
"""

import argparse
import base64
import difflib
import io
import json
import sys
from concurrent.futures import ProcessPoolExecutor
from itertools import zip_longest
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import maximum_filter, minimum_filter

ROOT = Path(__file__).parents[1]
DPI = 80  # of stored figures: 11 inches fill a page
REACH, LEVELS, SHARE = 4, 48, 0.0015  # pixels, grey levels, of all pixels: see `unlike`
KERNEL_OPTIONS = [
    f"--InlineBackend.rc={{'figure.dpi': {DPI}}}",
    "--InlineBackend.print_figure_kwargs={'bbox_inches': None}",  # else the size depends on the fonts
    "--log-level=ERROR",
]


def executed(path):
    """Execute a notebook in its folder and return it with what its cells print and draw, and nothing else new."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    metadata = json.loads(json.dumps(notebook.metadata))
    resources = {"metadata": {"path": str(path.parent)}}
    client = NotebookClient(
        notebook, timeout=1200, resources=resources, record_timing=False, extra_arguments=KERNEL_OPTIONS
    )
    client.execute()
    result = json.loads(nbformat.writes(notebook))
    result["metadata"] = metadata  # without the version of Python
    for cell in code_cells(result):
        cell["execution_count"] = None
        cell["outputs"] = cleaned(cell["outputs"])
    return result


def code_cells(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def cleaned(outputs):
    """Join what is printed in pieces, and leave out what differs from run to run."""
    result = []
    for output in outputs:
        if output["output_type"] == "stream":
            last = result[-1] if result else {}
            if last.get("name") == output["name"]:
                last["text"] = lines(text_of(last["text"]) + text_of(output["text"]))
                continue
        else:
            output["metadata"] = {}
            if "execution_count" in output:
                output["execution_count"] = None
            if "text/html" in output["data"]:
                output["data"].pop("text/plain", None)  # not seen, and of more digits than are sure
            if "image/png" in output["data"]:
                output["data"]["image/png"] = smaller(output["data"]["image/png"])
        result.append(output)
    return result


def text_of(text):
    """Return a text that notebooks store as a list of lines or as a whole."""
    return "".join(text)


def lines(text):
    return text.splitlines(keepends=True)


def smaller(png):
    """Return an image with levels in steps of 4 and, if that is hardly seen, a palette: a third of the bytes."""
    rounded = np.minimum((pixels_of(png).astype(int) + 2) // 4 * 4, 255).astype(np.uint8)
    image = Image.fromarray(rounded)
    few = image.quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=3, dither=Image.Dither.NONE)
    error = np.asarray(few.convert("RGB")).astype(float) - rounded
    stored = io.BytesIO()
    (few if np.sqrt(np.mean(error**2)) < 2 else image).save(stored, "png", optimize=True)
    return base64.b64encode(stored.getvalue()).decode()


def pixels_of(png):
    with Image.open(io.BytesIO(base64.b64decode(text_of(png)))) as image:
        return np.asarray(image.convert("RGB"))


def differences(stored, new):
    """Tell how what is stored differs from what is new, cell by cell."""
    for cell, other in zip(code_cells(stored), code_cells(new), strict=True):
        for n, (old, now) in enumerate(zip_longest(cell["outputs"], other["outputs"]), start=1):
            for difference in output_differences(old, now):
                yield f"cell {cell['id']}, output {n}: {difference}"


def output_differences(old, now):
    """Tell how an output differs from a new one; None stands for one that is not there."""
    if old is None or now is None:
        yield "it is missing" if old is None else "it is no longer there"
        return
    old, now = kinds(old), kinds(now)
    if old.keys() != now.keys():
        yield f"it has {sorted(old)}, now {sorted(now)}"
    for kind in sorted(old.keys() & now.keys()):
        if kind == "image/png":
            difference = unlike(pixels_of(old[kind]), pixels_of(now[kind]))
        else:
            before, after = (text_of(each[kind]) for each in (old, now))
            changed = difflib.unified_diff(
                before.splitlines(), after.splitlines(), "stored", "now", n=0, lineterm=""
            )
            difference = "" if before == after else f"{kind} differs\n" + "\n".join(changed)
        if difference:
            yield difference


def kinds(output):
    """Return the contents of an output by their kinds."""
    return {output["name"]: output["text"]} if output["output_type"] == "stream" else output["data"]


def unlike(old, now):
    """Say how an image differs from another one, with "" for not visibly.

    At most 0.15 % of the pixels may be brighter or darker, by 48 levels, than all within 4 pixels in the other image:
    letters and lines may be shifted a little, nothing may be missing or new. Matplotlib 3.10 and 3.11, whose letters
    differ in size, draw all figures alike in this sense, most of them to 0.01 %; a mirrored one differs in 0.6 % or
    more. A single ring in a large figure may be less, and noise is taken for other noise: what matters is printed, too.
    """
    if old.shape != now.shape:
        return f"the image is {old.shape[1]} x {old.shape[0]} pixels, now {now.shape[1]} x {now.shape[0]}"
    share = max(share_beyond(old, now), share_beyond(now, old))
    return "" if share <= SHARE else f"the image differs, in {share:.2%} of the pixels"


def share_beyond(image, other):
    """Return the share of pixels that are beyond all pixels of another image near them."""
    size = (2 * REACH + 1, 2 * REACH + 1, 1)
    values = image.astype(int)
    low, high = minimum_filter(other, size).astype(int), maximum_filter(other, size).astype(int)
    return ((values < low - LEVELS) | (values > high + LEVELS)).any(axis=2).mean()


def refreshed(stored, new):
    """Return the new notebook, with the outputs that are stored where they are still true."""
    for cell, other in zip(code_cells(stored), code_cells(new), strict=True):
        pairs = zip(other["outputs"], cell["outputs"], strict=False)
        kept = [old if not any(output_differences(old, now)) else now for now, old in pairs]
        other["outputs"] = kept + other["outputs"][len(kept) :]
    return new


def work_on(path, *, check):
    """Check or refresh a notebook; return how what is stored differs."""
    stored, new = json.loads(path.read_text(encoding="utf-8")), executed(path)
    found = [f"{path}: {difference}" for difference in differences(stored, new)]
    if not check:
        text = json.dumps(refreshed(stored, new), ensure_ascii=False, indent=1, sort_keys=True)
        path.write_text(text + "\n", encoding="utf-8")
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail if what is stored is not current"
    )
    parser.add_argument(
        "notebooks", type=Path, nargs="*", default=sorted((ROOT / "notebooks").glob("*.ipynb"))
    )
    options = parser.parse_args()
    with ProcessPoolExecutor() as pool:
        tasks = [pool.submit(work_on, path.resolve(), check=options.check) for path in options.notebooks]
        found = [difference for task in tasks for difference in task.result()]
    print(*found or ["all outputs are current"], sep="\n")
    if found and options.check:
        sys.exit("what is stored is not current: run python tests/refresh_notebooks.py")


if __name__ == "__main__":
    main()
