package repository

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/object"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/largepages"
	"github.com/trustlayer/cofre/repository/blobs"
	"github.com/trustlayer/cofre/repository/compressors"
	"github.com/trustlayer/cofre/repository/kit"
	"github.com/trustlayer/cofre/repository/opening"
	"github.com/trustlayer/cofre/repository/pruning"
	"github.com/trustlayer/cofre/repository/readback"
	"github.com/trustlayer/cofre/repository/seal"
	"github.com/trustlayer/cofre/repository/trouble"
	"github.com/trustlayer/cofre/store"
)

// Repository is a cofre.Repository in a folder or on S3.
type Repository struct {
	config Config
	store  cofre.Store
	notes  cofre.Store // the same, also to write what was found damaged if the rest is opened to read
	blobs  *blobs.Storage
	kopia  repo.DirectRepositoryWriter
	now    func() time.Time // nil is the clock of the machine

	noticing sync.Mutex
	noticed  map[object.ID]bool // what could not be read, to be remembered by Close
	fixed    []string           // what was read from its spare, or put right from it

	pastLock sync.Mutex
	captures pruning.Captures // until they are published
	pastSelf *Repository      // by a clock that stands in the past, once it was needed

	flushEvery time.Duration
	computing  blobs.Turns

	// publishing lets one point be published, or expired, at a time: both compact manifests.
	publishing sync.Mutex
	closing    sync.Once
	closed     error
}

var _ cofre.Repository = (*Repository)(nil)

// client is who we are to Kopia. It is nobody's user name, so that no Kopia elsewhere takes maintenance for its
// own task, and the same on all machines.
const (
	clientUser = "cofre"
	clientHost = "cofre"
)

// Open opens the repository at c.URL.
//
// Errors: ErrConfig; ErrNoRepo, with the command that makes one; ErrWrongKey; ErrUnreachable, ErrDenied;
// ErrCorrupt, with the names of the files that are damaged.
func Open(ctx context.Context, c Config) (*Repository, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("open repository: %w", err)
	}
	s, err := store.Open(ctx, c.store(false))
	if err != nil {
		return nil, fmt.Errorf("open repository: %w", noRepo(err, c.URL))
	}
	notes := s
	if c.ReadOnly {
		writable := c.store(false)
		writable.ReadOnly = false
		if notes, err = store.Open(ctx, writable); err != nil {
			return nil, fmt.Errorf("open repository: %w", noRepo(err, c.URL))
		}
	}
	return openOn(ctx, c, s, notes)
}

func openOn(ctx context.Context, c Config, s, notes cofre.Store) (*Repository, error) {
	r := &Repository{config: c, store: s, notes: notes, blobs: blobs.New(s), flushEvery: flushEvery, computing: blobs.NewTurns()}
	if err := r.mended(ctx, func() error { return r.connect(ctx) }); err != nil {
		if lost := kit.FindLost(ctx, r.blobs); lost != nil {
			err = lost
		} else {
			err = r.diagnosed(ctx, err)
		}
		return nil, fmt.Errorf("open repository %s: %w", s.URL(), err)
	}
	return r, nil
}

func noRepo(err error, url string) error {
	if errors.Is(err, cofre.ErrNoRepo) && cofre.Hint(err) == "" {
		return cofre.WithHint(err, cofre.Say("repository.make", "make one with cofre init, or correct repository.url ({{.url}})", "url", url))
	}
	return err
}

// connect opens Kopia's repository in the store.
func (r *Repository) connect(ctx context.Context) error {
	blobs.Register()
	compressors.Adopt()
	id, err := opening.UniqueID(ctx, r.blobs, r.config.URL)
	if err != nil {
		return err
	}
	if err := r.missingIndexes(ctx); err != nil {
		return err
	}
	if err := opening.MakeStateDir(r.config.StateDir); err != nil {
		return err
	}
	if !store.IsFolder(r.config.URL) {
		r.blobs.Cache = &blobs.IndexCache{Dir: filepath.Join(r.config.StateDir, "indexes", id)}
		r.blobs.Cache.Sweep()
	}
	file, err := opening.WriteConnection(r.config.StateDir, r.blobs.ConnectionInfo(), repo.ClientOptions{Hostname: clientHost, Username: clientUser, Description: "cofre"})
	if err != nil {
		return fmt.Errorf("write connection file: %w", err)
	}
	// Kopia reads it once. It holds no address and no secret, and would mean nothing to another process.
	defer os.Remove(file)

	largepages.Ready(keyMemory)
	var opened repo.Repository
	err = stillThere(func() error {
		opened, err = r.openKopia(ctx, file)
		return err
	})
	if err != nil {
		return trouble.Of("read its format and indexes", err)
	}
	direct, ok := opened.(repo.DirectRepositoryWriter)
	if !ok {
		return errors.Join(errors.New("the library opened something else than a repository in a store"), opened.Close(ctx))
	}
	// Indexes are read when they are asked for (refresh), and not in the middle of a read because time has passed.
	direct.ContentManager().DisableIndexRefresh()
	r.kopia = direct
	r.blobs.Seals.Key, err = r.key(seal.Purpose)
	r.blobs.Seals.Raised = r.memory().Raised(direct.UniqueID())
	return err
}

// openKopia opens what a connection file leads to.
func (r *Repository) openKopia(ctx context.Context, file string) (repo.Repository, error) {
	// Kopia keeps this context for what it does in the background, longer than this call.
	open, a := blobs.Try(blobs.With(context.WithoutCancel(ctx), r.blobs))
	stop := context.AfterFunc(ctx, func() { a.Fail(context.Cause(ctx)) })
	defer stop()
	opened, err := repo.Open(open, file, r.config.Password.Reveal(), &repo.Options{
		DisableRepositoryLog: true,           // it would be one more kind of blob, for a program nobody runs here
		DoNotWaitForUpgrade:  true,           // otherwise it waits for ever
		OnFatalError:         func(error) {}, // the operation that met it fails too; the default ends the process
		TimeNowFunc:          r.now,
	})
	if err != nil {
		return nil, a.Done(err)
	}
	a.Keep()
	return opened, nil
}

// diagnosed adds to an error that says something is damaged the names of the files that are.
func (r *Repository) diagnosed(ctx context.Context, err error) error {
	wrongKey := errors.Is(err, cofre.ErrWrongKey)
	if !wrongKey && !errors.Is(err, cofre.ErrCorrupt) {
		return err
	}
	var damaged []string
	if l, err := r.ledger(ctx); err == nil {
		damaged = readback.Metadata(ctx, r.store, r.blobs.Naming, l)
	}
	if len(damaged) > 0 {
		return cofre.WithHint(fmt.Errorf("%s: %w: %v", strings.Join(damaged, "; "), cofre.ErrCorrupt, err),
			cofre.Say("repository.bring_back", "bring these files back from a copy of the repository; without one, an index (x/…) can be moved aside, and what the others hold is read"))
	}
	if wrongKey {
		return cofre.WithHint(err, cofre.Say("repository.wrong_password", "the password is not the one the repository was made with; look at {{.source}}", "source", cmp.Or(r.config.PasswordSource, "what repository.password refers to")))
	}
	return err
}

// refresh makes what other processes wrote visible here.
func (r *Repository) refresh(ctx context.Context) error {
	return stillThere(func() error {
		attempt, a := blobs.Try(ctx)
		return a.Done(r.kopia.Refresh(attempt))
	})
}

// stillThere reads the indexes again if others have deleted one between the listing and the reading: its contents are in another.
func stillThere(read func() error) (err error) {
	for range manyDeletions {
		if err = read(); !errors.Is(err, blob.ErrBlobNotFound) {
			break
		}
	}
	return err
}

// manyDeletions is how often indexes are listed again.
const manyDeletions = 5

// passOver finds the indexes that cannot be read, and has the library go on without them: what only they name is not there, and all else is. It reports
// whether there is one that was not passed over before.
func (r *Repository) passOver(ctx context.Context) bool {
	look := r
	if r.kopia == nil {
		look = &Repository{config: r.config, store: r.store, notes: r.notes, blobs: r.blobs, now: r.now}
		undo := r.blobs.Indexes.Without()
		err := look.connect(ctx)
		undo()
		if err != nil {
			return false
		}
		defer look.kopia.Close(context.WithoutCancel(ctx))
	}
	found, err := r.blobs.Indexes.PassOver(ctx, r.blobs.List, func(ctx context.Context, id blob.ID) error {
		_, err := pruning.Index(ctx, look.kopia, id)
		return err
	}, seal.IsOutside)
	return err == nil && found > 0
}

// URL is where the repository is, without credentials.
func (r *Repository) URL() string { return r.store.URL() }

// Stats says what the repository is and holds.
//
// Errors: as of Points, and those of the store.
func (r *Repository) Stats(ctx context.Context) (cofre.RepositoryStats, error) {
	provider := r.kopia.ContentReader().ContentFormat()
	s := cofre.RepositoryStats{
		URL: r.URL(), UniqueID: hex.EncodeToString(r.kopia.UniqueID()), Compression: r.config.compression(),
		Encryption: provider.GetEncryptionAlgorithm(), Hash: provider.GetHashFunction(),
	}
	for _, err := range r.Points(ctx) {
		if err != nil {
			return s, err
		}
		s.Points++
	}
	for o, err := range r.store.List(ctx, "") {
		if err != nil {
			return s, fmt.Errorf("add up what the repository holds: %w", err)
		}
		s.StoredBlobs++
		s.StoredBytes += o.Size
	}
	return s, nil
}

// Close releases the repository. Sessions must have been closed before.
//
// Errors: those of the store; every later call returns the same.
func (r *Repository) Close(ctx context.Context) error {
	r.closing.Do(func() {
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		r.captures.End()
		r.rememberNoticed(bounded)
		if !r.config.ReadOnly {
			r.blobs.DropMarkers(bounded)
		}
		if r.pastSelf != nil {
			r.closed = r.pastSelf.Close(ctx)
		}
		if err := r.kopia.Close(bounded); err != nil {
			r.closed = errors.Join(r.closed, trouble.Of("close repository", err))
		}
	})
	return r.closed
}

// keyMemory is what the derivation of the repository's key takes: scrypt with N = 65536 and r = 8.
//
// Source: kopia, internal/crypto/pb_key_deriver_scrypt.go (scrypt-65536-8-1).
const keyMemory = 64 << 20

// flush makes what a writer has written visible. An index that was written into an epoch which has ended meanwhile may be passed over:
// the library then says so, and writes it into the newest one when it is asked again.
//
// Source: kopia v0.22.3, internal/epoch, ErrVerySlowIndexWrite.
func (r *Repository) flush(ctx context.Context, w repo.RepositoryWriter) error {
	var err error
	for range 5 {
		attempt, a := blobs.Try(ctx)
		err = a.Done(w.Flush(attempt))
		if err == nil || !strings.Contains(err.Error(), "extremely slow index write") {
			return err
		}
	}
	return err
}
