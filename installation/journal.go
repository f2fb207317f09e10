package installation

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/catalog"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/installation/expiry"
	"github.com/trustlayer/cofre/installation/journaling"
	"github.com/trustlayer/cofre/installation/record"
	"github.com/trustlayer/cofre/installation/runs"
	"github.com/trustlayer/cofre/installation/walstore"
	"github.com/trustlayer/cofre/journal"
	"github.com/trustlayer/cofre/observe"
	"github.com/trustlayer/cofre/repository/kit"
)

// journalBound is how long it may take, after a run, to write what the journal is to say of it.
const journalBound = time.Minute

// keepJournal opens the journal of the repository that is open, and has what the run does written into it. A journal that is damaged does not
// stand in the way: why it is not written is in.unjournaled.
func (in *Installation) keepJournal(ctx context.Context, make bool) {
	v, ok := in.repo.(journaling.Vault)
	if !ok || in.recording == nil || in.book != nil {
		return
	}
	state, err := in.cfg.StateFolder()
	if err == nil {
		in.book, err = journaling.Open(ctx, v, journaling.Options{StateDir: state, Installation: in.cfg.Name, Make: make, New: in.beginning})
	}
	if in.unjournaled = err; err != nil {
		return
	}
	if in.book.Made() {
		cofre.Tell(in.observer, cofre.KeyMade{Repository: in.cfg.Repository.URL, Key: "journal", Public: in.book.Key()})
		if !in.beginning {
			in.warn(cofre.Say("journal.made", "this repository had no journal, and has one from now on; its key is in the recovery kit: print that again with: cofre kit"))
		}
	}
	in.recording.Into(context.WithoutCancel(ctx), in.book)
}

// Checkpoint is the newest one of the journal, as it is printed; "" if nothing was written into it or read of it.
func (in *Installation) Checkpoint() string {
	if in.book == nil || in.book.Checkpoint().Size == 0 {
		return ""
	}
	return in.book.Checkpoint().String()
}

// journaled waits until what was published is in the journal.
//
// Errors: cofre.ErrPartial if it is not, or if the journal is not what this machine has seen; those of the run, in any case.
func (in *Installation) journaled(kind cofre.RunKind, err error) error {
	if in.recording == nil || kind != cofre.RunBackup || err != nil && !errors.Is(err, cofre.ErrPartial) {
		return err
	}
	cause := in.unwritten()
	if cause == nil {
		return err
	}
	return errors.Join(err, lookAtIt(cofre.Fail(cofre.Say("journal.not_written", "what was published is whole, and the journal is not"), cofre.ErrPartial, cause)))
}

// marks are those of this host of runs on the repository; none without a state directory.
func (in *Installation) marks() runs.Marks {
	state, err := in.cfg.StateFolder()
	if err != nil {
		return runs.Marks{}
	}
	return runs.MarksOf(state, in.cfg.Repository.URL)
}

// unwritten waits until everything that was told is in the journal, and returns why something is not, or why the journal is not what this machine
// has seen.
func (in *Installation) unwritten() error {
	if in.book == nil {
		return in.unjournaled
	}
	err := in.recording.Wait()
	if found := in.book.Found(); found != nil {
		return found // that nothing is written into it is the consequence
	}
	return err
}

// mayWrite refuses what changes whom or what the repository believes, before anything is changed, while its journal is known to be another, or cut back: it takes no entry
// then, and nobody could see afterwards who has changed what. A journal that could not be reached is no reason.
//
// Errors: cofre.ErrFindings, with what is wrong with the journal.
func (in *Installation) mayWrite() error {
	cause := in.unjournaled
	if in.book != nil {
		cause = in.book.Found()
	}
	if cause == nil || !errors.Is(cause, cofre.ErrCorrupt) {
		return nil
	}
	return lookAtIt(cofre.Fail(cofre.Say("journal.takes_nothing", "nothing is changed, because the journal could not say it"), cofre.ErrFindings, cause))
}

// lookAtIt gives an error of the journal the hint to look at it, unless it has one.
func lookAtIt(err error) error {
	hint := cofre.HintOf(err)
	if hint.IsZero() {
		hint = cofre.Say("journal.look", "see what has become of it: cofre journal verify")
	}
	return cofre.WithHint(err, hint)
}

// noteEnd writes what is left of a run, which has ended with ran. What cannot be written is a warning, unless nothing ran because of it.
func (in *Installation) noteEnd(ctx context.Context, kind cofre.RunKind, ran error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), journalBound)
	defer cancel()
	if in.recording.Waiting() && in.repo != nil && in.unjournaled == nil {
		in.keepJournal(ctx, in.purpose == toWrite)
	}
	err := in.recording.Wait()
	if in.recording.Waiting() {
		err = in.unjournaled
	}
	// A repository of before has no journal before it is written to.
	if err != nil && !errors.Is(err, cofre.ErrNotFound) && !(kind != cofre.RunVerify && errors.Is(ran, cofre.ErrFindings) && in.mayWrite() != nil) {
		in.warn(cofre.Say("journal.run_not_written", "the journal does not say that this ran: {{.cause}}", "cause", err))
	}
}

// Journal leads to what is done with the journal of the repository.
func (in *Installation) Journal() Journal { return Journal{in} }

// Journal is what happened to the repository. To read it, neither password nor indexes are needed.
type Journal struct{ in *Installation }

// Verify reads the journal, and compares it with what is kept of it. Nothing is changed, except that this machine remembers the newest
// checkpoint if nothing was found. key is the public half that must have signed it; "" is what this machine knows, or else what lies beside it.
//
// Errors: those of journaling.Know and journaling.Known.Verify, with the result if something was found.
func (j Journal) Verify(ctx context.Context, key string, o journaling.Reading) (*journaling.Verified, error) {
	k, err := j.in.knownJournal(ctx, key)
	return journaling.Verify(ctx, k, err, o)
}

// Acknowledge says that it is known that a recovery point is lost, or an object of the journal damaged, so that verification finds it no more, and pruning and expiry go
// on. It is durable, in the journal, when Acknowledge returns nil.
//
// Errors: cofre.ErrFindings if the journal takes no entry; those of record.Looker.Acknowledge and journaling.Acknowledge; those of the repository; any of the journal.
func (j Journal) Acknowledge(ctx context.Context, what, why string) (err error) {
	end := j.in.begin(ctx, cofre.RunLoss, observe.About{})
	defer func() { err = end(err) }()
	repo, err := j.in.writing(ctx)
	if err != nil {
		return err
	}
	if !journaling.IsObject(what) { // that an object is given up may be the way on
		if err := j.in.mayWrite(); err != nil {
			return err
		}
	}
	cat, err := j.in.catalog(ctx, repo)
	if err != nil {
		return err
	}
	here := observe.Here(j.in.Version)
	by := here.User + "@" + here.Host
	points := slices.Collect(cat.List(catalog.Want{}))
	at := slices.IndexFunc(points, func(p cofre.RecoveryPoint) bool { return string(p.ID) == what })
	done := false
	if at >= 0 {
		done, err = expiry.Disbelieve(ctx, j.Verify, j.in.observer, points, points[at], by, why)
	}
	if done || err != nil {
		// said
	} else if journaling.IsObject(what) {
		err = journaling.Acknowledge(ctx, j.Verify, j.in.observer, what, by, why)
	} else {
		err = j.in.looker(repo).Acknowledge(ctx, points, cofre.PointID(what), by, why)
	}
	if err != nil {
		return err
	}
	return j.in.written(notHeld())
}

// Entry reads one entry by its number, with what is not for everybody's eyes of it, after the journal was verified.
//
// Errors: those of journaling.Know and journaling.Known.Entry.
func (j Journal) Entry(ctx context.Context, number int64) (*journaling.Entry, error) {
	k, err := j.in.knownJournal(ctx, "")
	if err != nil {
		return nil, err
	}
	return k.Entry(ctx, number, func() (any, error) { return j.in.reading(ctx) })
}

func (in *Installation) knownJournal(ctx context.Context, key string) (*journaling.Known, error) {
	st, err := walstore.Open(ctx, in.cfg.Repository)
	if err != nil {
		return nil, err
	}
	state, err := in.cfg.StateFolder()
	if err != nil {
		return nil, err
	}
	return journaling.Know(ctx, st, state, key)
}

// vouch adds to the recovery kit of the repository the key of its journal and the newest checkpoint. A repository of before has none.
//
// Errors: those of journaling.Known.Newest.
func (in *Installation) vouch(ctx context.Context, kit *kit.Kit) error {
	k, err := in.knownJournal(ctx, "")
	if errors.Is(err, cofre.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	key, newest, err := k.Newest(ctx)
	if err == nil {
		kit.Vouch(key, newest)
	}
	return err
}

// beginJournal begins the journal of a repository that was just made.
func (in *Installation) beginJournal(ctx context.Context) error {
	in.beginning = true
	defer func() { in.beginning = false }()
	if _, err := in.writing(ctx); err != nil {
		return err
	}
	state, err := in.cfg.StateFolder()
	if err != nil {
		return err
	}
	if v, ok := in.repo.(journaling.Vault); ok {
		before, err := journal.SetAside(journal.MemoryFile(state, v.URL()))
		if err != nil {
			return err
		}
		if before {
			in.warn(cofre.Say("journal.set_aside", "this machine has seen another journal at this address; what it knows of it is kept in {{.folder}}", "folder", state+"/journal"))
		}
	}
	in.keepJournal(ctx, true)
	return in.unjournaled
}

// lookAtJournal compares the journal with what this machine has seen of it.
func lookAtJournal(ctx context.Context, cfg *config.Config) cofre.Diagnosis {
	return journaling.Diagnose(ctx, func() (*journaling.Known, error) { return (&Installation{cfg: cfg}).knownJournal(ctx, "") })
}

// journalSize is how many entries the journal has now; 0 without one.
func (in *Installation) journalSize(ctx context.Context) (int64, error) {
	k, err := in.knownJournal(ctx, "")
	if errors.Is(err, cofre.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return k.Size(ctx)
}

// looker compares the catalog with the journal.
func (in *Installation) looker(repo reader) record.Looker {
	return record.Looker{Installation: in.Name(), Read: in.Journal().Verify, Repository: repo, Observer: in.observer}
}
