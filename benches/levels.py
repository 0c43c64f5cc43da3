#!/usr/bin/env python3
"""Where the bits of quantised tensors go, and how far they are from the entropy of their levels.

  levels.py ENCODED.wcodec [--match REGEX]

Bits a weight of the tensors of method `levels` whose names match, by what they are for, against two entropies
of the levels, both without any side information: given 16 classes of row x column energy, as many weights in
each; and given the file's own scale steps, one class each. Decodes with `tests/spec_decoder`. Needs numpy.
"""
import argparse
import os
import re
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "spec_decoder"))
from container import read_index, read_payload  # noqa: E402
from levels_method import Parameters, read_levels  # noqa: E402

CLASSES = 16


def entropy(classes, levels):
    """Bits of levels, given classes that count from 0."""
    low, width = int(levels.min()), int(levels.max() - levels.min() + 1)
    joint = np.bincount((classes * width + levels - low).ravel(), minlength=(int(classes.max()) + 1) * width)
    joint = joint.reshape(-1, width)
    counts = joint[joint > 0]
    totals = joint.sum(1)
    totals = totals[totals > 0]
    return float((totals * np.log2(totals)).sum() - (counts * np.log2(counts)).sum())


def by_energy(levels):
    """Entropy given classes of row x column energy."""
    energy = levels.astype(np.float64) ** 2 + 0.05
    scale = 0.5 * np.log2(energy.mean(1))[:, None] + 0.5 * np.log2(energy.mean(0))[None]
    edges = np.quantile(scale, np.linspace(0, 1, CLASSES + 1)[1:-1])
    return entropy(np.searchsorted(edges, scale), levels)


def parts(file, tensor):
    """Bits of a tensor by what they are for, its weights, and the two entropies."""
    payload = read_payload(file, tensor)
    parameters = Parameters(payload)
    levels = np.concatenate([level for _, level in read_levels(payload, parameters)])
    scale = parameters.scale.of(0, payload.units)
    chunks, escapes = len(payload.chunks), sum(c.extra for c in payload.chunks)
    result = dict(parameters.parts)
    result["escapes"] = 32 * escapes
    result["states"] = 8 * 128 * chunks
    result["chunk table"] = 8 * 16 * chunks
    result["words"] = 8 * sum(len(c.data) for c in payload.chunks) - result["escapes"] - result["states"]
    result["rest"] = 8 * tensor["data"][1] - sum(result.values())
    return payload.units, result, by_energy(levels.reshape(-1, payload.recipe["columns"])), entropy(scale, levels)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("encoded")
    parser.add_argument("--match", default="", help="names to take, a regular expression")
    args = parser.parse_args()
    total, units, energy, steps = {}, 0, 0.0, 0.0
    with open(args.encoded, "rb") as file:
        index = read_index(file, os.path.getsize(args.encoded))
        for tensor in index["tensors"]:
            if tensor["recipe"].startswith("levels ") and re.search(args.match, tensor["name"]):
                n, of_tensor, by_class, by_step = parts(file, tensor)
                units, energy, steps = units + n, energy + by_class, steps + by_step
                for name, bits in of_tensor.items():
                    total[name] = total.get(name, 0) + bits
    everything = sum(total.values())
    print(f"{units} weights: {everything / units:.4f} bits each, {(everything - energy) / units:+.4f} against the")
    print(f"entropy given {CLASSES} classes of energy, {energy / units:.4f}; given scale steps it is {steps / units:.4f}")
    for name, bits in sorted(total.items(), key=lambda part: -part[1]):
        print(f"{bits / units:8.4f} {name}")


if __name__ == "__main__":
    main()
