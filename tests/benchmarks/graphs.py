"""What does it take to build the graph of a lazy result? Microseconds of processor time for each block of the image.

The least of some rounds, the collector of garbage as it is set. Nothing is computed.
"""

import time

import dask.array as da
import numpy as np

import tmatch

BLOCKS, ROUNDS = 100, 5  # blocks on each axis
ABOUT = f"{BLOCKS**2} blocks; microseconds for each, and tasks beside those of the image"


def time_of(build):
    """Return the time for a block, and the number of tasks."""
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.process_time()
        result = build()
        best = min(best, time.process_time() - start)
    return best / BLOCKS**2 * 1e6, len(result.dask.to_dict()) / BLOCKS**2 - 1


def report():
    """Print a line for each case."""
    print(ABOUT)
    rng = np.random.default_rng(0)
    for side in (256, 1000, 2048):
        for dtype in ("u1", "f4", "i8"):
            image = da.zeros((side * BLOCKS,) * 2, chunks=side, dtype=dtype)
            for size in (3, 31):
                kernel = rng.normal(size=(size, size))
                cases = {"correlate": lambda kernel=kernel, image=image: tmatch.correlate(image, kernel)}
                if size > 3:
                    template = rng.integers(0, 200, (size, size)).astype(dtype)
                    cases["match_template"] = lambda template=template, image=image: tmatch.match_template(
                        image, template
                    )
                for name, build in cases.items():
                    micros, tasks = time_of(build)
                    print(
                        f"{name:15} {dtype} chunks {side:4} window {size:2}: {micros:5.1f} us {tasks:5.1f} tasks"
                    )


if __name__ == "__main__":
    report()
