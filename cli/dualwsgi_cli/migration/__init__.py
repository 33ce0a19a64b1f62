"""From other servers' configuration to dualwsgi's.

`rules` is what a rule says; `gunicorn` and `uwsgi` hold the rules, which the documentation's tables
are made from too; `command` is `dualwsgi migrate`.
"""
