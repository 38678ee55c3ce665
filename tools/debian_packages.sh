#!/usr/bin/env bash
# Debian's packages that the tests drive: installed when that is possible without asking anybody, otherwise
# each missing one is named together with the tests it costs. Missing packages are no error here: those tests
# say "skipped", and whoever cannot afford that runs pytest with --no-skips, as .ci/run does.
#
# Usage: tools/debian_packages.sh [PACKAGE…]      only these; default: all of the table
set -eu
cd "$(dirname "$0")/.."
. tools/as_root.sh

# package, the commands of it that we use (joined by |), what the package is to us
table='
libnbd-bin  nbdinfo|nbdcopy   standard NBD clients: the demo copies through nbdcopy, the tests look and copy
qemu-utils  qemu-img|qemu-io  convert, compare and patterns through the NBD socket
fuse3       fusermount3       libfuse 3: disks shown as files and loop devices (also for ordinary users)
e2fsprogs   mkfs.ext4|e2fsck  a file system made, filled and checked on a loop device
xfsprogs    mkfs.xfs|xfs_repair the same with the other file system of large machines
postgresql  pg_ctlcluster|pgbench a database whose data stand on a disk of ours (no cluster of the machine is touched)
gcc         gcc               machine code of the hot modules ("make fast"); without it all is plain
python3-dev python3-config    its headers, for the same
git         git               a repository cloned to such a disk, packed and checked
fio         fio               verified load on the NBD socket, and the load of "make bench"
nbdkit      nbdkit            the server that "make bench" measures beside ours
qemu-system-x86 qemu-system-x86_64 a machine with another kernel: /dev/nbdN, and booting from a partition
lvm2        lvm               volume groups over two disks, in that machine
mdadm       mdadm             mirrors over two disks, in that machine
busybox-static  busybox       all that machine has beside our source
smartmontools smartctl     health and temperature of drives, in nsu array list and nsu status
prometheus  promtool          reads /metrics and the alert rules in etc/ (the service itself is not needed)
chromium    chromium          a browser, for the pages
chromium-driver chromedriver  drives it
openssl     openssl           certificates, for the pages with TLS
systemd     systemd-analyze   reads the unit in etc/
iproute2    ip|ss             networks between namespaces, which the tests cut and mend (root)
'

# What "make bench" measures beside ours. Only by name: nbd-server and tgt start services when they are installed.
peers='
nbd-server  nbd-server        another NBD server
qemu-system-common qemu-storage-daemon and another
tgt         tgtd              an iSCSI target
libiscsi-bin iscsi-perf       what reads from it
qemu-block-extra qemu-img     its iscsi driver writes to it
iperf3      iperf3            how much loopback TCP carries
linux-perf  perf              system calls and their time, for bench.profile
'

rows() {
    printf '%s' "$table${wanted:+$peers}" | while read -r package commands purpose; do
        [ -n "$package" ] || continue
        case " $wanted " in "  " | *" $package "*) printf '%s %s %s\n' "$package" "$commands" "$purpose" ;; esac
    done
}

missing() {
    rows | while read -r package commands _; do
        for command in ${commands//|/ }; do
            command -v "$command" >/dev/null 2>&1 || { printf '%s\n' "$package"; break; }
        done
    done
}

wanted="$*"
packages=$(missing)
[ -n "$packages" ] || exit 0

if may_install; then
    echo "Installing Debian packages:" $packages
    # shellcheck disable=SC2086  # one word per package is meant
    install_packages $packages || echo "apt-get could not install them; going on without."
    packages=$(missing)
    [ -n "$packages" ] || exit 0
fi

echo "Not installed, and this user may not install packages (neither root nor sudo without a password):"
rows | while read -r package commands purpose; do
    case " $(echo $packages) " in *" $package "*) ;; *) continue ;; esac
    echo "  $package: $purpose"
    grep -rlwE "$commands" tests --include='test_*.py' 2>/dev/null | sort | sed 's/^/      will skip tests of /' || true
done
echo "To have them: apt-get install" $packages
