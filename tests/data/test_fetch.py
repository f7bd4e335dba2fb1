"""Downloads against a server of this machine that cuts, lies, stalls and refuses."""

import hashlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from brainalign.data import _fetch
from brainalign.data._fetch import fetch_files
from brainalign.data._manifest import Manifest
from brainalign.errors import BadConfig, MissingData, UnknownName

CONTENT = bytes(range(256)) * 1024  # 256 KiB


class Server:
    """Answers each path by the next of its actions, and counts the requests."""

    def __init__(self):
        self.actions, self.requests = {}, []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.requests.append(self.path)
                actions = outer.actions[self.path]
                (actions.pop(0) if len(actions) > 1 else actions[0])(self)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def manifest(self, content=CONTENT, **actions):
        """Make a manifest of files with this content, one per keyword, each served by its actions."""
        files = []
        for name, does in actions.items():
            path = name.replace("__", "/")
            self.actions[f"/{path}"] = does if isinstance(does, list) else [does]
            digest = hashlib.sha256(content).hexdigest()
            files.append({"path": path, "bytes": len(content), "sha256": digest, "url": f"{self.url}/{path}"})
        return Manifest(name="toy2000", title="t", citation="c", doi="d", licence="l", files=files)


def send(body, *, status=200, length=None, headers=()):
    def action(handler):
        handler.send_response(status)
        if length is not False:
            handler.send_header("Content-Length", str(len(body) if length is None else length))
        for header in headers:
            handler.send_header(*header)
        handler.end_headers()
        handler.wfile.write(body)

    return action


def endless(handler):
    send(b"", length=False)(handler)
    try:
        while True:
            handler.wfile.write(CONTENT)
    except OSError:
        handler.close_connection = True


whole = send(CONTENT)
half = send(CONTENT[: len(CONTENT) // 2], length=len(CONTENT))
half_without_length = send(CONTENT[: len(CONTENT) // 2], length=False)


@pytest.fixture
def server():
    server = Server()
    yield server
    server.close()


def fetch_here(manifest, folder, **settings):
    return fetch_files(manifest, folder, allow_loopback_http=True, wait=0.01, **settings)


def files_in(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_files_arrive_whole_in_their_folders(server, tmp_path):
    local = fetch_here(server.manifest(a=whole, deep__er__b=whole), tmp_path)
    assert files_in(tmp_path) == ["toy2000/a", "toy2000/deep/er/b"]
    assert [path.read_bytes() for path in local] == [CONTENT, CONTENT]
    assert sorted(entry.name for entry in (tmp_path / "toy2000").iterdir()) == ["a", "deep"]


def test_what_is_right_is_not_fetched_again_and_what_is_wrong_is(server, tmp_path):
    manifest = server.manifest(a=whole, b=whole)
    fetch_here(manifest, tmp_path)
    (tmp_path / "toy2000/b").write_bytes(b"edited")
    server.requests.clear()
    assert fetch_here(manifest, tmp_path) == [tmp_path / "toy2000/b"]
    assert server.requests == ["/b"]
    assert (tmp_path / "toy2000/b").read_bytes() == CONTENT
    server.requests.clear()
    assert fetch_here(manifest, tmp_path) == []
    assert server.requests == []


def test_progress_counts_to_the_end(server, tmp_path):
    seen = []
    fetch_here(server.manifest(a=whole, b=whole), tmp_path, progress=lambda *told: seen.append(told))
    paths, done, totals = zip(*seen, strict=True)
    assert set(paths) == {"a", "b"}
    assert set(totals) == {2 * len(CONTENT)}
    assert list(done) == sorted(done)
    assert done[-1] == 2 * len(CONTENT)


def test_other_bytes_are_refused_with_both_hashes_and_leave_nothing(server, tmp_path):
    other = CONTENT[:-1] + b"x"
    with pytest.raises(MissingData) as caught:
        fetch_here(server.manifest(a=send(other)), tmp_path)
    assert hashlib.sha256(other).hexdigest() in str(caught.value)
    assert hashlib.sha256(CONTENT).hexdigest() in str(caught.value)
    assert files_in(tmp_path) == []
    assert server.requests == ["/a"]


def test_other_bytes_do_not_replace_a_file_that_is_there(server, tmp_path):
    (tmp_path / "toy2000").mkdir()
    (tmp_path / "toy2000/a").write_bytes(b"mine")
    with pytest.raises(MissingData, match="refused"):
        fetch_here(server.manifest(a=send(b"theirs")), tmp_path)
    assert (tmp_path / "toy2000/a").read_bytes() == b"mine"


def test_a_login_page_is_recognised(server, tmp_path):
    with pytest.raises(MissingData, match="it is a web page, perhaps a login"):
        fetch_here(server.manifest(a=send(b"\n<!DOCTYPE html><html>Sign in</html>")), tmp_path)


@pytest.mark.parametrize("broken", [half, send(b"", status=503), send(b"", status=429), send(b"", status=500)])
def test_what_passes_is_tried_again(server, tmp_path, broken):
    manifest = server.manifest(a=[broken, broken, whole])
    assert len(fetch_here(manifest, tmp_path)) == 1
    assert server.requests == ["/a"] * 3
    assert files_in(tmp_path) == ["toy2000/a"]


@pytest.mark.parametrize(("broken", "what"), [(half, "broke off"), (send(b"", status=503), "status 503")])
def test_it_is_not_tried_for_ever(server, tmp_path, broken, what):
    with pytest.raises(MissingData, match=f"{what}.*4 times"):
        fetch_here(server.manifest(a=broken), tmp_path)
    assert server.requests == ["/a"] * 4
    assert files_in(tmp_path) == []


def test_a_transfer_cut_without_a_length_is_refused(server, tmp_path):
    with pytest.raises(MissingData, match=f"{len(CONTENT) // 2} bytes"):
        fetch_here(server.manifest(a=half_without_length), tmp_path)
    assert files_in(tmp_path) == []


@pytest.mark.parametrize(("status", "what"), [(403, "forbidden"), (404, "not there any more"), (401, "unexpected")])
def test_a_refusal_is_told_at_once_and_the_other_files_are_fetched(server, tmp_path, status, what):
    manifest = server.manifest(a=send(b"no", status=status), b=whole)
    with pytest.raises(MissingData, match=f"(?s)1 of 2 files.*toy2000/a.*status {status}.*{what}"):
        fetch_here(manifest, tmp_path)
    assert server.requests == ["/a", "/b"]
    assert files_in(tmp_path) == ["toy2000/b"]


def test_a_server_that_never_stops_is_stopped(server, tmp_path):
    with pytest.raises(MissingData, match="sends more than the 262144 bytes"):
        fetch_here(server.manifest(a=endless), tmp_path)
    assert files_in(tmp_path) == []


def test_small_packets_are_not_counted_as_large_ones(server, tmp_path):
    def drip(handler):
        send(b"", length=len(CONTENT))(handler)
        for start in range(0, len(CONTENT), 1024):
            handler.wfile.write(CONTENT[start : start + 1024])
            handler.wfile.flush()

    assert len(fetch_here(server.manifest(a=drip), tmp_path)) == 1


def test_no_network_is_told_quickly(tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    file = {"bytes": 3, "sha256": "0" * 64, "url": f"http://127.0.0.1:{port}/a"}
    files = [{"path": f"a{i}", **file} for i in range(50)]
    manifest = Manifest(name="toy2000", title="t", citation="c", doi="d", licence="l", files=files)
    started = time.monotonic()
    with pytest.raises(MissingData, match="no connection") as caught:
        fetch_files(manifest, tmp_path, allow_loopback_http=True)
    assert len(str(caught.value).splitlines()) == 1  # the other 49 were not tried
    assert time.monotonic() - started < 5
    assert files_in(tmp_path) == []


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/a", "http://example.org/a", "ftp://example.org/a", "file:///etc/passwd", "x"]
)
def test_only_https_is_fetched(tmp_path, url):
    file = {"path": "a", "bytes": 3, "sha256": "0" * 64, "url": url}
    manifest = Manifest(name="toy2000", title="t", citation="c", doi="d", licence="l", files=[file])
    with pytest.raises(MissingData, match="only https addresses"):
        fetch_files(manifest, tmp_path)
    if "127.0.0.1" not in url:
        with pytest.raises(MissingData, match="only https addresses"):
            fetch_files(manifest, tmp_path, allow_loopback_http=True)


def test_a_redirect_is_followed_only_to_a_secure_address(server, tmp_path):
    away = send(b"", status=302, headers=[("Location", "http://example.org/a")])
    with pytest.raises(MissingData, match=r"example\.org/a: only https addresses"):
        fetch_here(server.manifest(a=away), tmp_path)
    near = send(b"", status=302, headers=[("Location", "/b")])
    assert len(fetch_here(server.manifest(a=near, b=whole), tmp_path)) == 2


def test_nothing_is_written_through_a_link_that_leads_out(server, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "data/toy2000").mkdir(parents=True)
    (tmp_path / "data/toy2000/deep").symlink_to(outside)
    with pytest.raises(MissingData, match="leads out of"):
        fetch_here(server.manifest(deep__b=whole), tmp_path / "data")
    assert files_in(outside) == []


def test_a_file_without_an_address_is_named_and_the_rest_fetched(server, tmp_path, caplog):
    manifest = server.manifest(a=whole)
    without = manifest.files[0].model_copy(update={"path": "b", "url": ""})
    manifest = manifest.model_copy(update={"files": (*manifest.files, without)})
    assert len(fetch_here(manifest, tmp_path)) == 1
    assert "toy2000/b: no public address is known" in caplog.text


def test_a_killed_download_leaves_no_file_and_the_next_one_succeeds(server, tmp_path):
    stalled, go_on = threading.Event(), threading.Event()

    def stall(handler):
        half(handler)
        handler.wfile.flush()
        stalled.set()
        go_on.wait(30)
        handler.close_connection = True

    manifest = server.manifest(a=[stall, whole])
    code = (
        "import sys; from pathlib import Path; from brainalign.data import _fetch, _manifest;"
        "manifest = _manifest.Manifest.model_validate_json(sys.argv[1]);"
        "_fetch.fetch_files(manifest, Path(sys.argv[2]), allow_loopback_http=True)"
    )
    root = os.path.dirname(os.path.dirname(os.path.dirname(_fetch.__file__)))  # noqa: PTH120
    environment = {**os.environ, "PYTHONPATH": root}
    command = [sys.executable, "-c", code, manifest.model_dump_json(), str(tmp_path)]
    with subprocess.Popen(command, env=environment) as process:
        assert stalled.wait(30)
        time.sleep(0.2)
        process.send_signal(signal.SIGKILL)
    go_on.set()
    visible = [path for path in files_in(tmp_path) if ".partial-" not in path]
    assert visible == []
    assert len(fetch_here(manifest, tmp_path)) == 1
    assert (tmp_path / "toy2000/a").read_bytes() == CONTENT


def test_partial_downloads_of_killed_processes_are_removed_after_a_day(server, tmp_path):
    old, new = tmp_path / "toy2000/.partial-old", tmp_path / "toy2000/.partial-new"
    for folder in (old, new):
        folder.mkdir(parents=True)
        (folder / "download").write_bytes(b"half")
    long_ago = time.time() - 2 * _fetch.ABANDONED
    os.utime(old, (long_ago, long_ago))
    fetch_here(server.manifest(a=whole), tmp_path)
    assert not old.exists()
    assert new.exists()


def with_a_list(server, content=CONTENT, algorithm="md5", **actions):
    """Make a manifest that has one file of its own and the others in its list."""
    manifest = server.manifest(content=content, **actions)
    own, *others = (file.model_dump(exclude_none=True, exclude={"sha256"}) for file in manifest.files)
    digest = {algorithm: hashlib.new(algorithm, content).hexdigest()}
    table = dict(manifest) | {"files": [{**own, **digest}], "listed": [{**file, **digest} for file in others]}
    table["listing"] = {"file": "toy2000.files.tsv.gz", "url": "https://example.org/{path}", "source": "s"}
    return Manifest(**table)


LIKE_BIDS = {
    "participants": whole,
    "sub1__func__sub1_taskpieman": whole,
    "sub1__func__sub1_tasktunnel": whole,
    "sub2__func__sub2_taskpieman": whole,
}


def test_a_list_is_not_fetched_unasked(server, tmp_path):
    fetch_here(with_a_list(server, **LIKE_BIDS), tmp_path)
    assert server.requests == ["/participants"]


@pytest.mark.parametrize(
    ("include", "expected"),
    [
        (["sub1/*"], ["sub1/func/sub1_taskpieman", "sub1/func/sub1_tasktunnel"]),
        (["*_taskpieman"], ["sub1/func/sub1_taskpieman", "sub2/func/sub2_taskpieman"]),
        (["sub2/*", "participants"], ["participants", "sub2/func/sub2_taskpieman"]),
        (["sub?/func/*tunnel", "sub1/*tunnel"], ["sub1/func/sub1_tasktunnel"]),
        (["*"], [name.replace("__", "/") for name in LIKE_BIDS]),
    ],
)
def test_patterns_choose_the_files_that_are_fetched(server, tmp_path, include, expected):
    fetch_here(with_a_list(server, **LIKE_BIDS), tmp_path, include=include)
    assert files_in(tmp_path / "toy2000") == expected
    assert server.requests == [f"/{path}" for path in expected]


@pytest.mark.parametrize(
    ("pattern", "hint"),
    [
        ("sub3/*", "nothing in it is called 'sub3' (did you mean 'sub2'?)"),
        ("*_taskpeiman*", "nothing in it is called 'taskpeiman' (did you mean 'taskpieman'?)"),
        ("sub2", "whole paths, such as 'sub2/func/sub2_taskpieman'"),
        ("SUB1/*", "nothing in it is called 'SUB1'"),
        ("zzz", "nothing in it is called 'zzz'"),
    ],
)
def test_a_pattern_without_a_file_is_refused_with_what_is_near_it(server, tmp_path, pattern, hint):
    names = {name: action for name, action in LIKE_BIDS.items() if pattern != "sub3/*" or "sub1" not in name}
    with pytest.raises(BadConfig) as caught:
        fetch_here(with_a_list(server, **names), tmp_path, include=["participants", pattern])
    assert f"no file of toy2000 matches {pattern!r}" in str(caught.value)
    assert hint in str(caught.value)
    assert server.requests == []


def test_all_patterns_without_a_file_are_told_at_once(server, tmp_path):
    with pytest.raises(BadConfig, match=r"(?s)2 problems.*'x\*'.*'y\*'"):
        fetch_here(with_a_list(server, **LIKE_BIDS), tmp_path, include=["x*", "y*"])


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
def test_listed_files_are_compared_with_the_digest_of_their_kind(server, tmp_path, algorithm):
    manifest = with_a_list(server, algorithm=algorithm, own=whole, good=whole, bad=send(CONTENT[:-1] + b"x"))
    with pytest.raises(MissingData, match=rf"(?s)1 of 3 files.*toy2000/bad.*refused.*{algorithm} ") as caught:
        fetch_here(manifest, tmp_path, include=["*"])
    assert hashlib.new(algorithm, CONTENT).hexdigest() in str(caught.value)
    assert hashlib.new(algorithm, CONTENT[:-1] + b"x").hexdigest() in str(caught.value)
    assert files_in(tmp_path) == ["toy2000/good", "toy2000/own"]
    server.requests.clear()
    assert [file.path for file in _fetch.files_to_fetch(manifest, tmp_path, include=["*"])] == ["bad"]
    assert server.requests == []


def test_how_much_will_come_is_told_before_the_first_file_is_asked_for(server, tmp_path, caplog):
    told = []

    def whole_and_note(handler):
        told.extend(record.getMessage() for record in caplog.records)
        whole(handler)

    (tmp_path / "toy2000").mkdir()
    (tmp_path / "toy2000/here").write_bytes(CONTENT)
    with caplog.at_level("INFO"):
        fetch_here(server.manifest(a=whole_and_note, b=whole, here=whole), tmp_path)
    assert told[0] == f"{tmp_path / 'toy2000'}: 2 files to fetch, 524.3 kB"
    assert told[1] == "1 of 2: a, 262.1 kB"


def test_a_disk_that_is_too_small_is_told_before_anything_is_fetched(server, tmp_path, monkeypatch):
    usage = _fetch.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(_fetch.shutil, "disk_usage", lambda _: usage._replace(free=2 * len(CONTENT) - 1))
    with pytest.raises(MissingData, match=r"524\.3 kB to fetch, 524\.3 kB free"):
        fetch_here(server.manifest(a=whole, b=whole), tmp_path)
    assert server.requests == []
    assert fetch_here(server.manifest(a=whole), tmp_path) == [tmp_path / "toy2000/a"]


@pytest.mark.parametrize(("name", "address"), [("gwilliams2023", "osf.io/"), ("schoffelen2019", "needs a login")])
def test_a_data_set_without_a_list_names_its_archive_and_terms(tmp_path, name, address):
    with pytest.raises(MissingData, match=rf"{name}: no list of its files is known.*{address}"):
        _fetch.fetch(name, tmp_path)
    assert files_in(tmp_path) == []


def test_an_unknown_data_set_is_named(tmp_path):
    with pytest.raises(UnknownName, match="did you mean 'tuckute2024'"):
        _fetch.fetch("tuckute", tmp_path)
