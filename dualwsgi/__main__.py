"""`python -m dualwsgi` is the `dualwsgi` command."""

from dualwsgi_cli.entry import main

main()
