"""An independent decoder of `.wcodec` files, written from src/format/SPEC.md alone.

    python3 tests/spec_decoder [--restore OUT.safetensors] FILE.wcodec ...

Checks every checksum, decodes every tensor, compares it with its BLAKE3 digest, and the
restored source file with its SHA-256. A certificate is held to its rules and to the file that it is in. Needs numpy, and else the standard library only.
"""

import argparse
import collections
import contextlib
import hashlib
import os
import sys

import container
import hashes
from certificate import check_certificate
from float_method import float_method
from levels_method import levels, tiled_levels
from simple_methods import bytes_method, constant, raw
from tiles_method import tiles_method

METHODS = {
    "raw": raw,
    "constant": constant,
    "float": float_method,
    "bytes": bytes_method,
    "levels": levels,
    "tiled-levels": tiled_levels,
    "tiles": tiles_method,
}


def decode(file, tensor):
    """The tensor's data."""
    payload = container.read_payload(file, tensor)
    data = METHODS[payload.method](payload)
    container.need(len(data) == payload.units * payload.unit_bytes, "length of the data")
    container.need(hashes.blake3(data).hex() == tensor["digest"], "digest of the data")
    return data


def check(path, out):
    """Decodes one file: (tensors that passed, what failed, recipes used)."""
    passed, failed, methods = 0, [], collections.Counter()
    with open(path, "rb") as file:
        index = container.read_index(file, os.path.getsize(path))
        check_certificate(index)
        source = index.get("source")
        header = container.read_header(file, source) if source else b""
        out.write(header)
        sha256, size = hashlib.sha256(header), len(header)
        for tensor in index["tensors"]:
            methods[tensor["recipe"].split(" ")[0]] += 1
            try:
                data = decode(file, tensor)
            except Exception as error:  # whatever goes wrong, the file is refused
                failed.append(f"{tensor['name']} ({tensor['recipe']}): {error!r}")
                continue
            passed += 1
            out.write(data)
            sha256.update(data)
            size += len(data)
        if source and not failed:
            container.need(size == source["bytes"], "size of the source file")
            container.need(sha256.hexdigest() == source["sha256"], "SHA-256 of the source file")
    return passed, failed, methods


def main():
    parser = argparse.ArgumentParser(prog="spec_decoder")
    parser.add_argument("--restore", metavar="OUT", help="write the source file (of one FILE)")
    parser.add_argument("files", metavar="FILE", nargs="+")
    args = parser.parse_args()
    if args.restore and len(args.files) != 1:
        parser.error("--restore takes one FILE")
    passed = failed = 0
    for path in args.files:
        try:
            with open(args.restore or os.devnull, "wb") as out:
                tensors, wrong, methods = check(path, out)
        except Exception as error:
            tensors, wrong, methods = 0, [repr(error)], {}
            failed += 1  # the file
        else:
            failed += len(wrong) + bool(wrong)
            passed += not wrong
        passed += tensors
        used = ", ".join(f"{count} {method}" for method, count in sorted(methods.items()))
        name = os.path.basename(path)
        print(f"{name}: {tensors} tensors ({used}): {'FAILED' if wrong else 'ok'}", flush=True)
        for line in wrong:
            print(f"    {line}")
        if wrong and args.restore:
            with contextlib.suppress(OSError):
                os.remove(args.restore)
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
