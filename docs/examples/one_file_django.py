"""Django in one file.

dualwsgi run one_file_django --app-dir docs/examples
"""

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import JsonResponse
from django.urls import path

if not settings.configured:
    settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="an example has no secrets")


def hello(request, name):
    return JsonResponse({"hello": name})


urlpatterns = [path("hello/<str:name>", hello)]

application = get_wsgi_application()
