"""wcodec against olah, a hub server that others wrote: as a mirror, and as a server of local repositories.

usage: olah.py WCODEC SAFETENSORS, with olah installed beside this Python, and git.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from hub import Hub

WCODEC, ORIGINAL = sys.argv[1:]
OLAH = Path(sys.executable).with_name("olah-cli")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Olah:
    """A server while the block runs; `arguments` are its command line's."""

    def __init__(self, folder, port, *arguments):
        self.port, self.folder = port, folder
        self.command = [OLAH, "--host", "127.0.0.1", "--port", str(port), *arguments]

    def __enter__(self):
        self.log = open(self.folder / "olah.log", "w")
        self.process = subprocess.Popen(self.command, cwd=self.folder, stdout=self.log, stderr=self.log)
        for _ in range(300):
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            assert self.process.poll() is None, (self.folder / "olah.log").read_text()
            time.sleep(0.1)
        raise RuntimeError("olah does not answer")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


def wcodec(port, home, *arguments, status=0):
    environment = {**os.environ, "HF_ENDPOINT": f"http://127.0.0.1:{port}", "HF_HOME": str(home)}
    command = [WCODEC, *arguments, "--json", "--quiet"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == status, (arguments, done.stdout, done.stderr)
    return json.loads(done.stdout)


def check_pull(port, home, encoded):
    pulled = wcodec(port, home, "pull", "org/model")
    path = Path(pulled["folder"]) / "model.wcodec"
    assert path.read_bytes() == encoded, "not the bytes that were served"
    assert wcodec(port, home, "verify", str(path), "--against", ORIGINAL)["compared"] == 1


def mirror(folder, encoded):
    hub, port = Hub(), free_port()
    hub.files.update({"model.wcodec": encoded, "config.json": b"{}"})
    upstream, itself = hub.url.removeprefix("http://"), f"127.0.0.1:{port}"
    arguments = ["--hf-scheme", "http", "--hf-netloc", upstream, "--hf-lfs-netloc", upstream]
    arguments += ["--mirror-scheme", "http", "--mirror-netloc", itself, "--mirror-lfs-netloc", itself]
    with Olah(folder, port, *arguments):
        # By ranges.
        listed = wcodec(port, folder / "a", "inspect", "hf://org/model/model.wcodec", "--summary")
        assert listed["file_bytes"] == len(encoded), listed
        wcodec(port, folder / "a", "verify", "hf://org/model/model.wcodec", "--against", ORIGINAL)
        check_pull(port, folder / "b", encoded)
    print("mirror: ranges and downloads are right")


def local(folder, encoded):
    model = folder / "mirrors/models/org/model"
    model.mkdir(parents=True)
    (model / "model.wcodec").write_bytes(encoded)
    (model / "config.json").write_bytes(b"{}")
    git = ["git", "-C", model, "-c", "user.name=x", "-c", "user.email=x@localhost"]
    for arguments in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "A model"]):
        subprocess.run([*git, *arguments], check=True)
    port, config = free_port(), folder / "olah.toml"
    config.write_text(
        f'[basic]\nhost = "127.0.0.1"\nport = {port}\nmirrors-path = ["./mirrors"]\n[accessibility]\noffline = true\n'
    )
    with Olah(folder, port, "--config", str(config)):
        # It ignores ranges: said, and no download of the whole file in their place.
        refused = wcodec(port, folder / "a", "inspect", "hf://org/model/model.wcodec", status=1)
        assert refused["error"]["kind"] == "protocol", refused
        check_pull(port, folder / "b", encoded)
        # What is in the cache needs no ranges.
        wcodec(port, folder / "b", "inspect", "hf://org/model/model.wcodec", "--summary")
    print("server of local repositories, without ranges: downloads are right, ranges are refused")


def main():
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "HF_HUB_CACHE", "WCODEC_BACKEND"):
        os.environ.pop(name, None)
    for role in (mirror, local):
        with tempfile.TemporaryDirectory() as folder:
            encoded = Path(folder) / "model.wcodec"
            subprocess.run([WCODEC, "encode", ORIGINAL, "-o", encoded, "--quiet"], check=True)
            role(Path(folder), encoded.read_bytes())


main()
