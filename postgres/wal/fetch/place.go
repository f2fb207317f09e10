package fetch

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/wal"
	"github.com/trustlayer/cofre/postgres/wal/keyfile"
)

// errAbsent is the error of Absent.
var errAbsent error = absent{}

type absent struct{}

func (absent) Error() string { return "not archived" }
func (absent) Unwrap() error { return cofre.ErrNotFound }

// reply is an answer with what belongs to it.
type reply struct {
	answer  Answer
	content []byte // of Delivered
	err     error  // of every other answer
	// foreign is set on Unknown if the repository was read and holds no WAL of the system at all: it is another
	// cluster's, or a copy that is new.
	foreign bool
}

func unknown(err error) reply { return reply{answer: Unknown, err: err} }

// place is one repository that WAL is read from.
type place struct {
	store    cofre.Store
	identity wal.Identity
	unusable error // why it could not be opened; with a store, why its key could not: what is there is then known, and not read
}

// ask asks for a whole file.
func (p place) ask(ctx context.Context, system cofre.SystemID, name pgdata.WALName) reply {
	if p.store == nil {
		return unknown(p.unusable)
	}
	content, err := p.read(ctx, system, name)
	switch {
	case err == nil:
		return reply{answer: Delivered, content: content}
	case errors.Is(err, cofre.ErrNotFound):
		return p.missing(ctx, system, name)
	}
	return unknown(err)
}

// read reads a file. Without a key it tells only that one is not there.
func (p place) read(ctx context.Context, system cofre.SystemID, name pgdata.WALName) ([]byte, error) {
	if p.unusable == nil {
		return wal.Read(ctx, p.store, p.identity, system, name)
	}
	if _, err := p.store.Stat(ctx, wal.ObjectName(system, name)); err != nil {
		return nil, err
	}
	return nil, p.unusable
}

// missing decides what it means that a file is not there: WAL may go on after it, the folder that holds the repository
// may not be mounted, or the repository may be another cluster's.
func (p place) missing(ctx context.Context, system cofre.SystemID, name pgdata.WALName) reply {
	_, err := p.store.Stat(ctx, keyfile.Recipient)
	if errors.Is(err, cofre.ErrNotFound) {
		_, err = p.store.Stat(ctx, keyfile.SecondRecipient)
	}
	if errors.Is(err, cofre.ErrNotFound) {
		return unknown(cofre.WithHint(fmt.Errorf("no WAL is kept at %s: %w", p.store.URL(), cofre.ErrNoRepo), cofre.Say("wal.mounted", "is the folder mounted, and the address right?")))
	} else if err != nil {
		return unknown(err)
	}
	gap, err := p.later(ctx, system, name)
	if err != nil {
		return unknown(err)
	}
	if gap == nil {
		return p.absent(ctx, system)
	}
	// The file may have been archived a moment ago, and what comes after it too.
	if content, err := p.read(ctx, system, name); err == nil {
		return reply{answer: Delivered, content: content}
	}
	return reply{answer: Gap, err: gap}
}

// later returns an error that names what comes after a file that is not there; nil if nothing does.
func (p place) later(ctx context.Context, system cofre.SystemID, name pgdata.WALName) (gap, err error) {
	switch {
	case name.Kind == pgdata.WALHistory && name.Timeline > 1:
		// A recovery that is told there is no such timeline would take its number, or pass over what it holds.
		there, err := wal.HasSegments(ctx, p.store, system, name.Timeline)
		if err != nil || !there {
			return nil, err
		}
		return wal.ErrNoHistory(name.Timeline), nil
	case name.Kind == pgdata.WALSegment:
		why, err := p.lost(ctx, system, name)
		if err != nil || why == "" {
			return nil, err
		}
		text := name.String()
		return cofre.WithHint(fmt.Errorf("%s: %w", why, &cofre.GapError{Timeline: name.Timeline, From: text, To: text}),
			cofre.Say("wal.gaps", "cofre wal status names the gaps, and up to where recovery is possible")), nil
	}
	return nil, nil
}

// lost says why a segment that is not there must have been: a later one of its timeline is, or a younger timeline
// left it later. To take its absence for the end of WAL would promote a cluster without what came after. It
// returns "" if nothing came after it.
func (p place) lost(ctx context.Context, system cofre.SystemID, name pgdata.WALName) (string, error) {
	dir, text := wal.TimelinePrefix(system, name.Timeline), name.String()
	for o, err := range p.store.List(ctx, dir) {
		if err != nil {
			return "", err
		}
		later := strings.TrimPrefix(o.Name, dir)
		if !pgdata.IsSegmentName(later) || later <= text {
			continue
		}
		size, err := p.segmentSize(ctx, system, name.Timeline)
		if err != nil {
			return "", err
		}
		if _, err := pgdata.ParseSegment(later, size); err == nil { // or else no server has written it
			return "segment " + later + " is there", nil
		}
	}
	// Timelines are numbered one after the other, as PostgreSQL looks for them.
	for child := name.Timeline + 1; ; child++ {
		b, err := p.read(ctx, system, pgdata.HistoryOf(child))
		if errors.Is(err, cofre.ErrNotFound) {
			return "", nil
		}
		if err != nil {
			return "", err
		}
		h, err := pgdata.ParseHistory(child, b)
		if err != nil {
			return "", err
		}
		for _, fork := range h.Forks {
			if fork.Parent != name.Timeline {
				continue
			}
			size, err := p.segmentSize(ctx, system, name.Timeline)
			if err != nil {
				return "", err
			}
			// The segment of the fork itself is the child's, too.
			if seg, err := name.Segment(size); err == nil && seg.Number < uint64(fork.At)/uint64(size) {
				return fmt.Sprintf("timeline %d left timeline %d at %s", child, name.Timeline, fork.At), nil
			}
		}
	}
}

// absent is the answer Absent, if the store holds WAL of the system at all.
func (p place) absent(ctx context.Context, system cofre.SystemID) reply {
	for _, err := range p.store.List(ctx, wal.Prefix(system)) {
		if err != nil {
			return unknown(err)
		}
		return reply{answer: Absent, err: errAbsent}
	}
	err := fmt.Errorf("%s holds no WAL of system %s: %w", p.store.URL(), system, cofre.ErrNoRepo)
	return reply{answer: Unknown, foreign: true, err: cofre.WithHint(err, cofre.Say("wal.this_cluster", "is it the repository of this cluster?"))}
}

// beginning puts the beginning of a segment together: what a stream brought of it, or its .partial file. It
// returns nil if there is neither.
func (p place) beginning(ctx context.Context, system cofre.SystemID, name pgdata.WALName) ([]byte, error) {
	if p.unusable != nil {
		return nil, p.withoutBeginning(ctx, system, name)
	}
	content, err := wal.JoinParts(ctx, p.store, p.identity, system, name)
	if err == nil && content != nil {
		err = wal.CheckContent(system, name, content)
	}
	if err != nil {
		return nil, err
	}
	partial, err := wal.Read(ctx, p.store, p.identity, system, name.Partial())
	if err != nil && !errors.Is(err, cofre.ErrNotFound) {
		return nil, err
	}
	return further(content, partial), nil
}

// withoutBeginning is no error if there is no beginning of a segment, which needs no key to be seen.
func (p place) withoutBeginning(ctx context.Context, system cofre.SystemID, name pgdata.WALName) error {
	if p.store == nil {
		return p.unusable
	}
	object := wal.ObjectName(system, name)
	for o, err := range p.store.List(ctx, object+".p") { // .parts/ and .partial
		if err != nil {
			return err
		}
		if strings.HasPrefix(o.Name, object+".parts/") || o.Name == object+".partial" {
			return p.unusable
		}
	}
	return nil
}

// further is the beginning whose records go further: both are of the same segment, one followed by whatever.
func further(a, b []byte) []byte {
	if a == nil || b != nil && recordsReach(b) > recordsReach(a) {
		return b
	}
	return a
}

// recordsReach is how far the records of a segment that is not whole go.
func recordsReach(content []byte) cofre.LSN {
	if end := pgdata.ChainOf(content, int64(len(content))).Break; end != 0 {
		return end
	}
	return ^cofre.LSN(0)
}

// segmentSize is the size of the cluster's segments: as pg_control says, or an archived one of the timeline.
func (p place) segmentSize(ctx context.Context, system cofre.SystemID, tli cofre.Timeline) (int64, error) {
	if c, err := wal.ReadControl(pgdata.ControlFile); err == nil && c.SystemID == system {
		return c.WALSegmentSize, nil
	}
	if p.unusable != nil {
		return 0, p.unusable
	}
	dir := wal.TimelinePrefix(system, tli)
	for o, err := range p.store.List(ctx, dir) {
		if err != nil {
			return 0, err
		}
		if !pgdata.IsSegmentName(strings.TrimPrefix(o.Name, dir)) {
			continue
		}
		content, err := wal.Open(ctx, p.store, p.identity, o.Name, wal.MaxSegment)
		return int64(len(content)), err
	}
	return wal.UsualSegment, nil // no segment of the timeline is there at all
}
