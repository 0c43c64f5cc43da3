"""SPEC "Frequency tables", "rANS" and "Scale steps"."""

import numpy as np

LANES = 32
END = 1 << 16  # states at the end are this plus the seed


# ------------------------------------------------------------------ Frequency tables


def read_table(bits, prob):
    """Frequencies of the symbols 0 to 255."""
    frequency = np.zeros(256, np.int64)
    first, last = bits.read(8), bits.read(8)
    if first >= last:
        raise ValueError("table: first and last symbol")
    length = 0
    for symbol in range(first, last + 1):
        z = bits.unary(26)
        length += (z + 1) // 2 if z % 2 else -(z // 2)
        if not 0 <= length <= prob:
            raise ValueError("table: length of a frequency")
        if length:
            frequency[symbol] = (1 << (length - 1)) + bits.read(length - 1)
    if frequency.sum() != 1 << prob or not frequency[first] or not frequency[last]:
        raise ValueError("table: frequencies")
    return frequency


def slots(frequency):
    """Owner, owner's frequency, and place in the owner's run, of every slot."""
    owner = np.repeat(np.arange(256), frequency)
    start = np.cumsum(frequency) - frequency
    return owner, frequency[owner], np.arange(len(owner)) - start[owner]


# ------------------------------------------------------------------ rANS


class Streams:
    """Streams of several chunks, read in lockstep: all their lanes at a time.

    With `raw`, the least symbol and the raw bits of every token, what tables hold are tokens."""

    def __init__(self, parts, tables, prob, raw=None):
        if any(len(part) < 4 * LANES or len(part) % 16 for part in parts):
            raise ValueError("stream: length")
        self.prob, self.raw = prob, raw
        # Tables behind each other: slot s of context c is at c * 2^prob + s.
        self.slots = [np.concatenate(column) for column in zip(*map(slots, tables))]
        self.words = np.frombuffer(b"".join(parts), "<u2").astype(np.int64)
        heads = [np.frombuffer(part, "<u4", LANES) for part in parts]
        self.states = np.array(heads, np.int64).reshape(-1, LANES)
        sizes = np.array([len(part) // 2 for part in parts], np.int64)
        self.ends = np.cumsum(sizes)
        self.at = self.ends - sizes + 2 * LANES  # the next word of each stream

    def read(self, contexts):
        """The next symbols of every stream, for an array of contexts each.

        They are filled up to whole steps with context 0, whose symbols are dropped.
        """
        counts = np.array([len(c) for c in contexts], np.int64)
        steps = -(-counts // LANES)
        order = np.argsort(-steps, kind="stable")  # streams that end early come last
        most = int(steps.max(initial=0))
        grid = np.zeros((most, len(contexts), LANES), np.uint8)
        for i, stream in enumerate(order):
            filled = np.zeros(int(steps[stream]) * LANES, np.uint8)
            filled[: counts[stream]] = contexts[stream]
            grid[: steps[stream], i] = filled.reshape(-1, LANES)
        reading = (steps[:, None] > np.arange(most)).sum(axis=0).tolist()
        symbols = np.zeros(grid.shape, np.uint8)
        states, at = self.states[order], self.at[order]
        owner, frequency, place = self.slots
        mask, prob, words = (1 << self.prob) - 1, self.prob, self.words
        for step, k in enumerate(reading):
            x = states[:k]
            slot = (x & mask) + (grid[step, :k].astype(np.int64) << prob)
            symbol = owner.take(slot)
            x = frequency.take(slot) * (x >> prob) + place.take(slot)
            if self.raw:
                least, count = (column.take(symbol) for column in self.raw)
                symbol = least + (x & ((1 << count) - 1))
                x = x >> count
            symbols[step, :k] = symbol
            wanting = x < 1 << 16
            rank = np.cumsum(wanting, axis=1)
            word = words.take(at[:k, None] + rank - 1, mode="clip")  # `finish` finds overruns
            states[:k] = np.where(wanting, (x << 16) + word, x)
            at[:k] += rank[:, -1]
        self.states[order], self.at[order] = states, at
        result = [None] * len(contexts)
        for i, stream in enumerate(order):
            result[stream] = symbols[: steps[stream], i].ravel()[: counts[stream]].astype(np.int64)
        return result

    def finish(self):
        """Checks the ends of all streams; their seeds, 64 bytes each."""
        zeros = self.ends - self.at  # whole steps of 16 bytes are 8 words
        if (zeros < 0).any() or (zeros >= 8).any():
            raise ValueError("stream: words are missing or left over")
        if (self.states >> 16 != 1).any():
            raise ValueError("stream: final state")
        return [row.astype("<u2").tobytes() for row in self.states - END]


def read_serial(bits, frequency, prob, count):
    """`count` symbols of a serial stream."""
    owner, frequencies, place = (column.tolist() for column in slots(frequency))
    symbols = np.zeros(count, np.int64)
    x = bits.read(32)
    for i in range(count):
        slot = x & ((1 << prob) - 1)
        symbols[i] = owner[slot]
        x = frequencies[slot] * (x >> prob) + place[slot]
        if x < 1 << 16:
            x = (x << 16) + bits.read(16)
    if x != END:
        raise ValueError("serial stream: final state")
    return symbols


# ------------------------------------------------------------------ Scale steps


class Steps:
    """Scale steps of the units of a matrix; 0 without one."""

    def __init__(self, bits, units, columns):
        self.columns = columns
        if columns:
            self.row = self._read(bits, units // columns)
            self.column = self._read(bits, columns)
            if self.row.max(initial=0) + self.column.max(initial=0) > 255:
                raise ValueError("scale steps above 255")

    @staticmethod
    def _read(bits, count):
        if bits.read(1) == 0:
            return np.full(count, bits.read(8), np.int64)
        return read_serial(bits, read_table(bits, 12), 12, count)

    def of(self, first, count):
        """Of `count` units from unit `first` on."""
        if not self.columns:
            return np.zeros(count, np.int64)
        i, j = np.divmod(np.arange(first, first + count), self.columns)
        return self.row[i] + self.column[j]
