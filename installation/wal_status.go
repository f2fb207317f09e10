package installation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/installation/standing"
	"github.com/trustlayer/cofre/installation/walhealth"
	"github.com/trustlayer/cofre/installation/walorigin"
	"github.com/trustlayer/cofre/installation/walstore"
	"github.com/trustlayer/cofre/observe"
	"github.com/trustlayer/cofre/postgres/recovery"
	"github.com/trustlayer/cofre/postgres/wal"
	"github.com/trustlayer/cofre/postgres/wal/fetch"
)

// WALStatus says which moments can be recovered, and how archiving is.
type WALStatus = walhealth.Status

// Status says which moments can be recovered, and what stands in the way of more.
//
// Errors: those of the repository and of its WAL. One of a copy is in the status, and so is one of the server.
func (w WAL) Status(ctx context.Context) (s *WALStatus, err error) {
	end := w.in.begin(ctx, cofre.RunWALStatus, aboutCluster())
	defer func() {
		if err == nil {
			end(s.Trouble())
			return
		}
		end(err)
	}()
	s = &WALStatus{Systems: []wal.Status{}}
	keys := w.keys()
	h, err := w.in.hear(ctx)
	w.in.notHeard(err)
	err = w.each(ctx, func(held []walstore.Holding, backups []recovery.BaseBackup) error {
		of, err := statusOf(ctx, held, backups, keys, h)
		if err == nil {
			planMoments(ctx, &of, held, backups, keys)
			s.KeyErr = cmp.Or(s.KeyErr, w.unreadable(ctx, held, keys))
		}
		s.Systems = append(s.Systems, of)
		return err
	})
	if err != nil {
		return nil, err
	}
	s.Archiver, s.ArchiverErr = standing.Archiver(ctx, w.in.cfg)
	w.tellStatus(s)
	return s, nil
}

// tellStatus tells of the gaps that were found, and of what waits for archive_command.
func (w WAL) tellStatus(s *WALStatus) {
	for _, of := range s.Systems {
		for _, g := range of.Gaps {
			cofre.Tell(w.in.observer, cofre.GapFound{System: of.System, Timeline: g.Timeline, From: g.From, To: g.To, BreaksAt: g.BreaksAt, Why: g.Why, State: string(g.State), Alarm: g.Alarm})
		}
	}
	if a := s.Archiver; a != nil && a.Slot == "" && a.Archives() && a.Waiting > 0 {
		cofre.Tell(w.in.observer, cofre.WALLag{Files: a.Waiting, Since: a.Oldest})
	}
}

// statusOf is the status of one system.
func statusOf(ctx context.Context, held []walstore.Holding, backups []recovery.BaseBackup, keys keys, heard walorigin.Heard) (wal.Status, error) {
	for i := range held {
		if h := &held[i]; h.Err == nil {
			h.Err = h.Inventory.BelieveAs(ctx, keys.of(ctx, *h))
			h.Inventory.Remember(backups, heard.Origins...)
		}
		if h := &held[i]; h.Err == nil && i == 0 {
			h.Inventory.Recall(heard.Acknowledged[h.Inventory.SystemID])
		}
		if h := &held[i]; h.Err == nil {
			h.Err = h.Inventory.ReadChain(ctx, h.Store)
		}
	}
	if held[0].Err != nil {
		return wal.Status{}, held[0].Err
	}
	holdings := walhealth.Compared(named(held))
	here := len(held[0].Inventory.Segments)
	for _, h := range held[1:] {
		if h.Err == nil {
			held[0].Inventory.Merge(h.Inventory)
		}
	}
	held[0].Inventory.Hear(backups)
	s := wal.StatusOf(held[0].Inventory, backups)
	s.Segments, s.Repositories = here, holdings
	return s, nil
}

// keys read what repositories hold, by address: each is derived once, which takes a moment on purpose.
type keys struct {
	cfg *config.Config
	all map[string]func() (wal.Identity, error)
}

func (k keys) of(ctx context.Context, h walstore.Holding) func() (wal.Identity, error) {
	if k.all[h.Repository.URL] == nil {
		k.all[h.Repository.URL] = sync.OnceValues(walstore.Unlock(ctx, k.cfg, h.Repository, h.Store))
	}
	return k.all[h.Repository.URL]
}

func (w WAL) keys() keys { return keys{w.in.cfg, map[string]func() (wal.Identity, error){}} }

// unreadable finds a repository whose WAL nobody can read, or that names another recipient than this host knows.
func (w WAL) unreadable(ctx context.Context, held []walstore.Holding, keys keys) error {
	for _, h := range held {
		if h.Err != nil || len(h.Inventory.Segments) == 0 {
			continue
		}
		_, err := walstore.ArchiveOf(ctx, w.in.cfg, h.Repository).Find(ctx)
		if err = cmp.Or(wal.Readable(ctx, h.Store, keys.of(ctx, h)), err); err != nil {
			return err
		}
	}
	return nil
}

// planMoments is Fetcher.Moments with what the repository and its copies hold.
func planMoments(ctx context.Context, s *wal.Status, held []walstore.Holding, backups []recovery.BaseBackup, keys keys) {
	if len(s.Windows) == 0 {
		return
	}
	id, err := keys.of(ctx, held[0])()
	var copies []*fetch.Copy
	for _, h := range held[1:] {
		if h.Err == nil {
			copies = append(copies, &fetch.Copy{URL: h.Repository.URL, Open: func(context.Context) (cofre.Store, wal.Identity, error) {
				id, err := keys.of(ctx, h)()
				return h.Store, id, err
			}})
		}
	}
	(&fetch.Fetcher{Store: held[0].Store, Identity: id, Unusable: err, Copies: copies}).Moments(ctx, s, held[0].Inventory, backups)
}

// Acknowledge records in the repository and in every copy that a gap is known, so that it raises no alarm any more. Without a
// system the only one is meant whose WAL is there. It returns what was recorded.
//
// Errors: cofre.ErrAmbiguous if there is WAL of several systems, or of none, and none was named; cofre.ErrFindings if the journal takes no entry; those of wal.Acknowledge. One of a
// copy comes once the others know.
func (w WAL) Acknowledge(ctx context.Context, system cofre.SystemID, known wal.Acknowledgement) (_ wal.Acknowledgement, err error) {
	end := w.in.begin(ctx, cofre.RunAcknowledge, aboutCluster())
	defer func() { end(err) }()
	known.By = cmp.Or(known.By, observe.Here("").User)
	held, systems, err := walstore.Everywhere(ctx, w.in.cfg.Repositories())
	if err != nil {
		return known, err
	}
	slices.Sort(systems)
	systems = slices.Compact(systems)
	if system == 0 {
		if len(systems) != 1 {
			return known, cofre.WithHint(fmt.Errorf("WAL of %d systems: %w", len(systems), cofre.ErrAmbiguous), cofre.Say("wal.systems", "name one with --system: {{.systems}}", "systems", systems))
		}
		system = systems[0]
	}
	if _, err := w.in.writing(ctx); err != nil {
		w.in.warn(cofre.Say("journal.run_not_written", "the journal does not say that this ran: {{.cause}}", "cause", err))
	}
	if err := w.in.mayWrite(); err != nil {
		return known, err
	}
	known.At = time.Now().UTC()
	var errs []error
	for i, h := range held {
		err := h.Err
		if err == nil {
			err = w.acknowledge(ctx, h, system, known)
		}
		if err != nil && i > 0 {
			err = fmt.Errorf("copies[%d]: %w", i-1, err)
		}
		if err == nil && i == 0 {
			cofre.Tell(w.in.observer, cofre.GapAcknowledged{System: system, Timeline: known.Timeline, From: known.From, To: known.To, By: known.By, Why: known.Why})
		}
		errs = append(errs, err)
	}
	return known, errors.Join(errs...)
}

// acknowledge records it in one repository, as whoever has its password: what hides missing WAL from an alarm must not be for everybody to say.
func (w WAL) acknowledge(ctx context.Context, h walstore.Holding, system cofre.SystemID, known wal.Acknowledgement) error {
	id, err := walstore.Unlock(ctx, w.in.cfg, h.Repository, h.Store)()
	if err != nil {
		return err
	}
	return wal.Acknowledge(ctx, h.Store, id, system, known)
}
