"""Every site below its name, and once more below /checked, where wsgiref.validate watches both sides."""

from __future__ import annotations

from wsgiref.validate import validator

import bottle_site
import django_site
import falcon_site
import flask_site
from werkzeug.exceptions import NotFound
from werkzeug.middleware.dispatcher import DispatcherMiddleware

SITES = {
    "flask": flask_site.app,
    "django": django_site.app,
    "falcon": falcon_site.app,
    "bottle": bottle_site.app,
}

app = DispatcherMiddleware(
    NotFound(),
    {
        **{f"/{name}": site for name, site in SITES.items()},
        **{f"/checked/{name}": validator(site) for name, site in SITES.items()},
    },
)
