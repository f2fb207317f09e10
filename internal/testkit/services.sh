#!/bin/sh
# Installs what the tests talk to, if it is missing: PostgreSQL 15, zstd, versitygw and Prometheus. With majors as arguments
# (13, 17, 18) it also unpacks those into .services/postgresql-N, where internal/testkit finds them; they
# are not installed on this machine. Run as root, or with sudo at hand. Nothing is done twice.
#
#   internal/testkit/services.sh          PostgreSQL 15, versitygw, Prometheus
#   internal/testkit/services.sh 17 18    and these
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo

say() { echo "services: $*" >&2; }

install() {
	say "installing $*"
	$sudo apt-get install -y --no-install-recommends "$@" >&2 || {
		$sudo apt-get update >&2
		$sudo apt-get install -y --no-install-recommends "$@" >&2
	}
}

# suite MAJOR: the Debian release that has that major.
suite() {
	case $1 in
	13) echo bullseye ;;
	15) echo bookworm ;;
	17) echo trixie ;;
	18) echo sid ;;
	*) say "no Debian release has PostgreSQL $1; name its bin directory: COFRE_POSTGRES_$1"; exit 2 ;;
	esac
}

# unpack MAJOR: server, client programs and contrib, with the libraries they need. Programs and libraries are
# told to use those libraries, so that they run beside whatever this machine has.
unpack() {
	major=$1
	dir=$root/.services/postgresql-$major
	if [ -x "$dir/bin/initdb" ]; then
		return
	fi
	for tool in mmdebstrap patchelf file; do
		command -v $tool >/dev/null || install mmdebstrap patchelf file
	done
	say "unpacking PostgreSQL $major into $dir"
	tree=$root/.services/root-$major
	rm -rf "$tree"
	mkdir -p "$root/.services"
	# Old releases do not renew the date of their index: it is not refused for its age.
	mmdebstrap --quiet --variant=extract --include="postgresql-$major" \
		--aptopt='Acquire::Check-Valid-Until "false"' "$(suite "$major")" "$tree" >&2
	relocate "$tree" "$major"
	ln -sfn "root-$major/usr/lib/postgresql/$major" "$dir"
	"$dir/bin/postgres" --version >&2
}

relocate() {
	tree=$1
	pg=$tree/usr/lib/postgresql/$2
	# A tree extracted without running its packages' scripts may lack the merged /lib.
	libs=
	for d in "$tree/usr/lib/x86_64-linux-gnu" "$tree/usr/lib/aarch64-linux-gnu" "$tree/lib/x86_64-linux-gnu" "$tree/lib/aarch64-linux-gnu"; do
		[ -d "$d" ] && libs="${libs:+$libs:}$d"
	done
	loader=$(find "$tree/usr/lib" "$tree/lib" "$tree/lib64" -name 'ld-linux-*.so.*' 2>/dev/null | head -n 1)
	for f in "$pg"/bin/*; do
		file -L "$f" | grep -q 'ELF.*dynamic' || continue
		patchelf --set-interpreter "$loader" --set-rpath "$libs" --force-rpath "$f"
	done
	find "$pg/lib" "$tree/usr/lib" -name '*.so*' -type f | while read -r f; do
		case $f in */ld-linux-*|*/libc.so.*|*/libc-*.so) continue ;; esac
		file "$f" | grep -q 'ELF.*shared object' || continue
		patchelf --set-rpath "$libs" --force-rpath "$f" 2>/dev/null || true
	done
}

# unpack_prometheus: the server and promtool. They are unpacked and not installed, so that no service of this machine begins.
unpack_prometheus() {
	dir=$root/.services/prometheus
	if command -v prometheus promtool >/dev/null || [ -x "$dir/usr/bin/promtool" ]; then
		return
	fi
	say "unpacking Prometheus into $dir"
	box=$(mktemp -d)
	(
		cd "$box"
		apt-get download prometheus >&2 || { $sudo apt-get update >&2; apt-get download prometheus >&2; }
		mkdir -p "$root/.services"
		rm -rf "$dir"
		dpkg-deb -x prometheus_*.deb "$dir"
	)
	rm -rf "$box"
	"$dir/usr/bin/promtool" --version >&2
}

command -v /usr/lib/postgresql/15/bin/initdb >/dev/null || install postgresql-15
# Stock zstd shows that archived WAL is read without cofre.
command -v zstd >/dev/null || install zstd
if ! command -v versitygw >/dev/null && [ ! -x "$(go env GOPATH)/bin/versitygw" ]; then
	say "building versitygw, a minute or two"
	go install github.com/versity/versitygw/cmd/versitygw@v1.8.0
fi
unpack_prometheus
for major in "$@"; do
	[ "$major" = 15 ] || unpack "$major"
done
