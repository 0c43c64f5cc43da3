"""SPEC "levels": integers times a step a row and a step a column."""

import numpy as np

from bits import Bits
from container import need
from rans import Steps, Streams, read_table

EIGHTHS = np.array([128, 140, 152, 166, 181, 197, 215, 235], np.float64)


def mirrored(magnitudes):
    """The table of levels for a table of magnitudes."""
    need(not any(magnitudes[128:]), "a magnitude above 127")
    table = np.zeros(256, np.int64)
    table[128:] += magnitudes[:128]
    table[128:0:-1] += magnitudes[:128]
    return table


def factors(steps):
    # Powers of two and eight bits: exact in an F64.
    return EIGHTHS[steps % 8] * np.exp2(steps // 8)


def rounded(values, dtype):
    """The bytes of exact F64 values, rounded to F32 and then to the dtype."""
    values = values.astype(np.float32)
    if dtype == "F32":
        return values
    if dtype == "F16":
        with np.errstate(over="ignore"):
            return values.astype(np.float16)
    bits = values.view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype("<u2")


def levels(payload):
    recipe = payload.recipe
    bits = Bits(payload.parameters)
    base = bits.read(8)
    need(16 <= base <= 188, "base")
    steps = Steps(bits, payload.units, recipe["columns"])
    scale = Steps(bits, payload.units, recipe["columns"])
    thresholds = [bits.read(8) for _ in range(recipe["tables"] - 1)]
    tables = [mirrored(read_table(bits, recipe["prob"] - 1)) for _ in range(recipe["tables"])]
    bits.finish()
    row, column = factors(steps.row), factors(steps.column) * 2.0 ** (base - 128)

    result = [None] * len(payload.chunks)
    at = 0
    for batch in payload.batches():
        ends = [len(chunk.data) - 4 * chunk.extra for chunk in batch]
        need(all(end > 0 for end in ends), "length of a chunk")
        streams = Streams([c.data[:end] for c, end in zip(batch, ends)], tables, recipe["prob"])
        contexts = []
        for chunk in batch:
            s = scale.of(chunk.first, chunk.count)
            contexts.append(sum((s >= t for t in thresholds), np.zeros(chunk.count, np.int64)))
        symbols = streams.read(contexts)
        need(not any(map(any, streams.finish())), "seeds that are not 0")
        for chunk, end, symbol in zip(batch, ends, symbols):
            level = symbol - 128
            entries = np.frombuffer(chunk.data[end:], "<u4")
            positions = (entries & 0x1FFFF).astype(np.int64)
            need((np.diff(positions) > 0).all(), "place of an escape")
            need((positions < chunk.count).all(), "place of an escape")
            level[positions] = (entries >> 17).astype(np.int64) - 16384
            i, j = np.divmod(np.arange(chunk.first, chunk.first + chunk.count), recipe["columns"])
            result[at] = rounded(level * (row[i] * column[j]), payload.dtype).tobytes()
            at += 1
    return b"".join(result)
