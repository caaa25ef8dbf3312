"""Compile, or load, all loops that the tests need, before several processes would each do so.

    python tests/compile_all.py

Numba keeps what it compiled beside the package, or in NUMBA_CACHE_DIR. What `tmatch.warm_up` forgets is compiled in a
test.
"""

import concurrent.futures
import multiprocessing
import os
import time

from tmatch._search.warm_up import parts_of

if __name__ == "__main__":
    os.environ["TMATCH_ENGINE"] = "numba"
    begun = time.monotonic()
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(os.cpu_count(), context) as pool:
        for done in [pool.submit(part) for part in parts_of()]:
            done.result()
    print(f"compiled or loaded in {time.monotonic() - begun:.0f} s")
