// Package walmend stores in each repository what it has lost of archived WAL, from the server or from another repository.
//
// What is brought is proven first, and never takes the place of a good object: package wal sees to both.
package walmend

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/wal"
	"github.com/trustlayer/cofre/postgres/wal/check"
)

// File is a file of WAL that one repository had lost.
type File struct {
	System cofre.SystemID `json:"system_identifier"`
	Name   string         `json:"name"`
	URL    string         `json:"url"` // of the repository that had lost it
	Was    string         `json:"was"` // damaged or missing
	// From says where it was taken from; empty if nobody has it whole, or if it may not be stored. Why says so then.
	From string `json:"from,omitempty"`
	Why  string `json:"why,omitempty"`

	// Acknowledged says that a person knows of the loss.
	Acknowledged bool `json:"acknowledged,omitempty"`
}

// What a file was that was lost.
const (
	damaged = "damaged"
	missing = "missing"
)

// Message says what became of it.
func (f File) Message() cofre.Message {
	switch {
	case f.From != "" && f.Was == missing:
		return cofre.Say("wal.filled", "{{.name}} was missing in {{.url}}, and is stored there, from {{.from}}", "name", f.Name, "url", f.URL, "from", f.from())
	case f.From != "":
		return cofre.Say("wal.healed", "{{.name}} was damaged in {{.url}}, and is stored afresh, from {{.from}}", "name", f.Name, "url", f.URL, "from", f.from())
	case f.Was == missing:
		return cofre.Say("wal.not_filled", "{{.name}} is missing in {{.url}} and could not be stored there ({{.why}})", "name", f.Name, "url", f.URL, "why", cofre.Verbatim(f.Why))
	}
	return cofre.Say("wal.lost", "{{.name}} is damaged in {{.url}} and could not be stored afresh ({{.why}}): recovery from an older base backup ends before it", "name", f.Name, "url", f.URL, "why", cofre.Verbatim(f.Why))
}

// fromServer is what From says if the server had it.
const fromServer = "the server"

// fromWAL is what From says if a history was derived from the WAL of its timeline.
const fromWAL = "the WAL"

func (f File) from() cofre.Message {
	if f.From == fromWAL {
		return cofre.Say("wal.the_wal", "the WAL of its timeline, out of which it was derived: which timeline was left, and where; not why")
	}
	if f.From == fromServer {
		return cofre.Say("wal.the_server", "the server")
	}
	return cofre.Verbatim(f.From)
}

// Mender stores afresh what a repository has lost of WAL.
type Mender struct {
	All []wal.Archive // the repository and its copies
	// Unlock reads the key of each.
	Unlock []func() (wal.Identity, error)
	Read   func(ctx context.Context, name string) ([]byte, error) // asks the server; nil asks none
}

// Lost is a file to be stored in one of them.
type Lost struct {
	In int // which of them
	wal.Damage
	Missing bool // it is not there, and not damaged
	// Derive makes a history that no repository can give; nil takes the file from another repository.
	Derive func() ([]byte, error)
}

// Damaged lists what is known to be damaged in any of them. One that cannot be opened is passed over: whatever needs it says so.
//
// Errors: those of the stores, with what the others know.
func (m Mender) Damaged(ctx context.Context, system cofre.SystemID) (wanted []Lost, err error) {
	var errs []error
	for i, of := range m.All {
		if of.Unusable != nil {
			continue
		}
		known, err := wal.KnownDamage(ctx, of.Store, system, m.Unlock[i])
		errs = append(errs, err)
		for _, d := range known {
			wanted = append(wanted, Lost{In: i, Damage: d})
		}
	}
	return wanted, errors.Join(errs...)
}

// Holes lists what one of several does not have though it has what is before and behind it.
//
// Errors: those of the stores; nothing is known to be missing then.
func (m Mender) Holes(ctx context.Context, system cofre.SystemID) (wanted []Lost, err error) {
	if len(m.All) < 2 {
		return nil, nil
	}
	files := make([]map[pgdata.WALName]bool, len(m.All))
	for i, of := range m.All {
		if of.Unusable != nil {
			continue
		}
		if files[i], err = check.Files(ctx, of.Store, system); err != nil {
			return nil, err
		}
	}
	for i, of := range m.All {
		if of.Unusable != nil {
			continue
		}
		for _, n := range check.Holes(files[i], files...) {
			wanted = append(wanted, Lost{In: i, Damage: wal.Damage{System: system, Name: n}, Missing: true})
		}
	}
	return wanted, nil
}

// Histories lists those that no repository can give, for each to store what is derived from the WAL. inventories are of each of m.All; one that
// is nil could not be asked. A history that is derived counts as known for those that are after it: timelines are numbered in the
// order in which they began.
func (m Mender) Histories(ctx context.Context, inventories []*wal.Inventory) (wanted []Lost) {
	together := wal.Together(slices.DeleteFunc(slices.Clone(inventories), func(inv *wal.Inventory) bool { return inv == nil })...)
	for _, tli := range together.Orphans() {
		h, err := check.DeriveHistory(together, tli, func(name pgdata.WALName) ([]byte, error) { return m.read(ctx, together.SystemID, name) })
		if err == nil {
			together.Histories[tli] = h
		}
		for i := range inventories {
			if inventories[i] != nil {
				wanted = append(wanted, Lost{
					In: i, Damage: wal.Damage{System: together.SystemID, Name: pgdata.HistoryOf(tli)}, Missing: true,
					Derive: func() ([]byte, error) { return h.Encode(), err },
				})
			}
		}
	}
	return wanted
}

// read reads a file from the first repository that can give it.
func (m Mender) read(ctx context.Context, system cofre.SystemID, name pgdata.WALName) ([]byte, error) {
	var errs []error
	for i, of := range m.All {
		id, err := m.Unlock[i]()
		if err == nil {
			var content []byte
			if content, err = wal.Read(ctx, of.Store, id, system, name); err == nil {
				return content, nil
			}
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// Mend stores each afresh, in order, and says what became of it.
//
// Errors: that of ctx, with what was done before.
func (m Mender) Mend(ctx context.Context, wanted []Lost) ([]File, error) {
	done := []File{}
	type file struct {
		in   int
		name pgdata.WALName
	}
	seen := map[file]bool{} // what is damaged may count as missing, too
	for _, w := range wanted {
		if seen[file{w.In, w.Name}] {
			continue
		}
		seen[file{w.In, w.Name}] = true
		f := File{System: w.System, Name: w.Name.String(), URL: m.All[w.In].URL(), Was: damaged, Acknowledged: w.Acknowledged}
		if w.Missing {
			f.Was = missing
		}
		from, err := m.one(ctx, w)
		if ctx.Err() != nil {
			return done, context.Cause(ctx)
		}
		if f.From = from; err != nil {
			f.Why = cofre.OneLine(err)
		}
		done = append(done, f)
	}
	return done, nil
}

// one stores one file afresh, from the first that has it whole: the server, which has it as it was written, or another repository.
func (m Mender) one(ctx context.Context, w Lost) (from string, err error) {
	var why []error
	if m.Read != nil {
		if content, err := m.Read(ctx, w.Name.String()); err == nil {
			if _, err = wal.Restore(ctx, m.All[w.In].Owned(m.Unlock[w.In]), w.System, w.Name, content); err == nil {
				return fromServer, nil
			}
			why = append(why, err)
		}
	}
	if w.Derive != nil {
		content, err := w.Derive()
		if err == nil {
			_, err = wal.Restore(ctx, m.All[w.In].Owned(m.Unlock[w.In]), w.System, w.Name, content)
		}
		if err == nil {
			return fromWAL, nil
		}
		return "", err
	}
	for i, of := range m.All {
		if i == w.In {
			continue
		}
		id, err := m.Unlock[i]()
		if err == nil {
			err = m.bring(ctx, of, id, w)
		}
		if err == nil {
			return of.URL(), nil
		}
		why = append(why, err)
	}
	if len(why) == 0 {
		why = append(why, errors.New("the server no longer has it, and there is no copy"))
	}
	return "", errors.Join(why...)
}

// bring reads a file from another repository, which proves it, and stores it. What turns out to be damaged there is remembered.
func (m Mender) bring(ctx context.Context, from wal.Archive, id wal.Identity, w Lost) error {
	content, err := wal.Read(ctx, from.Store, id, w.System, w.Name)
	if err == nil {
		_, err = wal.Restore(ctx, m.All[w.In].Owned(m.Unlock[w.In]), w.System, w.Name, content)
		return err
	}
	if wal.Damaging(err) {
		err = errors.Join(err, wal.RememberDamage(ctx, from.Store, wal.ObjectName(w.System, w.Name), err))
	}
	return fmt.Errorf("take it from %s: %w", from.URL(), err)
}
