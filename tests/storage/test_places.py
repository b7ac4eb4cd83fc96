"""URLs, their errors, and that no credential gets into a message."""

from __future__ import annotations

import os
import socket
import sys
import threading
import urllib.request
from contextlib import suppress
from pathlib import Path

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stores import KEY, SECRET, Faulty

from synthforge.core import patience
from synthforge.core.errors import DataError, SynthForgeError, UserError
from synthforge.core.patience import scrubbed
from synthforge.core.scratch import fetched
from synthforge.core.storage import RemotePath, is_remote, place

WORDS = st.text("abcXYZ019-_", min_size=8, max_size=20)


def test_objects_whose_names_lead_elsewhere_are_refused(memory: str) -> None:
    files = fsspec.filesystem("memory")
    for name in ("run/a", "run/b/c"):
        files.pipe_file(f"{memory}/{name}", b"x")
    files.store[place(memory).url.removeprefix("memory:/") + "/run/../../../evil"] = files.store.popitem()[1]
    with pytest.raises(DataError, match=r"the unsafe object name '.*\.\./evil'"):
        list(place(f"{memory}/run").rglob("*"))
    with pytest.raises(DataError, match="evil"), fetched({"model": place(f"{memory}/run")}, ["model"]):
        pass


def test_paths_and_file_urls_are_paths(tmp_path: Path) -> None:
    assert place("a/b") == Path("a/b")
    assert place(tmp_path) is tmp_path
    assert place(f"file://{tmp_path}/a%20b") == tmp_path / "a b"
    assert is_remote(place("memory://a/b"))
    assert str(place("s3://bucket/a/") / "b") == "s3://bucket/a/b"
    assert place("s3://bucket/a/b.tar").with_name("c").parent.name == "a"


@given(user=WORDS, password=WORDS, token=WORDS)
def test_credentials_in_a_url_are_refused_and_not_repeated(user: str, password: str, token: str) -> None:
    for url in (f"s3://{user}:{password}@bucket/x", f"s3://{user}@bucket/x", f"https://host/x?token={token}#{token}"):
        with pytest.raises(UserError) as caught:
            place(url)
        text = str(caught.value)
        assert user not in text.replace("user", "")
        assert password not in text.replace("password", "")
        assert token not in text


@given(secret=WORDS)
def test_secrets_of_the_environment_are_cut_from_texts(secret: str) -> None:
    os.environ["SOME_SECRET_OF_A_TEST"] = secret
    try:
        assert secret not in scrubbed(f"failed: http://me:{secret}@host/x?X-Amz-Signature={secret} and {secret}")
    finally:
        del os.environ["SOME_SECRET_OF_A_TEST"]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("s4://bucket/x", "is not a store that fsspec knows"),
        ("s3:///x", "names no bucket"),
        ("s3://bucket/../x", "'..'"),
        ("simplecache::s3://bucket/x", "no store|chained"),
    ],
)
def test_urls_that_mean_nothing(url: str, words: str) -> None:
    if "::" in url:
        assert not is_remote(place(url))  # a path like any other, which is not there
        return
    with pytest.raises(UserError, match=words):
        place(url)


def test_where_only_a_local_path_will_do_the_url_is_named() -> None:
    with pytest.raises(UserError, match="s3://bucket/x: this works in local folders only"):
        os.stat(place("s3://bucket/x"))


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, "s3", raising=False)
    with pytest.raises(UserError, match=r"pip install 'synthforge\[s3\]'") as caught:
        place("s3://bucket/x").exists()
    assert caught.value.exit_code == 2


def test_no_bucket_and_no_access_are_said(bucket: str, server: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"1")
    there = place("s3://nothing-is-here/x")
    assert isinstance(there, RemotePath)
    for call in (there.exists, there.read_bytes, lambda: list(there.iterdir()), lambda: there.put(tmp_path / "file")):
        with pytest.raises(DataError, match="there is no such bucket") as caught:
            call()
        assert caught.value.exit_code == 2
    _authenticate(server, b"0")
    try:
        for call in (place(f"{bucket}/x").exists, place(f"{bucket}/x").read_bytes):
            with pytest.raises(DataError, match="access denied") as caught:
                call()
            assert caught.value.exit_code == 2
            assert KEY not in str(caught.value)
            assert SECRET not in str(caught.value)
    finally:
        _authenticate(server, b"inf")


def _authenticate(server: str, after: bytes) -> None:
    """Let the server look at credentials after so many requests."""
    plain = {"Content-Type": "text/plain"}
    request = urllib.request.Request(f"{server}/moto-api/reset-auth", data=after, headers=plain, method="POST")
    urllib.request.urlopen(request).close()


def test_tries_are_bounded_and_told(faulty: type[Faulty], caplog: pytest.LogCaptureFixture) -> None:
    there = place("faulty://box/x")
    assert isinstance(there, RemotePath)
    there.overwrite(b"1")
    faulty.every, faulty.requests = 1, 0
    with pytest.raises(SynthForgeError, match="no valid answer from the store") as caught:
        there.read_bytes()
    assert caught.value.exit_code == 1
    assert faulty.requests == patience.PATIENCE.tries
    assert sum("try " in record.message for record in caplog.records) == patience.PATIENCE.tries - 1


def test_libraries_do_not_try_again_on_their_own(monkeypatch: pytest.MonkeyPatch, bucket: str) -> None:
    """Each try of ours is one request: a store that is away is said to be after a few of them, not after 150."""
    asked = 0

    def serve(door: socket.socket) -> None:
        nonlocal asked
        with suppress(OSError):
            while True:
                guest = door.accept()[0]
                asked += bool(guest.recv(1))
                guest.close()

    with socket.create_server(("127.0.0.1", 0)) as door:
        threading.Thread(target=serve, args=(door,), daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{door.getsockname()[1]}")
        fresh = fsspec.get_filesystem_class("s3").clear_instance_cache
        fresh()
        try:
            with pytest.raises(SynthForgeError, match="no valid answer from the store"):
                place(f"{bucket}/x").read_bytes()
        finally:
            fresh()
    assert asked <= 2 * patience.PATIENCE.tries  # the HTTP client asks once more where a connection closes


def test_a_mistake_of_ours_is_not_tried_again(faulty: type[Faulty], monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(self: object, *_: object, **__: object) -> bytes:
        faulty.requests += 1
        raise TypeError("ours")

    monkeypatch.setattr(Faulty, "cat_file", wrong)
    with pytest.raises(TypeError, match="ours"):
        place("faulty://box/x").read_bytes()
    assert faulty.requests == 1


def test_waits_double_are_drawn_and_end() -> None:
    waits = [patience.Patience().wait(failed) for failed in range(1, 12)]
    assert all(0.1 * 2**n <= wait <= 0.2 * 2**n for n, wait in enumerate(waits[:5]))
    assert max(waits) <= 10
