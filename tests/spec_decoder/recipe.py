"""SPEC "Recipes": a method's name and its parameters, in order and in range."""

import re

from dtypes import FLOATS, UNIT_BYTES
from tiles import SHAPES

PARAMETERS = {
    "raw": ["chunk"],
    "constant": ["chunk"],
    "float": ["stored", "mantissa", "columns", "fraction", "prob", "chunk"],
    "bytes": ["columns", "tables", "prob", "chunk"],
    "levels": ["columns", "tables", "prob", "chunk"],
    "tiled-levels": ["stored", "shape", "columns", "steps", "prob", "chunk"],
    "tiles": ["shape", "columns", "prob", "chunk"],
}
NARROWER = {"F32": ["BF16", "F16"], "C64": ["BF16", "F16"], "F64": ["F32"]}


def need(condition, what):
    if not condition:
        raise ValueError(f"recipe: {what}")


def parse(text, dtype, units):
    """(method, parameters): numbers are integers, `stored` and `shape` stay text."""
    method, *fields = text.split(" ")
    need(method in PARAMETERS, f"unknown method {method!r}")
    need([f.split("=")[0] for f in fields] == PARAMETERS[method], "other parameters")
    p = {}
    for field in fields:
        name, _, value = field.partition("=")
        if name not in ("stored", "shape"):
            need(re.fullmatch("0|[1-9][0-9]{0,18}", value), f"{name} is no number")
            value = int(value)
        p[name] = value
    need(1 <= p["chunk"] <= 1 << 20, "chunk")
    if "prob" in p:
        need(8 <= p["prob"] <= (11 if method == "levels" else 12), "prob")
    columns = p.get("columns", 0)
    need(columns == 0 or units % columns == 0, "columns")
    if method == "float":
        need(dtype in FLOATS, "float method for another dtype")
        own = "F32" if dtype == "C64" else dtype
        need(p["stored"] == own or p["stored"] in NARROWER.get(dtype, []), "stored")
        exponent, mantissa = FLOATS[p["stored"]]
        need(p["mantissa"] <= mantissa and exponent + p["mantissa"] <= 12, "mantissa")
        need(p["fraction"] <= (4 if columns else 0), "fraction")
    if method == "bytes":
        need(1 <= p["tables"] <= (16 if columns else 1), "tables")
        need(columns == 0 or UNIT_BYTES[dtype] == 1, "a matrix of units of several bytes")
    if method == "levels":
        need(dtype in ("BF16", "F16", "F32") and columns > 0, "dtype or columns")
        need(1 <= p["tables"] <= 16, "tables")
        need(p["chunk"] <= 1 << 17, "chunk")
    if method == "tiled-levels":
        need(dtype in ("BF16", "F16", "F32") and p["stored"] in ("I8", "I16"), "dtype or stored")
        need(p["steps"] > 0 and units % p["steps"] == 0, "steps")
    if method in ("tiles", "tiled-levels"):
        need(p["shape"] in SHAPES and columns > 0, "shape or columns")
        need(p["chunk"] % (SHAPES[p["shape"]][0] * columns) == 0, "chunk")
    return method, p
