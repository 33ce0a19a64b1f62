def application(environ, start_response):
    environ["eventlet.posthooks"].clear()  # doctor: posthooks
    start_response("204 No Content", [])
    return []
