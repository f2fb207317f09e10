package stream

import (
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/wal"
)

// What a server means that does not have what should come next is told from its code and its position: its words are of
// the language that it speaks.
func TestLostIsKnownByTheCode(t *testing.T) {
	s := server{timeline: 2, size: size, restart: 7*size + 50, flushed: 9*size + 100}
	for _, c := range []struct {
		what string
		at   place
		code string
		want bool
	}{
		{"removed", place{2, 5 * size}, "58P01", true},
		{"removed, of an older timeline", place{1, 5 * size}, "58P01", true},
		{"the server keeps nothing better", place{2, 7 * size}, "58P01", false},
		{"ahead of the server", place{2, 10 * size}, "XX000", true},
		{"not ahead of it", place{2, 9 * size}, "XX000", false},
		{"ahead, of an older timeline", place{1, 10 * size}, "XX000", false},
		{"the slot is in use", place{2, 10 * size}, "55006", false},
		{"the server shuts down", place{2, 5 * size}, "57P01", false},
	} {
		err := &pgconn.PgError{Code: c.code, Message: "o segmento do WAL solicitado já foi removido"}
		if got := s.lost(c.at, err); got != c.want {
			t.Errorf("%s: %v", c.what, got)
		}
	}
	s.restart = 0
	if s.lost(place{2, 5 * size}, &pgconn.PgError{Code: "58P01"}) {
		t.Error("a slot that keeps nothing says where to go on")
	}
}

func TestRunRefusesWhatCannotBe(t *testing.T) {
	archives := []wal.Archive{{}}
	for what, c := range map[string]struct {
		Config
		want error
	}{
		"the name of the slot": {Config{Slot: "Cofre!", Spool: "x", Archives: archives}, cofre.ErrConfig},
		"no spool":             {Config{Archives: archives}, cofre.ErrConfig},
		"no archive":           {Config{Spool: "x"}, cofre.ErrConfig},
		"one cannot be opened": {Config{Spool: "x", Archives: []wal.Archive{{Unusable: cofre.ErrUnreachable}}}, cofre.ErrUnreachable},
	} {
		if err := Run(t.Context(), c.Config); !errors.Is(err, c.want) || !strings.HasPrefix(err.Error(), "stream WAL: ") {
			t.Errorf("%s: %v", what, err)
		}
	}
	c := Config{Spool: "x", Archives: archives}
	if err := c.complete(); err != nil || c.Slot != "cofre" || c.SpoolLimit != 4<<30 || c.Flush != 5e9 {
		t.Errorf("%+v, %v", c, err)
	}
}

// The segment before the first of a timeline is its parent's, once the history is known.
func TestTimelinesKnowTheSegmentBefore(t *testing.T) {
	lines := &timelines{}
	child := pgdata.Segment{Timeline: 2, Number: 5}
	if b, ok := lines.before(child, size); !ok || b != (pgdata.Segment{Timeline: 2, Number: 4}) {
		t.Errorf("before the history is known: %+v, %v", b, ok)
	}
	lines.learn(pgdata.History{Timeline: 2, Forks: []pgdata.Fork{{Parent: 1, At: 5*size + 100}}})
	for seg, want := range map[pgdata.Segment]pgdata.Segment{
		child:                     {Timeline: 1, Number: 4},
		{Timeline: 2, Number: 6}:  {Timeline: 2, Number: 5},
		{Timeline: 1, Number: 12}: {Timeline: 1, Number: 11},
	} {
		if b, ok := lines.before(seg, size); !ok || b != want {
			t.Errorf("before %+v: %+v, %v", seg, b, ok)
		}
	}
	if _, ok := lines.before(pgdata.Segment{Timeline: 1}, size); ok {
		t.Error("there is one before the first of all")
	}
}
