"""The certificate of a quantised file: read and held to SPEC.md's rules, and to the index that it is in."""

import json
import re

from container import need

DIGEST = re.compile(r"[0-9a-f]{64}")
# Control characters, and those that turn the direction of writing.
ORDERS = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")

NUMBER, WHOLE, TEXT, TRUTH, SHA256 = "number", "whole", "text", "truth", "digest"
PAIR = [NUMBER, NUMBER]

ACCURACY = {
    "reference": NUMBER,
    "candidate": NUMBER,
    "gained": WHOLE,
    "lost": WHOLE,
    "delta_points": NUMBER,
    "interval_points": PAIR,
}
DIVERGENCE = dict.fromkeys(["mean", "standard_error", "median", "p99", "p999", "max"], NUMBER)
FIELDS = {
    "version": WHOLE,
    "writer": TEXT,
    "files": ({"original": SHA256, "restored": SHA256},),
    "config": SHA256,
    "tokenizer": SHA256,
    "options": {
        "effort": TEXT,
        "lossless": (TEXT,),
        "keep_head": TRUTH,
        "rates": ([TEXT, NUMBER],),
        "accept_uncertain": TRUTH,
        "bits?": NUMBER,
        "max_kl?": NUMBER,
        "max_ppl_increase?": NUMBER,
        "max_accuracy_drop?": NUMBER,
        "pool_tasks?": TRUTH,
    },
    "calibration?": ({"file": TEXT, "sha256": SHA256, "tokens": WHOLE, "window": WHOLE},),
    "bytes": WHOLE,
    "bits": NUMBER,
    "quantised_bits": NUMBER,
    "texts": (
        {
            "file": TEXT,
            "sha256": SHA256,
            "held_out": TRUTH,
            "windows": WHOLE,
            "window": WHOLE,
            "tokens": WHOLE,
            "identical": TRUTH,
            "perplexity": PAIR,
            "increase_percent": NUMBER,
            "increase_interval": PAIR,
            "divergence": DIVERGENCE,
            "same_top": NUMBER,
        },
    ),
    "tasks": (
        {
            "file": TEXT,
            "sha256": SHA256,
            "items": WHOLE,
            "identical": TRUTH,
            "accuracy": ACCURACY,
            "normalised?": ACCURACY,
        },
    ),
    "command": TEXT,
}


def hold(value, to, at):
    """Holds a value to a kind, a record, an array of one kind (a tuple), or one of given kinds (a list)."""
    if isinstance(to, dict):
        need(isinstance(value, dict), f"{at} is an object")
        for field, kind in to.items():
            name = field.rstrip("?")
            if field.endswith("?") and name not in value:
                continue
            need(name in value, f"{at} has {name}")
            hold(value[name], kind, f"{at}.{name}")
    elif isinstance(to, tuple):
        need(isinstance(value, list), f"{at} is an array")
        for i, part in enumerate(value):
            hold(part, to[0], f"{at}[{i}]")
    elif isinstance(to, list):
        need(isinstance(value, list) and len(value) == len(to), f"{at} has {len(to)} parts")
        for i, (part, kind) in enumerate(zip(value, to)):
            hold(part, kind, f"{at}[{i}]")
    elif to == NUMBER:
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        need(number and abs(value) < float("inf"), f"{at} is a finite number")
    elif to == WHOLE:
        need(isinstance(value, int) and not isinstance(value, bool) and value >= 0, f"{at} is a whole number")
    elif to == TRUTH:
        need(isinstance(value, bool), f"{at} is true or false")
    else:
        need(isinstance(value, str) and not ORDERS.search(value), f"{at} is plain text")
        need(to == TEXT or DIGEST.fullmatch(value), f"{at} is a SHA-256")


def check_certificate(index):
    """The certificate of an index, or None: as it must be, and of this file."""
    certificate = index.get("certificate")
    if certificate is None:
        return None
    need(len(json.dumps(certificate).encode()) <= 2**20, "size of the certificate")
    need(certificate.get("version") == 1, "version of the certificate")
    hold(certificate, FIELDS, "certificate")
    need(min(certificate["bits"], certificate["quantised_bits"]) >= 0, "bits of the files")
    need(certificate["texts"] or certificate["tasks"], "something that was measured")
    for text in certificate["texts"]:
        windows, tokens, low_high = text["windows"], text["tokens"], text["increase_interval"]
        need(text["window"] >= 2 and 1 <= windows <= tokens <= windows * text["window"], "tokens of a text")
        need(min(text["perplexity"]) > 0 and 0 <= text["same_top"] <= 1, "figures of a text")
        need(min(text["divergence"].values()) >= 0 and low_high[0] <= low_high[1], "figures of a text")
    for task in certificate["tasks"]:
        need(task["items"] > 0, "items of a task")
        for of in [task["accuracy"], task.get("normalised")]:
            if of is not None:
                need(0 <= of["reference"] <= 1 and 0 <= of["candidate"] <= 1, "an accuracy")
                need(of["gained"] + of["lost"] <= task["items"], "items of an accuracy")
                need(of["interval_points"][0] <= of["interval_points"][1], "the interval of an accuracy")
    source = index["source"]
    own = {"original": source.get("original", source["sha256"]), "restored": source["sha256"]}
    need(own in certificate["files"], "the certificate is of this file")
    return certificate
