"""How the annexe serves: eventlet's server, protocol and environ over the house's one driver.

Knows sockets by their methods alone, and so no backend: the sockets, threads and pools that it is
handed wait as they wait.
"""
