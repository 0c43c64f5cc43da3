#!/usr/bin/env python3
"""Compare wcodec with public lossless compressors on safetensors files.

    python3 benches/peers.py FILE.safetensors... [--wcodec BINARY] [--runs 5] [--json]

Every codec gets the same bytes (the whole file, header included) in the same
run, on one thread, and has to give the same bytes back: a mismatch ends the
program with an error. Rounds are interleaved (each round runs every codec
once), so a change in the load of the machine reaches all of them.

What is run
  copy          numpy copy into a preallocated, touched buffer: the memory
                bandwidth that no decoder can beat
  zstd -1, -3   the whole file as one frame (python-zstandard)
  zstd -19      size only, and only with --zstd19, because it is slow
  ZipNN         the whole file as one byte array, threads=1, with the element
                type that fills most of the file; all but BF16, F16 and F32 go
                through its FP8 mode (Huffman coding of single bytes), as it
                has none for integers
  lmz           archive file to file, workers=1, default settings
  lmz mapped    the same with mapped=True (small independent blocks)
  pcodec        one standalone stream per tensor, default settings. F16, F32,
                F64 and the integer types as they are (8-bit ones with
                enable_8_bit); BF16 as uint16 and FP8 as uint8, since pcodec
                has neither. The safetensors header counts uncompressed
  wcodec        `BINARY bench FILE --threads 1 --json` (see bench_wcodec)

How it is measured
  saved   1 - encoded bytes / file bytes
  bits/w  8 * encoded bytes / number of stored elements. Where several weights
          are packed into one element (4-bit weights in U8 or I32), this is
          per element and not per weight
  GB/s    1e9 file bytes (decoded bytes, both ways) per second of wall time,
          median of --runs rounds, best in brackets; one more round before
          them is not timed. Both timings are given, as a busy machine moves
          the median more than the best
  Reading the input, preparing buffers and checking the result are not timed.
  ZipNN's own copy of its input is, as compress() makes it. lmz works on files
  only: its times include reading and writing files under --tmp (default
  /dev/shm where it exists, so memory and not a disk). On glibc the allocator
  is told to keep freed memory, so that codecs which return a fresh buffer are
  not charged for page faults.

Requirements: numpy, and of the peers those to be measured (missing ones are
skipped with a note):
    pip install numpy zstandard==0.25.0 zipnn==0.5.4 lmzip==1.3.0 pcodec==1.1.0
ZipNN pulls in PyTorch. lmz wants a C compiler the first time it runs, and is
much slower without.
"""

import os

# Before numpy and torch are imported: no thread pools of theirs.
for _var in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_var, "1")

import argparse
import ctypes
import gc
import importlib
import importlib.metadata
import json
import math
import platform
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import warnings

import numpy as np

# safetensors type -> numpy type with the same bits, or the closest that has
# the same width. Types that are not listed are handled as bytes.
NUMPY_TYPE = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2",
    "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1",
}
ZIPNN_TYPE = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}


class Unavailable(Exception):
    """The codec cannot be run here; the message says why."""


class Mismatch(Exception):
    """A codec did not give the original bytes back."""


class Source:
    """One safetensors file in memory."""

    def __init__(self, path):
        self.path = path
        with open(path, "rb") as f:
            self.data = f.read()
        try:
            (n,) = struct.unpack_from("<Q", self.data)
            header = json.loads(self.data[8:8 + n])
        except (struct.error, ValueError) as e:
            raise SystemExit(f"{path}: not a safetensors file: {e}")
        header.pop("__metadata__", None)
        self.body = 8 + n
        self.tensors = []           # (safetensors type, begin, end), in file order
        self.elements = 0
        self.bytes_of_type = {}
        for t in sorted(header.values(), key=lambda t: t["data_offsets"]):
            lo, hi = t["data_offsets"]
            self.tensors.append((t["dtype"], self.body + lo, self.body + hi))
            self.elements += math.prod(t["shape"])
            self.bytes_of_type[t["dtype"]] = self.bytes_of_type.get(t["dtype"], 0) + hi - lo
        self.main_type = max(self.bytes_of_type, key=self.bytes_of_type.get, default="U8")
        self.array = np.frombuffer(self.data, np.uint8)

    def check(self, who, decoded):
        """Fail unless `decoded` (anything with the buffer interface) equals the file."""
        if not np.array_equal(np.frombuffer(decoded, np.uint8), self.array):
            raise Mismatch(f"{who}: decoding {self.path} did not give the same bytes back")


# ------------------------------------------------------------------- codecs
# A codec has a name, a note (shown under the table) and these methods. Only
# encode() and decode() are timed.
#   prepare()    before each encode
#   encode()     returns something that size() and decode() take
#   size(enc)    encoded bytes
#   before(enc)  before each decode
#   decode(enc)  returns something that check() takes
#   check(out)   raises Mismatch unless the result is the original

class Codec:
    name, note = "", ""

    def __init__(self, src):
        self.src = src

    def prepare(self):
        pass

    def size(self, enc):
        return len(enc)

    def before(self, enc):
        pass

    def check(self, out):
        self.src.check(self.name, out)

    def close(self):
        pass


class Copy(Codec):
    name = "copy"

    def __init__(self, src):
        super().__init__(src)
        self.out = np.ones(len(src.data), np.uint8)

    def encode(self):
        np.copyto(self.out, self.src.array)
        return self.out

    def decode(self, enc):
        np.copyto(self.out, self.src.array)
        return self.out


class Zstd(Codec):
    level = 3

    def __init__(self, src):
        super().__init__(src)
        zstandard = load("zstandard")
        self.c = zstandard.ZstdCompressor(level=self.level, threads=0)
        self.d = zstandard.ZstdDecompressor()

    def encode(self):
        return self.c.compress(self.src.data)

    def decode(self, enc):
        return self.d.decompress(enc)


class Zstd1(Zstd):
    name, level = "zstd -1", 1


class Zstd3(Zstd):
    name, level = "zstd -3", 3


class Zstd19(Zstd):
    name, level = "zstd -19", 19


class ZipNN(Codec):
    name = "ZipNN"

    def __init__(self, src):
        super().__init__(src)
        kind = src.main_type
        self.kind = ZIPNN_TYPE.get(kind, "float8_e4m3fn")
        self.note = f"whole file as bytearray_dtype={self.kind!r}"
        self.z = load("zipnn").ZipNN(bytearray_dtype=self.kind, input_format="byte", threads=1)

    def prepare(self):
        self.input = bytearray(self.src.data)      # compress() overwrites its input

    def encode(self):
        return self.z.compress(self.input)

    def before(self, enc):
        self.input = None

    def decode(self, enc):
        return self.z.decompress(enc)


class Lmz(Codec):
    name, options = "lmz", {}
    tmp = None                                     # set from --tmp

    def __init__(self, src):
        super().__init__(src)
        self.lmz = load("lmz")
        self.dir = tempfile.mkdtemp(prefix="peers-", dir=self.tmp)
        self.raw, self.packed, self.out = (os.path.join(self.dir, n) for n in ("model.safetensors", "a.lmz", "out.safetensors"))
        with open(self.raw, "wb") as f:
            f.write(src.data)
        self.note = f"file to file under {os.path.dirname(self.dir)}, file I/O included, kernel {self.lmz.backends()['kernel']}"

    def prepare(self):
        remove(self.packed)

    def encode(self):
        self.lmz.compress(self.raw, self.packed, workers=1, **self.options)
        return self.packed

    def size(self, enc):
        return os.path.getsize(enc)

    def before(self, enc):
        remove(self.out)

    def decode(self, enc):
        self.lmz.decompress(enc, self.out, workers=1)
        return self.out

    def check(self, out):
        with open(out, "rb") as f:
            super().check(f.read())

    def close(self):
        shutil.rmtree(self.dir, ignore_errors=True)


class LmzMapped(Lmz):
    name, options = "lmz mapped", {"mapped": True}


class Pcodec(Codec):
    name = "pcodec"

    def __init__(self, src):
        super().__init__(src)
        pcodec = load("pcodec")
        self.pco = load("pcodec.standalone")
        self.plain = pcodec.ChunkConfig()
        self.bytewise = pcodec.ChunkConfig(enable_8_bit=True)
        self.inputs, self.outputs, seen = [], [], {}
        for kind, lo, hi in src.tensors:
            if hi == lo:
                continue
            dt = np.dtype(NUMPY_TYPE.get(kind, "u1"))
            a = src.array[lo:hi].copy().view(dt)   # a copy, so that it is aligned
            self.inputs.append((a, self.bytewise if dt.itemsize == 1 else self.plain))
            self.outputs.append(np.ones_like(a))
            seen[kind] = dt.name
        self.note = "one stream per tensor, " + ", ".join(f"{k} as {v}" for k, v in sorted(seen.items()))

    def encode(self):
        return [self.pco.simple_compress(a, config) for a, config in self.inputs]

    def size(self, enc):
        return self.src.body + sum(map(len, enc))

    def decode(self, enc):
        for blob, out in zip(enc, self.outputs):
            self.pco.simple_decompress_into(blob, out)
        return self.outputs

    def check(self, out):
        super().check(self.src.data[:self.src.body] + b"".join(a.tobytes() for a in out))
        for a in out:                              # so that a decoder that does nothing is noticed next time
            a.fill(1)


def bench_wcodec(binary, path):
    """Run wcodec's own benchmark once: (encoded bytes, [encode seconds], [decode seconds]).

    The contract: `BINARY bench FILE --threads 1 --json` encodes and decodes
    the whole file in memory on one thread, exits non-zero if decoding does not
    give the same bytes back, and prints one JSON object with
        encoded_bytes     bytes of the whole encoded file
        encode_seconds    one number, or a list with one number per run
        decode_seconds    the same
        lossless          true: the decoded bytes were compared and are equal
    This is the only place that knows the command line and these names.
    """
    p = subprocess.run([binary, "bench", path, "--threads", "1", "--json"], stdout=subprocess.PIPE)
    if p.returncode != 0:
        raise Mismatch(f"wcodec: `bench {path}` ended with exit status {p.returncode}")
    r = json.loads(p.stdout)
    if r["lossless"] is not True:
        raise Mismatch(f"wcodec: decoding {path} did not give the same bytes back")

    def as_list(x):
        return list(x) if isinstance(x, list) else [x]

    return r["encoded_bytes"], as_list(r["encode_seconds"]), as_list(r["decode_seconds"])


CODECS = {"copy": Copy, "zstd1": Zstd1, "zstd3": Zstd3, "zipnn": ZipNN, "lmz": Lmz, "lmz-mapped": LmzMapped, "pcodec": Pcodec}


# -------------------------------------------------------------- measurement
def load(module):
    """Import a peer, or raise Unavailable."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(module)
    except ImportError as e:
        raise Unavailable(f"not measured: {e}")


def remove(path):
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def keep_freed_memory():
    """Tell glibc's malloc not to give memory back, so that big buffers are reused with their pages."""
    try:
        libc = ctypes.CDLL("libc.so.6")
        return bool(libc.mallopt(-4, 0) and libc.mallopt(-1, -1))    # M_MMAP_MAX = 0, M_TRIM_THRESHOLD = never
    except (OSError, AttributeError):
        return False


def timed(f, *args):
    wall, cpu = time.perf_counter(), time.process_time()
    result = f(*args)
    return result, time.perf_counter() - wall, time.process_time() - cpu


class Tally:
    """What is collected for one codec on one file."""

    def __init__(self, name, note=""):
        self.name, self.note = name, note
        self.size, self.encode, self.decode = None, [], []
        self.wall = self.cpu = 0.0

    def add_size(self, size):
        if self.size not in (None, size):
            raise Mismatch(f"{self.name}: two encodings of the same file have {self.size} and {size} bytes")
        self.size = size


def one_round(codec, tally, keep):
    """One encode, one decode and the check; times are kept if `keep`."""
    codec.prepare()
    gc.collect()
    enc, encode_wall, encode_cpu = timed(codec.encode)
    tally.add_size(codec.size(enc))
    codec.before(enc)
    out, decode_wall, decode_cpu = timed(codec.decode, enc)
    codec.check(out)
    if keep:
        tally.encode.append(encode_wall)
        tally.decode.append(decode_wall)
        tally.wall += encode_wall + decode_wall
        tally.cpu += encode_cpu + decode_cpu


def measure(src, args):
    tallies, live, skipped = [], [], []
    try:
        for key in args.peers:
            try:
                codec = CODECS[key](src)
            except Unavailable as e:
                skipped.append(f"{CODECS[key].name}: {e}")
                continue
            tally = Tally(codec.name, codec.note)
            tallies.append(tally)
            live.append((codec, tally))
        own = Tally("wcodec") if args.wcodec else None
        for i in range(args.runs + 1):             # round 0 warms up
            progress(args, f"{src.path}: round {i} of {args.runs}")
            for codec, tally in live:
                one_round(codec, tally, i > 0)
            if own:
                size, encode, decode = bench_wcodec(args.wcodec, src.path)
                own.add_size(size)
                if i > 0:
                    own.encode += encode
                    own.decode += decode
        if own:
            tallies.append(own)
    finally:
        for codec, _ in live:
            codec.close()
    if args.zstd19:
        progress(args, f"{src.path}: zstd -19")
        try:
            codec = Zstd19(src)
            tally = Tally(codec.name, "size only")
            one_round(codec, tally, False)
            at = next((i + 1 for i, t in enumerate(tallies) if t.name == "zstd -3"), 0)
            tallies.insert(at, tally)
        except Unavailable as e:
            skipped.append(f"{Zstd19.name}: {e}")
    return tallies, skipped


def report(src, tallies, skipped):
    """The JSON object for one file."""
    total = len(src.data)
    rows = []
    for t in tallies:
        row = {"name": t.name, "note": t.note, "encoded_bytes": t.size,
               "saved_percent": None if t.name == "copy" else 100 * (1 - t.size / total),
               "bits_per_weight": 8 * t.size / src.elements if src.elements else None}
        for what, seconds in (("encode", t.encode), ("decode", t.decode)):
            row[what + "_gbps_median"] = total / statistics.median(seconds) / 1e9 if seconds else None
            row[what + "_gbps_best"] = total / min(seconds) / 1e9 if seconds else None
            row[what + "_seconds"] = seconds
        row["cpu_over_wall"] = t.cpu / t.wall if t.wall else None
        rows.append(row)
    return {"file": src.path, "bytes": total, "elements": src.elements, "bytes_of_type": src.bytes_of_type,
            "main_type": src.main_type, "results": rows, "skipped": skipped}


def machine():
    cpu = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as f:
            cpu = next(line.split(":", 1)[1].strip() for line in f if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    versions = {"python": platform.python_version()}
    for package in ("numpy", "zstandard", "zipnn", "lmzip", "pcodec"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            pass
    return {"cpu": cpu, "cores": os.cpu_count(), "system": platform.platform(), "versions": versions}


def load_average():
    return [round(x, 2) for x in os.getloadavg()] if hasattr(os, "getloadavg") else None


def progress(args, text):
    if not args.quiet:
        print(text, file=sys.stderr, flush=True)


def markdown(result):
    def speed(row, what):
        median, best = row[what + "_gbps_median"], row[what + "_gbps_best"]
        return "–" if median is None else f"{median:.3f} ({best:.3f})"

    def number(x, form):
        return "–" if x is None else format(x, form)

    head = f"### {result['file']}\n\n{result['bytes']:,} bytes, {result['elements']:,} elements, mostly {result['main_type']}\n"
    lines = [head, "| codec | bytes | saved % | bits/w | encode GB/s | decode GB/s |", "| --- | ---: | ---: | ---: | ---: | ---: |"]
    for r in result["results"]:
        lines.append(f"| {r['name']} | {r['encoded_bytes']:,} | {number(r['saved_percent'], '.2f')} | {number(r['bits_per_weight'], '.3f')} | "
                     f"{speed(r, 'encode')} | {speed(r, 'decode')} |")
    notes = [f"- {r['name']}: {r['note']}" for r in result["results"] if r["note"]]
    notes += [f"- {s}" for s in result["skipped"]]
    shares = [r["cpu_over_wall"] for r in result["results"] if r["cpu_over_wall"]]
    if shares and min(shares) < 0.95:
        notes.append(f"- The machine was busy: codecs had a core for {100 * min(shares):.0f} to {100 * max(shares):.0f} % of the time")
    if shares and max(shares) > 1.05:
        notes.append(f"- A codec used {max(shares):.2f} cores: its speed is not that of one thread")
    return "\n".join(lines + [""] + notes + [""] * bool(notes))


def main():
    ap = argparse.ArgumentParser(description="Compare wcodec with public lossless compressors on safetensors files, one thread each. "
                                             "See the top of this file for what is run and how it is measured.")
    ap.add_argument("files", nargs="+", metavar="FILE.safetensors")
    ap.add_argument("--wcodec", metavar="BINARY", help="the wcodec binary; without it only the peers are run")
    ap.add_argument("--runs", type=int, default=5, help="timed rounds (default 5)")
    ap.add_argument("--peers", default=",".join(CODECS), help="which to run (default: %(default)s)")
    ap.add_argument("--zstd19", action="store_true", help="also the size of zstd -19 (slow)")
    ap.add_argument("--tmp", default="/dev/shm" if os.path.isdir("/dev/shm") else None,
                    help="folder for lmz's files (default: /dev/shm, or else the system's temporary folder)")
    ap.add_argument("--cpu", type=int, metavar="N", help="pin to logical CPU N (Linux)")
    ap.add_argument("--json", action="store_true", help="print JSON instead of Markdown tables")
    ap.add_argument("--quiet", action="store_true", help="no progress on standard error")
    args = ap.parse_args()
    args.peers = [p for p in args.peers.split(",") if p]
    unknown = [p for p in args.peers if p not in CODECS]
    if unknown or args.runs < 1:
        ap.error(f"unknown peers: {', '.join(unknown)}" if unknown else "--runs must be at least 1")
    if args.cpu is not None:
        os.sched_setaffinity(0, {args.cpu})
    Lmz.tmp = args.tmp
    about = machine()
    about["runs"] = args.runs
    about["freed_memory_kept"] = keep_freed_memory()
    about["load_before"] = load_average()
    results = []
    gc.disable()
    for path in args.files:
        src = Source(path)
        try:
            results.append(report(src, *measure(src, args)))
        except Mismatch as e:
            sys.exit(f"error: {e}")
        if not args.json:
            print(markdown(results[-1]), flush=True)
    about["load_after"] = load_average()
    if args.json:
        print(json.dumps({"machine": about, "files": results}, indent=1))
    else:
        versions = ", ".join(f"{k} {v}" for k, v in about["versions"].items())
        print(f"One thread each, {args.runs} rounds, median (best). {about['cpu']}, {about['cores']} logical CPUs, "
              f"load average {about['load_before']} before and {about['load_after']} after. {versions}.")


if __name__ == "__main__":
    main()
