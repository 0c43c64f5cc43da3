"""XXH3-64 (seed 0, default secret) and BLAKE3 (32 bytes, no key) on numpy."""

import struct

import numpy as np

M64 = (1 << 64) - 1

# ---------------------------------------------------------------- XXH3-64

SECRET = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671f"
    "cb79e64eccc0e578825ad07dccff7221b8084674f743248ee03590e6813a264c"
    "3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
    "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364"
    "eac5ac8334d3ebc3c581a0fffa1363eb170ddd51b7f0da49d316552629d4689e"
    "2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e"
)
P32_1, P32_2, P32_3 = 0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D
P64_1, P64_2, P64_3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
P64_4, P64_5 = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5
MX1, MX2 = 0x165667919E3779F9, 0x9FB21C651E98DF25


def _u32(data, at):
    return struct.unpack_from("<I", data, at)[0]


def _u64(data, at):
    return struct.unpack_from("<Q", data, at)[0]


def _swap64(x):
    return int.from_bytes(x.to_bytes(8, "little"), "big")


def _rotl64(x, n):
    return ((x << n) | (x >> (64 - n))) & M64


def _fold(a, b):
    """The two halves of the 128-bit product, xored."""
    product = a * b
    return (product & M64) ^ (product >> 64)


def _xxh64_avalanche(h):
    h = (h ^ (h >> 33)) * P64_2 & M64
    h = (h ^ (h >> 29)) * P64_3 & M64
    return h ^ (h >> 32)


def _avalanche(h):
    h = (h ^ (h >> 37)) * MX1 & M64
    return h ^ (h >> 32)


def _mix16(data, at, secret_at):
    return _fold(
        _u64(data, at) ^ _u64(SECRET, secret_at),
        _u64(data, at + 8) ^ _u64(SECRET, secret_at + 8),
    )


def _long(data):
    """More than 240 bytes: stripes of 64 bytes, blocks of 16 stripes."""
    n = len(data)
    stripes = (n - 1) // 64
    words = np.frombuffer(data, "<u8", stripes * 8).reshape(stripes, 8)
    keys = np.stack([np.frombuffer(SECRET, "<u8", 8, 8 * i) for i in range(16)])
    low, shift = np.uint64(0xFFFFFFFF), np.uint64(32)

    def added(words, keys):
        """What each stripe adds to the eight accumulators."""
        keyed = words ^ keys
        swapped = words.reshape(-1, 4, 2)[:, :, ::-1].reshape(-1, 8)
        return (keyed & low) * (keyed >> shift) + swapped

    acc = np.array([P32_3, P64_1, P64_2, P64_3, P64_4, P32_2, P64_5, P32_1], np.uint64)
    blocks = (n - 1) // 1024
    scramble = np.frombuffer(SECRET, "<u8", 8, 128)
    step = 1 << 10  # blocks at a time, to bound memory
    for first in range(0, blocks, step):
        last = min(blocks, first + step)
        part = added(words[16 * first : 16 * last], np.tile(keys, (last - first, 1)))
        for block in part.reshape(-1, 16, 8).sum(axis=1, dtype=np.uint64):
            acc = acc + block
            acc = (acc ^ (acc >> np.uint64(47)) ^ scramble) * np.uint64(P32_1)
    rest = words[16 * blocks :]
    acc = acc + added(rest, keys[: len(rest)]).sum(axis=0, dtype=np.uint64)
    tail = np.frombuffer(data, "<u8", 8, n - 64).reshape(1, 8)
    acc = acc + added(tail, np.frombuffer(SECRET, "<u8", 8, 121).reshape(1, 8))[0]

    acc = [int(x) for x in acc]
    result = n * P64_1
    for i in range(4):
        at = 11 + 16 * i
        result += _fold(acc[2 * i] ^ _u64(SECRET, at), acc[2 * i + 1] ^ _u64(SECRET, at + 8))
    return _avalanche(result & M64)


def xxh3_64(data):
    data = bytes(data)
    n = len(data)
    if n == 0:
        return _xxh64_avalanche(_u64(SECRET, 56) ^ _u64(SECRET, 64))
    if n <= 3:
        word = data[0] << 16 | data[n >> 1] << 24 | data[n - 1] | n << 8
        return _xxh64_avalanche(word ^ _u32(SECRET, 0) ^ _u32(SECRET, 4))
    if n <= 8:
        word = _u32(data, n - 4) + (_u32(data, 0) << 32)
        h = word ^ _u64(SECRET, 8) ^ _u64(SECRET, 16)
        h ^= _rotl64(h, 49) ^ _rotl64(h, 24)
        h = h * MX2 & M64
        h = (h ^ ((h >> 35) + n)) * MX2 & M64
        return h ^ (h >> 28)
    if n <= 16:
        low = _u64(data, 0) ^ _u64(SECRET, 24) ^ _u64(SECRET, 32)
        high = _u64(data, n - 8) ^ _u64(SECRET, 40) ^ _u64(SECRET, 48)
        return _avalanche((n + _swap64(low) + high + _fold(low, high)) & M64)
    if n <= 128:
        acc = n * P64_1
        for i in range((n - 1) // 32 + 1):
            acc += _mix16(data, 16 * i, 32 * i) + _mix16(data, n - 16 * (i + 1), 32 * i + 16)
        return _avalanche(acc & M64)
    if n <= 240:
        acc = n * P64_1
        for i in range(8):
            acc += _mix16(data, 16 * i, 16 * i)
        acc = _avalanche(acc & M64)
        for i in range(8, n // 16):
            acc += _mix16(data, 16 * i, 16 * (i - 8) + 3)
        return _avalanche((acc + _mix16(data, n - 16, 136 - 17)) & M64)
    return _long(data)


# ---------------------------------------------------------------- BLAKE3

IV = (
    0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A,
    0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19,
)  # fmt: skip
PERMUTATION = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
QUARTERS = (
    (0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
    (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14),
)  # fmt: skip
CHUNK_START, CHUNK_END, PARENT, ROOT = 1, 2, 4, 8


def _rotr(x, n):
    return (x >> np.uint32(n)) | (x << np.uint32(32 - n))


def _compress(cv, words, counter, length, flags):
    """New chaining values: `cv` is 8 x k, `words` 16 x k, the rest k or scalars."""
    k = words.shape[1]
    v = np.empty((16, k), np.uint32)
    v[:8] = cv
    v[8:12] = np.array(IV[:4], np.uint32)[:, None]
    counter = np.asarray(counter, np.uint64)
    v[12] = (counter & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    v[13] = (counter >> np.uint64(32)).astype(np.uint32)
    v[14] = length
    v[15] = flags
    v, m = list(v), list(words)
    for _ in range(7):
        for i, (a, b, c, d) in enumerate(QUARTERS):
            v[a] = v[a] + v[b] + m[2 * i]
            v[d] = _rotr(v[d] ^ v[a], 16)
            v[c] = v[c] + v[d]
            v[b] = _rotr(v[b] ^ v[c], 12)
            v[a] = v[a] + v[b] + m[2 * i + 1]
            v[d] = _rotr(v[d] ^ v[a], 8)
            v[c] = v[c] + v[d]
            v[b] = _rotr(v[b] ^ v[c], 7)
        m = [m[i] for i in PERMUTATION]
    return np.stack([v[i] ^ v[i + 8] for i in range(8)])


def _chunk_values(data, first, root):
    """Chaining values (8 x k) of the chunks of `data`, numbered from `first`.

    All but the last chunk have 1024 bytes.
    """
    k = max(1, -(-len(data) // 1024))
    padded = np.zeros(k * 1024, np.uint8)
    padded[: len(data)] = np.frombuffer(data, np.uint8)
    words = padded.view("<u4").reshape(k, 16, 16).transpose(1, 2, 0)
    sizes = np.full(k, 1024, np.int64)
    sizes[-1] = len(data) - 1024 * (k - 1)
    ends = np.maximum(1, -(-sizes // 64)) - 1  # number of the last block
    counter = np.arange(first, first + k, dtype=np.uint64)
    cv = np.repeat(np.array(IV, np.uint32)[:, None], k, axis=1)
    for block in range(16):
        flags = np.where(ends == block, CHUNK_END | (ROOT if root else 0), 0)
        flags |= CHUNK_START if block == 0 else 0
        length = np.clip(sizes - 64 * block, 0, 64)
        new = _compress(cv, words[block], counter, length, flags)
        cv = np.where(ends >= block, new, cv)
    return cv


def blake3(data):
    data = memoryview(data).cast("B")
    if len(data) <= 1024:
        return _chunk_values(data, 0, True).T.astype("<u4").tobytes()
    step = 1 << 20
    level = np.concatenate(
        [_chunk_values(data[at : at + step], at // 1024, False) for at in range(0, len(data), step)],
        axis=1,
    )
    iv = np.array(IV, np.uint32)[:, None]
    # Neighbours are joined level by level; an odd last value moves up as it is.
    while (k := level.shape[1]) > 1:
        pairs = k // 2
        words = np.concatenate([level[:, 0 : 2 * pairs : 2], level[:, 1 : 2 * pairs : 2]])
        flags = PARENT | (ROOT if k == 2 else 0)
        joined = _compress(np.repeat(iv, pairs, axis=1), words, 0, 64, flags)
        level = np.concatenate([joined, level[:, 2 * pairs :]], axis=1)
    return level.T.astype("<u4").tobytes()
