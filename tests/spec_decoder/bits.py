"""SPEC "Bit streams": bit 0 of byte 0 comes first, and a field's lowest bit."""

import numpy as np


def fields(data, starts, widths):
    """Fields of up to 64 bits as uint64, at any bit positions of `data` (bytes).

    A field that reaches beyond the data is an error.
    """
    starts = np.asarray(starts, np.int64)
    widths = np.broadcast_to(np.asarray(widths, np.int64), starts.shape)
    if len(starts) and int((starts + widths).max()) > 8 * len(data):
        raise ValueError("raw bits reach beyond the bit stream")
    padded = np.zeros(len(data) + 16, np.uint8)
    padded[: len(data)] = np.frombuffer(data, np.uint8)
    at = starts >> 3
    word = np.zeros(starts.shape, np.uint64)
    for i in range(8):
        word |= padded[at + i].astype(np.uint64) << np.uint64(8 * i)
    shift = (starts & 7).astype(np.uint64)
    # The ninth byte; shifted in two goes, because a shift by 64 bits is not defined.
    top = padded[at + 8].astype(np.uint64) << np.uint64(1) << (np.uint64(63) - shift)
    word = (word >> shift) | np.where(shift == 0, np.uint64(0), top)
    gone = (64 - widths).astype(np.uint64)
    full = np.uint64(0xFFFFFFFFFFFFFFFF)
    return np.where(widths == 0, np.uint64(0), word & (full >> np.minimum(gone, np.uint64(63))))


def consecutive(data, start, widths):
    """Fields that follow each other from bit `start`; also the first bit after them."""
    widths = np.asarray(widths, np.int64)
    ends = start + np.cumsum(widths)
    return fields(data, ends - widths, widths), int(ends[-1]) if len(ends) else start


class Bits:
    """A bit stream read field by field."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def read(self, n):
        end = self.at + n
        if end > 8 * len(self.data):
            raise ValueError("a bit stream is cut off")
        window = int.from_bytes(self.data[self.at >> 3 : (end + 7) >> 3], "little")
        value = window >> (self.at & 7) & ((1 << n) - 1)
        self.at = end
        return value

    def unary(self, most):
        count = 0
        while self.read(1):
            count += 1
            if count > most:
                raise ValueError("a unary number is too large")
        return count

    def finish(self):
        """Only the bits that fill up the last byte may be left."""
        if len(self.data) != (self.at + 7) >> 3:
            raise ValueError("bytes are left in a bit stream")
