"""SPEC "Dtypes": bytes of a unit, bits of an element, and the fields of floats."""

import math

UNIT_BYTES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E5M2": 1, "F8_E4M3": 1, "F8_E8M0": 1, "F8_E4M3FNUZ": 1,
    "F8_E5M2FNUZ": 1, "F4": 1, "F6_E2M3": 1, "F6_E3M2": 1,
    "I16": 2, "U16": 2, "F16": 2, "BF16": 2,
    "I32": 4, "U32": 4, "F32": 4, "C64": 4,
    "F64": 8, "I64": 8, "U64": 8,
}  # fmt: skip

ELEMENT_BITS = {dtype: 8 * size for dtype, size in UNIT_BYTES.items()}
ELEMENT_BITS |= {"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "C64": 64}

FLOATS = {  # exponent and mantissa bits of a unit; above them is the sign
    "F8_E5M2": (5, 2), "F8_E5M2FNUZ": (5, 2), "F8_E4M3": (4, 3), "F8_E4M3FNUZ": (4, 3),
    "F16": (5, 10), "BF16": (8, 7), "F32": (8, 23), "C64": (8, 23), "F64": (11, 52),
}  # fmt: skip


def unit_count(dtype, shape):
    if dtype not in UNIT_BYTES:
        raise ValueError(f"unknown dtype {dtype!r}")
    bits = math.prod(shape) * ELEMENT_BITS[dtype]
    if bits % 8:
        raise ValueError("elements do not fill bytes")
    return bits // 8 // UNIT_BYTES[dtype]
