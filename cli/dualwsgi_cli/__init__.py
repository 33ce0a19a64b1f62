"""The `dualwsgi` command.  It talks to the library's front door only."""
