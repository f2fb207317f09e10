package observe

import (
	"context"
	"os"
	"os/user"
	"strconv"
	"sync"
	"time"

	"github.com/trustlayer/cofre"
)

// About is what is known of a run when it begins. What is not known yet stays zero.
type About struct {
	What  string         // of a restore: database, table, …
	Point cofre.PointID  // the recovery point that it is about; "" if there is none yet, or several
	Of    cofre.SourceID // the source that it is about; its installation is of every event
	By    cofre.Actor
	// Configuration is the SHA-256 of the configuration.
	Configuration string
}

// Run is one execution under way. It is the observer for everything that belongs to it: each event gets its id, and its
// time, point, installation and, if it is a fact, source, if they are missing.
type Run struct {
	id        cofre.RunID
	kind      cofre.RunKind
	to        cofre.Observer
	startedAt time.Time
	part      bool // of an outer run

	mu    sync.Mutex // of about
	about About
}

// Begin tells of the beginning of a run. to may be nil. If to is a run of the same kind, this is a part of it: its events are that
// run's, which alone tells of beginning and end. So a product brings the commands around a use case into the run of the use case. If to
// is a run of another kind, this one is done for it, by the same actor.
func Begin(to cofre.Observer, kind cofre.RunKind, about About) *Run {
	if to == nil {
		to = cofre.Discard
	}
	now := time.Now()
	began := cofre.RunBegan{Kind: kind}
	if outer, ok := to.(*Run); ok {
		if outer.kind == kind {
			outer.is(about)
			return &Run{id: outer.id, kind: kind, about: about, to: outer, startedAt: now, part: true}
		}
		began.Within = outer.id
		known := outer.known()
		about.By, about.Configuration = known.By, known.Configuration
		about.Of.Installation = known.Of.Installation
	}
	r := &Run{id: cofre.NewRunID(now), kind: kind, about: about, to: to, startedAt: now}
	began.What, began.By, began.Configuration = about.What, about.By, about.Configuration
	cofre.Tell(r, began)
	return r
}

// is says what the run is about, once that is known.
func (r *Run) is(about About) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.about.Point == "" {
		r.about.Point = about.Point
	}
	if r.about.Of.Kind == "" {
		r.about.Of.Kind, r.about.Of.Name = about.Of.Kind, about.Of.Name
	}
	if r.about.What == "" {
		r.about.What = about.What
	}
}

// known is what is known of the run by now.
func (r *Run) known() About {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.about
}

// named says to which installation the run belongs, if that was found out on the way.
func (r *Run) named(installation string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.about.Of.Installation = installation
}

// Observe tells of an event of the run.
func (r *Run) Observe(e cofre.Event) {
	if e.At.IsZero() {
		e.At = time.Now()
	}
	if e.Run == "" {
		e.Run = r.id
	}
	if assumed, ok := e.Fact.(cofre.InstallationAssumed); ok {
		r.named(assumed.Name)
	}
	about := r.known()
	if e.Point == "" {
		e.Point = about.Point
	}
	if e.Source.Kind == "" && e.Fact != nil {
		e.Source.Kind, e.Source.Name = about.Of.Kind, about.Of.Name
	}
	if e.Source.Installation == "" {
		e.Source.Installation = about.Of.Installation
	}
	r.to.Observe(e)
}

// End tells how the run ended: with the code of err, which may be nil. An error that followed from an interruption of ctx is one.
func (r *Run) End(ctx context.Context, err error) {
	if r.part {
		return
	}
	about := r.known()
	ended := cofre.RunEnded{Kind: r.kind, What: about.What, By: about.By, Code: cofre.CodeOf(err), Took: time.Since(r.startedAt)}
	if err != nil {
		ended.Message, ended.Hint, ended.Messages = cofre.OneLine(err), cofre.Hint(err), cofre.MessagesOf(err)
		if cofre.CodeOf(context.Cause(ctx)) == cofre.CodeInterrupted {
			ended.Code = cofre.CodeInterrupted
		}
	}
	cofre.Tell(r, ended)
}

// Here is who runs this process, and where: with sudo, the person who typed it; or else the user, by name if it has one.
func Here(version string) cofre.Actor {
	by := cofre.Actor{Version: version}
	by.Host, _ = os.Hostname() // a machine without a name has none
	for _, name := range []string{"SUDO_USER", "USER", "LOGNAME"} {
		if by.User == "" {
			by.User = os.Getenv(name)
		}
	}
	if by.User == "" { // of a server, or of cron
		by.User = strconv.Itoa(os.Geteuid())
		if found, err := user.LookupId(by.User); err == nil {
			by.User = found.Username
		}
	}
	return by
}
