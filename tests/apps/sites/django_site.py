"""A Django site in one file: templates, forms with CSRF, sessions in a database, uploads, streams."""

from __future__ import annotations

import json
from typing import Any

import django
from common import PLACE, SIZE_LIMIT, STATIC, Crowd, Release, summary
from django import forms
from django.conf import settings

PAGE = """<form method="post" enctype="multipart/form-data">{% csrf_token %}{{ form.as_p }}</form>
{% for word in words %}<li>{{ word }}</li>{% endfor %}"""

settings.configure(
    SECRET_KEY="for the test",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["django.contrib.sessions"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": PLACE / "django.sqlite3"}},
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.middleware.http.ConditionalGetMiddleware",
    ],
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "OPTIONS": {"loaders": [("django.template.loaders.locmem.Loader", {"page.html": PAGE})]},
        }
    ],
    DATA_UPLOAD_MAX_MEMORY_SIZE=SIZE_LIMIT,
    FILE_UPLOAD_TEMP_DIR=PLACE,
    LOGGING_CONFIG=None,
    USE_TZ=True,
)
django.setup()

from django.core.management import call_command  # noqa: E402  # only once Django is set up
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse  # noqa: E402
from django.shortcuts import redirect, render  # noqa: E402
from django.urls import path  # noqa: E402
from django.views.decorators.csrf import csrf_exempt  # noqa: E402
from django.views.decorators.http import require_POST  # noqa: E402
from django.views.static import serve  # noqa: E402

call_command("migrate", "sessions", verbosity=0)

stream_release, crowd = Release(), Crowd()


class WordForm(forms.Form):
    word = forms.CharField(max_length=20)


def index(request: HttpRequest) -> HttpResponse:
    return HttpResponse("<p>hello from django</p>")


def greet(request: HttpRequest, name: str) -> HttpResponse:
    return HttpResponse(", ".join([f"hello {name}"] * int(request.GET["times"])))


@csrf_exempt
@require_POST
def form(request: HttpRequest) -> HttpResponse:
    return JsonResponse({key: request.POST.getlist(key) for key in request.POST})


@csrf_exempt
def echo_json(request: HttpRequest) -> HttpResponse:
    return JsonResponse(json.loads(request.body))


@csrf_exempt
def upload(request: HttpRequest) -> HttpResponse:
    file = request.FILES["file"]
    return JsonResponse(summary(file.name, file.read))


def stream(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(stream_release.pieces(), content_type="text/plain")


@csrf_exempt
def release(request: HttpRequest) -> HttpResponse:
    stream_release.release()
    return HttpResponse("released")


def slow(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(crowd.stay()))


def fail(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("a secret of the application")


def remember(request: HttpRequest, word: str) -> HttpResponse:
    request.session["words"] = [*request.session.get("words", []), word]
    return redirect("recall")


def recall(request: HttpRequest) -> HttpResponse:
    return HttpResponse(" ".join(request.session.get("words", [])))


def words(request: HttpRequest) -> HttpResponse:
    """A page with a form, as Django's own documentation writes one."""
    sent = WordForm(request.POST or None)
    if sent.is_valid():
        request.session["words"] = [*request.session.get("words", []), sent.cleaned_data["word"]]
        return redirect("words")
    return render(request, "page.html", {"form": sent, "words": request.session.get("words", [])})


urlpatterns: list[Any] = [
    path("", index),
    path("greet/<str:name>", greet),
    path("form", form),
    path("json", echo_json),
    path("upload", upload),
    path("stream", stream),
    path("release", release),
    path("slow", slow),
    path("fail", fail),
    path("remember/<str:word>", remember),
    path("recall", recall, name="recall"),
    path("words/", words, name="words"),
    path("static/<path:path>", serve, {"document_root": STATIC}),
]

app = get_wsgi_application()
