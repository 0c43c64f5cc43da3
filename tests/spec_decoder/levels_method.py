"""SPEC "levels" and "tiled-levels": integers times a step a row and a step a column."""

import numpy as np

from bits import Bits
from container import need
from rans import Steps, Streams, read_table
from tiles_method import tiled_units

EIGHTHS = np.array([128, 140, 152, 166, 181, 197, 215, 235], np.float64)


TOKENS = 31
# Of every token its magnitudes, from the least on; and what `Streams` needs of it.
RUNS = np.repeat([1, 2, 4, 8, 16], [16, 4, 4, 3, 4])
LEAST = np.cumsum(RUNS) - RUNS
RAW = (2 * LEAST, np.where(LEAST > 0, np.log2(2 * RUNS).astype(np.int64), 0))


def read_tokens(bits, prob):
    table = read_table(bits, prob)
    need(not any(table[TOKENS:]), "a token above 30")
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


class Factors:
    """The steps that a level is multiplied by, in a matrix of some columns."""

    def __init__(self, bits, units, columns):
        base = bits.read(8)
        need(16 <= base <= 188, "base")
        steps = Steps(bits, units, columns)
        self.row, self.column = factors(steps.row), factors(steps.column) * 2.0 ** (base - 128)

    def weights(self, first, levels, dtype):
        """The bytes of the weights of levels, from element `first` on."""
        i, j = np.divmod(np.arange(first, first + len(levels)), len(self.column))
        return rounded(levels * (self.row[i] * self.column[j]), dtype).tobytes()


class Parameters:
    """Of a tensor; `parts` are the bits of each kind."""

    def __init__(self, payload):
        recipe = payload.recipe
        bits = Bits(payload.parameters)
        self.factors = Factors(bits, payload.units, recipe["columns"])
        ends = [bits.at]
        self.scale = Steps(bits, payload.units, recipe["columns"])
        ends.append(bits.at)
        self.thresholds = [bits.read(8) for _ in range(recipe["tables"] - 1)]
        self.tables = [read_tokens(bits, recipe["prob"]) for _ in range(recipe["tables"])]
        ends.append(bits.at)
        bits.finish()
        self.parts = dict(zip(("steps", "scale", "tables"), np.diff([0, *ends]).tolist()))


def read_levels(payload, parameters):
    """Every chunk with its levels."""
    recipe = payload.recipe
    for batch in payload.batches():
        ends = [len(chunk.data) - 4 * chunk.extra for chunk in batch]
        need(all(end > 0 for end in ends), "length of a chunk")
        streams = Streams([c.data[:end] for c, end in zip(batch, ends)], parameters.tables, recipe["prob"], RAW)
        contexts = []
        for chunk in batch:
            s = parameters.scale.of(chunk.first, chunk.count)
            contexts.append(sum((s >= t for t in parameters.thresholds), np.zeros(chunk.count, np.int64)))
        symbols = streams.read(contexts)
        need(not any(map(any, streams.finish())), "seeds that are not 0")
        for chunk, end, symbol in zip(batch, ends, symbols):
            level = np.where(symbol % 2, -(symbol // 2), symbol // 2)
            entries = np.frombuffer(chunk.data[end:], "<u4")
            positions = (entries & 0x1FFFF).astype(np.int64)
            need((np.diff(positions) > 0).all(), "place of an escape")
            need((positions < chunk.count).all(), "place of an escape")
            level[positions] = (entries >> 17).astype(np.int64) - 16384
            yield chunk, level


def levels(payload):
    parameters = Parameters(payload)
    chunks = read_levels(payload, parameters)
    return b"".join(parameters.factors.weights(chunk.first, level, payload.dtype) for chunk, level in chunks)


def tiled_levels(payload):
    bits, stored = Bits(payload.parameters), payload.recipe["stored"]
    factors = Factors(bits, payload.units, payload.recipe["steps"])
    level = tiled_units(payload, stored, bits).astype({"I8": np.int8, "I16": np.int16}[stored])
    return factors.weights(0, level.astype(np.int64), payload.dtype)
