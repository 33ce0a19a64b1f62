# Sourced by dev/serve and dev/test, in the root of the checkout:
#
#   install_into_venv WHAT     an editable install of WHAT (. or .[dev]) into $VENV, made if need be
#
# PYTHON  the interpreter to make it with (default: the first here that is 3.11 or newer)
# VENV    where it is (default: .venv)
# Quick when nothing has changed: the stamp holds what was installed, by what pyproject.toml.

VENV=${VENV:-.venv}

say() { printf '%s\n' "$*" >&2; }

find_python() {
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11 python}; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    say "Python 3.11 or newer is needed; install it, or name it: PYTHON=/path/to/python sh $0"
    return 1
}

make_venv() {
    python=$(find_python) || return 1
    say "Making $VENV with $("$python" --version) ..."
    "$python" -m venv "$VENV" && return
    rm -rf "$VENV"
    # Debian keeps venv in a package of its own; where this is a container's root, fetch it.
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "Installing Debian's python3-venv ..."
        { apt-get -qq update && apt-get -qq -y install --no-install-recommends python3-venv; } >/dev/null &&
            "$python" -m venv "$VENV" && return
    fi
    say "$python has no working venv module; install it (on Debian: apt-get install python3-venv)"
    return 1
}

install_into_venv() {
    stamp="$VENV/.installed"
    wanted="$(cksum <pyproject.toml) $1"
    [ -x "$VENV/bin/python" ] || make_venv || return 1
    if grep -qsxF -e "$wanted" -e "$(cksum <pyproject.toml) .[dev]" "$stamp"; then return; fi
    say "Installing $1 into $VENV ..."
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --editable "$1" || return 1
    printf '%s\n' "$wanted" >"$stamp"
}
