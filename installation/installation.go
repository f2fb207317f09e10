package installation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/catalog"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/installation/belief"
	"github.com/trustlayer/cofre/installation/journaling"
	"github.com/trustlayer/cofre/installation/standing"
)

// closeBound is how long giving the repository back may take after a command ended or was interrupted.
const closeBound = time.Minute

// Installation is one installation and its repository. Nothing is opened before it is needed, so that what is down stands in the
// way of what needs it alone. The exported fields may be set before the first method is called. One goroutine uses it at a time.
type Installation struct {
	// Version is written into recovery points as the program that made them.
	Version string
	// Program is the cofre, or cofre-wal, that a restored server runs to fetch its WAL. Empty is cofre-wal beside the program that
	// runs now, or else that program.
	Program string
	// HookOutput is given what the commands of the section hooks say; nil drops it. It may be written to by one hook at a time.
	HookOutput io.Writer
	// Seen lets Status open the repository only if something in it has changed since; nil opens it each time. One is for one repository.
	Seen *standing.Memory

	cfg      *config.Config
	observer cofre.Observer
	repo     cofre.Repository // nil before it was opened
	purpose  access           // of repo

	recording   *journaling.Recording // of the run under way; nil between runs
	book        *journaling.Book      // the journal of repo; nil before it was opened
	unjournaled error                 // why it could not be
	beginning   bool                  // the repository was made right now, and the kit is printed with the journal's key
	pastSaid    bool                  // that nobody vouches for what was before this machine knew the journal
}

// Open returns the installation that a configuration describes. It opens nothing yet and cannot fail for what is down. The observer is
// told everything that happens; nil observes nothing. The configuration is not changed and must not be while it is in use.
//
// Errors: cofre.ErrConfig without a configuration.
func Open(_ context.Context, cfg *config.Config, observer cofre.Observer) (*Installation, error) {
	if cfg == nil {
		return nil, cofre.Fail(cofre.Say("config.none_given", "open an installation: no configuration"), cofre.ErrConfig)
	}
	own := *cfg
	if observer == nil {
		observer = cofre.Discard
	}
	return &Installation{cfg: &own, observer: observer}, nil
}

// Close gives the repository back, also after ctx has ended. An installation that is closed may be used again.
//
// Errors: those of the repository's Close; ctx's error after a minute.
func (in *Installation) Close(ctx context.Context) error {
	if in.repo == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeBound)
	defer cancel()
	err := in.repo.Close(ctx)
	in.repo, in.book, in.unjournaled = nil, nil, nil
	if err != nil {
		return fmt.Errorf("close the repository: %w", err)
	}
	return nil
}

// Name is the installation's name: the configuration's, or, if nobody chose one and the repository has one installation only, that
// one's, as soon as the catalog was read.
func (in *Installation) Name() string { return in.cfg.Name }

// access is what a repository is opened for.
type access int

const (
	toRead access = iota
	toWrite
)

// reading returns the repository for what changes nothing in it. It refuses every write, unless it was opened for writing before.
//
// Errors: cofre.ErrConfig, and those of repository.Open.
func (in *Installation) reading(ctx context.Context) (reader, error) {
	if in.repo == nil {
		repo, err := openOne(ctx, in.cfg, in.cfg.Repository, toRead)
		if err != nil {
			return nil, err
		}
		in.repo, in.purpose = repo, toRead
	}
	return in.repo, nil
}

// writing returns the repository for what adds to it.
//
// Errors: those of reading and ofThis.
func (in *Installation) writing(ctx context.Context) (cofre.Repository, error) {
	if in.repo != nil && in.purpose == toWrite {
		in.keepJournal(ctx, true)
		return in.repo, in.ofThis(ctx)
	}
	repo, err := openOne(ctx, in.cfg, in.cfg.Repository, toWrite)
	if err != nil {
		return nil, err
	}
	if err := in.Close(ctx); err != nil {
		return nil, errors.Join(err, repo.Close(ctx))
	}
	in.repo, in.purpose = repo, toWrite
	in.keepJournal(ctx, true)
	return repo, in.ofThis(ctx)
}

// changing is writing, for what changes whom or what the repository believes.
//
// Errors: those of writing and mayWrite.
func (in *Installation) changing(ctx context.Context) (cofre.Repository, error) {
	repo, err := in.writing(ctx)
	return repo, cmp.Or(err, in.mayWrite())
}

// ofThis refuses to write with the format of another repository, with which neither an index nor the key of the journal can be read: what is written would be lost as soon as the right
// one is put back. Either alone may be damaged, and a backup then mends what it can.
//
// Errors: cofre.ErrCorrupt; those of the repository.
func (in *Installation) ofThis(ctx context.Context) error {
	u, ok := in.repo.(interface {
		NoneRead(context.Context) (bool, error)
		Unread(context.Context) error
	})
	if !ok || !errors.Is(in.unjournaled, cofre.ErrCorrupt) {
		return nil
	}
	none, err := u.NoneRead(ctx)
	if err != nil || !none {
		return err
	}
	return u.Unread(ctx)
}

// catalog reads the catalog. If nobody chose the installation's name, as on a machine that is not the one that backed up, and the
// repository has one installation only, that one is meant from then on, and the observer is told.
//
// Errors: those of catalog.Read.
func (in *Installation) catalog(ctx context.Context, repo reader) (*catalog.Catalog, error) {
	cat, err := catalog.Read(ctx, repo)
	if err != nil {
		return nil, err
	}
	know := sync.OnceValues(func() (*journaling.Known, error) { return in.knownJournal(ctx, "") })
	if !in.pastSaid {
		in.pastSaid = true
		in.warn(journaling.Past(in.book, know)...)
	}
	b := belief.Reader{Installation: in.Name(), Know: know, Warn: in.warn, Again: func(ctx context.Context) (*catalog.Catalog, error) { return catalog.Read(ctx, repo) }}
	cat.Believe(func(points []cofre.RecoveryPoint) catalog.Belief { return b.Of(ctx, points) })
	if u, ok := repo.(interface{ Unread(context.Context) error }); ok {
		cat.Lack(u.Unread(ctx))
	}
	there := cat.Installations()
	if in.cfg.NameGuessed && len(there) == 1 && there[0] != in.cfg.Name {
		in.cfg.Name = there[0]
		cofre.Tell(in.observer, cofre.InstallationAssumed{Name: there[0]})
	}
	return cat, nil
}

// open opens the repository to be read, and the catalog.
//
// Errors: those of reading and catalog.
func (in *Installation) open(ctx context.Context) (reader, *catalog.Catalog, error) {
	repo, err := in.reading(ctx)
	if err != nil {
		return nil, nil, err
	}
	cat, err := in.catalog(ctx, repo)
	return repo, cat, err
}

// warn tells the observer what a person has to know before something goes on.
func (in *Installation) warn(told ...cofre.Message) {
	for _, m := range told {
		in.observer.Observe(cofre.Event{At: time.Now(), Type: cofre.TypeWarning}.Saying(m))
	}
}
