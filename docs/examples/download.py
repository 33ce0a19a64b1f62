"""A file, sent by the kernel, whole or from where an earlier download broke off (RFC 9110 section 14).

dualwsgi run download:app --app-dir docs/examples
"""

import os
import re

PATH = __file__  # this very file, for want of a better one


def app(environ, start_response):
    file = open(PATH, "rb")  # the server closes it
    size = os.fstat(file.fileno()).st_size
    fields = [("Content-Type", "application/octet-stream"), ("Accept-Ranges", "bytes")]
    asked = re.fullmatch(r"bytes=([0-9]+)-", environ.get("HTTP_RANGE", ""))
    if asked and int(asked[1]) < size:
        file.seek(int(asked[1]))
        fields.append(("Content-Range", f"bytes {asked[1]}-{size - 1}/{size}"))
        start_response("206 Partial Content", [*fields, ("Content-Length", str(size - file.tell()))])
    else:
        start_response("200 OK", [*fields, ("Content-Length", str(size))])
    return environ["wsgi.file_wrapper"](file)
