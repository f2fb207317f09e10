// Package walorigin admits the keys of the hosts that archive WAL into the repositories that believe them, for whoever has the password, and raises
// a repository to believing nothing else. What is said is a record of package postgres/wal/origin, in each repository by itself.
package walorigin

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/installation/walstore"
	"github.com/trustlayer/cofre/observe"
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

// List says whom each repository believes, as far as they can be reached: what it has found is returned also with an error.
//
// Errors: those of walstore.Unlock; the stores'.
func List(ctx context.Context, cfg *config.Config) (all []Keys, err error) {
	for _, r := range cfg.Repositories() {
		of, listErr := list(ctx, cfg, r)
		all, err = append(all, of...), errors.Join(err, listErr)
	}
	return all, err
}

func list(ctx context.Context, cfg *config.Config, r config.Repository) (all []Keys, err error) {
	st, systems, unlock, err := walstore.Systems(ctx, cfg, r)
	if err != nil {
		return nil, err
	}
	for _, system := range systems {
		id, err := unlock()
		if err != nil {
			return all, err
		}
		set, err := id.Origins(ctx, system)
		if err != nil {
			return all, err
		}
		all = append(all, Keys{r.URL, system, set.Required, append([]origin.Known{}, set.Keys...), set.Gone, st, id, set})
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
		if back, err := of.set.Return(ctx, of.store, origin.NameOf(cofre.OriginAdmitted, k.ID)); back || err != nil {
			return back, err
		}
		return origin.Admit(ctx, of.store, of.System, of.id.Secret(), k.Public(), k.Host, Who())
	})
}

// Revoke has nothing believed any more that keys sign from now on. What they have signed and is there stays believed, as it is; backups say where WAL is needed
// behind a gap. It returns what Admit does.
//
// Errors: those of Admit.
func Revoke(ctx context.Context, cfg *config.Config, fingerprints []string, backups []recovery.BaseBackup) ([]cofre.WALOriginChanged, error) {
	return each(ctx, cfg, fingerprints, cofre.OriginRevoked, func(of Keys, k origin.Known) (bool, error) {
		if _, err := of.set.KeepLists(ctx, of.store, k); err != nil {
			return false, err
		}
		if back, err := of.set.Return(ctx, of.store, origin.NameOf(cofre.OriginRevoked, k.ID)); back || err != nil {
			return back, err
		}
		there, err := of.read(ctx, backups)
		if err != nil {
			return false, err
		}
		signed := func(f file) bool { return f.by == k.ID }
		before, files := there.older(signed)
		return origin.Revoke(ctx, of.store, of.System, of.id.Secret(), k, Who(), before, files, there.sums(signed))
	})
}

func each(ctx context.Context, cfg *config.Config, fingerprints []string, change cofre.OriginChange, do func(Keys, origin.Known) (bool, error)) (changed []cofre.WALOriginChanged, err error) {
	// A copy that cannot be reached must not keep a stolen key believed in the others, nor the key of a new primary waiting.
	all, unreached := List(ctx, cfg)
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
				return changed, errors.Join(err, unreached)
			}
			if isNew {
				changed = append(changed, of.changed(ctx, change, k))
			}
		}
		if !found && unreached == nil {
			return changed, cofre.WithHint(fmt.Errorf("key %s: %w", text, cofre.ErrNotFound), cofre.Say("origin.names", "cofre wal admit lists the keys; a host asks when it has archived its first file"))
		}
	}
	return changed, unreached
}

// changed says what was changed, with the record, for the journal to keep: whoever takes it away from the repository has not taken that.
func (k Keys) changed(ctx context.Context, change cofre.OriginChange, of origin.Known) cofre.WALOriginChanged {
	did := cofre.WALOriginChanged{System: k.System, Repository: k.URL, Change: change, Key: of.Fingerprint, Host: of.Host, By: Who(), Name: origin.NameOf(change, of.ID)}
	did.Record, _ = origin.ReadRecord(ctx, k.store, k.System, did.Name) // without it the journal says what was changed all the same
	return did
}

// AdmitOwn has the keys believed that lie in this host's own folder of state: whoever runs this has the password and that folder, and needs
// nobody to compare a fingerprint. where says of which repositories and systems. It returns what Admit does.
//
// Errors: those of Admit.
func AdmitOwn(ctx context.Context, cfg *config.Config, where func(Keys) bool) (changed []cofre.WALOriginChanged, err error) {
	if cfg.Cluster == nil || cfg.Cluster.WAL == "" {
		return nil, nil
	}
	folder := walstore.OriginFolder(cfg)
	own := origin.Publics(folder)
	if folder == "" || len(own) == 0 {
		return nil, nil
	}
	waits, unreached := anyWaits(ctx, cfg, own)
	if !waits {
		return nil, unreached
	}
	all, unreached := List(ctx, cfg)
	for _, of := range all {
		for _, o := range own {
			k, asked := of.set.Find(o.Public().ID())
			if !asked || k.State != origin.Waiting || !where(of) {
				continue
			}
			isNew, err := origin.Admit(ctx, of.store, of.System, of.id.Secret(), o.Public(), o.Host, Who())
			if err != nil {
				return changed, errors.Join(err, unreached)
			}
			if isNew {
				k.Host = o.Host
				did := of.changed(ctx, cofre.OriginAdmitted, k)
				did.Own = true
				changed = append(changed, did)
			}
		}
	}
	return changed, unreached
}

// anyWaits reports whether one of some keys has asked a repository and was not answered, by names alone: to read the records takes the password, and a
// moment on purpose. What it has found it says also with an error.
func anyWaits(ctx context.Context, cfg *config.Config, own []origin.Request) (waits bool, err error) {
	for _, r := range cfg.Repositories() {
		here, hereErr := waitsIn(ctx, r, own)
		waits, err = waits || here, errors.Join(err, hereErr)
	}
	return waits, err
}

func waitsIn(ctx context.Context, r config.Repository, own []origin.Request) (bool, error) {
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
	return false, nil
}

// Require has each repository believe nothing any more but what an admitted key has signed, and what is there now. The acknowledgements that
// are there are signed. It returns what Admit does.
//
// Errors: cofre.ErrNotFound if no repository has WAL, of which that could be said; cofre.ErrRefused if the newest segment of a system is not signed by an admitted key, since what comes next would not be
// believed; those of List; the stores'.
func Require(ctx context.Context, cfg *config.Config, backups []recovery.BaseBackup) (changed []cofre.WALOriginChanged, err error) {
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
		if found[i], err = of.read(ctx, backups); err != nil {
			return nil, err
		}
		if err := found[i].ready(of); err != nil {
			return nil, err
		}
	}
	for i, of := range all {
		back, err := of.set.Return(ctx, of.store, origin.RequiredName)
		if err != nil {
			return changed, err
		}
		if back {
			changed = append(changed, of.changed(ctx, cofre.OriginRequired, origin.Known{}))
		}
		for _, a := range found[i].acknowledged {
			if err := a.Sign(ctx, of.store, of.id, of.System); err != nil {
				return changed, err
			}
		}
		before, files := found[i].older(func(f file) bool { return f.by == "" })
		isNew, err := origin.Require(ctx, of.store, of.System, of.id.Secret(), Who(), before, files)
		if err != nil {
			return changed, err
		}
		if isNew {
			changed = append(changed, of.changed(ctx, cofre.OriginRequired, origin.Known{}))
		}
	}
	return changed, nil
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
	all, _ := List(ctx, cfg) // what keeps a repository from being read is said of it
	for _, of := range all {
		for _, object := range of.Gone {
			looked = append(looked, cofre.NewDiagnosis(cofre.Say("doctor.wal_origin", "cluster: origin of WAL"), false,
				cofre.Say("doctor.record_gone", "{{.url}}: {{.object}} was there, and is not any more: this host goes by it all the same", "url", of.URL, "object", object), origin.PutBack(object)))
		}
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

// StillSaid refuses to go on if signatures were required when a base backup was taken, or a key had been revoked, or another witness says so, and the repository does not say so
// any more: whoever may write to it could take the record away, and cannot change what a base backup says.
//
// Errors: cofre.ErrRefused, with what to do; those of Identity.Origins.
func StillSaid(ctx context.Context, id wal.Identity, system cofre.SystemID, backups []recovery.BaseBackup, others ...origin.Witness) error {
	origins, err := id.Origins(ctx, system)
	if err != nil || origins == nil {
		return err
	}
	missing := origins.Missing(slices.Concat(wal.Witnesses(backups, system), others))
	for _, object := range slices.Sorted(maps.Keys(missing)) {
		return cofre.WithHint(cofre.Fail(missing[object], cofre.ErrRefused), origin.PutBack(object))
	}
	return nil
}
