#!/usr/bin/env python3
"""nvCOMP's ANS on the first NVIDIA GPU, with the bytes of safetensors files: what `wcodec bench --device cuda` is held
against. Rows have the same columns and mean the same.

    python3 -m pip install nvidia-libnvcomp-cu13          # or -cu12, for older drivers
    python3 benches/nvcomp_ans.py FILE.safetensors ... [--library libnvcomp.so.6] [--runs N] [--save results.json]

Compressed and decompressed by nvCOMP's batched C interface, in chunks of each of some sizes, as bytes and as its own
data type for the tensors' type; times are the GPU's own, of calls in a row that share no memory, medians. What is
decompressed is compared with the input. Where there is no GPU, or no nvCOMP, that is said, and nothing is measured.
"""

import argparse
import ctypes
import glob
import json
import mmap
import os
import site
import statistics
import sys
from ctypes import byref, c_char, c_float, c_int, c_size_t, c_uint8, c_uint64, c_void_p

CHUNKS = [1 << 16, 1 << 18]
# Decoded bytes of a round at least, and copies of a tensor at most: as in `wcodec bench`.
ROUND, MOST_COPIES = 512 << 20, 256
# nvCOMP's data types; every type may also be taken as bytes.
BYTES, FLOAT16, FLOAT32, FLOAT8_E4M3, ANY = 0, 10, 11, 9, 0xFF
TYPES = {"BF16": FLOAT16, "F16": FLOAT16, "F32": FLOAT32, "F8_E4M3": FLOAT8_E4M3}
NAMES = {BYTES: "bytes", FLOAT16: "float16", FLOAT32: "float32", FLOAT8_E4M3: "e4m3"}


class Options(ctypes.Structure):
    """Of compression: algorithm and data type; of decompression: backend and data type. The rest is left to nvCOMP."""

    _fields_ = [("first", c_int), ("type", c_int), ("numbers", c_uint8 * 3), ("reserved", c_char * 53)]


def skip(why):
    print(f"SKIPPED: nvCOMP was not measured: {why}")
    sys.exit(0)


class Gpu:
    """What is needed of the driver."""

    def __init__(self):
        try:
            self.cuda = ctypes.CDLL("libcuda.so.1")
        except OSError as error:
            skip(f"no NVIDIA driver here: {error}")
        status = self.cuda.cuInit(0)
        count = c_int()
        if status != 0 or self.cuda.cuDeviceGetCount(byref(count)) != 0 or count.value == 0:
            skip(f"no NVIDIA GPU here (the driver says {status})")
        device, context = c_int(), c_void_p()
        self.call("cuDeviceGet", byref(device), 0)
        self.call("cuDevicePrimaryCtxRetain", byref(context), device)
        self.call("cuCtxSetCurrent", context)
        name = ctypes.create_string_buffer(256)
        self.call("cuDeviceGetName", name, 256, device)
        self.name = name.value.decode()

    def call(self, name, *arguments):
        status = getattr(self.cuda, name)(*arguments)
        if status != 0:
            sys.exit(f"{name}: CUDA error {status}")

    def room(self, length):
        address = c_uint64()
        self.call("cuMemAlloc_v2", byref(address), c_size_t(max(length, 16)))
        return address.value

    def free(self, *addresses):
        self.call("cuCtxSynchronize")
        for address in addresses:
            self.call("cuMemFree_v2", c_uint64(address))

    def array(self, numbers):
        """Numbers of 64 bits, there."""
        here = (c_uint64 * len(numbers))(*numbers)
        there = self.room(8 * len(numbers))
        self.call("cuMemcpyHtoD_v2", c_uint64(there), here, c_size_t(8 * len(numbers)))
        return there

    def read(self, address, length):
        here = ctypes.create_string_buffer(max(length, 1))
        self.call("cuMemcpyDtoH_v2", here, c_uint64(address), c_size_t(length))
        return here.raw[:length]

    def seconds(self, work):
        begin, end, milliseconds = c_void_p(), c_void_p(), c_float()
        for event in (begin, end):
            self.call("cuEventCreate", byref(event), 0)
        self.call("cuEventRecord", begin, None)
        work()
        self.call("cuEventRecord", end, None)
        self.call("cuEventSynchronize", end)
        self.call("cuEventElapsedTime", byref(milliseconds), begin, end)
        for event in (begin, end):
            self.call("cuEventDestroy_v2", event)
        return milliseconds.value / 1e3


def nvcomp(path):
    folders = site.getsitepackages() + [site.getusersitepackages()]
    found = [path] if path else [p for f in folders for p in glob.glob(f"{f}/nvidia/libnvcomp/lib*/libnvcomp.so.[0-9]")]
    if not found:
        skip("libnvcomp is not installed: python3 -m pip install nvidia-libnvcomp-cu13")
    try:
        return ctypes.CDLL(found[0])
    except OSError as error:
        skip(str(error))


class Batch:
    """Chunks of some bytes on the GPU, for one call of nvCOMP."""

    def __init__(self, gpu, library, pieces, chunk, kind):
        self.gpu, self.library = gpu, library
        cuts = [(at + i, min(chunk, size - i)) for at, size in pieces for i in range(0, size, chunk)]
        self.count, self.total = len(cuts), sum(size for _, size in cuts)
        self.chunk = min(chunk, max(size for _, size in cuts))
        self.options = Options(0, kind)
        most = c_size_t()
        self.do("CompressGetMaxOutputChunkSize", c_size_t(self.chunk), self.options, byref(most))
        self.most = (most.value + 255) // 256 * 256
        self.packed = gpu.room(self.most * self.count)
        self.inputs = gpu.array([at for at, _ in cuts])
        self.sizes = gpu.array([size for _, size in cuts])
        self.outputs = gpu.array([self.packed + i * self.most for i in range(self.count)])
        self.packed_sizes, self.actual = gpu.array([0] * self.count), gpu.array([0] * self.count)
        self.statuses = gpu.room(4 * self.count)
        self.arrays = [self.packed, self.inputs, self.sizes, self.outputs, self.packed_sizes, self.actual, self.statuses]

    def do(self, name, *arguments):
        status = getattr(self.library, "nvcompBatchedANS" + name)(*arguments)
        if status != 0:
            raise RuntimeError(f"{name}: nvCOMP's status {status}")

    def temporary(self, what, options):
        length = c_size_t()
        sizes = c_size_t(self.count), c_size_t(self.chunk)
        self.do(what + "GetTempSize", *sizes, options, byref(length), c_size_t(self.total), None)
        return length.value

    def compress(self):
        """Bytes of all chunks, packed; the room between them is not counted."""
        length = self.temporary("Compress", self.options)
        room = self.gpu.room(length)
        arrays = [c_void_p(a) for a in (self.inputs, self.sizes)]
        outputs = [c_void_p(a) for a in (self.outputs, self.packed_sizes)]
        sizes = c_size_t(self.chunk), c_size_t(self.count)
        self.do("CompressAsync", *arrays, *sizes, c_void_p(room), c_size_t(length), *outputs, self.options,
                c_void_p(self.statuses), None)
        self.gpu.free(room)
        self.check()
        packed = (c_uint64 * self.count).from_buffer_copy(self.gpu.read(self.packed_sizes, 8 * self.count))
        return sum(packed)

    def prepare(self, to):
        """Where decompressed chunks go: one after the other."""
        self.back = self.gpu.array([to + i * self.chunk for i in range(self.count)])
        self.unpack = Options(0, ANY)
        self.length = self.temporary("Decompress", self.unpack)
        self.room = self.gpu.room(self.length)
        self.arrays += [self.back, self.room]

    def decompress(self):
        inputs = [c_void_p(a) for a in (self.outputs, self.packed_sizes, self.sizes, self.actual)]
        self.do("DecompressAsync", *inputs, c_size_t(self.count), c_void_p(self.room), c_size_t(self.length),
                c_void_p(self.back), self.unpack, c_void_p(self.statuses), None)

    def check(self):
        self.gpu.call("cuCtxSynchronize")
        statuses = self.gpu.read(self.statuses, 4 * self.count)
        if any(statuses):
            raise RuntimeError("nvCOMP says that chunks failed")

    def free(self):
        self.gpu.free(*self.arrays)


def rounds(gpu, library, data, copies, sets, chunk, kind, runs):
    """Compressed bytes of a copy, and GB/s of rounds of `sets` calls over all copies."""
    size, padded = len(data), (len(data) + chunk - 1) // chunk * chunk
    source, target = gpu.room(padded * copies), gpu.room(padded * copies)
    here = (c_char * size).from_buffer_copy(data)
    for copy in range(copies):
        gpu.call("cuMemcpyHtoD_v2", c_uint64(source + copy * padded), here, c_size_t(size))
    batches, each = [], copies // sets
    try:
        for index in range(sets):
            copy = range(index * each, (index + 1) * each)
            batches.append(Batch(gpu, library, [(source + c * padded, size) for c in copy], chunk, kind))
        packed = sum(batch.compress() for batch in batches) // (sets * each)
        for index, batch in enumerate(batches):
            batch.prepare(target + index * each * padded)
        times, copy_times = [], []
        for run in range(runs + 1):
            time = gpu.seconds(lambda: [batch.decompress() for batch in batches])
            copied = gpu.seconds(lambda: [
                gpu.call("cuMemcpyDtoDAsync_v2", c_uint64(target + i * each * padded), c_uint64(source + i * each * padded),
                         c_size_t(each * padded), None) for i in range(sets)])
            if run > 0:
                times.append(time)
                copy_times.append(copied)
        # A copy has overwritten what was decompressed: once more, over junk.
        gpu.call("cuMemsetD8_v2", c_uint64(target), c_uint8(0xA5), c_size_t(padded * copies))
        for batch in batches:
            batch.decompress()
            batch.check()
        for copy in range(sets * each):
            if gpu.read(target + copy * padded, size) != bytes(data):
                sys.exit("what nvCOMP decompressed differs from what it compressed")
        output = size * sets * each
        return packed, output / statistics.median(times) / 1e9, padded * sets * each / statistics.median(copy_times) / 1e9
    finally:
        for batch in batches:
            batch.free()
        gpu.free(source, target)


def tensors_of(path):
    """A file's data, and the type that most of it has."""
    with open(path, "rb") as file:
        view = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    length = int.from_bytes(view[:8], "little")
    header = json.loads(view[8:8 + length])
    sizes = {}
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            sizes[entry["dtype"]] = sizes.get(entry["dtype"], 0) + end - begin
    return view[8 + length:], max(sizes, key=sizes.get)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--library")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--save")
    arguments = parser.parse_args()
    gpu, results = Gpu(), []
    library = nvcomp(arguments.library)
    print(f"{gpu.name}; nvCOMP ANS; GB/s of decompressed bytes, medians of {arguments.runs}")
    print(f"{'file':<24} {'as':<8} {'chunk':>6} {'size':>7} {'alone':>8} {'of copy':>8} {'together':>9} {'of copy':>8} {'copy':>8}")
    for path in arguments.files:
        data, dtype = tensors_of(path)
        copies = max(1, min(MOST_COPIES, ROUND // len(data)))
        for kind in dict.fromkeys([TYPES.get(dtype, BYTES), BYTES]):
            for chunk in CHUNKS:
                try:
                    packed, alone, copy = rounds(gpu, library, data, copies, copies, chunk, kind, arguments.runs)
                    _, together, large = rounds(gpu, library, data, copies, 1, chunk, kind, arguments.runs)
                except RuntimeError as error:
                    print(f"{os.path.basename(path)} as {NAMES[kind]} in chunks of {chunk}: {error}", file=sys.stderr)
                    continue
                share = 100 * packed / len(data)
                print(f"{os.path.basename(path):<24} {NAMES[kind]:<8} {chunk >> 10:>5}k {share:>6.2f}% {alone:>8.1f} "
                      f"{100 * alone / copy:>7.0f}% {together:>9.1f} {100 * together / large:>7.0f}% {large:>8.1f}", flush=True)
                results.append({"file": path, "dtype": dtype, "as": NAMES[kind], "chunk_bytes": chunk,
                                "data_bytes": len(data), "encoded_bytes": packed, "alone_gb_per_second": alone,
                                "together_gb_per_second": together, "copy_gb_per_second": large})
    if arguments.save:
        with open(arguments.save, "w") as file:
            json.dump({"gpu": gpu.name, "files": results}, file, indent=1)


if __name__ == "__main__":
    main()
