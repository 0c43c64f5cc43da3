"""SPEC "raw", "constant" and "bytes"."""

import numpy as np

from bits import Bits
from container import need, up
from rans import Steps, Streams, read_table


def raw(payload):
    need(not payload.parameters, "parameters of raw")
    for chunk in payload.chunks:
        need(len(chunk.data) == chunk.count * payload.unit_bytes, "length of a chunk")
    return b"".join(chunk.data for chunk in payload.chunks)


def constant(payload):
    need(len(payload.parameters) == payload.unit_bytes, "parameters of constant")
    need(not any(chunk.data for chunk in payload.chunks), "length of a chunk")
    return payload.parameters * payload.units


# ------------------------------------------------------------------ bytes

CODED, RAW, CONSTANT = range(3)


def segments(chunk, planes):
    """The bytes of each plane's segment."""
    if planes == 1:
        return [chunk.data]
    at = up(4 * planes)
    need(len(chunk.data) >= at, "length of a chunk")
    lengths = np.frombuffer(chunk.data, "<u4", planes).tolist()
    need(at + sum(lengths) == len(chunk.data), "length of a chunk")
    result = []
    for length in lengths:
        result.append(chunk.data[at : at + length])
        at += length
    return result


def read_planes(bits, tables, prob, planes):
    """(kind, mask or constant, tables) of every plane, the lowest first."""
    result = []
    for _ in range(planes):
        kind = bits.read(2)
        need(kind in (CODED, RAW, CONSTANT), "kind of a plane")
        value = 0 if kind == RAW else bits.read(8)
        coded = [read_table(bits, prob) for _ in range(tables)] if kind == CODED else []
        result.append((kind, value, coded))
    return result


def bytes_method(payload):
    recipe, planes = payload.recipe, payload.unit_bytes
    bits = Bits(payload.parameters)
    steps = Steps(bits, payload.units, recipe["columns"])
    thresholds = []
    if recipe["columns"]:
        thresholds = [bits.read(8) for _ in range(recipe["tables"] - 1)]
    described = read_planes(bits, recipe["tables"], recipe["prob"], planes)
    bits.finish()

    result = np.zeros((payload.units, planes), np.uint8)
    for batch in payload.batches():
        contexts = []
        for chunk in batch:
            s = steps.of(chunk.first, chunk.count)
            contexts.append(sum((s >= t for t in thresholds), np.zeros(chunk.count, np.int64)))
        parts = [segments(chunk, planes) for chunk in batch]
        for plane, (kind, value, tables) in enumerate(described):
            mine = [part[plane] for part in parts]
            if kind == CODED:
                streams = Streams(mine, tables, recipe["prob"])
                decoded = [symbols ^ value for symbols in streams.read(contexts)]
                need(not any(map(any, streams.finish())), "seeds that are not 0")
            elif kind == RAW:
                need(all(len(m) == up(c.count) for m, c in zip(mine, batch)), "length of a plane")
                decoded = [np.frombuffer(m, np.uint8, c.count) for m, c in zip(mine, batch)]
            else:
                need(not any(mine), "length of a constant plane")
                decoded = [value for _ in batch]
            for chunk, values in zip(batch, decoded):
                result[chunk.first : chunk.first + chunk.count, plane] = values
    return result.tobytes()
