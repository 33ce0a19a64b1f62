"""Restarts under load: every way in which a worker comes and goes, and what it costs the clients.

python -m loadtests.restarts                      # every case, both backends, 10 s each
python -m loadtests.restarts hup --backend green --least 20 --tls
"""
