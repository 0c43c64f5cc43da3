"""What transformers writes greedily: greedy.py FOLDER PROMPT TOKENS. Needs torch and transformers."""

import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

folder, prompt, tokens = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
inputs = tokenizer(prompt, return_tensors="pt")
with torch.no_grad():
    ids = model.generate(**inputs, max_new_tokens=int(tokens), do_sample=False)
written = ids[0][inputs["input_ids"].shape[1] :]
sys.stdout.write(tokenizer.decode(written, skip_special_tokens=True))
