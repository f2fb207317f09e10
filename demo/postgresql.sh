#!/bin/sh
# Makes sure that a PostgreSQL server is on this machine for the demonstration, which starts one of its own. As
# root, or with sudo that asks for nothing, it installs the package; otherwise it says what to install.
set -eu

found() {
	command -v initdb >/dev/null 2>&1 && command -v postgres >/dev/null 2>&1 && return
	for dir in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /usr/local/pgsql/bin /opt/homebrew/opt/postgresql*/bin; do
		[ -x "$dir/initdb" ] && return
	done
	return 1
}

found && exit 0
if command -v apt-get >/dev/null; then
	sudo=
	if [ "$(id -u)" != 0 ]; then
		sudo="sudo -n"
		$sudo true 2>/dev/null || {
			echo "The demonstration needs PostgreSQL 13 or newer. Install it with:" >&2
			echo "  sudo apt-get install postgresql" >&2
			exit 1
		}
	fi
	echo "installing PostgreSQL (apt-get install postgresql)" >&2
	export DEBIAN_FRONTEND=noninteractive
	$sudo apt-get install -y -qq --no-install-recommends postgresql >/dev/null 2>&1 || {
		$sudo apt-get update -qq >&2
		$sudo apt-get install -y -qq --no-install-recommends postgresql >/dev/null
	}
	found && exit 0
fi
echo "The demonstration needs PostgreSQL 13 or newer, server and client programs:" >&2
echo "  Debian, Ubuntu   sudo apt-get install postgresql" >&2
echo "  Fedora, RHEL     sudo dnf install postgresql-server postgresql-contrib" >&2
echo "  Alpine           apk add postgresql postgresql-contrib" >&2
exit 1
