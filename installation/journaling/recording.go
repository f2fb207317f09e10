package journaling

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/installation/runs"
	"github.com/trustlayer/cofre/journal"
)

// Recording makes entries of what one call of the product does. It is an observer: it never blocks the work that it is told of, and writes in
// a goroutine of its own, one entry after another, from the moment that it has a book. What it is told before waits for it.
type Recording struct {
	marks   runs.Marks
	mu      sync.Mutex
	runs    map[cofre.RunID]*run
	entries []entry
	book    *Book
	write   func(entry) error // with the book; nil without one
	running bool
	errs    []error
	done    sync.WaitGroup
}

// run is what is known of one.
type run struct {
	journal.Body
	kind      cofre.RunKind
	published bool
	what      string
	verified  *cofre.VerificationEnded
	restored  *cofre.RestorePublished
	drilled   *cofre.DrillEnded
	findings  []cofre.Finding

	mark *runs.Mark
	log  *runs.Collector
	told bool // an entry is to say how the run ended
}

// entry is one that is to be written.
type entry struct {
	body          journal.Body
	facts, sealed any
	about         []journal.Subject
	point         bool // it is of a recovery point that was published
	end           *run // that it is the last of; nil of any other
}

// NewRecording returns one without a book. Marks are those of the repository on this host.
func NewRecording(marks runs.Marks) *Recording {
	return &Recording{marks: marks, runs: map[cofre.RunID]*run{}}
}

// Into has everything written into a book, now and from now on. ctx is for what is written, and is not to end before Wait.
func (r *Recording) Into(ctx context.Context, b *Book) {
	settled := b.Found()
	if settled == nil {
		settled = r.settle(ctx, b) // before this run says anything: what failed before it did
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.book != nil {
		return
	}
	if settled != nil {
		r.errs = append(r.errs, settled)
	}
	asked := false
	r.book = b
	r.write = func(e entry) error {
		if !b.takes(e.body.Event) {
			return nil // why is said once; a run that failed is remembered on this host until the journal takes it
		}
		if !asked && e.body.Configuration != "" {
			asked = true
			if err := b.configured(ctx, e.body); err != nil {
				return err
			}
		}
		if e.end != nil {
			return b.end(ctx, e)
		}
		if e.body.Event == "" {
			return nil
		}
		return b.write(ctx, e.body, e.facts, e.sealed, e.about...)
	}
	// Whether the configuration has changed is asked while the work begins, and not when its point is published.
	for _, of := range r.runs {
		if of.kind == cofre.RunBackup {
			r.entries = slices.Insert(r.entries, 0, entry{body: of.Body})
			break
		}
	}
	r.start()
}

func (b *Book) configured(ctx context.Context, body journal.Body) error {
	changed, err := b.changed(ctx, body)
	if err != nil || !changed {
		return err
	}
	body.Event, body.Point, body.Code, body.At = journal.EventConfigured, "", "", time.Now()
	return b.write(ctx, body, nil, nil)
}

// start has what waits written, if there is a book and nobody is at it. The lock is held.
func (r *Recording) start() {
	if r.book == nil || r.running || len(r.entries) == 0 {
		return
	}
	r.running = true
	r.done.Go(r.drain)
}

func (r *Recording) drain() {
	for {
		r.mu.Lock()
		if len(r.entries) == 0 {
			r.running = false
			r.mu.Unlock()
			return
		}
		e := r.entries[0]
		r.entries = r.entries[1:]
		write := r.write
		r.mu.Unlock()
		err := write(e)
		if err != nil && e.point {
			err = &unwritten{e.body.Point, err}
		}
		if err != nil {
			r.failed(err)
		}
	}
}

func (r *Recording) failed(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errs = append(r.errs, err)
}

// unwritten is why the journal does not say that a point was published.
type unwritten struct {
	point cofre.PointID
	error
}

func (u *unwritten) Unwrap() error { return u.error }

// Waiting reports whether something waits for a book. A log alone needs none.
func (r *Recording) Waiting() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.book == nil && slices.ContainsFunc(r.entries, func(e entry) bool { return e.body.Event != "" })
}

// Wait waits until everything is written, and returns what could not be. It is then forgotten.
func (r *Recording) Wait() error {
	r.done.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	err := errors.Join(r.errs...)
	r.errs = nil
	if r.book != nil {
		err = errors.Join(err, r.book.remember())
	}
	return err
}

// Observe takes an event: a fact for the journal, and anything for the log of its run.
func (r *Recording) Observe(e cofre.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	of := r.runs[e.Run]
	if began, ok := e.Fact.(cofre.RunBegan); ok {
		r.runs[e.Run] = r.begun(e, began)
		return
	}
	if of == nil {
		return
	}
	of.log.Observe(e)
	if e.Fact == nil {
		return
	}
	if e.Source.Installation != "" {
		of.Installation = e.Source.Installation
	}
	made, ok := of.entry(e)
	if _, ended := e.Fact.(cofre.RunEnded); ended && slices.Contains(failing, of.kind) {
		of.told, made.end = ok, of // the log, with an entry or without
		made.body.Run = of.Run
		ok = true
	}
	if ok {
		parts := inParts(made)
		for i := range parts[:len(parts)-1] {
			parts[i].end = nil
		}
		r.entries = append(r.entries, parts...)
		r.start()
	}
}

// begun is what is known of a run when it begins. What would be missed if it were killed is marked on this host: the state directory may be
// read-only, which stands in the way of nothing.
func (r *Recording) begun(e cofre.Event, began cofre.RunBegan) *run {
	of := &run{kind: began.Kind, what: began.What, log: runs.Collect(e, began), mark: &runs.Mark{}, Body: journal.Body{
		Installation: e.Source.Installation, Host: began.By.Host, User: began.By.User, Version: began.By.Version, Run: e.Run, Configuration: began.Configuration,
	}}
	if slices.Contains(failing, began.Kind) {
		of.mark, _ = r.marks.Begin(runs.Begun{Run: e.Run, Kind: began.Kind, What: began.What, Installation: e.Source.Installation, By: began.By, At: e.At.UTC(), Configuration: began.Configuration})
	}
	return of
}

// entry makes an entry of a fact that is one by itself.
func (of *run) entry(e cofre.Event) (entry, bool) {
	made := entry{body: of.Body}
	made.body.At, made.body.Point = e.At, e.Point
	is := func(event journal.Event, facts, sealed any) (entry, bool) {
		made.body.Event, made.facts, made.sealed = event, facts, sealed
		return made, true
	}
	switch f := e.Fact.(type) {
	case cofre.PointPublished:
		of.published = true
		of.mark.Published(f.Point.ID)
		made.point, made.about = true, []journal.Subject{PointSubject(f.Point)}
		return is(journal.EventPublished, publishedFacts(f.Point, of.what), nil)
	case cofre.PointFound:
		made.body.Point, made.about = f.Point.ID, []journal.Subject{PointSubject(f.Point)}
		return is(journal.EventFound, publishedFacts(f.Point, ""), nil)
	case cofre.LossAcknowledged:
		return is(journal.EventLoss, nil, f)
	case cofre.TimeDisbelieved:
		return is(journal.EventTime, map[string]time.Time{"said": f.Said, "taken": f.Taken}, map[string]string{"by": f.By, "why": f.Why})
	case cofre.JournalDamageAcknowledged:
		return is(journal.EventDamage, journal.DamageFacts{Object: f.Object, Found: f.Found}, map[string]string{"by": f.By, "why": f.Why})
	case cofre.ExpiryBegun:
		return is(journal.EventExpiring, f, nil)
	case cofre.KeyMade:
		return is(journal.EventKey, map[string]string{"key": f.Key, "public": f.Public}, nil)
	case cofre.WALExpired:
		return is(journal.EventExpired, map[string]any{
			"what": "wal", "system_identifier": f.System, "promised_since": f.Since, "segments": f.Segments, "objects": f.Objects, "first": f.First, "last": f.Last,
		}, map[string]string{"repository": f.Repository})
	case cofre.PointExpired:
		made.body.Point = f.Point
		if !f.Whole {
			made.about = []journal.Subject{PointSubject(f.Left)}
		}
		facts := map[string]any{"what": "components", "whole": f.Whole, "components": expiredFacts(f.Components)}
		if f.Late {
			facts["late"] = true
		}
		return is(journal.EventExpired, facts, f)
	case cofre.Pruned:
		return is(journal.EventPruned, map[string]any{"freed": f.Freed, "announced": f.Announced}, nil)
	case cofre.Sealed:
		facts := map[string]any{
			"sealed_before": f.Before, "packs": f.Packs, "contents": f.Contents, "bytes": f.Bytes, "others": f.Others, "replaced": f.Replaced, "missing": len(f.Missing),
		}
		if l := f.Lost; l != nil {
			facts["given_up"], facts["named_again"], facts["gone"] = l.Indexes, l.Pieces, l.Gone
			return is(journal.EventSealed, facts, map[string]any{"damaged": l.Damage})
		}
		return is(journal.EventSealed, facts, nil)
	case cofre.PointHeld:
		return is(journal.EventHeld, journal.HoldFacts{ID: f.Hold.ID, Kind: f.Hold.Kind, Owner: f.Hold.Owner, Since: f.Hold.Since, Until: f.Hold.Until}, map[string]string{"reason": f.Hold.Reason})
	case cofre.HoldLifted:
		return is(journal.EventReleased, journal.HoldFacts{ID: f.Hold.ID, Kind: f.Hold.Kind, Owner: f.By}, map[string]string{"reason": f.Why})
	case cofre.GapAcknowledged:
		return is(journal.EventAcknowledged, map[string]any{"system_identifier": f.System, "timeline": f.Timeline, "from": f.From, "to": f.To}, map[string]string{"by": f.By, "why": f.Why})
	case cofre.WALOriginChanged:
		return is(journal.EventOrigin, journal.OriginFacts{System: f.System, Change: f.Change, Key: f.Key, Own: f.Own}, sealedOrigin(f))
	case cofre.PolicySigned:
		return is(journal.EventSignedOff, journal.PolicyFacts{What: journal.SignedPolicy, Number: f.Number, Digest: f.Digest}, f)
	case cofre.ClusterAdopted:
		return is(journal.EventAdopted, map[string]any{"system_identifier": f.System, "timeline": f.Timeline, "restarted": f.Restarted}, f)
	case cofre.Exported:
		return is(journal.EventExported, map[string]string{"format": f.Format}, f)
	case cofre.VerificationEnded:
		of.verified = &f
	case cofre.DrillEnded:
		of.drilled = &f
	case cofre.RestorePublished:
		of.restored = &f
	case cofre.FindingMade:
		of.findings = append(of.findings, f.Finding)
	case cofre.RunEnded:
		made.body.Code = f.Code
		if of.drilled != nil {
			made.body.Point = of.drilled.Point
		}
		return of.ended(f, is)
	}
	return entry{}, false
}

// maxFindings is how many findings a sealed object names: what is wrong with a whole repository is in its verification.
const maxFindings = 500

// ended makes an entry of a run that has ended.
func (of *run) ended(f cofre.RunEnded, is func(journal.Event, any, any) (entry, bool)) (entry, bool) {
	why := reasons(f.Message, f.Hint, f.Messages)
	switch {
	case of.verified != nil:
		facts := verifiedFacts(of.verified)
		if len(of.findings) == 0 {
			return is(journal.EventVerified, facts, nil)
		}
		return is(journal.EventVerified, facts, map[string]any{"findings": of.findings[:min(len(of.findings), maxFindings)]})
	case of.drilled != nil:
		return is(journal.EventDrilled, drilledFacts(of.what, of.drilled, len(of.findings), of.log.Log().BeganAt), drilledSealed(of.drilled, of.findings, why))
	case of.restored != nil:
		return is(journal.EventRestored, map[string]string{"what": of.what}, map[string]any{"outcome": of.restored.Outcome, "error": why})
	case f.Code == cofre.CodeOK || f.Code == cofre.CodeUsage || f.Code == cofre.CodeDeclined || of.published || !slices.Contains(failing, f.Kind):
		return entry{}, false
	}
	return is(journal.EventFailed, runs.FailedFacts{Kind: f.Kind, What: of.what, BeganAt: of.log.Log().BeganAt}, why)
}

// Why is what an entry has sealed of a run that failed.
type Why struct {
	Message  string         `json:"message"`
	Hint     string         `json:"hint"`
	Messages cofre.Messages `json:"messages,omitempty"` // of both
}

// longestWhy bounds the messages of an error, which may hold each other.
const longestWhy = 64 << 10

func reasons(message, hint string, messages cofre.Messages) Why {
	w := Why{message, hint, messages}
	if text, err := json.Marshal(messages); err != nil || len(text) > longestWhy {
		w.Messages = nil
	}
	return w
}

// failing are the kinds of runs whose failure is remembered: those that change something, or whom or what is believed, or prove it.
var failing = []cofre.RunKind{
	cofre.RunBackup, cofre.RunRestore, cofre.RunVerify, cofre.RunDrill, cofre.RunAdopt, cofre.RunExport, cofre.RunExpire, cofre.RunPrune,
	cofre.RunSeal, cofre.RunHold, cofre.RunLiftHold, cofre.RunAcknowledge, cofre.RunAdmit, cofre.RunLoss, cofre.RunSign,
}

// PointSubject names a recovery point by the digest of its manifest: the bytes with which it is published.
func PointSubject(p cofre.RecoveryPoint) journal.Subject {
	text, err := json.Marshal(p)
	if err != nil {
		return journal.Subject{Name: string(p.ID)}
	}
	sum := sha256.Sum256(text)
	return journal.Subject{Name: string(p.ID), Digest: map[string]string{"sha256": hex.EncodeToString(sum[:])}}
}

// expiredFacts are what left a point, without names.
func expiredFacts(components []cofre.ExpiredComponent) []componentFacts {
	var facts []componentFacts
	for _, c := range components {
		facts = append(facts, componentFacts{Kind: c.Kind, StartedAt: c.StartedAt, Bytes: c.Bytes, Partial: c.Partial})
	}
	return facts
}

type componentFacts struct {
	Kind      cofre.Kind `json:"kind"`
	StartedAt time.Time  `json:"started_at,omitzero"`
	Bytes     int64      `json:"bytes"`
	Stored    int64      `json:"stored,omitempty"`
	Partial   bool       `json:"partial,omitempty"`
}

func publishedFacts(p cofre.RecoveryPoint, what string) any {
	facts := struct {
		StartedAt   time.Time        `json:"started_at"`
		PublishedAt time.Time        `json:"published_at"`
		Components  []componentFacts `json:"components"`
		Findings    int              `json:"findings,omitempty"`
		Level       cofre.Level      `json:"level"`
		What        string           `json:"what,omitempty"` // that was asked for
	}{What: what, StartedAt: p.StartedAt, PublishedAt: p.PublishedAt, Components: []componentFacts{}, Findings: len(p.Findings), Level: cofre.PublishedLevel}
	for _, c := range p.Components {
		facts.Components = append(facts.Components, componentFacts{Kind: c.Kind, Bytes: c.Bytes, Stored: c.Stored, Partial: c.Partial})
	}
	return facts
}
