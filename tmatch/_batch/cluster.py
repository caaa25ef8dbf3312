"""Connect to a cluster of dask."""

import contextlib
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tmatch._io.extras import require
from tmatch._io.files import named

if TYPE_CHECKING:
    from distributed import Client

_ADDRESS = re.compile(r"(\w+://)?[^/\s]+:\d+|\w+://\S+")


@contextlib.contextmanager
def connected(cluster: str) -> Iterator["Client"]:
    """Connect to a cluster by its address, or by the file in which its scheduler has written that."""
    address = _address_in(cluster)
    require("dask", f'"{address}" is')
    from distributed import Client  # noqa: PLC0415

    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # what is wrong is told by errors
    try:
        client = Client(address, set_as_default=False)
    except (OSError, ValueError) as error:
        msg = f'there is no scheduler at --cluster "{address}", or it cannot be reached ({_reason(error)})'
        raise OSError(msg) from error
    with client:
        yield client


def _address_in(cluster: str) -> str:
    if not Path(cluster).is_file():
        if _ADDRESS.fullmatch(cluster):
            return cluster
        msg = (
            f'--cluster is "{cluster}"; it must be the address of a scheduler, as tcp://host:8786, or the file that '
            "`dask scheduler --scheduler-file` has written"
        )
        raise ValueError(msg)
    with named(cluster):
        text = Path(cluster).read_bytes()
    try:
        return str(json.loads(text)["address"])
    except (ValueError, TypeError, KeyError) as error:
        msg = f'--cluster "{cluster}" is no file of `dask scheduler --scheduler-file`: it holds no address'
        raise ValueError(msg) from error


def _reason(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
