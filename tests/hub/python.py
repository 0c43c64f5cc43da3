"""The cache against Python's huggingface_hub: what one downloads, the other finds.

usage: python.py WCODEC SAFETENSORS, with huggingface_hub installed. Starts a hub of its own on loopback.
"""

import hashlib
import http.server
import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

WCODEC, ORIGINAL = sys.argv[1:]
COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES, SENT = {}, []


class Hub(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.do_GET()

    def reply(self, status, headers, body=b""):
        self.send_response(status)
        for name, value in {"Content-Length": len(body), **headers}.items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)
            SENT.append(len(body))

    def do_GET(self):
        path = self.path.split("?")[0]
        if path.startswith("/api/models/"):
            siblings = [{"rfilename": name, "size": len(data)} for name, data in FILES.items()]
            info = {"_id": "0", "id": "org/model", "sha": COMMIT, "siblings": siblings}
            return self.reply(200, {"Content-Type": "application/json"}, json.dumps(info).encode())
        data = FILES.get(path.split("/", 5)[-1])
        if data is None:
            return self.reply(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
        headers = {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        asked = self.headers.get("Range")
        if not asked:
            return self.reply(200, headers, data)
        first, last = asked.removeprefix("bytes=").split("-")
        first, last = int(first), min(int(last or len(data)), len(data) - 1)
        headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
        return self.reply(206, headers, data[first : last + 1])


def wcodec(*arguments):
    done = subprocess.run([WCODEC, *arguments, "--json", "--quiet"], check=True, capture_output=True)
    return json.loads(done.stdout)


def main():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "HF_HUB_CACHE"):
            os.environ.pop(name, None)
        os.environ["HF_ENDPOINT"] = f"http://127.0.0.1:{server.server_port}"
        os.environ["HF_HOME"] = folder
        import huggingface_hub as hub  # reads the variables now

        encoded = Path(folder) / "encoded"
        wcodec("encode", ORIGINAL, "-o", str(encoded))
        FILES.update({"a.wcodec": encoded.read_bytes(), "sub/b.txt": b"text\n", "config.json": b"{}"})

        # wcodec downloads, Python finds it, without the network.
        wcodec("pull", "org/model")
        for name, data in FILES.items():
            path = Path(hub.hf_hub_download("org/model", name, local_files_only=True))
            assert path.read_bytes() == data and path.is_symlink(), name
        SENT.clear()
        hub.hf_hub_download("org/model", "a.wcodec")
        assert not any(SENT), "Python downloaded what was there"
        scanned = hub.scan_cache_dir()
        assert not scanned.warnings and scanned.size_on_disk == sum(map(len, FILES.values())), scanned

        # Python downloads, wcodec finds it, with and without the network.
        FILES["c.wcodec"] = FILES["a.wcodec"][:-1] + b"x"
        theirs = hub.hf_hub_download("org/model", "c.wcodec")
        SENT.clear()
        found = wcodec("pull", "org/model@main", "--include", "c.wcodec")
        assert Path(found["folder"]) == Path(theirs).parent, found
        assert len(SENT) == 1, "wcodec asked for more than the list of files"
        os.environ["HF_HUB_OFFLINE"] = "1"
        wcodec("pull", "org/model")
        assert wcodec("verify", "hf://org/model/a.wcodec")["ok"]
        left = [str(p) for p in Path(folder).rglob("*incomplete*")]
        assert not left, left
    print(f"huggingface_hub {hub.__version__} and wcodec share one cache")


main()
