"""SPEC "float": tokens, raw planes, escapes, widening."""

import numpy as np

from bits import Bits
from container import need
from dtypes import FLOATS, UNIT_BYTES
from rans import Steps, Streams, read_table

# ------------------------------------------------------------------ Raw planes


def pieces(bits):
    """Widths of the planes, the top one first."""
    return [8] * (bits // 8) + [p for p in (4, 2, 1) if bits % 8 & p]


def plane_bytes(n, p):
    return n // 256 * 32 * p + -(-(n % 256) // 8) * p


def read_plane(data, n, p):
    """The p-bit pieces of n units, as uint64."""
    data = np.frombuffer(data, np.uint8)
    shifts = np.arange(0, 8, p, dtype=np.uint8)[:, None]
    full = n // 256 * 32 * p
    groups = data[:full].reshape(-1, 1, 32 * p) >> shifts
    rest = (data[None, full:] >> shifts).ravel()[: n % 256]
    both = np.concatenate([groups.ravel(), rest]) & np.uint8((1 << p) - 1)
    return both.astype(np.uint64)


def read_raw_bits(data, seeds, n, bits):
    """The raw bits of n units; `data` lacks what the seeds hold."""
    widths = pieces(bits)
    last = plane_bytes(n, widths[-1])
    kept = min(64, last)
    need(not any(seeds[kept:]), "seeds that are not 0")
    data += seeds[:kept]
    raw, at = np.zeros(n, np.uint64), 0
    for p in widths:
        size = plane_bytes(n, p)
        raw = raw << np.uint64(p) | read_plane(data[at : at + size], n, p)
        at += size
    return raw


def raw_size(n, bits):
    """Bytes of the raw planes in the chunk."""
    sizes = [plane_bytes(n, p) for p in pieces(bits)]
    return sum(sizes) - min(64, sizes[-1])


# ------------------------------------------------------------------ Escapes and widening


def escape(tokens, data, token_bits):
    entries = np.frombuffer(data, "<u4")
    positions, values = (entries & 0xFFFFF).astype(np.int64), entries >> 20
    need((np.diff(positions) > 0).all() and (positions < len(tokens)).all(), "place of an escape")
    need((values >> token_bits == 0).all(), "token of an escape")
    tokens[positions] = values


def widen(patterns, stored, dtype):
    """Bit patterns of the dtype for those of the narrower `stored` (both uint64)."""
    if stored == dtype or dtype == "C64" and stored == "F32":
        return patterns
    if stored == "BF16":
        return patterns << np.uint64(16)
    narrow = patterns.astype({"F16": "<u2", "F32": "<u4"}[stored])
    unit = f"<u{UNIT_BYTES[dtype]}"
    with np.errstate(invalid="ignore"):
        values = narrow.view(narrow.dtype.str.replace("u", "f")).astype(unit.replace("u", "f"))
    result = values.view(unit).astype(np.uint64)
    # Inf and NaN by hand, because arithmetic may change a NaN's bits.
    (e, m), (wide_e, wide_m) = FLOATS[stored], FLOATS[dtype]
    ones = (1 << e) - 1
    special = patterns >> np.uint64(m) & np.uint64(ones) == ones
    high = (patterns >> np.uint64(e + m) << np.uint64(wide_e)) + np.uint64((1 << wide_e) - 1)
    low = (patterns & np.uint64((1 << m) - 1)) << np.uint64(wide_m - m)
    return np.where(special, (high << np.uint64(wide_m)) + low, result)


# ------------------------------------------------------------------ Units


def float_method(payload):
    recipe = payload.recipe
    stored, fraction, mantissa = recipe["stored"], recipe["fraction"], recipe["mantissa"]
    exponent_bits, mantissa_bits = FLOATS[stored]
    T, k = exponent_bits + mantissa, mantissa_bits - mantissa
    bits = Bits(payload.parameters)
    base = bits.read(16)
    steps = Steps(bits, payload.units, recipe["columns"])
    tables = [read_table(bits, recipe["prob"]) for _ in range(1 << fraction)]
    bits.finish()

    result = np.zeros(payload.units, f"<u{payload.unit_bytes}")
    for batch in payload.batches():
        ends = []  # of the streams
        for chunk in batch:
            escapes, zeros = chunk.extra % (1 << 24), chunk.extra >> 24
            need(zeros <= k, "zeros of a chunk")
            ends.append(len(chunk.data) - raw_size(chunk.count, k + 1 - zeros) - 4 * escapes)
            need(ends[-1] > 0, "length of a chunk")
        streams = Streams([c.data[:end] for c, end in zip(batch, ends)], tables, recipe["prob"])
        s = [steps.of(chunk.first, chunk.count) for chunk in batch]
        symbols = streams.read([x % (1 << fraction) for x in s])
        for i, (chunk, seeds) in enumerate(zip(batch, streams.finish())):
            tokens = (base + symbols[i] + (s[i] >> fraction << mantissa)) % (1 << T)
            escapes, zeros = chunk.extra % (1 << 24), chunk.extra >> 24
            escapes_at = len(chunk.data) - 4 * escapes
            escape(tokens, chunk.data[escapes_at:], T)
            raw = read_raw_bits(chunk.data[ends[i] : escapes_at], seeds, chunk.count, k + 1 - zeros)
            raw = raw << np.uint64(zeros)
            sign, low = raw >> np.uint64(k), raw & np.uint64((1 << k) - 1)
            units = (sign << np.uint64(T)) + tokens.astype(np.uint64)
            units = (units << np.uint64(k)) + low
            units = widen(units, stored, payload.dtype)
            result[chunk.first : chunk.first + chunk.count] = units
    return result.tobytes()
