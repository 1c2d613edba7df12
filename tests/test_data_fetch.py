"""Downloads, against a server on this machine that misbehaves in every way a mirror may."""

import gzip
import hashlib
import json
import os
import re
import subprocess
import sys
import threading
import time
import tracemalloc
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO

import pytest

from npylstm import files
from npylstm.data import fetch
from npylstm.data.fetch import fetch_mnist
from npylstm.data.mnist import FILES

# Stand-ins for the four files, so small that a whole download takes milliseconds.
CONTENTS = {name: f"the bytes of {name} ".encode() * 100 for name in FILES}
CHECKSUMS = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENTS.items()}
COMPLETE = sorted(f"{name}.gz" for name in FILES)


class Mirror(BaseHTTPRequestHandler):
    """Behaves as the first part of the address says: /half/train-images-idx3-ubyte.gz."""

    def do_GET(self):
        self.server.requests.append(self.path)
        behaviour, name = self.path.strip("/").split("/")
        packed = gzip.compress(CONTENTS.get(name.removesuffix(".gz"), b""))
        if behaviour.isdecimal():
            self.send_error(int(behaviour))
        else:
            getattr(self, behaviour)(packed)

    def answer(self, body, length=None):
        self.send_response(200)
        self.send_header("Content-Length", str(length or len(body)))
        self.end_headers()
        self.wfile.write(body)

    def redirect(self, path):
        self.send_response(302)
        self.send_header("Location", path)
        self.end_headers()

    def good(self, packed):
        self.answer(packed)

    def unpacked(self, packed):
        self.answer(gzip.decompress(packed))

    def moved(self, packed):
        self.redirect(self.path.replace("moved", "good"))

    def meeting(self, packed):
        if self.path.endswith(f"{FILES[0]}.gz"):
            self.server.barrier.wait(30)
        self.answer(packed)

    def wrong(self, packed):
        self.answer(gzip.compress(b"other bytes"))

    def page(self, packed):
        self.answer(b"<html>Please accept our cookies</html>")

    def half(self, packed):
        self.answer(packed[: len(packed) // 2], length=len(packed))

    def bomb(self, packed):
        self.answer(gzip.compress(bytes(10**7)))

    def endless(self, packed):
        self.send_response(200)
        self.end_headers()
        while True:
            self.wfile.write(bytes(10**5))

    def mute(self, packed):
        self.server.closing.wait(60)

    def stalled(self, packed):
        self.answer(packed[:10], length=len(packed))
        self.server.closing.wait(60)

    def dripping(self, packed):
        self.send_response(200)
        self.send_header("Content-Length", str(len(packed)))
        self.end_headers()
        while not self.server.closing.wait(0.05):
            self.wfile.write(b"x")

    def dripping_header(self, packed):
        self.wfile.write(b"HTTP/1.0 200 OK\r\nX: ")
        while not self.server.closing.wait(0.05):
            self.wfile.write(b"x")

    def hung_up(self, packed):
        pass

    def not_http(self, packed):
        self.wfile.write(b"220 mail.example.org ESMTP\r\n")

    def loop(self, packed):
        self.redirect(self.path)

    def chain(self, packed):
        self.redirect(f"/chain/{len(self.server.requests)}")

    def to_a_file(self, packed):
        self.redirect(f"file://{self.path}")

    def to_ftp(self, packed):
        self.redirect("ftp://127.0.0.1:1/file.gz")

    def to_data(self, packed):
        self.redirect("data:text/plain,digits")

    def to_nonsense(self, packed):
        self.redirect("http://[")

    def chunks(self, packed):
        self.protocol_version = "HTTP/1.1"
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"-1\r\nbytes\r\n")

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    def __init__(self):
        super().__init__(("127.0.0.1", 0), Mirror)
        self.requests = []
        self.closing = threading.Event()
        self.barrier = threading.Barrier(2)
        self.address = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request, client_address):
        """Say nothing: clients that leave early are what the tests are about."""


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(fetch, "SHA256", CHECKSUMS)
    monkeypatch.setattr(fetch, "MAX_BYTES", 10**6)
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.closing.set()
        server.shutdown()
        thread.join()


def assert_complete(folder):
    assert sorted(path.name for path in folder.iterdir()) == COMPLETE
    for name, content in CONTENTS.items():
        data = (folder / f"{name}.gz").read_bytes()
        assert (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data) == content


FAULTS = {
    "403": "HTTP Error 403: Forbidden",
    "404": "HTTP Error 404: Not Found",
    "500": "HTTP Error 500: Internal Server Error",
    "wrong": "SHA-256 of the decompressed bytes is",
    "page": "SHA-256 of the decompressed bytes is",
    "half": "ended before|IncompleteRead",
    "bomb": "SHA-256 of the decompressed bytes is",
    "endless": "SHA-256 of the decompressed bytes is",
    "mute": "timed out",
    "stalled": "timed out",
    "dripping": "not complete after 0.5 seconds",
    "dripping_header": "not complete after 0.5 seconds",
    "hung_up": "closed connection without response",
    "not_http": "BadStatusLine",
    "loop": "infinite loop",
    "chain": "infinite loop",
    "to_a_file": "Redirection to url 'file:",
    "to_ftp": "unknown url type: ftp",
    "to_data": "Redirection to url 'data:",
    "to_nonsense": "Invalid IPv6 URL",
    "chunks": "IncompleteRead",
}
# Seconds for a read and for a file. Only a fault that takes time is to meet its limit: on a busy
# machine a sound mirror may be slow.
LIMITS = dict.fromkeys(FAULTS, (60, 60))
LIMITS |= {"mute": (0.5, 60), "stalled": (0.5, 60)}
LIMITS |= {"dripping": (60, 0.5), "dripping_header": (60, 0.5)}


@pytest.mark.parametrize("kind", ["good", "unpacked", "moved"])
def test_a_whole_download(server, tmp_path, kind):
    folder = fetch_mnist(tmp_path / "cache", [f"{server.address}/{kind}/"])
    assert folder == tmp_path / "cache" / "mnist"
    assert_complete(folder)


@pytest.mark.parametrize("fault", FAULTS)
def test_the_next_mirror_is_tried(server, tmp_path, fault):
    mirrors = [f"{server.address}/{fault}", f"{server.address}/good"]
    assert_complete(fetch_mnist(tmp_path, mirrors, *LIMITS[fault]))
    assert server.requests.count(f"/{fault}/train-labels-idx1-ubyte.gz") == 0, "asked again"


@pytest.mark.parametrize("fault", FAULTS)
def test_a_failure_says_what_happened_and_leaves_the_cache_clean(server, tmp_path, fault):
    mirror = f"{server.address}/{fault}"
    with pytest.raises(ConnectionError, match=FAULTS[fault]) as error:
        fetch_mnist(tmp_path, [mirror], *LIMITS[fault])
    assert f"{mirror}/train-images-idx3-ubyte.gz" in str(error.value)
    assert not list((tmp_path / "mnist").iterdir())


def test_no_more_is_unpacked_than_the_largest_file_holds(monkeypatch):
    monkeypatch.setattr(fetch, "MAX_BYTES", 10**5)
    bomb = BytesIO(gzip.compress(bytes(10**7)))
    tracemalloc.start()
    with pytest.raises(ValueError, match="SHA-256"):
        fetch._verify(bomb, FILES[0])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10**6


def test_the_failure_of_every_mirror_is_listed(server, tmp_path):
    mirrors = ["http://127.0.0.1:1", "no address", f"{server.address}/404", f"{server.address}/500"]
    with pytest.raises(ConnectionError) as error:
        fetch_mnist(tmp_path, mirrors)
    headline, *lines = str(error.value).splitlines()
    assert "train-images-idx3-ubyte" in headline
    for line, mirror, fault in zip(
        lines, mirrors, ["refused", "unknown url type", "404", "500"], strict=True
    ):
        assert mirror in line
        assert fault in line


def test_what_is_in_the_cache_is_not_downloaded_again(server, tmp_path):
    fetch_mnist(tmp_path, [f"{server.address}/good"])
    server.requests.clear()
    assert_complete(fetch_mnist(tmp_path, [f"{server.address}/500"]))
    assert not server.requests


@pytest.mark.parametrize(
    "content", [b"", b"junk", gzip.compress(b"junk", mtime=0), b"\x1f\x8b junk"]
)
def test_a_damaged_file_in_the_cache_is_told_and_replaced(server, tmp_path, content):
    folder = fetch_mnist(tmp_path, [f"{server.address}/good"])
    damaged = folder / "t10k-labels-idx1-ubyte.gz"
    damaged.write_bytes(content)
    server.requests.clear()
    with pytest.warns(UserWarning, match=f"{re.escape(str(damaged))} is damaged"):
        fetch_mnist(tmp_path, [f"{server.address}/good"])
    assert_complete(folder)
    assert server.requests == ["/good/t10k-labels-idx1-ubyte.gz"]


def test_a_disk_that_fails_leaves_no_half_written_file(server, tmp_path, monkeypatch):
    def replace(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(OSError, match="No space left on device"):
        fetch_mnist(tmp_path, [f"{server.address}/good"])
    assert not list((tmp_path / "mnist").iterdir())


def test_a_cache_that_cannot_be_a_folder_is_an_os_error(server, tmp_path):
    (tmp_path / "cache").write_text("mine")
    with pytest.raises(OSError, match="cache"):
        fetch_mnist(tmp_path / "cache", [f"{server.address}/good"])
    assert (tmp_path / "cache").read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mirrors": []}, r"mirrors must be .*, got \[\]"),
        ({"mirrors": "http://127.0.0.1"}, "mirrors must be .*, got 'http"),
        ({"timeout": 0}, "timeout must be .*, got 0"),
        ({"timeout": float("nan")}, "timeout must be .*, got nan"),
        ({"total_timeout": -1}, "total_timeout must be .*, got -1"),
    ],
)
def test_bad_arguments_are_named(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        fetch_mnist(tmp_path, **arguments)


@pytest.mark.parametrize("url", ["file:///etc/hosts", "data:text/plain,x", "ftp://127.0.0.1:1/"])
def test_nothing_but_http_is_asked(server, tmp_path, url):
    with pytest.raises(ConnectionError, match="unknown url type"):
        fetch_mnist(tmp_path, [url])


def test_the_cache_is_where_the_system_wants_it(server, tmp_path, monkeypatch):
    monkeypatch.delenv("NPYLSTM_CACHE", raising=False)
    monkeypatch.setattr(files, "user_cache_path", lambda name, appauthor: tmp_path / name)
    assert fetch_mnist(mirrors=[f"{server.address}/good"]) == tmp_path / "npylstm" / "mnist"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="where Linux wants it")
@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"NPYLSTM_CACHE": "own", "XDG_CACHE_HOME": "xdg"}, "own/mnist"),
        ({"NPYLSTM_CACHE": "", "XDG_CACHE_HOME": "xdg"}, "xdg/npylstm/mnist"),
        ({}, "home/.cache/npylstm/mnist"),
    ],
)
def test_the_cache_is_where_the_user_wants_it(server, tmp_path, monkeypatch, variables, expected):
    monkeypatch.delenv("NPYLSTM_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value and str(tmp_path / value))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    folder = fetch_mnist(mirrors=[f"{server.address}/good"])
    assert folder == tmp_path / expected
    assert_complete(folder)


# Several processes

CHILD = """
import json, sys
from npylstm import files
from npylstm.data import fetch
fetch.SHA256 = json.loads(sys.argv[1])
fetch.fetch_mnist(sys.argv[2], [sys.argv[3]])
"""


def start_fetching(cache, mirror):
    command = [sys.executable, "-c", CHILD, json.dumps(CHECKSUMS), cache, mirror]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def test_two_processes_at_once_do_not_hurt_each_other(server, tmp_path):
    children = [start_fetching(tmp_path, f"{server.address}/meeting") for _ in range(2)]
    for child in children:
        _, stderr = child.communicate(timeout=60)
        assert child.returncode == 0, stderr
    assert_complete(tmp_path / "mnist")


def test_a_process_killed_in_mid_download_leaves_the_cache_clean(server, tmp_path):
    child = start_fetching(tmp_path, f"{server.address}/stalled")
    while not server.requests:
        assert child.poll() is None
        time.sleep(0.01)
    child.kill()
    child.communicate()
    assert not list((tmp_path / "mnist").iterdir())
