"""SPEC "File" and "Payload of a tensor": prefix, index, kept header, heads and chunks."""

import json
import struct
from dataclasses import dataclass

import numpy as np

from dtypes import UNIT_BYTES, unit_count
from hashes import xxh3_64
from recipe import parse

SIGNATURE = b"\x89WCDC\r\n\x1a"


def need(condition, what):
    if not condition:
        raise ValueError(what)


def up(n, multiple=16):
    return -(-n // multiple) * multiple


def cut(file, offset, length):
    file.seek(offset)
    data = file.read(length)
    need(len(data) == length, "the file is cut off")
    return data


# ------------------------------------------------------------------ File


def is_number(value):
    return type(value) is int and 0 <= value < 1 << 63


def read_index(file, size):
    """The index of an open file of `size` bytes."""
    prefix = cut(file, 0, 32)
    signature, major, _minor, reserved, length, checksum = struct.unpack("<8sHHIQQ", prefix)
    need(signature == SIGNATURE, "signature")
    need(major == 1, f"major version {major}")
    need(reserved == 0, "reserved bytes")
    need(length <= size - 32, "the index is cut off")
    text = cut(file, 32, length)
    need(xxh3_64(text) == checksum, "checksum of the index")
    index = json.loads(text.decode("utf-8"))
    need(all(isinstance(index["wcodec"][k], str) for k in ("version", "writer")), "index: wcodec")
    tensors, source = index["tensors"], index.get("source")
    places = [source["header"]] if source else []
    need(source is None or len(source["header"]) == 2, "index: header")
    for tensor in tensors:
        need(all(type(tensor[k]) is str for k in ("name", "dtype", "recipe", "digest")), "index")
        need(all(map(is_number, tensor["shape"])), "index: shape")
        need(len(tensor["data"]) == 3, "index: data")
        places.append(tensor["data"])
    need(len({tensor["name"] for tensor in tensors}) == len(tensors), "index: names")
    end = 32 + length
    for offset, length, *_ in places:
        need(is_number(offset) and is_number(length), "index: offsets")
        need(offset % 128 == 0 and offset >= end, "index: payloads overlap")
        end = offset + length
        need(end <= size, "a payload is cut off")
    return index


def read_header(file, source):
    """The kept header of the source file."""
    need(source["format"] == "safetensors", "index: source format")
    header = cut(file, *source["header"])
    need(f"{xxh3_64(header):016x}" == source["checksum"], "checksum of the kept header")
    return header


# ------------------------------------------------------------------ Payload of a tensor


@dataclass
class Chunk:
    first: int  # unit
    count: int  # of units
    data: bytes
    extra: int


@dataclass
class Payload:
    """What a method gets."""

    dtype: str
    units: int
    method: str
    recipe: dict
    parameters: bytes
    chunks: list

    @property
    def unit_bytes(self):
        return UNIT_BYTES[self.dtype]

    def batches(self, units=1 << 22):
        """Runs of chunks to decode together: many lanes at a time, but bounded memory."""
        step = max(1, units // self.recipe["chunk"])
        for at in range(0, len(self.chunks), step):
            yield self.chunks[at : at + step]


def read_payload(file, tensor):
    dtype = tensor["dtype"]
    units = unit_count(dtype, tensor["shape"])
    method, recipe = parse(tensor["recipe"], dtype, units)
    offset, length, head_length = tensor["data"]
    size = recipe["chunk"]
    k = -(-units // size)

    need(is_number(head_length) and 16 + 16 * k <= head_length <= length, "length of the head")
    head = cut(file, offset, head_length)
    checksum, chunks, parameter_bytes = struct.unpack_from("<QII", head)
    need(xxh3_64(head[8:]) == checksum, "checksum of the head")
    need(chunks == k, "number of chunks")
    at = 16 + 16 * k
    need(up(at + parameter_bytes) == head_length, "length of the parameters")
    parameters = head[at : at + parameter_bytes]
    table = np.frombuffer(head, [("len", "<u4"), ("extra", "<u4"), ("hash", "<u8")], k, 16).tolist()
    at = head_length
    need(sum(up(entry[0]) for entry in table) == length - at, "length of the payload")

    result = []
    for i, (length, extra, checksum) in enumerate(table):
        data = cut(file, offset + at, length)
        need(xxh3_64(data) == checksum, f"checksum of chunk {i}")
        need(extra == 0 or method in ("float", "levels", "tiled-levels", "tiles"), "extra")
        result.append(Chunk(i * size, min(size, units - i * size), data, extra))
        at += up(length)
    return Payload(dtype, units, method, recipe, parameters, result)
