"""A Flask application: sessions, forms, uploads, streams, static files by send_from_directory."""

from __future__ import annotations

from typing import Any

from common import SIZE_LIMIT, STATIC, Crowd, Release, summary
from flask import Flask, Response, jsonify, redirect, request, send_from_directory, session, url_for

app = Flask(__name__, static_folder=None)
app.secret_key = "for the test"
app.config["MAX_CONTENT_LENGTH"] = SIZE_LIMIT
app.config["MAX_FORM_MEMORY_SIZE"] = SIZE_LIMIT

stream_release, crowd = Release(), Crowd()


@app.get("/")
def index() -> str:
    return "<p>hello from flask</p>"


@app.get("/greet/<name>")
def greet(name: str) -> str:
    return ", ".join([f"hello {name}"] * int(request.args["times"]))


@app.post("/form")
def form() -> Response:
    return jsonify({key: request.form.getlist(key) for key in request.form})


@app.post("/json")
def echo_json() -> Response:
    return jsonify(request.get_json())


@app.post("/upload")
def upload() -> Response:
    file = request.files["file"]
    return jsonify(summary(file.filename or "", file.stream.read))


@app.get("/stream")
def stream() -> Response:
    return Response(stream_release.pieces(), mimetype="text/plain")


@app.post("/release")
def release() -> str:
    stream_release.release()
    return "released"


@app.get("/static/<path:name>")
def static_file(name: str) -> Response:
    return send_from_directory(STATIC, name)


@app.get("/slow")
def slow() -> str:
    return str(crowd.stay())


@app.get("/fail")
def fail() -> str:
    raise RuntimeError("a secret of the application")


@app.get("/remember/<word>")
def remember(word: str) -> Any:
    session["words"] = [*session.get("words", []), word]
    return redirect(url_for("recall"))


@app.get("/recall")
def recall() -> str:
    return " ".join(session.get("words", []))
