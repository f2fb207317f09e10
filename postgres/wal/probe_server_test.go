package wal_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/wal"
	"github.com/trustlayer/cofre/postgres/wal/probe"
)

// A mark goes the whole way of WAL and is read back; where the way is broken, the probe says which step it is.
func TestProbe(t *testing.T) {
	t.Parallel()
	root, st, id := repository(t)
	openUp(t, root)
	s := testkit.Postgres(t, testedMajor(t), smallSegments, testkit.Conf("archive_mode = on", "wal_level = replica",
		"archive_command = '"+self(t, root, "archive", id.Recipient())+" %p'"))
	mark := probe.Probe{
		Postgres: s.Config("postgres"), Archives: []wal.Archive{{Store: st, Recipient: id.Recipient()}},
		Unlock: []func() (wal.Identity, error){func() (wal.Identity, error) { return id, nil }}, Timeout: 20 * time.Second,
	}
	done, err := mark.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if done.System != systemOf(t, s) || done.Timeline != 1 || len(done.Read) != 1 || done.Read[0].URL != st.URL() {
		t.Errorf("%+v", done)
	}
	object := object(t, done.System, done.Segment)
	if _, err := st.Stat(t.Context(), object); err != nil {
		t.Error(err)
	}

	// A command that fails is named, with the segment and the next step.
	s.Exec(t, "postgres", "ALTER SYSTEM SET archive_command = 'false'")
	s.Exec(t, "postgres", "SELECT pg_reload_conf()")
	testkit.Await(t, "the setting", 10*time.Second, func() bool {
		return strings.TrimSpace(s.Query(t, "postgres", "SHOW archive_command")) == "false"
	})
	mark.Timeout = 4 * time.Second
	var gap *cofre.GapError
	if _, err = mark.Run(t.Context()); !errors.As(err, &gap) || !strings.Contains(cofre.Hint(err), "archive_command fails on "+gap.From) {
		t.Errorf("a command that fails: %v (%s)", err, cofre.Hint(err))
	}

	// One that stores nothing and says that it did.
	s.Exec(t, "postgres", "ALTER SYSTEM SET archive_command = 'true'")
	s.Exec(t, "postgres", "SELECT pg_reload_conf()")
	testkit.Await(t, "the setting", 10*time.Second, func() bool {
		return strings.TrimSpace(s.Query(t, "postgres", "SHOW archive_command")) == "true"
	})
	if _, err = mark.Run(t.Context()); !errors.As(err, &gap) || !strings.Contains(cofre.Hint(err), "stores elsewhere") {
		t.Errorf("a command that stores nothing: %v (%s)", err, cofre.Hint(err))
	}

	// Nobody streams.
	mark.Streamed, mark.Timeout = true, time.Second
	if _, err = mark.Run(t.Context()); !errors.As(err, &gap) || !strings.Contains(cofre.Hint(err), "cofre wal stream") {
		t.Errorf("nobody receives: %v (%s)", err, cofre.Hint(err))
	}
}

func TestProbeRefusesAServerThatDoesNotArchive(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, testedMajor(t), testkit.Own())
	mark := probe.Probe{Postgres: s.Config("postgres")}
	if _, err := mark.Run(t.Context()); !errors.Is(err, cofre.ErrPreflight) || !strings.Contains(cofre.Hint(err), "archive_mode = 'on'") {
		t.Errorf("%v (%s)", err, cofre.Hint(err))
	}
	// A role that may not end a segment learns which right it lacks.
	s.Exec(t, "postgres", "DROP ROLE IF EXISTS probing; CREATE ROLE probing LOGIN")
	config := s.Config("postgres")
	config.URL = strings.Replace(config.URL, "//postgres@", "//probing@", 1)
	mark = probe.Probe{Postgres: config, Streamed: true}
	if _, err := mark.Run(t.Context()); !errors.Is(err, cofre.ErrDenied) || !strings.Contains(cofre.Hint(err), `pg_switch_wal() TO "probing"`) {
		t.Errorf("%v (%s)", err, cofre.Hint(err))
	}
	s.Exec(t, "postgres", "DROP ROLE probing")
}
