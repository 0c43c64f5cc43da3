"""SPEC "tiles": tile grid, prediction and block transforms, on numpy.

Tiles of one size and predictor are rebuilt side by side: arrays have the tile's
row and column first and the tile's number last.
"""

import numpy as np

SHAPES = {"16x16": (16, 16), "8x32": (8, 32), "32x8": (32, 8)}  # (height, width)
NONE, LEFT, TOP, AVERAGE, PLANAR = range(5)

# Block transforms: code: (steps (a, b, P, Q), for each coefficient (element, sign)).
R = (6786, -11585)  # an eighth of a turn back
L = (-6786, 11585)  # and forth
TRANSFORMS = {
    1: (
        (
            (0, 7, *R), (1, 6, *R), (2, 5, *R), (3, 4, *R), (0, 3, *R), (1, 2, *R), (0, 1, *R),
            (2, 3, -3259, 6270), (4, 7, -1614, 3196), (5, 6, -4970, 9102),
            (6, 7, *L), (4, 5, *L), (5, 6, *L),
        ),
        ((0, 1), (7, -1), (3, -1), (6, 1), (1, -1), (5, -1), (2, 1), (4, 1)),
    ),
    2: (
        (
            (0, 7, -805, 1606), (1, 6, -2430, 4756), (2, 5, -4104, 7723), (3, 4, -5862, 10394),
            (4, 7, *L), (5, 6, *L), (6, 7, *L), (4, 5, 3259, -6270),
            (0, 3, *L), (1, 2, *L), (0, 1, *L), (2, 3, 3259, -6270),
            (2, 4, *L), (1, 6, *L), (3, 5, *R),
        ),
        ((7, 1), (4, 1), (2, 1), (6, 1), (1, 1), (5, -1), (3, 1), (0, 1)),
    ),
}  # fmt: skip


def scaled(multiplier, x):
    """M(m, x); numpy's 64-bit integers wrap as the SPEC wants."""
    return (x * np.int64(multiplier) + np.int64(8192)) >> np.int64(14)


def inverse_8_points(code, coefficients):
    """`coefficients`: 8 arrays; the result likewise."""
    steps, outputs = TRANSFORMS[code]
    v = [None] * 8
    for (element, sign), c in zip(outputs, coefficients):
        v[element] = c if sign > 0 else -c
    for a, b, p, q in reversed(steps):
        v[a] = v[a] - scaled(p, v[b])
        v[b] = v[b] - scaled(q, v[a])
        v[a] = v[a] - scaled(p, v[b])
    return v


def inverse_transform(code, blocks):
    """Residuals of blocks of coefficients: `blocks` is 8 x 8 x k (row, column, block)."""
    if code == 0:
        return blocks
    if code not in TRANSFORMS:
        raise ValueError(f"unknown transform {code}")
    rows = np.stack(inverse_8_points(code, list(blocks)))  # along each column
    return np.stack(inverse_8_points(code, list(rows.swapaxes(0, 1)))).swapaxes(0, 1)


def reconstruct(predictor, residuals, bits):
    """Elements (uint64) of h x w x k residuals (uint64, below 2^bits)."""
    if predictor == NONE:
        return residuals
    if predictor not in (LEFT, TOP, AVERAGE, PLANAR):
        raise ValueError(f"unknown predictor {predictor}")
    mask = np.uint64((1 << bits) - 1)
    height, width, _ = residuals.shape
    e = np.empty_like(residuals)
    for y in range(height):
        for x in range(width):
            if y == 0 and x == 0:
                p = np.uint64(1 << (bits - 1))
            elif y == 0:
                p = e[0, x - 1]
            elif x == 0 or predictor == TOP:
                p = e[y - 1, x]
            elif predictor == LEFT:
                p = e[y, x - 1]
            elif predictor == AVERAGE:
                a, b = e[y, x - 1], e[y - 1, x]
                p = (a & b) + ((a ^ b) >> np.uint64(1))
            else:
                p = e[y, x - 1] + e[y - 1, x] - e[y - 1, x - 1]
            e[y, x] = (residuals[y, x] + p) & mask
    return e


def tile_grid(rows, columns, shape):
    """(first row, first column, height, width) of every tile, in order."""
    height, width = SHAPES[shape]
    if rows == 0 or columns == 0:
        return []
    return [
        (y, x, min(height, rows - y), min(width, columns - x))
        for y in range(0, rows, height)
        for x in range(0, columns, width)
    ]


def block_count(height, width):
    """Number of complete 8 x 8 blocks of a tile."""
    return (height // 8) * (width // 8)


def decode_tiles(values, tiles, columns, bits, predictors, transforms):
    """Elements of a run of whole rows of tiles from their coded values.

    `values` (int64) follow each other tile by tile; `tiles` are as of `tile_grid`, with rows
    counted from the run's first; one predictor a tile; one transform a block, in order. The
    result is a matrix of uint64 with the given number of columns.
    """
    rows = max((y + h for y, _, h, _ in tiles), default=0)
    result = np.zeros((rows, columns), np.uint64)
    sizes = np.array([h * w for _, _, h, w in tiles], np.int64)
    firsts = np.cumsum(sizes) - sizes
    counts = np.array([block_count(h, w) for _, _, h, w in tiles], np.int64)
    blocks = np.cumsum(counts) - counts
    if sizes.sum() != len(values) or counts.sum() != len(transforms) or len(tiles) != len(predictors):
        raise ValueError("values, predictors or transforms do not fit the tiles")
    mask = np.uint64((1 << bits) - 1)
    groups = {}
    for t, (_, _, h, w) in enumerate(tiles):
        groups.setdefault((h, w, int(predictors[t])), []).append(t)
    for (h, w, predictor), members in groups.items():
        members = np.array(members)
        d = values[firsts[members] + np.arange(h * w)[:, None]].reshape(h, w, -1).copy()
        for i in range(block_count(h, w)):
            y, x = 8 * (i // (w // 8)), 8 * (i % (w // 8))
            codes = transforms[blocks[members] + i]
            for code in np.unique(codes):
                chosen = codes == code
                block = d[y : y + 8, x : x + 8]
                block[:, :, chosen] = inverse_transform(int(code), block[:, :, chosen])
        r = d.astype(np.uint64)
        if predictor == NONE:
            r = r + np.uint64(1 << (bits - 1))
        e = reconstruct(predictor, r & mask, bits)
        for k, t in enumerate(members):
            y, x, _, _ = tiles[t]
            result[y : y + h, x : x + w] = e[:, :, k]
    return result
