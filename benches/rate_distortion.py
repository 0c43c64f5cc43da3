#!/usr/bin/env python3
"""What quantised files cost: bits a weight against KL divergence and perplexity, ours and others', in one run.

  python3 benches/rate_distortion.py MODEL_DIR --text wiki.test.raw --calibrate wiki.valid.raw --html report.html

MODEL_DIR has model.safetensors, config.json and tokenizer.json. Measured together by `wcodec eval`, on one text
against the original: our files at several rates, calibrated and not; INT8 with a scale a row and INT4 in groups of
64 and 32, to the nearest; and GGUF's kinds with an importance matrix of the same calibration text, where libgguf is
installed. Bits are those of the blocks' linear layers with --embedding kept, where embedding, head and norms are
coded losslessly for all; and of the whole file with --embedding quantised, where the others have them as their
formats do. The table at the end says how much smaller ours are where they cost what another does: KL is
interpolated (its logarithm, over bits) between our two rates around it.

Needs wcodec; for the others numpy, safetensors and torch; for GGUF libgguf and transformers too.
"""

import argparse
import json
import math
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time

MODEL = ("model.safetensors", "config.json", "tokenizer.json")


def index(path):
    """The tensors of a .wcodec file."""
    with open(path, "rb") as file:
        (length,) = struct.unpack_from("<Q", file.read(32), 16)
        return json.loads(file.read(length))["tensors"]


def is_block(name):
    return ".layers." in name and "_proj." in name


class Run:
    def __init__(self, args, folder):
        self.args, self.folder = args, folder
        self.original = os.path.join(args.model, "model.safetensors")
        lossless = os.path.join(folder, "lossless.wcodec")
        self.wcodec("encode", self.original, "-o", lossless, "--force")
        self.size = os.path.getsize(lossless)
        tensors = index(lossless)
        self.shapes = {t["name"]: t["shape"] for t in tensors}
        self.lossless = {t["name"]: t["data"][1] for t in tensors}
        self.weights = sum(math.prod(shape) for shape in self.shapes.values())
        self.blocks = sum(math.prod(shape) for name, shape in self.shapes.items() if is_block(name))
        blocks = sum(size for name, size in self.lossless.items() if is_block(name))
        # Of a file whose blocks take nothing.
        self.rest = self.size - blocks
        self.candidates, self.seconds = [], {}

    def wcodec(self, *command):
        """What the program prints; it works in the folder, so that reports have names and no paths."""
        command = [self.args.wcodec, *command, "--quiet"]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=self.folder).stdout

    def new(self, series, name):
        """Path of a candidate, and whether it is to be made."""
        path = os.path.join(self.folder, f"{series} {name}".replace(" ", "-"))
        self.candidates.append((series, path))
        return path, not os.path.exists(path)

    def ours(self, series, extra, rates):
        for rate in rates:
            path, missing = self.new(series, f"{rate}.wcodec")
            if not missing:
                continue
            bits = float(rate)
            command = ["encode", self.original, "-o", path, *extra]
            if self.args.embedding == "kept":
                bits = (bits * self.blocks + 8 * self.rest) / self.weights
                command.append("--keep-head")
            begun = time.time()
            self.wcodec(*command, "--bits", f"{bits:.4f}")
            self.seconds[path] = time.time() - begun
            print(f"{series} {rate}: {self.seconds[path]:.0f} s", file=sys.stderr, flush=True)

    def others(self):
        import rounded

        args, squares = self.args, None
        kinds = [("rounded", kind) for kind in rounded.ROUNDED] if args.others else []
        if args.others and rounded.gguf():
            kinds += [("GGUF", kind) for kind in rounded.GGUF]
        elif args.others:
            print("libgguf is not installed: no GGUF kinds", file=sys.stderr)
        for series, kind in kinds:
            path, missing = self.new(series, f"{kind}.safetensors")
            if not missing:
                continue
            if series == "GGUF" and squares is None:
                squares = rounded.importance(args.model, args.calibrate, args.calibration_tokens, args.window)
            whole = args.embedding == "quantised"
            rounded.write(self.original, path + ".part", kind, squares, self.lossless, whole)
            os.rename(path + ".part", path)
            print(kind, file=sys.stderr, flush=True)

    def rate(self, path, report):
        """Bits a weight of what is compared."""
        if self.args.embedding == "quantised":
            return report["bits_per_weight"]
        return report["linear_bits_per_weight"]

    def measure(self):
        args = self.args
        names = [os.path.basename(path) for _, path in self.candidates]
        command = ["eval", self.original, *names, "--text", args.text, "--windows", args.windows, "--json"]
        command += ["--window", str(args.window)]
        for name in ("config", "tokenizer"):
            command += [f"--{name}", os.path.join(args.model, f"{name}.json")]
        command += ["--resume", os.path.join(self.folder, "measured")]
        if args.html:
            command += ["--html", args.html]
        report = json.loads(self.wcodec(*command))
        rows = []
        for (series, path), candidate in zip(self.candidates, report["candidates"]):
            text = candidate["texts"][0]
            rows.append(
                {
                    "series": series,
                    "name": os.path.splitext(os.path.basename(path))[0][len(series) + 1 :],
                    "bits": self.rate(path, candidate),
                    "file_bits": candidate["bits_per_weight"],
                    "perplexity": text["candidate"]["perplexity"],
                    "kl": text["divergence"]["mean"],
                    "kl_error": text["divergence"]["standard_error"],
                    "same_top": text["same_top"]["mean"],
                    "seconds": self.seconds.get(path),
                }
            )
        return rows, report["candidates"][0]["texts"][0]["reference"]["perplexity"]


def rates(text):
    return [rate for rate in text.split(",") if rate]


def at(curve, key, value):
    """Bits at which a curve has a value, between two of its points; None outside."""
    points = sorted((row["bits"], math.log(row[key])) for row in curve if row[key] > 0)
    for (low, high_cost), (high, low_cost) in zip(points, points[1:]):
        if low_cost <= math.log(value) <= high_cost and low_cost < high_cost:
            return low + (high_cost - math.log(value)) / (high_cost - low_cost) * (high - low)
    return None


def table(rows, reference, counted):
    curve = [row for row in rows if row["series"] == "calibrated"]
    print(f"\nReference perplexity {reference:.3f}. Bits a weight of {counted}.\n")
    print("| | bits | of the file | perplexity | KL, nats a token | same top token | ours at that KL | smaller by | ours at that perplexity | smaller by |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for row in rows:
        cells = [f"{row['series']} {row['name']}", f"{row['bits']:.3f}", f"{row['file_bits']:.3f}", f"{row['perplexity']:.2f}"]
        cells += [f"{row['kl']:.5f} ± {row['kl_error']:.5f}", f"{100 * row['same_top']:.1f} %"]
        for key in ("kl", "perplexity"):
            # A perplexity about that of the reference, or below it, says nothing of what is lost.
            says = row not in curve and (key == "kl" or row[key] > 1.02 * reference)
            ours = at(curve, key, row[key]) if says else None
            cells += ["", ""] if ours is None else [f"{ours:.3f}", f"{100 * (1 - ours / row['bits']):.1f} %"]
        print(f"| {' | '.join(cells)} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="folder of the original")
    parser.add_argument("--text", required=True, help="text that is measured on")
    parser.add_argument("--calibrate", required=True, help="text that is calibrated on, another one")
    parser.add_argument("--bits", default="2.5,3,3.5,4,4.5,5,5.5,6,6.75", help="rates of ours, comma-separated (%(default)s)")
    parser.add_argument("--plain-bits", default="3.5,4.5,6", help="rates without calibration, comma-separated (%(default)s)")
    parser.add_argument("--embedding", choices=["kept", "quantised"], default="kept", help="embedding and head (%(default)s)")
    parser.add_argument("--no-gradients-bits", default="", help="rates calibrated without gradients")
    parser.add_argument("--no-others", dest="others", action="store_false", help="ours alone")
    parser.add_argument("--calibration-tokens", type=int, default=16384, help="tokens that are calibrated on (%(default)s)")
    parser.add_argument("--window", type=int, help="tokens of a window; 512, or the model's positions if fewer")
    parser.add_argument("--windows", default="12", help="first windows of the text (%(default)s)")
    parser.add_argument("--folder", help="where models and statistics go, some GB: kept, and what is there is used again")
    parser.add_argument("--html", help="report page with the curves")
    parser.add_argument("--json", help="file for the figures")
    parser.add_argument("--wcodec", default="target/release/wcodec", help="the program (%(default)s)")
    args = parser.parse_args()
    for needed in (args.wcodec, args.text, args.calibrate, *(f"{args.model}/{name}" for name in MODEL)):
        if not os.path.exists(needed):
            parser.error(f"{needed} is not there")
    # The program runs in another folder.
    for name in ("wcodec", "model", "text", "calibrate", "html"):
        if getattr(args, name):
            setattr(args, name, os.path.abspath(getattr(args, name)))
    with open(os.path.join(args.model, "config.json"), encoding="utf8") as file:
        positions = json.load(file).get("max_position_embeddings") or 512
    if (args.window or 1) > positions:
        parser.error(f"--window {args.window}: the model has {positions} positions")
    args.window = args.window or min(512, positions)
    folder = os.path.abspath(args.folder or tempfile.mkdtemp())
    os.makedirs(folder, exist_ok=True)
    try:
        run = Run(args, folder)
        statistics = os.path.join(folder, "statistics")
        calibrate = ["--calibrate", args.calibrate, "--calibration-tokens", str(args.calibration_tokens)]
        run.ours("calibrated", [*calibrate, "--statistics", statistics], rates(args.bits))
        less = [*calibrate, "--statistics", statistics + "-no-gradients", "--no-gradients"]
        run.ours("no gradients", less, rates(args.no_gradients_bits))
        run.ours("not calibrated", [], rates(args.plain_bits))
        run.others()
        rows, reference = run.measure()
        if args.json:
            with open(args.json, "w", encoding="utf8") as file:
                json.dump({"reference_perplexity": reference, "rows": rows}, file, indent=1)
        whole = args.embedding == "quantised"
        table(rows, reference, "the whole file" if whole else "the blocks' linear layers")
    except subprocess.CalledProcessError as error:
        print(f"{' '.join(error.cmd)} failed; --folder keeps what was made", file=sys.stderr)
        return 1
    finally:
        if not args.folder:
            shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
