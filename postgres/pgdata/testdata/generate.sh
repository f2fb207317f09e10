#!/bin/sh
# generate.sh BIN OUT: makes the files of one major version from a real server. Run as a user that is not root.
# BIN is the directory of initdb; OUT, for instance testdata/17, is made.
set -eu
BIN=$1 OUT=$2
T=$(mktemp -d)
trap '"$BIN/pg_ctl" -D "$T/data" -m immediate stop >/dev/null 2>&1 || true; rm -rf "$T"' EXIT
mkdir -p "$OUT/wal" "$T/archive" "$T/space"
"$BIN/initdb" -D "$T/data" -k -U postgres --wal-segsize=1 -A trust --no-instructions >/dev/null 2>&1 ||
	"$BIN/initdb" -D "$T/data" -k -U postgres --wal-segsize=1 -A trust >/dev/null
cat >>"$T/data/postgresql.conf" <<CONF
listen_addresses = ''
unix_socket_directories = '$T'
fsync = off
max_connections = 37
max_worker_processes = 9
max_wal_senders = 5
max_prepared_transactions = 3
max_locks_per_transaction = 77
track_commit_timestamp = on
log_timezone = 'UTC'
archive_mode = on
archive_command = 'cp %p $T/archive/%f'
CONF
"$BIN/pg_ctl" -D "$T/data" -w -l "$T/log" start >/dev/null || { cat "$T/log"; exit 1; }
sql() { "$BIN/psql" -h "$T" -U postgres -XAtq -v ON_ERROR_STOP=1 "$@"; }
sql -c "create tablespace space location '$T/space'"
sql -c "create table t (id int primary key, x text)"
# Larger than a page of WAL, and than several: records that go on.
sql -c "insert into t select i, repeat(md5(i::text), 40) from generate_series(1, 300) i"
sql -c "create table toasted (b bytea); alter table toasted alter b set storage external;
	insert into toasted select convert_to(repeat('x', 300000), 'UTF8')"
sql -c "begin; insert into t values (100001, 'prepared'); prepare transaction 'p1'"
sql -c "commit prepared 'p1'"
sql -c "begin; insert into t values (100002, 'prepared'); savepoint s; drop table toasted; prepare transaction 'p2'"
sql -c "rollback prepared 'p2'"
sql -c "select pg_create_restore_point('before the disaster')"
sql -c "begin; insert into t values (100003, 'aborted'); rollback"
sql -c "checkpoint"
if [ "$("$BIN/postgres" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')" -ge 17 ]; then
	sql -c "alter system set summarize_wal = on" -c "select pg_reload_conf()" >/dev/null
fi
"$BIN/pg_basebackup" -h "$T" -U postgres -D "$T/base" -X none -c fast -T "$T/space=$T/space2" --no-sync 2>/dev/null
cp "$T/base/backup_label" "$OUT"
gzip -9nc "$T/base/backup_manifest" >"$OUT/backup_manifest.gz"
"$BIN/pg_basebackup" -h "$T" -U postgres -D "$T/tar" -X none -c fast -Ft --no-sync 2>/dev/null
tar -xOf "$T/tar/base.tar" tablespace_map >"$OUT/tablespace_map"
if [ "$("$BIN/postgres" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')" -ge 17 ]; then
	"$BIN/pg_basebackup" -h "$T" -U postgres -D "$T/incr" -X none -c fast -T "$T/space=$T/space3" --incremental "$T/base/backup_manifest" --no-sync 2>/dev/null
	cp "$T/incr/backup_label" "$OUT/backup_label.incremental"
fi
sql -c "insert into t values (100004, 'last')"
sql -c "select pg_switch_wal()" >/dev/null
sql -c "select pg_relation_filepath('t')" >"$T/path"
"$BIN/pg_ctl" -D "$T/data" -w -m fast stop >/dev/null
dd if="$T/data/$(cat "$T/path")" of="$OUT/heap.pages" bs=8192 count=2 2>/dev/null
gzip -9n "$OUT/heap.pages"
gzip -9nc "$T/data/global/pg_control" >"$OUT/pg_control.gz"
LC_ALL=C TZ=UTC "$BIN/pg_controldata" -D "$T/data" >"$OUT/pg_controldata.txt"
cp "$T"/archive/*.backup "$OUT"
# The segments from the second on, and what pg_waldump makes of them.
last=
for f in "$T"/archive/0000000100000000????????; do
	n=$(basename "$f")
	gzip -9nc "$f" >"$OUT/wal/$n.gz"
	first=${first:-$n} last=$n
done
TZ=UTC "$BIN/pg_waldump" -p "$T/archive" "$first" "$last" 2>/dev/null | gzip -9n >"$OUT/waldump.txt.gz" || true
sed -i "s|$T|/srv/cluster|g" "$OUT/tablespace_map" "$OUT/pg_controldata.txt"
