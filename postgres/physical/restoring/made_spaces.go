package restoring

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/inside"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/physical"
	"github.com/trustlayer/cofre/postgres/physical/datadir"
	"github.com/trustlayer/cofre/postgres/recovery"
)

// madeSpace is what becomes of a tablespace that the WAL creates.
type madeSpace struct {
	recovery.Tablespace
	to   string // where it is made; empty for pg_tblspc itself
	asIs bool   // at the original's own place, as the WAL says
	own  bool   // the directory that a delta rewrites has it there: it is emptied, and the WAL fills it again
}

// WALEdits are the changes to the WAL without which a recovery would create tablespaces where the original's are, for
// the command that fetches WAL; spaces is Options.Tablespaces.
func WALEdits(p *recovery.Recovery, spaces map[string]string) string {
	if p == nil {
		return ""
	}
	return walEdits(madeSpaces(p.Tablespaces, spaces))
}

func walEdits(made []madeSpace) string {
	var edits []string
	for _, m := range made {
		if !m.asIs && m.InPlace != "" {
			edits = append(edits, m.InPlace)
		}
	}
	return strings.Join(edits, ",")
}

// madeSpaces decides what becomes of tablespaces that WAL creates.
func madeSpaces(created []recovery.Tablespace, spaces map[string]string) (out []madeSpace) {
	for _, s := range created {
		m := madeSpace{Tablespace: s}
		if s.Path != "" {
			to := cmp.Or(spaces[strconv.FormatUint(uint64(s.OID), 10)], spaces[s.Path])
			m.asIs = to != "" && filepath.Clean(to) == filepath.Clean(s.Path)
			m.to = to
		}
		out = append(out, m)
	}
	return out
}

// findMade finds the tablespaces that the recovery will create: the plan knows them, or the component's own WAL does.
func (p *plan) findMade(ctx context.Context) error {
	var created []recovery.Tablespace
	if p.o.Plan != nil {
		created, p.torn = p.o.Plan.Tablespaces, p.o.Plan.Torn
	} else if p.facts.WALIncluded {
		b := recovery.BaseBackup{Start: p.facts.StartLSN, Stop: p.facts.StopLSN, Dropping: p.facts.Dropping}
		state := recovery.NewState(b)
		walk := recovery.NewWalk(p.facts.WALSegmentSize, recovery.Span{From: b.Start, Until: b.Stop}, func(f recovery.Found, _ error) bool {
			state.Add(f.Moment)
			return true
		})
		for _, name := range p.ownSegments() {
			b, err := physical.ReadAll(ctx, p.tree, path.Join(physical.DataDir, "pg_wal", name))
			if p.o.Loss.Without && isLost(err) {
				p.walLost = true
				break
			}
			if err != nil {
				return err
			}
			walk.Segment(b)
		}
		created, p.notes, p.torn = state.Tablespaces(), state.Notes(), state.Torn()
	}
	p.made = madeSpaces(created, p.o.Tablespaces)
	return nil
}

// ownSegments are the segments that the component carries, in order along its timelines.
func (p *plan) ownSegments() (names []string) {
	for _, f := range p.files {
		if name := path.Base(f.entry.Path); path.Dir(f.entry.Path) == physical.DataDir+"/pg_wal" && pgdata.IsSegmentName(name) {
			names = append(names, name)
		}
	}
	// By number first: the timeline, which a name begins with, changes within a number.
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(a[8:], b[8:]), cmp.Compare(a, b)) })
	return slices.CompactFunc(names, func(a, b string) bool { return a[8:] == b[8:] })
}

// editOwnWAL makes the changes to the WAL that the component carries.
func (s *stage) editOwnWAL() error {
	text := walEdits(s.made)
	if text == "" {
		return nil
	}
	edits, err := pgdata.ParseEdits(text)
	if err != nil {
		return err
	}
	for _, name := range s.ownSegments() {
		at := path.Join(physical.DataDir, "pg_wal", name)
		if s.lost.find(at) != nil {
			continue
		}
		segment, err := pgdata.ParseSegment(name, s.facts.WALSegmentSize)
		if err != nil {
			return err
		}
		var b []byte
		err = s.within(at, func(in *inside.Dir, name string) (err error) {
			b, err = in.ReadFile(name, s.facts.WALSegmentSize)
			return err
		})
		if err != nil {
			return err
		}
		was := bytes.Clone(b)
		if err := pgdata.Apply(edits, segment, b); err != nil {
			return fmt.Errorf("change segment %s of the component: %w", name, err)
		}
		if bytes.Equal(was, b) {
			continue
		}
		if err := s.within(at, func(in *inside.Dir, name string) error { return datadir.Replace(in.At(name), b, s.own) }); err != nil {
			return err
		}
	}
	return nil
}

// planMadeSpaces plans the tablespaces that the WAL creates. PostgreSQL makes them where the original had them: if
// the original still lives, that would write into its files. So the WAL is changed as it is fetched: they are made in
// the data directory, or in the directory that --tablespace names, and at the original's own place only if that is
// asked for and nothing is there.
func (p *plan) planMadeSpaces(out *cofre.Plan) {
	for i := range p.made {
		m := &p.made[i]
		if _, known := p.spaces[m.OID]; known {
			continue // made while the base backup was taken: it is where that puts it
		}
		if m.to == "" {
			out.Do(cofre.Say("step.place", "place"), tablespace(m.OID), cofre.Say("cluster.step_made_inside", "in the data directory, as the WAL creates it: it was in {{.dir}}", "dir", m.Path))
			continue
		}
		hint := cofre.Say("cluster.empty_space", "name an empty directory: --tablespace {{.oid}}=/path; without one it is made in the data directory", "oid", m.OID)
		if !filepath.IsAbs(m.to) {
			out.Refuse(notAbsolute(m.to, m.OID), hint)
			continue
		}
		if link, err := os.Readlink(filepath.Join(p.o.Dir, "pg_tblspc", strconv.FormatUint(uint64(m.OID), 10))); err == nil && p.inPlace && filepath.Clean(link) == filepath.Clean(m.to) {
			m.own = true
		} else if names, err := os.ReadDir(filepath.Join(m.to, datadir.SpaceVersion(p.control))); len(names) > 0 || err != nil && !errors.Is(err, fs.ErrNotExist) {
			out.Refuse(cofre.Say("cluster.space_taken", "the WAL creates tablespace {{.oid}} in {{.dir}}, and {{.version}} is there already: it is of another cluster, or of the original", "oid", m.OID, "dir", m.to, "version", datadir.SpaceVersion(p.control)), hint)
			continue
		}
		out.Do(cofre.Say("step.place", "place"), tablespace(m.OID), cofre.Say("cluster.step_made", "in {{.dir}}, as the WAL creates it", "dir", m.to))
	}
}

// makeSpaces makes the directories of tablespaces that the WAL will create, and the links that lead to them.
func (s *stage) makeSpaces() error {
	for _, m := range s.made {
		if _, known := s.spaces[m.OID]; known || m.to == "" {
			continue
		}
		to, err := s.room(m.to)
		if err != nil {
			return err
		}
		if err := s.give(to, "."); err != nil {
			return err
		}
		if m.own {
			if err := errors.Join(to.RemoveAll(datadir.SpaceVersion(s.control)), to.Sync()); err != nil {
				return err
			}
		}
		if m.asIs {
			continue // the server makes the link
		}
		link := path.Join(physical.DataDir, "pg_tblspc", strconv.FormatUint(uint64(m.OID), 10))
		if err := s.within(link, func(in *inside.Dir, name string) error { return s.makeLink(in, name, m.to) }); err != nil {
			return err
		}
	}
	return nil
}

// inPlaceSpaces reports whether the cluster has, or is about to have, tablespaces in pg_tblspc itself: a recovery that becomes
// consistent beside one ends unless it is allowed.
//
// Source: PostgreSQL, src/backend/access/transam/xlogrecovery.c, CheckTablespaceDirectory.
func (p *plan) inPlaceSpaces() bool {
	for _, m := range p.made {
		if _, known := p.spaces[m.OID]; !known && m.to == "" {
			return true
		}
	}
	for _, d := range p.dirs {
		if filepath.Dir(d.Path) == physical.DataDir+"/pg_tblspc" {
			return true
		}
	}
	return false
}

// describeStop says in words where a planned recovery stops.
func describeStop(p *recovery.Recovery) cofre.Message {
	switch {
	case p.Consistent:
		return cofre.Say("cluster.stop_consistent", "stopping where the base backup is consistent, at {{.lsn}}", "lsn", p.Stop)
	case p.CommitAt.IsZero():
		return cofre.Say("cluster.stop_after", "stopping after the record at {{.lsn}}", "lsn", p.Stop)
	}
	return cofre.Say("cluster.stop_commit", "stopping after the record at {{.lsn}}, the last transaction in it of {{.at}}", "lsn", p.Stop, "at", p.CommitAt.UTC().Format("2006-01-02T15:04:05.999999Z07:00"))
}
