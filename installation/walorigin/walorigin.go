// Package walorigin admits the keys of the hosts that archive WAL into the repositories that believe them, for whoever has the password, and raises
// a repository to believing nothing else. What is said is a record of package postgres/wal/origin, in each repository by itself.
package walorigin

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/installation/walstore"
	"github.com/trustlayer/cofre/observe"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/recovery"
	"github.com/trustlayer/cofre/postgres/wal"
	"github.com/trustlayer/cofre/postgres/wal/check"
	"github.com/trustlayer/cofre/postgres/wal/origin"
)

// Keys is whom one repository believes of one system's WAL.
type Keys struct {
	URL      string         `json:"url"`
	System   cofre.SystemID `json:"system_identifier"`
	Required bool           `json:"required"` // nothing else is believed but what was there before
	Keys     []origin.Known `json:"keys"`
	Gone     []string       `json:"gone,omitempty"` // records that were seen, and are not there any more

	store cofre.Store
	id    wal.Identity
	set   *origin.Set
}

// List says whom each repository believes.
//
// Errors: those of walstore.Unlock; the stores'.
func List(ctx context.Context, cfg *config.Config) ([]Keys, error) {
	var all []Keys
	for _, r := range cfg.Repositories() {
		st, err := walstore.Open(ctx, r)
		if err != nil {
			return nil, err
		}
		systems, err := wal.Systems(ctx, st)
		if err != nil {
			return nil, err
		}
		unlock := sync.OnceValues(walstore.Unlock(ctx, cfg, r, st))
		for _, system := range systems {
			id, err := unlock()
			if err != nil {
				return nil, err
			}
			set, err := id.Origins(ctx, system)
			if err != nil {
				return nil, err
			}
			all = append(all, Keys{r.URL, system, set.Required, append([]origin.Known{}, set.Keys...), set.Gone, st, id, set})
		}
	}
	return all, nil
}

// Waits is the first key that nobody has admitted; false if there is none.
func Waits(all []Keys) (origin.Known, bool) {
	for _, k := range all {
		if w := k.set.Waiting(); len(w) > 0 {
			return w[0], true
		}
	}
	return origin.Known{}, false
}

// Admit has keys believed, by their fingerprints, in every repository that knows of them. It returns what it changed, also with an error: what was
// said already changes nothing.
//
// Errors: cofre.ErrNotFound if none knows of one; those of List; the stores'.
func Admit(ctx context.Context, cfg *config.Config, fingerprints []string) ([]cofre.WALOriginChanged, error) {
	return each(ctx, cfg, fingerprints, cofre.OriginAdmitted, func(of Keys, k origin.Known) (bool, error) {
		return origin.Admit(ctx, of.store, of.System, of.id.Secret(), k.Public(), k.Host, Who())
	})
}

// Revoke has nothing believed any more that keys sign from now on. What they have signed and is there stays believed. It returns what Admit does.
//
// Errors: those of Admit.
func Revoke(ctx context.Context, cfg *config.Config, fingerprints []string) ([]cofre.WALOriginChanged, error) {
	return each(ctx, cfg, fingerprints, cofre.OriginRevoked, func(of Keys, k origin.Known) (bool, error) {
		there, err := of.read(ctx)
		if err != nil {
			return false, err
		}
		return origin.Revoke(ctx, of.store, of.System, of.id.Secret(), k, Who(), there.last, there.files)
	})
}

func each(ctx context.Context, cfg *config.Config, fingerprints []string, change cofre.OriginChange, do func(Keys, origin.Known) (bool, error)) (changed []cofre.WALOriginChanged, err error) {
	all, err := List(ctx, cfg)
	if err != nil {
		return nil, err
	}
	for _, text := range fingerprints {
		found := false
		for _, of := range all {
			k, ok := of.set.Find(text)
			if !ok {
				continue
			}
			found = true
			isNew, err := do(of, k)
			if err != nil {
				return changed, err
			}
			if isNew {
				changed = append(changed, of.changed(change, k))
			}
		}
		if !found {
			return changed, cofre.WithHint(fmt.Errorf("key %s: %w", text, cofre.ErrNotFound), cofre.Say("origin.names", "cofre wal admit lists the keys; a host asks when it has archived its first file"))
		}
	}
	return changed, nil
}

func (k Keys) changed(change cofre.OriginChange, of origin.Known) cofre.WALOriginChanged {
	return cofre.WALOriginChanged{System: k.System, Repository: k.URL, Change: change, Key: of.Fingerprint, Host: of.Host, By: Who()}
}

// AdmitOwn has the keys believed that lie in this host's own folder of state: whoever runs this has the password and that folder, and needs
// nobody to compare a fingerprint. It returns what Admit does.
//
// Errors: those of Admit.
func AdmitOwn(ctx context.Context, cfg *config.Config) (changed []cofre.WALOriginChanged, err error) {
	if cfg.Cluster == nil || cfg.Cluster.WAL == "" {
		return nil, nil
	}
	folder := walstore.OriginFolder(cfg)
	own := origin.Publics(folder)
	if folder == "" || len(own) == 0 {
		return nil, nil
	}
	if waits, err := anyWaits(ctx, cfg, own); err != nil || !waits {
		return nil, err
	}
	all, err := List(ctx, cfg)
	if err != nil {
		return nil, err
	}
	for _, of := range all {
		for _, o := range own {
			k, asked := of.set.Find(o.Public().ID())
			if !asked || k.State != origin.Waiting {
				continue
			}
			isNew, err := origin.Admit(ctx, of.store, of.System, of.id.Secret(), o.Public(), o.Host, Who())
			if err != nil {
				return changed, err
			}
			if isNew {
				k.Host = o.Host
				did := of.changed(cofre.OriginAdmitted, k)
				did.Own = true
				changed = append(changed, did)
			}
		}
	}
	return changed, nil
}

// anyWaits reports whether one of some keys has asked a repository and was not answered, by names alone: to read the records takes the password, and a
// moment on purpose.
func anyWaits(ctx context.Context, cfg *config.Config, own []origin.Request) (bool, error) {
	for _, r := range cfg.Repositories() {
		st, err := walstore.Open(ctx, r)
		if err != nil {
			return false, err
		}
		asked, answered := map[string]bool{}, map[string]bool{} // by the name without its end
		for o, err := range st.List(ctx, "wal/") {
			if err != nil {
				return false, fmt.Errorf("list WAL of %s: %w", r.URL, err)
			}
			if id, ok := strings.CutSuffix(o.Name, ".request"); ok {
				asked[id] = true
			} else if path.Ext(o.Name) == ".admitted" || path.Ext(o.Name) == ".revoked" {
				answered[strings.TrimSuffix(o.Name, path.Ext(o.Name))] = true
			}
		}
		for name := range asked {
			if !answered[name] && slices.ContainsFunc(own, func(o origin.Request) bool { return path.Base(name) == o.Public().ID() }) {
				return true, nil
			}
		}
	}
	return false, nil
}

// Require has each repository believe nothing any more but what an admitted key has signed, and what is there now. The acknowledgements that
// are there are signed. It returns what Admit does.
//
// Errors: cofre.ErrNotFound if no repository has WAL, of which that could be said; cofre.ErrRefused if the newest segment of a system is not signed by an admitted key, since what comes next would not be
// believed; those of List; the stores'.
func Require(ctx context.Context, cfg *config.Config) (changed []cofre.WALOriginChanged, err error) {
	all, err := List(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, cofre.WithHint(fmt.Errorf("require signatures: no WAL is there yet: %w", cofre.ErrNotFound),
			cofre.Say("origin.archive_first", "archive the first segment, admit the key of its host with: cofre wal admit, and then require"))
	}
	found := make([]there, len(all))
	for i, of := range all {
		if found[i], err = of.read(ctx); err != nil {
			return nil, err
		}
		if err := found[i].ready(of); err != nil {
			return nil, err
		}
	}
	for i, of := range all {
		for _, a := range found[i].acknowledged {
			if err := a.Sign(ctx, of.store, of.id, of.System); err != nil {
				return changed, err
			}
		}
		isNew, err := origin.Require(ctx, of.store, of.System, of.id.Secret(), Who(), found[i].unsigned, found[i].unsignedFiles)
		if err != nil {
			return changed, err
		}
		if isNew {
			changed = append(changed, of.changed(cofre.OriginRequired, origin.Known{}))
		}
	}
	return changed, nil
}

// there is what a repository holds of a system's WAL.
type there struct {
	last, unsigned       map[string]string // by timeline: the last file, and the last that no admitted key has signed
	files, unsignedFiles []string          // histories
	newest               string            // the last file of the highest timeline
	acknowledged         []wal.Acknowledgement
}

// ready refuses to require signatures of a system whose newest WAL has none.
func (t there) ready(of Keys) error {
	if t.newest == "" || t.unsigned[t.newest[:8]] != t.newest {
		return nil
	}
	err := fmt.Errorf("%s holds %s of system %s last, which no admitted key has signed: %w", of.URL, t.newest, of.System, cofre.ErrRefused)
	if w, ok := Waits([]Keys{of}); ok {
		return cofre.WithHint(err, cofre.Say("origin.admit_first", "admit the key of the host first, if its fingerprint is the one that the host says: cofre wal admit {{.fingerprint}}", "fingerprint", w.Fingerprint))
	}
	return cofre.WithHint(err, cofre.Say("origin.upgrade_first", "have every host that archives sign: install this version there, and wait for its next segment"))
}

// headersAtOnce is how many headers are read at once: it is the time of an answer that counts.
const headersAtOnce = 16

func (k Keys) read(ctx context.Context) (there, error) {
	t := there{last: map[string]string{}, unsigned: map[string]string{}}
	inv, err := wal.ReadInventory(ctx, k.store, k.System, 0, func() (wal.Identity, error) { return k.id, nil })
	if err != nil && !errors.Is(err, cofre.ErrCorrupt) {
		return t, err
	}
	if inv != nil {
		t.acknowledged = inv.Acknowledged
	}
	type file struct{ object, name string }
	var all []file
	for o, err := range k.store.List(ctx, wal.Prefix(k.System)) {
		if err != nil {
			return t, fmt.Errorf("list WAL of %s: %w", k.URL, err)
		}
		_, rest, _ := strings.Cut(strings.TrimPrefix(o.Name, wal.Prefix(k.System)), "/")
		name, err := pgdata.ParseWALName(path.Base(rest))
		if part, _, ok := strings.Cut(rest, ".parts/"); ok {
			name, err = pgdata.ParseWALName(part)
		}
		if err == nil && (name.Kind == pgdata.WALHistory || len(rest) >= 24) && !strings.Contains(rest, ".damage/") && !strings.Contains(rest, ".found/") {
			all = append(all, file{o.Name, name.String()})
		}
	}
	signed := make([]bool, len(all))
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(headersAtOnce)
	for i, f := range all {
		group.Go(func() (err error) {
			if err = groupCtx.Err(); err == nil {
				signed[i], _, err = wal.Proven(groupCtx, k.store, k.set, f.object)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return t, err
	}
	for i, f := range all {
		if strings.HasSuffix(f.name, ".history") {
			t.files = append(t.files, f.name)
			if !signed[i] {
				t.unsignedFiles = append(t.unsignedFiles, f.name)
			}
			continue
		}
		tli, segment := f.name[:8], f.name[:24]
		t.last[tli], t.newest = max(t.last[tli], segment), max(t.newest, segment)
		if !signed[i] {
			t.unsigned[tli] = max(t.unsigned[tli], segment)
		}
	}
	slices.Sort(t.files)
	return t, nil
}

// Diagnose names what is lost of the key for WAL, and the keys that nobody has admitted. Until signatures are required, WAL that they sign is believed all the same.
func Diagnose(ctx context.Context, cfg *config.Config) (looked []cofre.Diagnosis) {
	for _, r := range cfg.Repositories() {
		st, err := walstore.Open(ctx, r)
		if err != nil {
			continue
		}
		found, _ := check.Copies(ctx, st)
		for _, f := range found {
			looked = append(looked, cofre.NewDiagnosis(cofre.Say("doctor.wal_key", "cluster: key for WAL"), false,
				cofre.Say("doctor.wal_key_copy", "{{.url}}, {{.object}}: {{.what}}", "url", r.URL, "object", f.Object, "what", f.Messages[0]), check.KeepAgain()))
		}
	}
	all, err := List(ctx, cfg)
	if err != nil {
		return looked // what keeps the repository from being read is said of it
	}
	for _, of := range all {
		if k, ok := Waits([]Keys{of}); ok {
			looked = append(looked, cofre.NewDiagnosis(cofre.Say("doctor.wal_origin", "cluster: origin of WAL"), !of.Required,
				cofre.Say("doctor.key_waits", "{{.url}}: host {{.host}} signs WAL with a key that nobody has admitted; if the host says the same fingerprint: cofre wal admit {{.fingerprint}}", "url", of.URL, "host", k.Host, "fingerprint", k.Fingerprint),
				cofre.Say("doctor.admit", "if the host says the same fingerprint: cofre wal admit {{.fingerprint}}", "fingerprint", k.Fingerprint)))
		}
	}
	return looked
}

// Who is the person in a record.
func Who() string {
	by := observe.Here("")
	return by.User + "@" + by.Host
}

// StillRequired refuses to go on if signatures were required when a base backup was taken, and the repository does not say so any more: whoever may
// write to it could take the record away, and cannot change what a base backup says.
//
// Errors: cofre.ErrRefused, with what to do; those of Identity.Origins.
func StillRequired(ctx context.Context, id wal.Identity, system cofre.SystemID, backups []recovery.BaseBackup) error {
	point, signed := recovery.SignedFor(backups, system)
	if !signed {
		return nil
	}
	origins, err := id.Origins(ctx, system)
	if err != nil || origins == nil || origins.Required {
		return err
	}
	return cofre.WithHint(fmt.Errorf("signatures of WAL were required when base backup %s was taken, and the repository does not say so any more: %w", point, cofre.ErrRefused),
		cofre.Say("origin.taken_away", "somebody who can write to the repository took it away: put it back from a copy of the repository, or have it said again with: cofre wal admit"))
}
