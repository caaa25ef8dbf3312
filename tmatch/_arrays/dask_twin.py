"""The twin of a dask array: the same chunks, computed by tasks of their own.

What has to be known of all chunks before one is used is found from the twin: so each chunk is read twice, but none is
kept until all are read. (`dask.graph_manipulation.clone` renames no keys inside of tasks.)
"""

from collections.abc import Iterable, Mapping
from typing import Any


def twin(array: Any, seed: str) -> Any:
    """Return an array that shares with the original, and with twins of other seeds, only what is no task.

    That is data, and what is computed already.
    """
    from dask.array import Array  # noqa: PLC0415
    from dask.base import clone_key  # noqa: PLC0415
    from dask.blockwise import Blockwise  # noqa: PLC0415
    from dask.highlevelgraph import HighLevelGraph, MaterializedLayer  # noqa: PLC0415

    graph = HighLevelGraph.merge(array.dask)
    known = graph.get_all_external_keys()
    copied: dict[str, Any] = {}
    keys: list[Any] = []
    for name, layer in graph.layers.items():
        if isinstance(layer, Blockwise):
            copied[name] = layer
            keys += layer.get_output_keys()
        elif nodes := _nodes(layer, known):
            copied[name] = nodes
            keys += nodes
    renames = _renames(keys, seed)
    names = {name: clone_key(name, seed) if name in copied else name for name in graph.layers}
    layers: dict[str, Any] = {}
    for name, layer in graph.layers.items():
        made = copied.get(name)
        if isinstance(made, Blockwise):
            made = made.clone(set(renames), seed)[0]
        elif made is not None:
            tasks = (node.substitute(renames, key=renames[key]) for key, node in made.items())
            made = MaterializedLayer({task.key: task for task in tasks}, annotations=layer.annotations)
        layers[names[name]] = layer if made is None else made
    dependencies = {names[name]: {names[other] for other in graph.dependencies[name]} for name in names}
    return Array(
        HighLevelGraph(layers, dependencies), names.get(array.name, array.name), array.chunks, meta=array
    )


def _nodes(layer: Mapping[Any, Any], known: set[Any]) -> dict[Any, Any]:
    """Return the tasks of a layer, and what else is in it; nothing if there is no task."""
    from dask._task_spec import convert_legacy_graph  # noqa: PLC0415
    from dask.task_spec import Alias, DataNode, GraphNode  # noqa: PLC0415

    nodes = dict(layer)
    if not all(isinstance(node, GraphNode) for node in nodes.values()):
        nodes = convert_legacy_graph(nodes, known)
    computed = any(
        node.target in known if isinstance(node, Alias) else not isinstance(node, DataNode)
        for node in nodes.values()
    )
    return nodes if computed and len(nodes) == len(layer) else {}


def _renames(keys: Iterable[Any], seed: str) -> dict[Any, Any]:
    """Return the twins of keys."""
    from dask.base import clone_key  # noqa: PLC0415

    names: dict[str, str] = {}

    def rename(name: str) -> str:
        if name not in names:
            names[name] = clone_key(name, seed)
        return names[name]

    return {key: (rename(key[0]), *key[1:]) if isinstance(key, tuple) else rename(key) for key in keys}
