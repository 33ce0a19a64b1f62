"""eventlet.green.urllib: request over green sockets; parse, error and response as they are."""
