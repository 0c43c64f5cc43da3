"""SPEC "tiles", from "Elements" on: contexts, raw bits and bit patterns of a chunk."""

import numpy as np

import bits as bit_stream
import tiles
from dtypes import FLOATS, UNIT_BYTES
from rans import Streams, read_table

UNSIGNED = {"BOOL", "U8", "U16", "U32", "U64", "F8_E8M0", "F4", "F6_E2M3", "F6_E3M2"}
SIGNED = {"I8", "I16", "I32", "I64"}
TABLES = 8
ESCAPE = 255


# ------------------------------------------------------------------ Elements


def to_elements(patterns, dtype, n):
    top, mask = np.uint64(1 << (n - 1)), np.uint64((1 << n) - 1)
    if dtype in UNSIGNED:
        return patterns
    if dtype in SIGNED:
        return patterns ^ top
    return np.where(patterns & top != 0, ~patterns & mask, patterns + top)


def to_patterns(elements, dtype, n):
    top, mask = np.uint64(1 << (n - 1)), np.uint64((1 << n) - 1)
    if dtype in UNSIGNED:
        return elements
    if dtype in SIGNED:
        return elements ^ top
    return np.where(elements & top != 0, elements - top, ~elements & mask)


# ------------------------------------------------------------------ Layout of a chunk


def split_transforms(symbols, counts):
    """The transform codes of all blocks, from one symbol a tile."""
    codes = []
    for symbol, count in zip(symbols.tolist(), counts):
        if symbol >= 3**count:
            raise ValueError("a transform symbol is too large")
        for _ in range(count):
            symbol, code = divmod(symbol, 3)
            codes.append(code)
    return np.array(codes, np.int64)


def unit_contexts(grid, predictors, transforms):
    """Context of every unit: tile after tile, row-major within a tile."""
    v, h = np.divmod(np.arange(64).reshape(8, 8), 8)
    coefficient = np.array([4, 5, 5, 6, 6, 6, 6] + [7] * 8)[v + h]
    parts, at = [], 0
    for (_, _, height, width), predictor in zip(grid, predictors):
        contexts = np.full((height, width), 2 if predictor == 0 else 3, np.int64)
        for i in range(tiles.block_count(height, width)):
            if transforms[at + i]:
                y, x = 8 * (i // (width // 8)), 8 * (i % (width // 8))
                contexts[y : y + 8, x : x + 8] = coefficient
        at += tiles.block_count(height, width)
        parts.append(contexts.ravel())
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


# ------------------------------------------------------------------ Symbols and raw bits


def signed(z):
    """0, -1, 1, -2, 2 ... for z = 0, 1, 2, 3, 4 ..."""
    half = (z >> np.uint64(1)).astype(np.int64)
    return np.where(z & np.uint64(1) != 0, ~half, half)


def hybrid(token, q, width):
    high = (4 + token % 4).astype(np.uint64) << width.astype(np.uint64)
    return np.where(token < 16, token.astype(np.uint64), high + q)


def decode_units(symbols, contexts, raw, dtype, n, base):
    """Coded values (int64) of all units from their symbols and the bit stream."""
    plain = contexts == 2
    floats = plain & (dtype in FLOATS)
    nibble = plain & (dtype not in FLOATS) & (n == 8)
    exponent, mantissa = FLOATS.get(dtype, (0, 0))
    m = min(mantissa, 2, 12 - exponent)
    T, L = exponent + m, mantissa - m
    # At most 61 bits, so that z is less than 2^64.
    tail = np.where(symbols < 16, 0, (symbols - 16) // 4 + 2)
    widths = np.where(floats, L + 1, np.where(nibble, 0, tail))
    # An escaped token comes first, then the unit's other bits.
    escapes = np.where(floats & (symbols == ESCAPE), T, 0)
    both, end = bit_stream.consecutive(raw, 0, np.stack([escapes, widths], axis=1).ravel())
    if -(-end // 8) != len(raw):
        raise ValueError("bytes are left after the last unit")
    if end % 8 and raw[-1] >> (end % 8):
        raise ValueError("bits are left after the last unit")
    escaped, rest = both[0::2], both[1::2]

    values = signed(hybrid(symbols, rest, np.where(floats | nibble, 0, tail)))
    half = np.int64(-(1 << 63) if n == 64 else 1 << (n - 1))
    values[nibble] = symbols[nibble] - half
    if floats.any():
        token = np.where(escapes > 0, escaped, ((base + symbols) % (1 << T)).astype(np.uint64))
        low = rest & np.uint64((1 << L) - 1)
        pattern = ((rest >> np.uint64(L)) << np.uint64(n - 1)) + (token << np.uint64(L)) + low
        e = to_elements(pattern, dtype, n)
        values = np.where(floats, (e - np.uint64(1 << (n - 1))).astype(np.int64), values)
    return values


def tiles_method(payload):
    return tiled_units(payload, payload.dtype, bit_stream.Bits(payload.parameters)).tobytes()


def tiled_units(payload, dtype, parameters):
    """The bit patterns of a tensor of some dtype; `parameters` begin where those of tiles do."""
    columns, shape = payload.recipe["columns"], payload.recipe["shape"]
    prob, unit_bytes = payload.recipe["prob"], UNIT_BYTES[dtype]
    n = 8 * unit_bytes
    base = parameters.read(16)
    tables = [read_table(parameters, prob) for _ in range(TABLES)]
    parameters.finish()

    result = np.zeros(payload.units, f"<u{unit_bytes}")
    for batch in payload.batches():
        if any(chunk.extra > len(chunk.data) - 128 for chunk in batch):
            raise ValueError("the raw bits are longer than the chunk")
        ends = [len(chunk.data) - chunk.extra for chunk in batch]
        streams = Streams([c.data[:end] for c, end in zip(batch, ends)], tables, prob)
        # The three sections of all chunks, side by side.
        grids = [tiles.tile_grid(chunk.count // columns, columns, shape) for chunk in batch]
        predictors = streams.read([np.zeros(len(grid), np.int64) for grid in grids])
        if any((codes > tiles.PLANAR).any() for codes in predictors):
            raise ValueError("unknown predictor")
        codes = streams.read([np.ones(len(grid), np.int64) for grid in grids])
        counts = [[tiles.block_count(h, w) for _, _, h, w in grid] for grid in grids]
        transforms = list(map(split_transforms, codes, counts))
        contexts = list(map(unit_contexts, grids, predictors, transforms))
        symbols = streams.read(contexts)
        if any(map(any, streams.finish())):
            raise ValueError("seeds that are not 0")
        for i, chunk in enumerate(batch):
            raw = chunk.data[ends[i] :]
            values = decode_units(symbols[i], contexts[i], raw, dtype, n, base)
            e = tiles.decode_tiles(values, grids[i], columns, n, predictors[i], transforms[i])
            units = to_patterns(e.ravel(), dtype, n)
            result[chunk.first : chunk.first + chunk.count] = units
    return result
