package notify

import (
	"cmp"
	"context"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/internal/language"
	"github.com/trustlayer/cofre/schedule"
	"github.com/trustlayer/cofre/status"
)

const (
	// usualRepeat is after how long what still is wrong is told again, if nobody says.
	usualRepeat = 24 * time.Hour
	// usualDigest is when the digest comes, if nobody says.
	usualDigest = "0 7 * * *"
	// usualRound is how often the status is looked at, and the heartbeat is sent, if nobody says.
	usualRound = 5 * time.Minute
	// LastWords is how long the messages may take that are sent when the notifier ends.
	LastWords = 5 * time.Second
	// shortest and longest are how long a recipient rests that could not be told.
	shortest = 5 * time.Second
	longest  = 10 * time.Minute
)

// Options are what a notifier needs. Config and Look must be set.
type Options struct {
	Config *config.Config
	// Look says how the installation stands, newly computed. It may be called while something is told.
	Look func(context.Context) (*status.Status, error)
	// Language is that of recipients for whom none is configured.
	Language language.Language
	// Say is told what a person who reads the log is to know; nil is told nothing.
	Say func(warning bool, what cofre.Message)
	// Now is the clock; nil is the machine's.
	Now func() time.Time
	// Open makes the service of a recipient; nil is Recipient.Open.
	Open func(Recipient) (Service, error)
}

// Notifier tells people. Its methods never block, and may be called by several goroutines. A nil Notifier tells nobody.
type Notifier struct {
	o      Options
	to     []*told
	repeat time.Duration
	digest schedule.Schedule
	host   string

	kick chan struct{} // a round is to begin

	mu        sync.Mutex
	memory    *memory
	unsaved   bool // that the memory cannot be written was said
	stands    *status.Status
	looked    bool // at least once, with or without success
	heard     map[string]heard
	informed  bool // of every job
	beating   bool
	beatFail  bool
	beatAgain bool // another was wanted meanwhile
	beatAt    time.Time
}

// heard is what was heard of a run, before a status could say it.
type heard struct {
	at time.Time
	Condition
	wrong bool
	alone bool // no status says it
}

// told is a recipient under way.
type told struct {
	Recipient
	ledger *Ledger
	wake   chan struct{}
	rest   time.Duration // since it could not be told; 0: it could
}

// New makes a notifier of a configuration; nil if nobody is to be told of anything.
func New(o Options) *Notifier {
	cfg := o.Config
	if len(cfg.Notify.To) == 0 && cfg.Notify.Heartbeat.URL.IsZero() {
		return nil
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Open == nil {
		o.Open = Recipient.Open
	}
	if o.Say == nil {
		o.Say = func(bool, cofre.Message) {}
	}
	n := &Notifier{
		o: o, repeat: cmp.Or(cfg.Notify.Repeat.Duration, usualRepeat), digest: cfg.Notify.Digest.Or(usualDigest),
		kick: make(chan struct{}, 1), heard: map[string]heard{},
	}
	n.host, _ = os.Hostname()
	var err error
	if n.memory, err = remember(cfg); err != nil {
		o.Say(true, cofre.Say("notify.forgotten", "what was told cannot be read, and what is wrong is told once more: {{.why}}", "why", cofre.SayError(err)))
	}
	for _, r := range Recipients(cfg, o.Language) {
		l := n.memory.of(r.ID)
		if l.DigestAt.IsZero() {
			l.DigestAt = o.Now()
		}
		maps.DeleteFunc(l.Entries, func(_ string, e *Entry) bool { return !r.wants(e.Kind) }) // or it would be said to be over
		n.to = append(n.to, &told{Recipient: r, ledger: l, wake: make(chan struct{}, 1)})
	}
	return n
}

// Failed says that a job failed, or was killed. alone says that no status knows of such a job.
func (n *Notifier) Failed(job string, of cofre.SourceID, run cofre.RunID, at time.Time, code cofre.Code, why cofre.Message, alone bool) {
	n.hear(heard{at, Failed(job, of, run, at, code, why), true, alone})
}

// Well says that a job did its work.
func (n *Notifier) Well(job string, at time.Time, alone bool) {
	n.hear(heard{at, Condition{Key: FailureKey(job), Kind: status.ConditionFailure}, false, alone})
}

// Late says that a job goes on beyond its window; with a zero what, that it does so no more.
func (n *Notifier) Late(job string, of cofre.SourceID, run cofre.RunID, at time.Time, what cofre.Message) {
	c := Condition{Key: key(status.ConditionLate, "window of "+job), Kind: status.ConditionLate, Verdict: status.Attention, Source: of.Label(), Run: run, What: what, Next: cofre.Verbatim("cofre runs")}
	n.hear(heard{at, c, !what.IsZero(), true})
}

// Informed says that everything that is known of jobs has been said since this notifier began: from now on, a job of which nothing wrong was said is well. Until
// then nobody knows whether what the notifier before this one was told is over.
func (n *Notifier) Informed() {
	if n == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.informed = true
}

func (n *Notifier) hear(h heard) {
	if n == nil {
		return
	}
	n.mu.Lock()
	n.noLater()
	had, before := n.heard[h.Key]
	if before && (had.at.After(h.at) || had.wrong && h.wrong && had.Run == h.Run) {
		n.mu.Unlock()
		return
	}
	if !h.wrong && h.alone && !before && !n.known(h.Key) {
		n.mu.Unlock()
		return // nothing was wrong, and nothing is
	}
	n.heard[h.Key] = h
	n.take()
	n.mu.Unlock()
	for _, r := range n.to {
		nudge(r.wake)
	}
}

// noLater takes what was heard at a time that is yet to come, since the clock was set back, for heard now. The lock is held.
func (n *Notifier) noLater() {
	now := n.o.Now()
	for k, h := range n.heard {
		if h.at.After(now) {
			h.at = now
			n.heard[k] = h
		}
	}
}

// Look has the status looked at now.
func (n *Notifier) Look() {
	if n != nil {
		nudge(n.kick)
	}
}

func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (n *Notifier) known(key string) bool {
	return slices.ContainsFunc(n.to, func(r *told) bool { return r.ledger.Entries[key] != nil })
}

// wrong is what is wrong, as far as is known, and of what else nobody can say that it is over.
func (n *Notifier) wrong() (all []Condition, unclear func(Condition) bool) {
	by := map[string]Condition{}
	if n.stands != nil {
		for _, c := range Of(n.stands) {
			by[c.Key] = c
		}
	} else if n.looked {
		c := Condition{
			Key: key(status.ConditionUnread, string(status.AreaRepository)), Kind: status.ConditionUnread, Verdict: status.Unclear,
			What: cofre.Say("notify.no_status", "the installation could not be looked at, so nobody knows whether anything can be restored"),
			Next: cofre.Say("status.ask_doctor", "see what stands in the way: cofre doctor"),
		}
		by[c.Key] = c
	}
	n.noLater()
	for k, h := range n.heard {
		switch {
		case !h.alone && n.stands != nil && n.stands.At.After(h.at) && !blind(n.stands, h.Kind):
			delete(n.heard, k) // the status knows
		case h.wrong:
			by[k] = h.Condition
		default:
			delete(by, k)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(by)) {
		all = append(all, by[k])
	}
	return all, func(c Condition) bool {
		if h, ok := n.heard[c.Key]; ok {
			return h.wrong
		}
		ofJobs := c.Kind == status.ConditionFailure || c.Kind == status.ConditionLate
		return n.stands == nil || blind(n.stands, c.Kind) || ofJobs && !n.informed
	}
}

// take has every ledger know what is wrong now. The lock is held.
func (n *Notifier) take() {
	all, unclear := n.wrong()
	changed := false
	for _, r := range n.to {
		wanted := slices.DeleteFunc(slices.Clone(all), func(c Condition) bool { return !r.wants(c.Kind) })
		changed = r.ledger.Take(n.o.Now(), wanted, unclear) || changed
	}
	if changed {
		n.save()
	}
}

// save writes what was told. The lock is held.
func (n *Notifier) save() {
	err := n.memory.save()
	if err != nil && !n.unsaved {
		n.o.Say(true, cofre.Say("notify.unsaved", "what was told cannot be written down, so that it is told again after a restart: {{.why}}", "why", cofre.SayError(err)))
	}
	n.unsaved = err != nil
}

// Run tells people until ctx ends, and then for a few seconds what has not been told.
func (n *Notifier) Run(ctx context.Context) {
	if n == nil {
		<-ctx.Done()
		return
	}
	var all sync.WaitGroup
	for _, r := range n.to {
		all.Go(func() { n.tellAll(ctx, r) })
	}
	n.rounds(ctx, &all)
	all.Wait()
}

// rounds looks at the status again and again.
func (n *Notifier) rounds(ctx context.Context, all *sync.WaitGroup) {
	every := usualRound
	if e := n.o.Config.Notify.Heartbeat.Every.Duration; e > 0 {
		every = min(every, e)
	}
	for ctx.Err() == nil {
		stands, err := n.o.Look(ctx)
		if ctx.Err() != nil {
			return
		}
		n.mu.Lock()
		n.looked = true
		if n.stands = stands; err != nil {
			n.stands = nil
		}
		n.take()
		well := n.stands != nil && n.stands.Verdict != status.AtRisk && n.stands.Verdict != status.Unclear
		for _, h := range n.heard {
			well = well && !h.wrong
		}
		n.mu.Unlock()
		for _, r := range n.to {
			nudge(r.wake)
		}
		n.beat(ctx, all, well)
		timer := time.NewTimer(every)
		select {
		case <-ctx.Done():
		case <-n.kick:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// tellAll tells one recipient, until ctx ends.
func (n *Notifier) tellAll(ctx context.Context, r *told) {
	for {
		over := ctx.Err() != nil
		notice, at, ok := n.next(r, over)
		if ok {
			bounded, cancel := bound(ctx, over)
			err := n.send(bounded, r, notice)
			cancel()
			n.done(r, notice, err)
			if over || err != nil && ctx.Err() != nil {
				return
			}
			if err == nil {
				continue
			}
			at = n.o.Now().Add(r.rest)
		}
		if over {
			return
		}
		wait := time.Hour
		if !at.IsZero() {
			wait = max(at.Sub(n.o.Now()), time.Millisecond)
		}
		timer := time.NewTimer(wait)
		wake := r.wake
		if r.rest > 0 {
			wake = nil // it could not be told: news do not change that
		}
		select {
		case <-ctx.Done():
		case <-wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// bound is how long a message may take. One that is under way when ctx ends is not given up, since its recipient may have it already, and would be told twice.
func bound(ctx context.Context, over bool) (context.Context, context.CancelFunc) {
	if over {
		return context.WithTimeout(context.WithoutCancel(ctx), LastWords)
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendBound)
	stop := context.AfterFunc(ctx, func() {
		timer := time.NewTimer(LastWords)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel()
		case <-bounded.Done():
		}
	})
	return bounded, func() { stop(); cancel() }
}

// next is what is to be told, or when there may be something. over says that it is the last chance.
func (n *Notifier) next(r *told, over bool) (notice Notice, at time.Time, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := n.o.Now()
	notice = Notice{Kind: KindTrouble, Installation: n.o.Config.Name, Host: n.host, At: now}
	asked := now
	if over {
		asked = now.Add(calm)
	}
	b, at := r.ledger.Next(asked, n.repeat)
	if !b.Empty() {
		if notice.Batch = b; len(b.New)+len(b.Still) == 0 {
			notice.Kind = KindClear
		}
		return notice, at, true
	}
	if !r.wantsDigest() || n.digest.IsZero() || !n.looked || over {
		return notice, at, false
	}
	if due := n.digest.Next(r.ledger.DigestAt.In(n.o.Config.Location())); !due.IsZero() {
		if now.Before(due) {
			if at.IsZero() || due.Before(at) {
				at = due
			}
			return notice, at, false
		}
		notice.Kind, notice.Status = KindDigest, n.stands
		notice.Open, _ = n.wrong()
		slices.SortStableFunc(notice.Open, func(a, b Condition) int { return rank(a.Kind) - rank(b.Kind) })
		return notice, at, true
	}
	return notice, at, false
}

func (n *Notifier) send(ctx context.Context, r *told, notice Notice) error {
	s, err := n.o.Open(r.Recipient)
	if err != nil {
		return err
	}
	return s.Send(ctx, notice.Letter(r.Language))
}

// done remembers what became of a notice.
func (n *Notifier) done(r *told, notice Notice, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err != nil {
		if r.rest == 0 {
			n.o.Say(true, cofre.Say("notify.untold", "{{.recipient}} could not be told, and is tried again: {{.why}}", "recipient", r.Key, "why", cofre.SayError(err)))
		}
		r.rest = min(max(2*r.rest, shortest), longest)
		return
	}
	if r.rest > 0 {
		n.o.Say(false, cofre.Say("notify.told_again", "{{.recipient}} can be told again", "recipient", r.Key))
	}
	r.rest = 0
	if notice.Kind == KindDigest {
		r.ledger.DigestAt = notice.At
	} else {
		r.ledger.Keep(notice.At, notice.Batch)
	}
	n.save()
	n.o.Say(false, cofre.Say("notify.told", "{{.recipient}} was told: {{.title}}", "recipient", r.Key, "title", notice.title()))
}
