# Sourced: how this machine lets us install Debian packages, if at all.
# `as_root COMMAND…` runs it as root; `may_install` says whether that is possible without asking anybody.

may_install() {
    command -v apt-get >/dev/null 2>&1 || return 1
    [ "$(id -u)" -eq 0 ] || { command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; }
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi
}

# A fresh machine has no package lists yet, and an old one has stale ones: so update, then install.
# What apt has to say is shown only when it fails.
install_packages() {
    local said
    said=$(as_root env DEBIAN_FRONTEND=noninteractive apt-get -q update 2>&1 &&
        as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install "$@" 2>&1) ||
        { printf '%s\n' "$said" | tail -n 15 >&2; return 1; }
}
