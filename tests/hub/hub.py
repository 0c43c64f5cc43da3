"""A hub on loopback in Python, for scripts that test with programs that we did not write."""

import hashlib
import http.server
import json
import threading
from urllib.parse import parse_qs

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(http.server.ThreadingHTTPServer):
    """One repository, org/model: `files` by name; `sent` has the length of every body that went."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.sent = {}, []
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(http.server.BaseHTTPRequestHandler):
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
        if self.command != "HEAD":
            self.wfile.write(body)
            self.server.sent.append(len(body))

    def json(self, value):
        self.reply(200, {"Content-Type": "application/json"}, json.dumps(value).encode())

    def do_POST(self):
        # paths-info, as JSON or as a form.
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        paths = json.loads(body)["paths"] if body[:1] == b"{" else parse_qs(body.decode()).get("paths", [])
        self.json([entry for entry in self.tree() if entry["path"] in paths])

    def tree(self):
        def entry(name, data):
            digest = hashlib.sha256(data).hexdigest()
            lfs = {"oid": digest, "size": len(data), "pointerSize": 134}
            return {"type": "file", "path": name, "size": len(data), "oid": digest[:40], "lfs": lfs}

        return [entry(name, data) for name, data in self.server.files.items()]

    def do_GET(self):
        path = self.path.split("?")[0]
        if "/tree/" in path:
            return self.json(self.tree())
        if path.startswith("/api/models/"):
            siblings = [{"rfilename": name, "size": len(data)} for name, data in self.server.files.items()]
            return self.json({"_id": "0", "id": "org/model", "sha": COMMIT, "siblings": siblings})
        data = self.server.files.get(path.split("/", 5)[-1])
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
