#!/bin/sh
# Restarts servers behind a proxy one after the other, so that no request is lost.
#
#   APP=hello:app sh rolling-restart.sh start      starts them all
#   APP=hello:app sh rolling-restart.sh restart    each in turn: drain, stop, start, wait until it serves
#   APP=hello:app sh rolling-restart.sh stop
#
# PORTS: where they listen. HEALTH: how much higher the port of /readyz is. RUN: where their pid files and logs are.
# DELAY: how long a server that was told to stop still serves, with `Connection: close`; longer than the proxy takes to
# see it (in haproxy.cfg: inter times fall). Under systemd, `systemctl restart` of one unit after the other is the same.
set -eu
: "${APP:?give MODULE:CALLABLE}" "${PORTS:=8001 8002 8003}" "${HEALTH:=1000}" "${RUN:=.}" "${DELAY:=5s}" "${DUALWSGI:=dualwsgi}"

start() {
    # shellcheck disable=SC2086  # DUALWSGI may hold options
    $DUALWSGI run "$APP" --bind "127.0.0.1:$1" --pidfile "$RUN/$1.pid" \
        --drain-delay "$DELAY" --metrics-bind "127.0.0.1:$(($1 + HEALTH))" >>"$RUN/$1.log" 2>&1 &
    until curl --silent --fail --output /dev/null "http://127.0.0.1:$(($1 + HEALTH))/readyz"; do
        kill -0 $! || { echo "the server at port $1 did not start; see $RUN/$1.log" >&2; exit 1; }
        sleep 0.1
    done
}

stop() {
    pid=$(cat "$RUN/$1.pid")
    kill -TERM "$pid"
    while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
}

for port in $PORTS; do
    case ${1:-} in
    start) start "$port" ;;
    restart) stop "$port" && start "$port" ;;
    stop) stop "$port" ;;
    *) echo "usage: APP=MODULE:CALLABLE sh rolling-restart.sh start|restart|stop" >&2 && exit 2 ;;
    esac
done
