"""eventlet.green: modules of the standard library that wait as the chosen backend waits."""
