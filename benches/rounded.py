"""Other quantisers' models, as safetensors files of what they decode to: INT8, INT4 and GGUF's kinds.

Quantised tensors are in F32, which holds what each kind decodes to exactly; the others are as they were. How many
bytes a tensor takes in its own format is in the file's metadata, where `wcodec eval` looks for it.
"""

import json

import numpy as np
from safetensors import safe_open
from safetensors.torch import save_file

ROUNDED = {"INT8": (8, None), "INT4 g64": (4, 64), "INT4 g32": (4, 32)}
GGUF = ["Q8_0", "Q6_K", "Q5_K", "Q4_K", "IQ4_XS", "IQ3_S", "Q3_K"]


def gguf():
    """The library, or None."""
    try:
        import libgguf
    except ImportError:
        return None
    return libgguf


def importance(model, text, tokens, window):
    """Mean squares of the inputs of all linear layers, by the weight's name, on the first tokens of a text."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with open(text, encoding="utf8") as file:
        ids = AutoTokenizer.from_pretrained(model)(file.read(8 * tokens), add_special_tokens=False)["input_ids"][:tokens]
    network = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
    sums = {}

    def keep(name):
        def hook(_, inputs, __):
            x = inputs[0].reshape(-1, inputs[0].shape[-1]).double()
            sums[name] = sums.get(name, 0) + (x * x).sum(0)

        return hook

    for name, module in network.named_modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_hook(keep(f"{name}.weight"))
    with torch.no_grad():
        for start in range(0, len(ids) - window + 1, window):
            network(torch.tensor([ids[start : start + window]]))
    return {name: (s / len(ids)).float().numpy() for name, s in sums.items()}


def rounded(weights, bits, group):
    """Nearest levels with a scale (F16) a row or a group of a row, and their bytes. None if groups do not fit."""
    rows, columns = weights.shape
    if group and columns % group:
        return None
    groups = weights.reshape(rows, -1, group or columns)
    most = 2 ** (bits - 1) - 1
    scale = (np.abs(groups).max(2, keepdims=True) / most).astype(np.float16).astype(np.float32)
    levels = np.rint(np.divide(groups, scale, out=np.zeros_like(groups), where=scale > 0)).clip(-most - 1, most)
    return (levels * scale).reshape(weights.shape), weights.size * bits // 8 + scale.size * 2


def by_gguf(library, weights, kind, squares):
    """Weights through one of GGUF's kinds, all rows as one, as its blocks of 256 do not fit all rows."""
    quant = getattr(library.GGMLQuantizationType, kind)
    elements, size = library.GGML_QUANT_SIZES[quant]
    if weights.size % elements:
        return None
    flat = np.ascontiguousarray(weights.reshape(1, -1))
    matrix = None if squares is None else np.ascontiguousarray(np.tile(squares, weights.shape[0]))
    decoded = library.dequantize_rows(library.quantize_rows(flat, quant, imatrix=matrix), quant)
    return np.array(decoded, dtype=np.float32).reshape(weights.shape), weights.size // elements * size


def write(original, path, kind, squares, lossless, ends):
    """Writes a model in which the blocks' linear layers, and with `ends` embedding and head too, went through a kind.
    `lossless` is what the others take. Ends are as llama.cpp has them where they are the head too: Q6_K, or Q8_0 in Q8_0;
    of the rounded kinds INT8."""
    tensors, stored = {}, dict(lossless)
    with safe_open(original, "pt") as file:
        for name in file.keys():
            tensor = file.get_tensor(name)
            tensors[name] = tensor
            block, end = ".layers." in name and "_proj." in name, "embed_tokens" in name or "lm_head" in name
            if tensor.dim() != 2 or not (block or end and ends):
                continue
            weights = tensor.float().numpy()
            if kind in ROUNDED:
                made = rounded(weights, *(ROUNDED[kind] if block else ROUNDED["INT8"]))
            else:
                of = kind if block or kind == "Q8_0" else "Q6_K"
                made = by_gguf(gguf(), weights, of, squares.get(name) if block else None)
            if made:
                tensors[name], stored[name] = tensor.new_tensor(made[0], dtype=tensor.float().dtype), made[1]
    save_file(tensors, path, {"format": "pt", "stored_bytes": json.dumps(stored)})
