#!/usr/bin/env python3
"""How far a file is from the entropy of its own model: tokens conditioned on row x column scales.

  entropy.py ORIGINAL.safetensors ENCODED.wcodec [--match REGEX]

For every matrix whose name matches: the bits an element of ENCODED (payload: tables, scales, chunk
tables and all), and the ideal ones of ORIGINAL under the same model without any of these: the
empirical entropy of each element's token given the element's scale step in quarter octaves, plus raw
bits. BF16: the token is the exponent less the step's octaves and two bits of the mantissa, given the
quarter. I8: the token is the value, given the step. Needs numpy.
"""
import argparse
import json
import re
import struct

import numpy as np

WIDTH = {"BF16": np.uint16, "I8": np.int8}


def read_safetensors(path):
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    data = np.memmap(path, np.uint8, "r", 8 + length)
    for name, t in header.items():
        if name != "__metadata__" and t["dtype"] in WIDTH and len(t["shape"]) == 2:
            start, end = t["data_offsets"]
            yield name, t["dtype"], np.asarray(data[start:end]).view(WIDTH[t["dtype"]]).reshape(t["shape"])


def read_wcodec(path):
    """Bits of each tensor's payload, from the index at the front of the file."""
    with open(path, "rb") as file:
        prefix = file.read(32)
        assert prefix[:8] == b"\x89WCDC\r\n\x1a", f"{path} is no .wcodec file"
        index = json.loads(file.read(struct.unpack_from("<Q", prefix, 16)[0]))
    return {t["name"]: 8 * t["data"][1] for t in index["tensors"]}


def entropy(keys):
    """Sum of -log2(p) over all keys."""
    counts = np.unique(keys, return_counts=True)[1]
    return float((counts * np.log2(len(keys) / counts)).sum())


def conditional(tokens, contexts):
    joint = contexts.astype(np.int64) << 16 | (tokens.astype(np.int64) & 0xFFFF)
    return entropy(joint.ravel()) - entropy(contexts.ravel())


def scale_steps(magnitudes):
    """Row x column scale steps in quarter octaves, from 0."""
    rows, columns = np.ones(magnitudes.shape[0]), np.ones(magnitudes.shape[1])
    for _ in range(3):
        rows = np.maximum((magnitudes / columns).mean(1), 1e-30)
        columns = np.maximum((magnitudes / rows[:, None]).mean(0), 1e-30)
    steps = np.round(4 * np.log2(rows)).astype(int)[:, None] + np.round(4 * np.log2(columns)).astype(int)
    return steps - steps.min()


def ideal(dtype, values):
    if dtype == "I8":
        return conditional(values, scale_steps(np.abs(values.astype(np.float64))))
    magnitudes = values & 0x7FFF
    steps = scale_steps((magnitudes.astype(np.uint32) << 16).view(np.float32).astype(np.float64))
    tokens = (magnitudes.astype(np.int64) >> 5) - (steps // 4 << 2)
    return conditional(tokens, steps % 4) + 6 * values.size


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("original")
    parser.add_argument("encoded")
    parser.add_argument("--match", default="", help="names to take, a regular expression")
    args = parser.parse_args()
    encoded = read_wcodec(args.encoded)
    totals = {}
    for name, dtype, values in read_safetensors(args.original):
        if re.search(args.match, name):
            total = totals.setdefault(dtype, [0, 0, 0.0, 0.0])
            for i, n in enumerate((1, values.size, encoded[name], ideal(dtype, values))):
                total[i] += n
    for dtype, (tensors, elements, bits, best) in totals.items():
        print(
            f"{dtype}: {tensors} matrices, {elements} elements: {bits / elements:.4f} bits encoded, "
            f"{best / elements:.4f} ideal, {(bits - best) / elements:.4f} apart"
        )


if __name__ == "__main__":
    main()
