package walorigin

import (
	"context"
	"errors"
	"slices"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/installation/walstore"
	"github.com/trustlayer/cofre/postgres/wal/keyfile"
	"github.com/trustlayer/cofre/postgres/wal/origin"
)

// Attend does for the WAL of an installation what each backup does: the host's own keys are believed, and the key that reads it is kept twice in each
// repository. What it admits is told as facts. What could not be done is told, and ends nothing, unless the repository itself cannot be reached: what comes next would wait as long.
//
// Errors: cofre.ErrUnreachable of the repository.
func Attend(ctx context.Context, cfg *config.Config, warn func(cofre.Message), tell func(cofre.Fact)) error {
	admitOwn(ctx, cfg, func(Keys) bool { return true }, warn, tell)
	for i, r := range cfg.Repositories() {
		err := keepKeys(ctx, r, warn)
		if i == 0 && errors.Is(err, cofre.ErrUnreachable) {
			return err
		}
		if err != nil {
			warn(cofre.Say("wal.key_not_kept", "the key for WAL is not kept twice: {{.cause}}", "cause", err))
		}
	}
	return nil
}

func admitOwn(ctx context.Context, cfg *config.Config, where func(Keys) bool, warn func(cofre.Message), tell func(cofre.Fact)) {
	changed, err := AdmitOwn(ctx, cfg, where)
	for _, c := range changed {
		tell(c)
	}
	if err != nil {
		warn(cofre.Say("origin.own_not_admitted", "the key with which this host signs WAL was not admitted: {{.cause}}", "cause", err))
	}
}

// AttendAgain is Attend for a backup that ends: where signatures are required, the host's own keys are believed that it has made since known, as it does when
// what the base backup needs is the first that it archives. Nobody could restore that otherwise.
func AttendAgain(ctx context.Context, cfg *config.Config, known []string, warn func(cofre.Message), tell func(cofre.Fact)) {
	if !slices.Equal(OwnKeys(cfg), known) {
		admitOwn(ctx, cfg, func(of Keys) bool { return of.Required }, warn, tell)
	}
}

// OwnKeys are the IDs of the keys in this host's own folder of state.
func OwnKeys(cfg *config.Config) (ids []string) {
	for _, o := range origin.Publics(walstore.OriginFolder(cfg)) {
		ids = append(ids, o.Public().ID())
	}
	return ids
}

// keepKeys stores what is missing, or damaged, of the two copies of the key for WAL. What was lost is told; that a repository of before
// had one copy is not. Nothing is unlocked unless something is to be stored.
//
// Errors: those of walstore.Open and keyfile.Open; the stores'.
func keepKeys(ctx context.Context, r config.Repository, warn func(cofre.Message)) error {
	st, err := walstore.Open(ctx, r)
	if err != nil {
		return err
	}
	lacking, err := keyfile.Lacking(ctx, st)
	if err != nil || len(lacking) == 0 {
		return err
	}
	password, err := r.Password.Read()
	if err != nil {
		return err
	}
	opened, err := keyfile.Open(ctx, st, password)
	if err != nil {
		return err
	}
	stored, err := keyfile.Complete(ctx, st, opened)
	if err != nil {
		return err
	}
	for _, l := range lacking {
		for _, object := range []string{l.Object, l.Other} {
			if l.IsLoss() && slices.Contains(stored, object) {
				warn(cofre.Say("wal.key_stored_again", "{{.object}} of {{.url}} was missing or damaged, and is stored again from its other copy", "object", object, "url", r.URL))
			}
		}
	}
	return nil
}
