package wal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/recovery"
	"github.com/trustlayer/cofre/postgres/wal/origin"
	"github.com/trustlayer/cofre/postgres/wal/sealed"
)

// Inventory is what a store holds of one cluster's WAL.
type Inventory struct {
	recovery.WAL
	Bytes        int64     // as stored
	NewestAt     time.Time // when the last file with WAL was stored, by the store's clock; what is stored about WAL is none
	Acknowledged []Acknowledgement
	Notes        []Note // what archivers have left, oldest file first
	Unread       []Unread
	Origins      *origin.Set // who is believed, before ReadChain; nil believes everything
	// TakenAway are records, as objects, that the repository does not hold any more, with what a witness says of each.
	TakenAway map[string]cofre.Message
	// Forgotten are acknowledgements that the journal knows of, and that are not there any more.
	Forgotten []Acknowledgement
	Refusals  []error // what is not believed of the segments that ReadChain has looked at
	Unproven  int     // how many segments nobody has signed who is believed, of those that ReadChain has looked at
	Unlinked  int     // how many segments say nothing of their neighbours, of those that ReadChain has looked at

	records []string                    // of whom to believe, by name
	days    map[int64]int64             // bytes that were stored on each day since 1970
	objects map[pgdata.Segment][]string // beside whole segments: partial, parts, history of backups, notes
}

// Acknowledgement records that a person knows of a gap, so that it raises no alarm any more.
type Acknowledgement struct {
	Timeline cofre.Timeline `json:"timeline"`
	From     string         `json:"from"` // first missing segment
	To       string         `json:"to"`   // last
	By       string         `json:"by"`
	At       time.Time      `json:"at"`
	Why      string         `json:"why"`
	// Code proves that somebody said it who has the password; empty of versions before.
	Code string `json:"code,omitempty"`
}

// Known acknowledges a gap by the names of its first and its last missing segment. Who, when and why are for the caller to add.
//
// Errors: one for a person, if these are not two segments of one timeline, in order.
func Known(from, to string) (Acknowledgement, error) {
	first, err := pgdata.ParseWALName(from)
	if err == nil && first.Kind == pgdata.WALSegment && pgdata.IsSegmentName(to) && from[:8] == to[:8] && from <= to {
		return Acknowledgement{Timeline: first.Timeline, From: from, To: to}, nil
	}
	return Acknowledgement{}, cofre.WithHint(cofre.Fail(cofre.Say("gap.not_two", "gap {{.from}} to {{.to}}: not two segments of one timeline, in order", "from", from, "to", to)), cofre.Say("gap.names", "cofre wal status names the gaps"))
}

// Covers reports whether the whole of a gap was acknowledged. A gap that has grown was not.
func (a Acknowledgement) Covers(g cofre.GapError) bool {
	return a.Timeline == g.Timeline && a.From <= g.From && g.To <= a.To
}

// Systems lists the clusters of which a store holds WAL.
//
// Errors: the store's.
func Systems(ctx context.Context, st cofre.Store) ([]cofre.SystemID, error) {
	var all []cofre.SystemID
	last := "\x00" // of which everything is passed over
	for o, err := range st.List(ctx, "wal/") {
		if err != nil {
			return nil, fmt.Errorf("list WAL of %s: %w", st.URL(), err)
		}
		if strings.HasPrefix(o.Name, last) {
			continue
		}
		text, _, _ := strings.Cut(strings.TrimPrefix(o.Name, "wal/"), "/")
		n, err := strconv.ParseUint(text, 10, 64)
		if err == nil && !slices.Contains(all, cofre.SystemID(n)) {
			all = append(all, cofre.SystemID(n))
			last = Prefix(cofre.SystemID(n))
		}
	}
	return all, nil
}

// ReadInventory lists what a store holds of a cluster's WAL. segmentSize is what the base backups say; 0 takes
// PostgreSQL's default of 16 MiB. unlock is called only if timelines have a history that must be read.
//
// A history that cannot be read, be it that the key is damaged, counts as none: its timeline is then one of the Orphans. A segment of which a verification has
// found that it cannot be read is a break, until it is stored afresh.
//
// Errors: the store's; those of unlock.
func ReadInventory(ctx context.Context, st cofre.Store, system cofre.SystemID, segmentSize int64, unlock func() (Identity, error)) (*Inventory, error) {
	known := segmentSize != 0
	if !known {
		segmentSize = UsualSegment
	}
	inv := newInventory(system, segmentSize)
	var histories []cofre.Timeline
	type finding struct{ object, id string }
	damaged := map[pgdata.WALName][]finding{}
	parts := map[pgdata.Segment][]part{}
	var acknowledged []said
	prefix := Prefix(system)
	for o, err := range st.List(ctx, prefix) {
		if err != nil {
			return nil, fmt.Errorf("list WAL of %s: %w", st.URL(), err)
		}
		inv.Bytes += o.Size
		inv.days[o.ModifiedAt.Unix()/secondsOfDay] += o.Size
		rest := strings.TrimPrefix(o.Name, prefix)
		if strings.HasPrefix(rest, "gaps/") {
			a, err := readAcknowledgement(ctx, st, o.Name)
			if err == nil {
				acknowledged = append(acknowledged, said{o.Name, a})
			} else if err := inv.pass(o.Name, err); err != nil {
				return nil, err
			}
			continue
		}
		if name, ok := strings.CutPrefix(rest, "origins/"); ok {
			inv.records = append(inv.records, name)
			continue
		}
		name, err := NameOf(system, o.Name)
		if err != nil {
			if err := inv.pass(o.Name, err); err != nil {
				return nil, err
			}
			continue
		}
		if name == "" {
			continue // no file of WAL, nor anything about one
		}
		stored := func() {
			if o.ModifiedAt.After(inv.NewestAt) {
				inv.NewestAt = o.ModifiedAt
			}
		}
		if segment, p, ok := parsePart(name); ok {
			stored()
			if s, err := segment.Segment(segmentSize); err == nil {
				p.object = o.Name
				parts[s] = append(parts[s], p)
				inv.objects[s] = append(inv.objects[s], o.Name)
			}
			continue
		}
		if file, kind, id, ok := parseDamage(name); ok {
			if s, err := file.Segment(segmentSize); err == nil {
				inv.objects[s] = append(inv.objects[s], o.Name)
			}
			if kind == "found" {
				damaged[file] = append(damaged[file], finding{o.Name, id})
			}
			continue
		}
		if file, ok := parseNote(name); ok {
			if s, err := file.Segment(segmentSize); err == nil {
				inv.objects[s] = append(inv.objects[s], o.Name)
			}
			n, err := readNote(ctx, st, o.Name)
			if err == nil {
				inv.Notes = append(inv.Notes, n)
			} else if err := inv.pass(o.Name, err); err != nil {
				return nil, err
			}
			continue
		}
		n, err := pgdata.ParseWALName(name)
		if err != nil {
			continue // not ours: a later version's, perhaps
		}
		if n.Kind == pgdata.WALHistory {
			histories = append(histories, n.Timeline)
			continue
		}
		s, err := n.Segment(segmentSize)
		if err != nil && known {
			_ = inv.pass(o.Name, fmt.Errorf("%s: %w: %w", o.Name, err, cofre.ErrCorrupt))
			continue
		}
		if err != nil {
			return nil, cofre.WithHint(fmt.Errorf("list WAL of %s: %w", st.URL(), err), cofre.Say("wal.segment_size", "the cluster's segments are not of {{.bytes}} bytes", "bytes", segmentSize))
		}
		if n.Kind == pgdata.WALSegment {
			stored()
			inv.Segments[s] = true
			continue
		}
		inv.objects[s] = append(inv.objects[s], o.Name)
		if n.Kind == pgdata.WALPartial {
			stored()
			// How far it is valid only its records tell: a scan of it does.
			inv.Unfinished[s] = segmentSize
		}
	}
	for s, p := range parts {
		if n := reach(p); n >= pgdata.LeastSegment && !inv.Segments[s] {
			inv.Unfinished[s] = max(n, inv.Unfinished[s])
		}
	}
	for s := range inv.Segments {
		delete(inv.Unfinished, s)
	}
	for file, all := range damaged {
		s, err := file.Segment(segmentSize)
		if err != nil || !inv.Segments[s] {
			continue // a history is read below
		}
		for _, d := range all {
			what, err := stillDamaged(ctx, st, system, file, d.id, d.object)
			if err != nil {
				return nil, err
			}
			if what != "" {
				inv.Damaged(s, what)
			}
		}
	}
	if len(acknowledged) > 0 {
		if err := inv.hearAcknowledged(ctx, unlock, acknowledged); err != nil && !errors.Is(err, cofre.ErrCorrupt) {
			return nil, fmt.Errorf("read acknowledgements: %w", err)
		}
	}
	if len(histories) > 0 {
		id, err := unlock()
		if err != nil && !errors.Is(err, cofre.ErrCorrupt) {
			return nil, fmt.Errorf("read timeline histories: %w", err)
		}
		if err != nil {
			histories = nil // with the key all of them are damaged
		}
		for _, tli := range histories {
			b, err := Open(ctx, st, id, ObjectName(system, pgdata.HistoryOf(tli)), 1<<20)
			var h pgdata.History
			if err == nil {
				h, err = pgdata.ParseHistory(tli, b)
			}
			if err == nil {
				inv.Histories[tli] = h
			} else if err := inv.pass(ObjectName(system, pgdata.HistoryOf(tli)), err); err != nil {
				return nil, err // one that cannot be read is as good as none; a copy may have it
			}
		}
	}
	return inv, inv.believe(ctx, st)
}

func newInventory(system cofre.SystemID, segmentSize int64) *Inventory {
	return &Inventory{
		WAL: recovery.WAL{
			SystemID: system, SegmentSize: segmentSize,
			Segments: map[pgdata.Segment]bool{}, Unfinished: map[pgdata.Segment]int64{}, Histories: map[cofre.Timeline]pgdata.History{},
			Breaks: map[pgdata.Segment]recovery.Break{},
		},
		objects: map[pgdata.Segment][]string{}, days: map[int64]int64{},
	}
}

const secondsOfDay = 24 * 60 * 60

// StoredSince is how many bytes were stored since a moment, in whole days of UTC.
func (inv *Inventory) StoredSince(t time.Time) (n int64) {
	for day, bytes := range inv.days {
		if day >= t.Unix()/secondsOfDay {
			n += bytes
		}
	}
	return n
}

// believe takes what notes say for the breaks that they tell of, and drops those of a file that did not come to be stored:
// another is.
func (inv *Inventory) believe(ctx context.Context, st cofre.Store) error {
	var kept []Note
	for _, n := range inv.Notes {
		s, err := pgdata.ParseSegment(n.Name, inv.SegmentSize)
		if err != nil {
			kept = append(kept, n)
			continue
		}
		if n.Kind == NoteRefused {
			kept = append(kept, n)
			if err := inv.displaced(ctx, st, s, n); err != nil {
				return err
			}
			continue
		}
		h, err := readHeader(ctx, st, ObjectName(inv.SystemID, s.File(inv.SegmentSize)))
		if errors.Is(err, cofre.ErrNotFound) || err == nil && h.Digest.String() != n.Digest {
			continue
		}
		if err != nil && !errors.Is(err, cofre.ErrCorrupt) {
			return err
		}
		kept = append(kept, n)
		inv.breakAt(s, n.LSN, n.What)
	}
	inv.Notes = kept
	return nil
}

// displaced finds a break at a segment that was refused to the very server that had archived the one before it: what is
// there came from another. If the server had archived this one too, it met its own past, and if it had
// archived neither, nothing is wrong with what is there.
func (inv *Inventory) displaced(ctx context.Context, st cofre.Store, s pgdata.Segment, n Note) error {
	before, ok := inv.before(s)
	if !ok || !inv.Segments[s] || !inv.Segments[before] || inv.acknowledged(s) {
		return nil
	}
	var by [2]string
	for i, seg := range []pgdata.Segment{before, s} {
		h, err := readHeader(ctx, st, ObjectName(inv.SystemID, seg.File(inv.SegmentSize)))
		if errors.Is(err, cofre.ErrNotFound) || errors.Is(err, cofre.ErrCorrupt) || err == nil && h.Link == nil {
			return nil
		}
		if err != nil {
			return err
		}
		by[i] = h.Link.By
	}
	if who := sealed.WriterOf(n.Host, n.Dir); who != "" && by[0] == who && by[1] != "" && by[1] != who {
		inv.breakAt(s, s.Start(inv.SegmentSize), fmt.Sprintf("it is of another server than the segment before: %s", n.Offered()))
	}
	return nil
}

// acknowledged reports whether a person knows of what is wrong with a segment.
func (inv *Inventory) acknowledged(s pgdata.Segment) bool {
	name := s.Name(inv.SegmentSize)
	return slices.ContainsFunc(inv.Acknowledged, func(a Acknowledgement) bool {
		return a.Covers(cofre.GapError{Timeline: s.Timeline, From: name, To: name})
	})
}

// Hear adds to Breaks what base backups have found: the archive holds a segment of another server under a name that the
// server of the backup had written. A person who knows of it has decided for what is there.
func (inv *Inventory) Hear(backups []recovery.BaseBackup) {
	for _, b := range backups {
		if b.SystemID != inv.SystemID || b.ForeignWAL == "" {
			continue
		}
		s, err := pgdata.ParseSegment(b.ForeignWAL, inv.SegmentSize)
		if err == nil && inv.Segments[s] && !inv.acknowledged(s) {
			inv.breakAt(s, s.Start(inv.SegmentSize), fmt.Sprintf("it is of another server than base backup %s was taken of", b.Point))
		}
	}
}

// breakAt adds a break, unless an earlier one of the segment is known.
func (inv *Inventory) breakAt(s pgdata.Segment, at cofre.LSN, why string) {
	if b, ok := inv.Breaks[s]; !ok || at < b.At {
		inv.Breaks[s] = recovery.Break{At: at, Why: why}
	}
}

// ReadChain reads what every segment says of its neighbours, without the key, and adds to Breaks if two do not belong
// to one history, if records end within one, or if one cannot be read for what its beginning is. It reads the beginning of
// each object, a few hundred bytes. Segments of
// before say nothing; they are counted in Unlinked.
//
// Errors: the store's.
func (inv *Inventory) ReadChain(ctx context.Context, st cofre.Store) error {
	headers, err := inv.readHeaders(ctx, st)
	if err != nil {
		return err
	}
	inv.Unlinked, inv.Unproven = 0, 0
	if inv.Origins != nil {
		lost, err := inv.Origins.Lost(ctx, st)
		if err != nil {
			return err
		}
		inv.Origins.Gone = slices.Compact(slices.Sorted(slices.Values(append(inv.Origins.Gone, lost...))))
	}
	if err := inv.judgeBeginnings(ctx, st); err != nil {
		return err
	}
	for s, h := range headers {
		if proven, err := inv.proven(ctx, s, h); err != nil {
			return err
		} else if !proven {
			continue
		}
		if h.Digest == (sealed.Digest{}) {
			continue // cofre did not write it: a reading of the content tells
		}
		if h.Link == nil {
			inv.Unlinked++
			continue
		}
		if at := h.Link.Chain.Break; at != 0 {
			inv.breakAt(s, at, "its records end before it does")
		}
		before, ok := inv.before(s)
		b, there := headers[before]
		if !ok || !there || b.Digest == (sealed.Digest{}) {
			continue
		}
		why := ""
		switch {
		case h.Link.Before != sealed.Digest{} && h.Link.Before != b.Digest:
			why = "the segment before it is another than the server had that wrote this one"
		case b.Link != nil:
			why = b.Link.Chain.Follows(h.Link.Chain)
		}
		if why != "" {
			inv.breakAt(s, s.Start(inv.SegmentSize), unrelated(before.File(inv.SegmentSize), why))
		}
	}
	return nil
}

// before is the segment before s, on the way to the timeline of s.
func (inv *Inventory) before(s pgdata.Segment) (pgdata.Segment, bool) {
	if s.Number == 0 {
		return s, false
	}
	b := pgdata.Segment{Timeline: s.Timeline, Number: s.Number - 1}
	if h, ok := inv.Histories[s.Timeline]; ok {
		b.Timeline = timelineBefore(h, s, inv.SegmentSize)
	}
	return b, true
}

// headersAtOnce is how many objects are asked for their beginning at a time: it is the time of an answer that counts.
const headersAtOnce = 16

func (inv *Inventory) readHeaders(ctx context.Context, st cofre.Store) (map[pgdata.Segment]sealed.Header, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	all := make(map[pgdata.Segment]sealed.Header, len(inv.Segments))
	var mu sync.Mutex
	var wg sync.WaitGroup
	slots := make(chan struct{}, headersAtOnce)
	for s := range inv.Segments {
		object := ObjectName(inv.SystemID, s.File(inv.SegmentSize))
		slots <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		wg.Go(func() {
			defer func() { <-slots }()
			h, err := readHeader(ctx, st, object)
			switch {
			case err == nil, errors.Is(err, sealed.ErrNoDigest):
				mu.Lock()
				defer mu.Unlock()
				all[s] = h
			case Damaging(err):
				mu.Lock()
				defer mu.Unlock()
				inv.Damaged(s, cofre.OneLine(err))
			case !errors.Is(err, cofre.ErrNotFound):
				stop(err)
			}
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, fmt.Errorf("read the chain of segments in %s: %w", st.URL(), err)
	}
	return all, nil
}

func gapName(system cofre.SystemID, from, to string) string {
	return fmt.Sprintf("%sgaps/%s-%s", Prefix(system), from, to)
}

// GapState says what became of a gap.
type GapState string

// The states of a gap. One that is superseded has a base backup after it, so that the present can be recovered;
// moments within it and before that base backup still cannot.
const (
	GapOpen         GapState = "open"
	GapAcknowledged GapState = "acknowledged"
	GapSuperseded   GapState = "superseded"
)

// StatusGap is missing WAL that follows a base backup.
type StatusGap struct {
	cofre.GapError
	State GapState         `json:"state"`
	Known *Acknowledgement `json:"acknowledgement,omitempty"`
	// Alarm is set on a gap that is open: nobody acknowledged it, and the present cannot be recovered because of it.
	Alarm bool `json:"alarm"`
}

// Status is what can be recovered, and what not.
type Status struct {
	System   cofre.SystemID    `json:"system_identifier"`
	Windows  []recovery.Window `json:"windows"`
	Gaps     []StatusGap       `json:"gaps"`
	Unusable []cofre.PointID   `json:"unusable_base_backups,omitempty"`
	// Orphans are timelines that nothing is recovered along, because their history is not archived.
	Orphans []cofre.Timeline `json:"timelines_without_history,omitempty"`
	// Alone are base backups that no archived WAL continues, and that carry the WAL to their own end.
	Alone   []cofre.PointID `json:"self_contained_base_backups,omitempty"`
	Refused []Note          `json:"refused,omitempty"`    // files that were offered, and are not in the archive
	Unread  []Unread        `json:"unreadable,omitempty"` // objects beside the segments that say nothing any more
	// Forgotten are acknowledgements that the journal knows of, and that are not there any more.
	Forgotten []Acknowledgement `json:"acknowledgements_gone,omitempty"`
	Origin    Origin            `json:"origin"`
	Unlinked  int               `json:"unlinked_segments,omitempty"` // segments of before, which say nothing of their neighbours
	Segments  int               `json:"segments"`
	Bytes     int64             `json:"stored_bytes"`
	NewestAt  time.Time         `json:"newest_at"`
	// Repositories is what each of them holds, the first of them this one; empty if there are no copies.
	Repositories []Holding `json:"repositories,omitempty"`
}

// StatusOf says what can be recovered, from the base backups and the list of what is archived alone.
func StatusOf(inv *Inventory, backups []recovery.BaseBackup) Status {
	r := recovery.Windows(backups, &inv.WAL)
	s := Status{
		System: inv.SystemID, Windows: r.Windows,
		Segments: len(inv.Segments), Bytes: inv.Bytes, NewestAt: inv.NewestAt, Unlinked: inv.Unlinked, Unread: inv.Unread, Forgotten: inv.Forgotten, Origin: inv.origin(), Orphans: inv.unheard(),
	}
	for _, b := range backups {
		switch {
		case !slices.Contains(r.Unusable, b.Point):
		case b.OwnWAL:
			s.Alone = append(s.Alone, b.Point)
		default:
			s.Unusable = append(s.Unusable, b.Point)
		}
	}
	for _, n := range inv.Notes {
		if n.Kind == NoteRefused {
			s.Refused = append(s.Refused, n)
		}
	}
	for _, e := range r.Gaps {
		g := StatusGap{GapError: e, State: GapOpen}
		for i, a := range inv.Acknowledged {
			if a.Covers(e) {
				g.State, g.Known = GapAcknowledged, &inv.Acknowledged[i]
			}
		}
		end, err := pgdata.ParseSegment(e.To, inv.SegmentSize)
		if err != nil {
			continue // the name is one that we made
		}
		var after time.Time
		from := end.End(inv.SegmentSize)
		if e.Breaks() {
			from = e.BreaksAt // what is behind a break is whole again
		}
		for _, b := range backups {
			if b.SystemID == inv.SystemID && !b.OwnWALOnly && b.Start >= from && (after.IsZero() || b.StoppedAt.Before(after)) {
				after = b.StoppedAt
			}
		}
		if g.State == GapOpen && !after.IsZero() {
			g.State = GapSuperseded
		}
		g.Alarm = g.State == GapOpen
		s.Gaps = append(s.Gaps, g)
	}
	return s
}

// Expired is what Expire let go.
type Expired struct {
	Segments int
	Objects  int
	// First and Last are the names of the first and the last segment; empty if only parts went.
	First, Last string
}

// Expire removes the WAL that no kept base backup and no moment since the beginning of the promised window
// needs, as recovery.Expired decides, and the parts of segments that are whole by now. With remove false it counts.
//
// Segments go oldest first: a crash leaves WAL without a hole. Histories stay: they are small, and without them
// nobody can tell where a timeline came from.
//
// Errors: the store's.
func Expire(ctx context.Context, st cofre.Store, inv *Inventory, kept []recovery.BaseBackup, since time.Time, remove bool) (Expired, error) {
	var out Expired
	drop := func(object string) error {
		if remove {
			if err := st.Delete(ctx, object); err != nil {
				return err
			}
		}
		out.Objects++
		return nil
	}
	gone := map[pgdata.Segment]bool{}
	for _, s := range recovery.Expired(kept, &inv.WAL, since) {
		gone[s] = true
		objects := inv.objects[s]
		if inv.Segments[s] {
			objects = append([]string{ObjectName(inv.SystemID, s.File(inv.SegmentSize))}, objects...)
		}
		for _, object := range objects {
			if err := drop(object); err != nil {
				return out, fmt.Errorf("expire segment %s: %w", s.Name(inv.SegmentSize), err)
			}
		}
		out.Segments++
		out.Last = s.Name(inv.SegmentSize)
		out.First = cmp.Or(out.First, out.Last)
	}
	var whole []pgdata.Segment
	for s := range inv.Segments {
		if !gone[s] {
			whole = append(whole, s)
		}
	}
	slices.SortFunc(whole, func(a, b pgdata.Segment) int {
		return cmp.Or(cmp.Compare(a.Timeline, b.Timeline), cmp.Compare(a.Number, b.Number))
	})
	for _, s := range whole {
		for _, object := range inv.objects[s] {
			if strings.Contains(object, partsDir) {
				if err := drop(object); err != nil {
					return out, fmt.Errorf("expire parts of %s: %w", s.Name(inv.SegmentSize), err)
				}
			}
		}
	}
	return out, nil
}

// Damaging reports whether an error of reading says that what is stored is not what was stored. That a copy could not be asked, which
// may have it whole, is then in the error too.
func Damaging(err error) bool {
	return errors.Is(err, cofre.ErrCorrupt) || errors.Is(err, cofre.ErrWrongKey) || errors.Is(err, cofre.ErrRefused)
}
