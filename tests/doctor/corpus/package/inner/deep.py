from eventlet import Timeout

LIMIT = Timeout(1)  # doctor: timeout
