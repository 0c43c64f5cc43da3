"""wcodec eval against Hugging Face transformers: the same windows, the same items.

    python3 -m venv venv && venv/bin/pip install torch transformers
    venv/bin/python tests/eval/against_transformers.py MODEL --wcodec target/release/wcodec \
        --text wiki.test.raw --windows 12 --task hellaswag.jsonl --limit 100

MODEL is a folder with model.safetensors, config.json and tokenizer.json. Here a plain loop runs every
choice by itself through transformers, in F32 on the CPU. Perplexities must agree within 1e-3 and
log-likelihoods of every choice within 1e-3 nats a token; answers may differ only where the two best
choices are that close. Times are of the same run on the same machine, of the reference alone. against_transformers.txt beside this file has the last run's figures.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

# Nats a token: F32 logits in another order of sums.
CLOSE = 1e-3


class Plain:
    """The loop that anyone would write first."""

    def __init__(self, folder):
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        plain, special = (self.tokenizer.encode("a", add_special_tokens=s).ids for s in (False, True))
        self.bos = special[:1] if len(special) > len(plain) else []

    def encode(self, text):
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    @torch.no_grad()
    def log_probs(self, tokens, first):
        """Of the tokens from `first` on, and whether each is the likeliest."""
        logits = self.model(torch.tensor([tokens])).logits[0, first - 1 : -1].double()
        asked = torch.tensor(tokens[first:])
        logs = torch.log_softmax(logits, -1)[torch.arange(len(asked)), asked]
        return logs, logits.argmax(-1) == asked

    def perplexity(self, text, window, windows):
        tokens = self.encode(text)
        step, total, n = window - len(self.bos), 0.0, 0
        for start in list(range(0, len(tokens), step))[:windows]:
            inputs = self.bos + tokens[start : start + step]
            if len(inputs) > 1:
                total -= self.log_probs(inputs, 1)[0].sum().item()
                n += len(inputs) - 1
        return math.exp(total / n), n

    def likelihood(self, context, continuation):
        whole = self.encode(context + continuation)
        start = len(self.bos) + len(self.encode(context.rstrip()))
        logs, greedy = self.log_probs(self.bos + whole, start)
        return logs.sum().item(), bool(greedy.all()), len(logs)

    def answer(self, item):
        if "choices" in item:
            pairs = [(item["context"], choice) for choice in item["choices"]]
        elif "contexts" in item:
            pairs = [(context, item["continuation"]) for context in item["contexts"]]
        else:
            pairs = [(item["context"], item["target"])]
        found = [self.likelihood(*pair) for pair in pairs]
        sums, tokens = [f[0] for f in found], [f[2] for f in found]
        pick = sums.index(max(sums)) if len(sums) > 1 else int(found[0][1])
        return pick, pick == item.get("gold", 1), sums, tokens


def run(wcodec, model, arguments):
    command = [wcodec, "eval", model, model, "--json", "--quiet", *arguments]
    result = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return result["candidates"][0]


def check_text(plain, options, path):
    arguments = ["--text", path, "--windows", str(options.windows), "--window", str(options.window)]
    ours = run(options.wcodec, options.model, arguments)["texts"][0]
    begun = time.perf_counter()
    expected, tokens = plain.perplexity(Path(path).read_bytes().decode(), options.window, options.windows)
    seconds = time.perf_counter() - begun
    got = ours["reference"]["perplexity"]
    print(f"{Path(path).name}: {tokens} tokens, windows of {options.window}: perplexity {got:.6f}, "
          f"transformers {expected:.6f}, relative difference {got / expected - 1:+.1e}; "
          f"{tokens / ours['reference_seconds']:.0f} tokens/s, transformers {tokens / seconds:.0f}", flush=True)
    return ours["tokens"] == tokens and abs(got / expected - 1) < 1e-3


def check_task(plain, options, path):
    items = [json.loads(line) for line in Path(path).read_text().splitlines() if line.strip()][: options.limit]
    with tempfile.NamedTemporaryFile() as file:
        arguments = ["--task", path, "--limit", str(options.limit), "--items", file.name]
        ours = run(options.wcodec, options.model, arguments)["tasks"][0]
        answers = [json.loads(line) for line in Path(file.name).read_text().splitlines()]
    begun = time.perf_counter()
    expected = [plain.answer(item) for item in items]
    seconds = time.perf_counter() - begun
    worst, other, unexplained = 0.0, 0, 0
    for answer, (pick, _, sums, tokens) in zip(answers, expected, strict=True):
        got = answer["reference"]["log_likelihoods"]
        worst = max([worst, *(abs(a - b) / n for a, b, n in zip(got, sums, tokens, strict=True))])
        if answer["reference"]["pick"] != pick:
            other += 1
            best = sorted(sums)[-2:]
            unexplained += len(best) < 2 or best[1] - best[0] > CLOSE * max(tokens)
    got = 100 * ours["accuracy"]["reference"]["mean"]
    right = 100 * sum(e[1] for e in expected) / len(expected)
    print(f"{Path(path).name}: {len(items)} items: accuracy {got:.3f} %, transformers {right:.3f} %; "
          f"log-likelihoods within {worst:.1e} nats a token; {other} items answered differently, {unexplained} of "
          f"them not by a tie; {len(items) / ours['reference_seconds']:.2f} items/s, "
          f"transformers {len(items) / seconds:.2f}", flush=True)
    return worst < CLOSE and unexplained == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--wcodec", default="target/release/wcodec")
    parser.add_argument("--text", action="append", default=[])
    parser.add_argument("--task", action="append", default=[])
    parser.add_argument("--window", type=int, default=512)
    parser.add_argument("--windows", type=int, default=12)
    parser.add_argument("--limit", type=int, default=100)
    options = parser.parse_args()
    transformers.logging.disable_progress_bar()
    plain = Plain(options.model)
    print(f"{options.model.name}: torch {torch.__version__}, transformers {transformers.__version__}, "
          f"{torch.get_num_threads()} threads")
    fine = [check_text(plain, options, path) for path in options.text]
    fine += [check_task(plain, options, path) for path in options.task]
    sys.exit(0 if all(fine) else "they differ")


if __name__ == "__main__":
    main()
