"""A real Django application over PostgreSQL, in one file: two queries by its ORM, a template, its middleware.

DATABASE_URL says where the database is; the table is made by the first process that needs it. Connections are
kept (CONN_MAX_AGE), one a thread or greenlet, as Django does it.
"""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import unquote, urlsplit

import django
from django.conf import settings

ROWS = 1_000
PAGE = """<!doctype html><title>{{ title }}</title><h1>{{ title }}</h1>
<p>{{ total.count }} in stock, {{ total.worth }} in all
<ul>{% for item in items %}<li>{{ item.name }}: {{ item.price|floatformat:2 }}{% endfor %}</ul>
"""

_URL = urlsplit(os.environ["DATABASE_URL"])

settings.configure(
    DEBUG=False,
    ALLOWED_HOSTS=["*"],
    SECRET_KEY="measured, and thrown away",
    ROOT_URLCONF=__name__,
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    USE_TZ=True,
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    ],
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "OPTIONS": {"loaders": [("django.template.loaders.locmem.Loader", {"page.html": PAGE})]},
        }
    ],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": _URL.path.lstrip("/"),
            "USER": unquote(_URL.username or ""),
            "HOST": _URL.hostname,
            "PORT": _URL.port,
            "CONN_MAX_AGE": None,
        }
    },
)
django.setup()

from django.core.wsgi import get_wsgi_application  # noqa: E402  # these want the settings
from django.db import connection, models  # noqa: E402
from django.http import HttpRequest, HttpResponse  # noqa: E402
from django.shortcuts import render  # noqa: E402
from django.urls import path  # noqa: E402


class Item(models.Model):  # type: ignore[misc, unused-ignore]
    name = models.CharField(max_length=80)
    price = models.DecimalField(max_digits=8, decimal_places=2)

    class Meta:
        app_label = "loadtests"
        db_table = "item"


def _make_table() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(7)")  # servers of several processes come at the same time
        try:
            cursor.execute("SELECT to_regclass('item')")
            if cursor.fetchone()[0] is None:
                cursor.execute(
                    "CREATE TABLE item AS SELECT n AS id, 'item ' || n AS name, (n % 97)::numeric AS price "
                    f"FROM generate_series(1, {ROWS}) n"
                )
                cursor.execute("CREATE UNIQUE INDEX ON item (id)")
        finally:
            cursor.execute("SELECT pg_advisory_unlock(7)")
    connection.close()  # it must not be inherited by processes that are forked later


def page(request: HttpRequest) -> HttpResponse:
    """Twenty rows and a sum over a hundred, in a template."""
    items = list(Item.objects.filter(id__gt=500).order_by("id")[:20])
    total = Item.objects.filter(id__lte=100).aggregate(count=models.Count("id"), worth=models.Sum("price"))
    return render(request, "page.html", {"title": "Items", "items": items, "total": total})


urlpatterns = [path("", page), path("hello", page)]

_make_table()
app: Any = get_wsgi_application()
