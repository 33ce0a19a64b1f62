"""A Bottle application: signed cookies, forms, uploads, streams, static files by static_file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import bottle
from bottle import Bottle, redirect, request, response, static_file
from common import SIZE_LIMIT, STATIC, Crowd, Release, summary

bottle.BaseRequest.MEMFILE_MAX = SIZE_LIMIT

app = Bottle()
stream_release, crowd = Release(), Crowd()


@app.get("/")
def index() -> str:
    return "<p>hello from bottle</p>"


@app.get("/greet/<name>")
def greet(name: str) -> str:
    return ", ".join([f"hello {name}"] * int(request.query["times"]))


@app.post("/form")
def form() -> dict[str, Any]:
    sent = request.forms.decode()
    return {key: sent.getall(key) for key in sent}


@app.post("/json")
def echo_json() -> Any:
    return request.json


@app.post("/upload")
def upload() -> dict[str, Any]:
    file = request.files["file"]
    return summary(file.raw_filename, file.file.read)


@app.get("/stream")
def stream() -> Iterator[bytes]:
    response.content_type = "text/plain"
    return stream_release.pieces()


@app.post("/release")
def release() -> str:
    stream_release.release()
    return "released"


@app.get("/static/<name:path>")
def file(name: str) -> Any:
    return static_file(name, root=str(STATIC))


@app.get("/slow")
def slow() -> str:
    return str(crowd.stay())


@app.get("/fail")
def fail() -> str:
    raise RuntimeError("a secret of the application")


@app.get("/remember/<word>")
def remember(word: str) -> None:
    words = request.get_cookie("words", default="", secret="for the test")
    response.set_cookie("words", f"{words} {word}".strip(), secret="for the test", path="/")
    redirect(request.environ["SCRIPT_NAME"] + "/recall", 302)


@app.get("/recall")
def recall() -> str:
    return str(request.get_cookie("words", default="", secret="for the test"))
