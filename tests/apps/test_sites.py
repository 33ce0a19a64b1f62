"""Flask, Django, Falcon and Bottle, served over a socket and visited with requests.

Every site has the same pages, made the way its framework makes them.  Each is visited as it is, and
through wsgiref.validate, which fails a page if the server or the framework breaks PEP 3333.
"""

from __future__ import annotations

import hashlib
import io
import random
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from .conftest import PATIENCE, STATIC_FILE

NAMES = ["flask", "django", "falcon", "bottle"]


class Visitor(requests.Session):
    """A browser of one site: keeps connections and cookies."""

    def __init__(self, root: str) -> None:
        super().__init__()
        self.root = root
        self.trust_env = False  # no proxy stands between

    def request(self, method: str, url: str, **options: object) -> requests.Response:  # type: ignore[override]
        where = url if url.startswith("http") else self.root + url
        return super().request(method, where, timeout=PATIENCE, **options)  # type: ignore[arg-type]


@pytest.fixture(params=[*NAMES, *(f"checked/{name}" for name in NAMES)])
def visitor(request: pytest.FixtureRequest, server: str) -> Iterator[Visitor]:
    with Visitor(f"{server}/{request.param}") as visitor:
        yield visitor


@pytest.fixture(params=NAMES)
def plain_visitor(request: pytest.FixtureRequest, server: str) -> Iterator[Visitor]:
    with Visitor(f"{server}/{request.param}") as visitor:
        yield visitor


def test_pages_forms_and_uploads_come_right(visitor: Visitor) -> None:
    page = visitor.get("/")
    assert page.status_code == 200
    assert page.text == f"<p>hello from {visitor.root.rpartition('/')[2]}</p>"
    assert page.headers["Content-Type"].startswith("text/html")
    assert int(page.headers["Content-Length"]) == len(page.content)
    if "falcon" not in visitor.root:  # which answers HEAD only where a resource says how
        assert visitor.head("/").headers["Content-Length"] == page.headers["Content-Length"]

    greeting = visitor.get("/greet/Zo\u00eb \u20ac", params={"times": 2})
    assert greeting.content.decode() == "hello Zo\u00eb \u20ac, hello Zo\u00eb \u20ac"

    sent = {"one": ["1"], "many": ["a b", "\u20ac&="], "long": ["x" * 100_000]}
    assert visitor.post("/form", data=sent).json() == sent
    sent_json = {"a": [1, None, "\u20ac"]}
    assert visitor.post("/json", json=sent_json).json() == sent_json

    content = random.Random(1).randbytes(300_000)
    told = visitor.post("/upload", files={"file": ("a.bin", content)}).json()
    assert told == {"name": "a.bin", "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}

    assert visitor.get("/nowhere").status_code == 404
    assert visitor.post("/", data=b"x" * 1000).status_code in (200, 403, 405), (
        "what a page ignores is passed over"
    )
    assert visitor.get("/").text == page.text


def test_a_session_is_kept_from_page_to_page(visitor: Visitor) -> None:
    assert visitor.get("/recall").text == ""
    answer = visitor.get("/remember/red")
    assert (answer.text, [hop.status_code for hop in answer.history]) == ("red", [302])
    assert visitor.get("/remember/green").text == "red green"
    with Visitor(visitor.root) as stranger:
        assert stranger.get("/recall").text == ""


def test_a_static_file_comes_whole_in_part_and_not_at_all(visitor: Visitor) -> None:
    answer = visitor.get("/static/blob.bin")
    assert answer.content == STATIC_FILE
    assert answer.headers["Content-Length"] == str(len(STATIC_FILE))
    modified = visitor.get("/static/blob.bin", headers={"If-Modified-Since": answer.headers["Last-Modified"]})
    assert (modified.status_code, modified.content) == (304, b"")
    part = visitor.get("/static/blob.bin", headers={"Range": "bytes=1000-1999"})
    if part.status_code == 206:  # Django's view for static files knows no ranges
        assert part.content == STATIC_FILE[1000:2000]
        assert part.headers["Content-Length"] == "1000"
    else:
        assert part.content == STATIC_FILE
    if "falcon" not in visitor.root:  # which then leaves its file to the garbage collector
        assert visitor.head("/static/blob.bin").headers["Content-Length"] == str(len(STATIC_FILE))
    assert visitor.get("/static/../../common.py").status_code == 404
    assert visitor.get("/static/none.bin").status_code == 404


def test_a_stream_arrives_while_it_is_made(visitor: Visitor) -> None:
    with visitor.get("/stream", stream=True) as answer:
        assert answer.headers["Transfer-Encoding"] == "chunked"
        lines = answer.iter_lines(chunk_size=1)
        assert next(lines) == b"first", "the rest is not made before the stream is released"
        assert visitor.post("/release").text == "released"
        assert list(lines) == [b"piece %d" % number for number in range(100)]


def test_an_upload_of_20_mb_arrives_whole(plain_visitor: Visitor) -> None:
    content = random.Random(2).randbytes(20 << 20)
    told = plain_visitor.post("/upload", files={"file": ("large.bin", io.BytesIO(content))}).json()
    assert told["size"] == len(content)
    assert told["sha256"] == hashlib.sha256(content).hexdigest()


def test_slow_pages_are_served_side_by_side(plain_visitor: Visitor) -> None:
    def visit(_: int) -> int:
        with Visitor(plain_visitor.root) as visitor:
            return int(visitor.get("/slow").text)

    with ThreadPoolExecutor(8) as pool:
        assert max(pool.map(visit, range(8))) >= 4


def test_a_page_that_fails_is_a_500_that_leaks_nothing(visitor: Visitor) -> None:
    answer = visitor.get("/fail")
    assert answer.status_code == 500
    assert b"secret" not in answer.content
    assert visitor.get("/").status_code == 200


def test_a_form_of_django_wants_its_token_and_keeps_what_it_got(server: str) -> None:
    with Visitor(f"{server}/django") as visitor:
        page = visitor.get("/words/")
        assert visitor.get("/words").history, "it sends who forgets the slash to the page"
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
        assert token
        assert visitor.post("/words/", data={"word": "red"}).status_code == 403
        for word in ("red", "gr\u00fcn"):
            answer = visitor.post(
                "/words/",
                data={"word": word, "csrfmiddlewaretoken": token[1]},
                files={"ignored": b"x" * 100_000},
            )
            assert (answer.status_code, answer.history[0].status_code) == (200, 302)
        assert re.findall("<li>(.*?)</li>", answer.text) == ["red", "gr\u00fcn"]
        refused = visitor.post("/words/", data={"word": "x" * 21, "csrfmiddlewaretoken": token[1]})
        assert "at most 20 characters" in refused.text
