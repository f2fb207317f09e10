package walstore

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/internal/inside"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/wal"
	"github.com/trustlayer/cofre/postgres/wal/origin"
)

// OriginFolder is where this host keeps the keys that its users sign WAL with, and what it has seen of whom each repository believes; "" if it has
// no folder of state.
func OriginFolder(cfg *config.Config) string {
	state, err := cfg.StateFolder()
	if err != nil {
		return ""
	}
	return filepath.Join(state, "wal-origin")
}

// Signing has what is stored in archives signed by this user of this host, whose key is made when it is needed first. beside is a folder that serves
// if there is none of state. A host that can keep no key archives all the same: warn says it.
func Signing(cfg *config.Config, archives []wal.Archive, beside string, warn func(cofre.Message)) {
	folder := OriginFolder(cfg)
	key, err := hostKey(folder)
	if err != nil && beside != "" {
		folder = filepath.Join(beside, "origin")
		key, err = hostKey(folder)
	}
	if err != nil {
		warn(cofre.Say("wal.no_origin_key", "what this host archives is not signed, and is not believed once signatures are required, because no key can be kept: {{.cause}}; set state_dir to a folder that this user may write", "cause", err))
		return
	}
	for i := range archives {
		a := &archives[i]
		a.Signer = key
		a.Announce = func(ctx context.Context, system cofre.SystemID) {
			announce(ctx, folder, a.URL(), a.Store, key, system, warn)
		}
	}
}

func hostKey(folder string) (*origin.Key, error) {
	if folder == "" {
		return nil, fmt.Errorf("this user has no folder of state: %w", cofre.ErrConfig)
	}
	return origin.Host(folder)
}

// announce leaves the wish of a host to be believed, once; it is left again by a later call if it cannot be now.
func announce(ctx context.Context, folder, url string, st cofre.Store, key *origin.Key, system cofre.SystemID, warn func(cofre.Message)) {
	mark := filepath.Join(folder, "asked-"+key.Public().ID()+"-"+nameOf(url, system))
	if _, err := os.Lstat(mark); err == nil {
		return
	}
	if origin.Ask(ctx, st, system, key.Public()) != nil || inside.WriteFile(mark, 0o600, 0o755, func(io.Writer) error { return nil }) != nil {
		return
	}
	warn(cofre.Say("wal.origin_key", "this host signs the WAL that it archives to {{.url}} with the key {{.fingerprint}}; whoever has the repository's password admits it: cofre wal admit {{.fingerprint}}", "url", url, "fingerprint", key.Public().Fingerprint()))
}

func nameOf(url string, system cofre.SystemID) string {
	return fileOf(url) + "-" + system.String()
}

// believing is the identity of a repository that reads only whom that believes, by what it says now and what this host has seen of it.
func believing(cfg *config.Config, r config.Repository, st cofre.Store, id wal.Identity) wal.Identity {
	return id.Believing(func(ctx context.Context, system cofre.SystemID, _ bool) (*origin.Set, error) {
		file := ""
		if folder := OriginFolder(cfg); folder != "" {
			file = filepath.Join(folder, "seen-"+nameOf(r.URL, system))
		}
		return readOrigins(ctx, st, system, id.Secret(), file, 0)
	})
}

// Recall has this host take records of a repository for seen that the journal has kept: it goes by them then as by those that it has read there itself. What nobody
// said who has the password is left out. One that has no folder of state remembers nothing.
func Recall(cfg *config.Config, r config.Repository, system cofre.SystemID, secret string, kept origin.Records) {
	folder := OriginFolder(cfg)
	if folder == "" {
		return
	}
	file := filepath.Join(folder, "seen-"+nameOf(r.URL, system))
	seen := origin.Records{}
	if b, err := inside.ReadFile(file); err == nil && json.Unmarshal(b, &seen) != nil {
		seen = origin.Records{}
	}
	for name, b := range kept {
		if origin.IsRecord(b, system, name, secret) {
			seen[name] = b
		}
	}
	remember(file, seen)
}

// seenFor is how long a recovery takes what it has read of whom a repository believes for what that says, before it asks again.
const seenFor = 10 * time.Minute

// remembering is believing for a process that lives for one file: what was read lies beside the key in its spool.
func remembering(st cofre.Store, id wal.Identity, file string) wal.Identity {
	return id.Believing(func(ctx context.Context, system cofre.SystemID, fresh bool) (*origin.Set, error) {
		age := seenFor
		if fresh {
			age = 0
		}
		return readOrigins(ctx, st, system, id.Secret(), OriginsFile(file, system), age)
	})
}

// OriginsFile is where a recovery keeps whom a repository believes, beside the key of the repository in file.
func OriginsFile(file string, system cofre.SystemID) string {
	return file + ".origins-" + system.String()
}

// readOrigins reads whom a repository believes, or takes what file remembers of that if it is not older than age. What it has read it remembers in file, and what counted of
// revoked keys beside it.
//
// Errors: the store's.
func readOrigins(ctx context.Context, st cofre.Store, system cofre.SystemID, secret, file string, age time.Duration) (*origin.Set, error) {
	s, err := readRecords(ctx, st, system, secret, file, age)
	if err == nil {
		s.Lists = func(ctx context.Context, hash string) ([]byte, error) { return readList(ctx, st, system, file, hash) }
	}
	return s, err
}

// readList reads a list of what counted, which this host keeps: it is named by its hash, so that what is kept is as good, and stays if the repository loses it.
//
// Errors: those of origin.ReadList.
func readList(ctx context.Context, st cofre.Store, system cofre.SystemID, file, hash string) ([]byte, error) {
	if file == "" {
		return origin.ReadList(ctx, st, system, hash)
	}
	kept := listFile(file, hash)
	if b, err := inside.ReadFile(kept); err == nil && origin.IsList(b, hash) {
		return b, nil
	}
	b, err := origin.ReadList(ctx, st, system, hash)
	if err == nil {
		_ = inside.WriteFile(kept, 0o600, 0o755, func(w io.Writer) error { _, err := w.Write(b); return err }) // it saves work
	}
	return b, err
}

// listFile is where a host keeps a list, beside what it remembers of the records.
func listFile(file, hash string) string { return file + "." + hash }

func readRecords(ctx context.Context, st cofre.Store, system cofre.SystemID, secret, file string, age time.Duration) (*origin.Set, error) {
	seen := origin.Records{}
	written := time.Time{}
	if b, err := inside.ReadFile(file); err == nil && json.Unmarshal(b, &seen) == nil {
		if info, err := os.Stat(file); err == nil {
			written = info.ModTime()
		}
	}
	if age > 0 && time.Since(written) < age {
		return origin.NewSet(system, secret, seen, nil), nil
	}
	now, err := origin.ReadRecords(ctx, st, system)
	if err != nil {
		return nil, err
	}
	s := origin.NewSet(system, secret, now, seen)
	if file != "" && (len(s.Seen) > 0 || age > 0) {
		remember(file, s.Seen)
	}
	return s, nil
}

// remember writes a file that saves work, or lets this host notice what was taken back; one that cannot be written is no error.
func remember(file string, seen origin.Records) {
	b, err := json.Marshal(seen)
	if old, readErr := inside.ReadFile(file); err != nil || readErr == nil && string(old) == string(b) {
		_ = os.Chtimes(file, time.Now(), time.Now())
		return
	}
	_ = inside.WriteFile(file, 0o600, 0o755, func(w io.Writer) error { _, err := w.Write(b); return err })
}

// LeaveOrigins puts whom a repository believes, also by what this host has seen of it, beside the key in file, for the server that recovers in dir.
//
// Errors: those of the store and of the file system.
func LeaveOrigins(ctx context.Context, cfg *config.Config, r config.Repository, st cofre.Store, file, dir string) (beside string, err error) {
	c, err := wal.ReadControl(filepath.Join(dir, pgdata.ControlFile))
	if err != nil {
		return "", err
	}
	id, err := wal.KeepIdentity(file, wal.Recipient{}, unlocking(ctx, r, st))
	if err != nil {
		return "", err
	}
	s, err := believing(cfg, r, st, id).Origins(ctx, c.SystemID)
	if err != nil {
		return "", err
	}
	beside = OriginsFile(file, c.SystemID)
	remember(beside, s.Seen)
	return beside, nil
}
