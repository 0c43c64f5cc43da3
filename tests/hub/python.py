"""The cache against Python's huggingface_hub: what one downloads, the other finds.

usage: python.py WCODEC SAFETENSORS, with huggingface_hub installed. Starts a hub of its own on loopback.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from hub import Hub

WCODEC, ORIGINAL = sys.argv[1:]


def wcodec(*arguments):
    done = subprocess.run([WCODEC, *arguments, "--json", "--quiet"], check=True, capture_output=True)
    return json.loads(done.stdout)


def main():
    server = Hub()
    with tempfile.TemporaryDirectory() as folder:
        for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "HF_HUB_CACHE"):
            os.environ.pop(name, None)
        os.environ["HF_ENDPOINT"] = server.url
        os.environ["HF_HOME"] = folder
        import huggingface_hub as hub  # reads the variables now

        encoded = Path(folder) / "encoded"
        wcodec("encode", ORIGINAL, "-o", str(encoded))
        server.files.update({"a.wcodec": encoded.read_bytes(), "sub/b.txt": b"text\n", "config.json": b"{}"})

        # wcodec downloads, Python finds it, without the network.
        wcodec("pull", "org/model")
        for name, data in server.files.items():
            path = Path(hub.hf_hub_download("org/model", name, local_files_only=True))
            assert path.read_bytes() == data and path.is_symlink(), name
        server.sent.clear()
        hub.hf_hub_download("org/model", "a.wcodec")
        assert not any(server.sent), "Python downloaded what was there"
        scanned = hub.scan_cache_dir()
        assert not scanned.warnings and scanned.size_on_disk == sum(map(len, server.files.values())), scanned

        # Python downloads, wcodec finds it, with and without the network.
        server.files["c.wcodec"] = server.files["a.wcodec"][:-1] + b"x"
        theirs = hub.hf_hub_download("org/model", "c.wcodec")
        server.sent.clear()
        found = wcodec("pull", "org/model@main", "--include", "c.wcodec")
        assert Path(found["folder"]) == Path(theirs).parent, found
        assert len(server.sent) == 1, "wcodec asked for more than the list of files"
        os.environ["HF_HUB_OFFLINE"] = "1"
        wcodec("pull", "org/model")
        assert wcodec("verify", "hf://org/model/a.wcodec")["ok"]
        left = [str(p) for p in Path(folder).rglob("*incomplete*")]
        assert not left, left
    print(f"huggingface_hub {hub.__version__} and wcodec share one cache")


main()
