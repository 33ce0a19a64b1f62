"""A Falcon application: media handlers, multipart forms read as they come, streams, a static route."""

from __future__ import annotations

from typing import Any

import falcon
from common import STATIC, Crowd, Release, summary

stream_release, crowd = Release(), Crowd()


class Index:
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.content_type = falcon.MEDIA_HTML
        resp.text = "<p>hello from falcon</p>"


class Greet:
    def on_get(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:
        resp.text = ", ".join([f"hello {name}"] * req.get_param_as_int("times", required=True))


class Form:
    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        media = req.get_media()
        resp.media = {key: value if isinstance(value, list) else [value] for key, value in media.items()}


class Json:
    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.media = req.get_media()


class Upload:
    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        found: dict[str, Any] = {}
        for part in req.get_media():
            found = summary(part.filename, part.stream.read)
        resp.media = found


class Stream:
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.content_type = falcon.MEDIA_TEXT
        resp.stream = stream_release.pieces()

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        stream_release.release()
        resp.text = "released"


class Slow:
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.text = str(crowd.stay())


class Fail:
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        raise RuntimeError("a secret of the application")


class Words:
    def on_get(self, req: falcon.Request, resp: falcon.Response, word: str | None = None) -> None:
        words = req.cookies.get("words", "")
        if word is None:
            resp.text = words.replace("-", " ")
            return
        resp.set_cookie("words", f"{words}-{word}".strip("-"), path="/", secure=False)
        raise_to = f"{req.root_path}/recall"
        raise falcon.HTTPFound(raise_to, headers=resp.headers)


app = falcon.App()
app.add_route("/", Index())
app.add_route("/greet/{name}", Greet())
app.add_route("/form", Form())
app.add_route("/json", Json())
app.add_route("/upload", Upload())
app.add_route("/stream", Stream())
app.add_route("/release", Stream())
app.add_route("/slow", Slow())
app.add_route("/fail", Fail())
app.add_route("/remember/{word}", Words())
app.add_route("/recall", Words())
app.add_static_route("/static", str(STATIC.resolve()))
