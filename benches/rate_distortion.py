#!/usr/bin/env python3
"""What quantised files cost: bits a weight against perplexity and KL divergence, whole files, real bytes.

  python3 benches/rate_distortion.py MODEL_DIR --text TEXT --bits 3,4,5,6 [--calibrate TEXT] [--windows 12]
      [--lossless PATTERN] [--statistics FOLDER] [--wcodec target/release/wcodec]

MODEL_DIR has model.safetensors, config.json and tokenizer.json. For each rate the model is encoded and measured
against itself with `wcodec eval`; without --calibrate by the data-free mode. Needs the standard library alone.
"""

import argparse
import json
import math
import os
import struct
import subprocess
import sys
import tempfile
import time


def index(path):
    with open(path, "rb") as file:
        (length,) = struct.unpack_from("<Q", file.read(32), 16)
        return json.loads(file.read(length))


def bits(tensors):
    """Bits a weight of some tensors' payloads."""
    weights = sum(math.prod(t["shape"]) for t in tensors)
    return 8 * sum(t["data"][1] for t in tensors) / weights if weights else 0.0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--text", required=True)
    parser.add_argument("--bits", required=True, help="bits a weight of the whole file, comma-separated")
    parser.add_argument("--calibrate")
    parser.add_argument("--statistics", help="folder for statistics, kept from rate to rate")
    parser.add_argument("--lossless", action="append", default=[])
    parser.add_argument("--windows", default="12")
    parser.add_argument("--wcodec", default="target/release/wcodec")
    args = parser.parse_args()
    original = os.path.join(args.model, "model.safetensors")
    print("file    blocks  other   seconds perplexity  (reference)  KL        same top")
    with tempfile.TemporaryDirectory() as folder:
        statistics = args.statistics or os.path.join(folder, "statistics")
        for rate in args.bits.split(","):
            out = os.path.join(folder, "quantised.wcodec")
            command = [args.wcodec, "encode", original, "-o", out, "-f", "-q", "--bits", rate]
            for pattern in args.lossless:
                command += ["--lossless", pattern]
            if args.calibrate:
                command += ["--calibrate", args.calibrate, "--statistics", statistics]
            begun = time.time()
            subprocess.run(command, check=True)
            seconds = time.time() - begun
            command = [args.wcodec, "eval", original, out, "--text", args.text, "--windows", args.windows, "--json", "-q"]
            for name in ("config", "tokenizer"):
                command += [f"--{name}", os.path.join(args.model, f"{name}.json")]
            report = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
            text, tensors = report["texts"][0], index(out)["tensors"]
            blocks = [t for t in tensors if ".layers." in t["name"] and t["recipe"].startswith("levels")]
            others = [t for t in tensors if t not in blocks]
            file = 8 * os.path.getsize(out) / sum(math.prod(t["shape"]) for t in tensors)
            row = f"{file:6.3f}  {bits(blocks):6.3f}  {bits(others):6.3f}  {seconds:7.1f}"
            row += f" {text['candidate']['perplexity']:10.3f}  ({text['reference']['perplexity']:9.3f})"
            print(f"{row}  {text['divergence']['mean']:9.5f} {text['same_top']['mean']:9.4f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
