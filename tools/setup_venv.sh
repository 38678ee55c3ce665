#!/usr/bin/env bash
# The virtual environment .venv with this project in it, editable, and what is needed to test and to check it.
# Made anew whenever setup.cfg, pyproject.toml or the interpreter changed (a stamp file remembers), so that
# what runs is what the metadata says, and nothing left over. Costs a few milliseconds when there is nothing to do.
#
# Usage: tools/setup_venv.sh [EXTRA…]      extras of setup.cfg; default: test. An installed one stays installed.
set -eu
cd "$(dirname "$0")/.."
. tools/as_root.sh

stamp=.venv/nsu-stamp
enough='import sys; sys.exit(sys.version_info < (3, 11))'

find_python() {
    for name in "${PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11; do
        [ -n "$name" ] && "$name" -c "$enough" >/dev/null 2>&1 && { command -v "$name"; return; }
    done
    cat >&2 <<'END'
Python 3.11 or later is needed, and none was found as python3 or python3.11 to python3.14.
  Debian 12 and later, Ubuntu 23.04 and later:  apt-get install python3 python3-venv
  Ubuntu 22.04 (universe):                      apt-get install python3.11 python3.11-venv
  elsewhere: any Python 3.11 or later, named by   make PYTHON=/path/to/python3.11 …
END
    return 1
}

# Debian leaves ensurepip, without which there is no virtual environment, to a package of its own.
have_venv() {
    "$python" -c 'import venv, ensurepip' >/dev/null 2>&1
}

need_venv() {
    have_venv && return
    local package
    package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    if may_install; then
        echo "Installing Debian package: $package"
        install_packages "$package" || true
    fi
    have_venv && return
    echo "$python cannot make a virtual environment. To mend that: apt-get install $package" >&2
    return 1
}

python=$(find_python)
state=$({ "$python" -VV; cat setup.cfg pyproject.toml; } | sha256sum | cut -d ' ' -f 1)

# The stamp's first line is the state, its further lines the extras that are installed.
if [ "$(head -n 1 "$stamp" 2>/dev/null)" != "$state" ]; then
    need_venv
    echo "Making .venv with $("$python" -V)"
    "$python" -m venv --clear .venv
    echo "$state" >"$stamp.new"
else
    cp "$stamp" "$stamp.new"
fi

missing=()
for extra in "${@:-test}"; do
    grep -qx "$extra" "$stamp.new" || missing+=("$extra")
done
if [ ${#missing[@]} -gt 0 ]; then
    extras=$(IFS=,; echo "${missing[*]}")
    echo "Installing this project with its extras [$extras] into .venv"
    # One call, without a second environment for the build, and byte code only of what is imported: half the time.
    pip() { .venv/bin/python -m pip --quiet --disable-pip-version-check install "$@"; }
    pip "setuptools>=68"
    pip --no-compile --no-build-isolation --editable ".[$extras]"
    printf '%s\n' "${missing[@]}" >>"$stamp.new"
fi
mv "$stamp.new" "$stamp"
