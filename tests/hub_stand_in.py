"""A stand-in for the Hub on 127.0.0.1: model repositories with commits, tags, plain LFS and private readers.

It answers what huggingface_hub asks when it creates a repository, uploads a folder, tags it and reads it back. Bodies
and headers are those of the Hub's API as huggingface_hub 2.4 reads them; no Xet, so HF_HUB_DISABLE_XET is needed.
"""

import base64
import hashlib
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "hf_stand_in"
LFS = (".safetensors", ".parquet")  # suffixes that go to the large-file store


def git_hash(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def pointer(content):
    """The text that git holds in the place of a large file."""
    oid = hashlib.sha256(content).hexdigest()
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(content)}\n".encode()


class Repository:
    """Commits are whole trees: commit → path → content."""

    def __init__(self, private):
        self.private = private
        self.commits, self.tags, self.messages = {}, {}, []
        self.commit({".gitattributes": b"*.safetensors filter=lfs\n"}, "initial commit")

    def commit(self, tree, message):
        self.messages.append(message)
        parts = [str(len(self.commits)), *(f"{path} {git_hash(tree[path])}" for path in sorted(tree))]
        self.head = hashlib.sha1("\n".join(parts).encode()).hexdigest()
        self.commits[self.head] = dict(tree)

    def sha_of(self, revision):
        known = {"main": self.head, **self.tags}
        return known.get(revision, revision if revision in self.commits else None)


class StandIn:
    """What a test sees: repositories by name, large files by SHA-256, and which requests came.

    refuse: the numbers (from 1) of the large files' transfers that are broken off. sent: SHA-256 of those that came.
    """

    def __init__(self):
        self.repositories, self.large = {}, {}
        self.requests, self.sent, self.transfers = [], [], 0
        self.refuse, self.address = set(), ""
        self.lock = threading.Lock()


class Refused(Exception):
    def __init__(self, status, code="", message=""):
        super().__init__(message)
        self.status, self.code = status, code


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: StandIn

    def log_message(self, *words):
        """Quiet."""

    def do_GET(self):
        self.answer()

    do_HEAD = do_POST = do_PUT = do_GET

    def answer(self):
        address = urlsplit(self.path)
        self.query = parse_qs(address.query)
        path = [unquote(part) for part in address.path.strip("/").split("/")]
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Transfer-Encoding") == "chunked":
            self.body = self.chunks()
        with self.hub.lock:
            self.hub.requests.append((self.command, address.path))
            try:
                self.route(path)
            except Refused as refused:
                text = json.dumps({"error": str(refused)}).encode()
                self.reply(
                    refused.status, text, {"X-Error-Code": refused.code, "X-Error-Message": str(refused)}
                )

    def chunks(self):
        found = b""
        while size := int(self.rfile.readline(), 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return found

    def route(self, path):
        match path:
            case ["api", "repos", "create"]:
                self.create()
            case ["api", "validate-yaml"]:
                self.json({"errors": [], "warnings": []})
            case ["api", "models", owner, name, *rest]:
                self.api(self.repository(f"{owner}/{name}"), f"{owner}/{name}", rest)
            case [owner, name, "info", "lfs", "objects", "batch"]:
                self.repository(f"{owner}/{name.removesuffix('.git')}")
                self.batch()
            case ["large", oid]:
                self.transfer(oid)
            case ["verify"]:
                asked = json.loads(self.body)
                known = len(self.hub.large.get(asked["oid"], b"")) == asked["size"]
                self.json({}, 200 if known else 404)
            case [owner, name, "resolve", revision, *file]:
                self.resolve(self.repository(f"{owner}/{name}"), revision, "/".join(file))
            case _:
                raise Refused(404, message=f"the stand-in knows no {self.command} {self.path}")

    def known(self):
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def repository(self, name):
        found = self.hub.repositories.get(name)
        writes = self.command in ("POST", "PUT")
        if found is None or (not self.known() and (found.private or writes)):
            raise Refused(404 if self.known() else 401, "RepoNotFound", "Repository not found")
        return found

    def create(self):
        if not self.known():
            raise Refused(401, message="Invalid credentials")
        asked = json.loads(self.body)
        name = f"{asked['organization']}/{asked['name']}"
        status = 409 if name in self.hub.repositories else 200
        if status == 200:
            self.hub.repositories[name] = Repository(asked.get("visibility") == "private")
        self.json({"url": f"{self.hub.address}/{name}", "name": name, "error": "exists"}, status)

    def api(self, repository, name, rest):
        match rest:
            case [] | ["revision", _]:
                self.info(repository, name, rest[1] if rest else "main")
            case ["tree", revision]:
                self.tree(repository, revision)
            case ["preupload", _]:
                self.preupload(repository)
            case ["commit", "main"]:
                self.commit(repository, name)
            case ["tag", revision]:
                tag = json.loads(self.body)["tag"]
                if tag in repository.tags:
                    raise Refused(409, message="Tag already exists")
                repository.tags[tag] = self.sha(repository, revision)
                self.json({})
            case ["settings"]:
                repository.private = json.loads(self.body)["visibility"] == "private"
                self.json({})
            case _:
                raise Refused(404, message=f"the stand-in knows no {self.command} {self.path}")

    def sha(self, repository, revision):
        found = repository.sha_of(revision)
        if found is None:
            raise Refused(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return found

    def info(self, repository, name, revision):
        sha = self.sha(repository, revision)
        siblings = [{"rfilename": path} for path in sorted(repository.commits[sha])]
        about = {"id": name, "modelId": name, "sha": sha, "private": repository.private}
        self.json({**about, "siblings": siblings, "tags": [], "downloads": 0, "likes": 0})

    def tree(self, repository, revision):
        content = repository.commits[self.sha(repository, revision)]
        self.json([self.entry(path, content[path]) for path in sorted(content)])

    def entry(self, path, content):
        if not path.endswith(LFS):
            return {"type": "file", "path": path, "size": len(content), "oid": git_hash(content)}
        text = pointer(content)
        large = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": len(text)}
        return {"type": "file", "path": path, "size": len(content), "oid": git_hash(text), "lfs": large}

    def preupload(self, repository):
        tree, found = repository.commits[repository.head], []
        for file in json.loads(self.body)["files"]:
            path = file["path"]
            old = tree.get(path)
            oid = (
                None
                if old is None
                else hashlib.sha256(old).hexdigest()
                if path.endswith(LFS)
                else git_hash(old)
            )
            mode = "lfs" if path.endswith(LFS) else "regular"
            found.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        self.json({"files": found})

    def batch(self):
        objects = []
        for asked in json.loads(self.body)["objects"]:
            entry = {"oid": asked["oid"], "size": asked["size"]}
            if asked["oid"] not in self.hub.large:
                upload = {"href": f"{self.hub.address}/large/{asked['oid']}"}
                entry["actions"] = {"upload": upload, "verify": {"href": f"{self.hub.address}/verify"}}
            objects.append(entry)
        self.json({"transfer": "basic", "objects": objects})

    def transfer(self, oid):
        """A large file comes in, or goes out: its address is the permission to have it, as a signed one is."""
        if self.command != "PUT":
            self.reply(200, self.hub.large[oid], {"ETag": f'"{oid}"'})
            return
        self.hub.transfers += 1
        if self.hub.transfers in self.hub.refuse:
            raise Refused(403, message="the transfer's address has expired")
        if hashlib.sha256(self.body).hexdigest() != oid:
            raise Refused(400, message="the content is not what was announced")
        self.hub.large[oid] = self.body
        self.hub.sent.append(oid)
        self.reply(200, b"")

    def commit(self, repository, name):
        lines = [json.loads(line) for line in self.body.splitlines()]
        tree = dict(repository.commits[repository.head])
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                tree[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                if value["oid"] not in self.hub.large:
                    raise Refused(400, message="the large file was never sent")
                tree[value["path"]] = self.hub.large[value["oid"]]
            elif line["key"] == "deletedFile":
                del tree[value["path"]]
        repository.commit(tree, lines[0]["value"]["summary"])
        address = f"{self.hub.address}/{name}/commit/{repository.head}"
        self.json({"success": True, "commitUrl": address, "commitOid": repository.head})

    def resolve(self, repository, revision, file):
        sha = self.sha(repository, revision)
        content = repository.commits[sha].get(file)
        headers = {"X-Repo-Commit": sha}
        if content is None:
            raise Refused(404, "EntryNotFound", "Entry not found")
        if not file.endswith(LFS):
            self.reply(200, content, {**headers, "ETag": f'"{git_hash(content)}"'})
            return
        oid = hashlib.sha256(content).hexdigest()
        headers |= {"X-Linked-ETag": f'"{oid}"', "X-Linked-Size": str(len(content))}
        # Another host, as the Hub's is: huggingface_hub follows redirects within one by itself.
        elsewhere = self.hub.address.replace("127.0.0.1", "localhost")
        self.reply(302, b"", {**headers, "Location": f"{elsewhere}/large/{oid}"})

    def json(self, content, status=200):
        self.reply(status, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def reply(self, status, content, headers=()):
        self.send_response(status)
        for name, value in {**dict(headers), "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


@contextmanager
def hub_stand_in():
    """A StandIn that answers at its `address` until the block ends."""
    hub = StandIn()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
