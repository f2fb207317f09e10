package journaling

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/journal"
)

// Reading says what the journal is held against. The zero value holds it against what this machine has seen of it.
type Reading struct {
	Since []journal.Checkpoint // that somebody kept
	Full  bool                 // reads every object, also what is in a bundle
	// Sealed also reads the encrypted objects, as journal.VerifyOptions has it.
	Sealed bool
	// Visit is given every entry, in order.
	Visit func(journal.Numbered)
}

// Collect has what is read collected: the entries that are newer than the first checkpoint of Since, and than a moment.
func (o *Reading) Collect(after time.Time) *[]journal.Numbered {
	entries := &[]journal.Numbered{}
	o.Visit = func(e journal.Numbered) {
		if (len(o.Since) == 0 || e.Number >= o.Since[0].Size) && e.Body.At.After(after) {
			*entries = append(*entries, e)
		}
	}
	return entries
}

// Verified is what was found, by which key.
type Verified struct {
	*journal.Verified
	Key string `json:"key"`
	// Known is whether somebody vouches for the key: the person who gave it, or this machine, which has seen it before.
	Known bool `json:"key_known"`
	// AsSeen is whether it goes on from what this machine has seen of it.
	AsSeen bool `json:"as_seen"`
	// UnknownBefore is since when this machine knows the journal, if it has not seen it begin, and nobody has brought a line of before; otherwise zero.
	UnknownBefore time.Time `json:"past_unknown_before,omitzero"`
	// Acknowledged is what was found and a person knows already. It is in no error.
	Acknowledged []cofre.Finding `json:"acknowledged,omitempty"`
}

// Known is what is known of the journal of a repository before it is read. To read it, neither password nor indexes are needed.
type Known struct {
	store  cofre.Store
	file   string
	memory journal.Memory
	given  bool   // the key
	beside string // the key that lies beside it
	key    string // the one that must have signed it
	known  bool
}

// Know says what is known of the journal in a store: by this machine, whose state directory is given, and by who gives the key, which
// is empty if nobody does.
//
// Errors: cofre.ErrNotFound if there is no journal and none was known; those of the store.
func Know(ctx context.Context, st cofre.Store, stateDir, key string) (*Known, error) {
	k := &Known{store: st, file: journal.MemoryFile(stateDir, st.URL()), given: key != ""}
	var err error
	if k.memory, err = journal.Recall(k.file); err != nil {
		return nil, err
	}
	k.beside, err = journal.PublicKey(ctx, st)
	if err != nil && !errors.Is(err, cofre.ErrNotFound) {
		return nil, err
	}
	k.key, k.known = cmp.Or(key, k.memory.Key, k.beside), k.given || k.memory.Key != ""
	if k.key == "" {
		return nil, cofre.WithHint(cofre.Fail(cofre.Say("journal.none", "there is no journal in {{.url}}", "url", st.URL()), cofre.ErrNotFound), cofre.Say("journal.begin", "the next backup begins one: cofre backup"))
	}
	return k, nil
}

// Verify reads the journal, and compares it with what is kept of it. Nothing is changed, except that this machine remembers the newest
// checkpoint if nothing was found.
//
// Errors: cofre.ErrFindings with the result, if something is wrong; cofre.ErrConfig if the key is none; those of the store.
func (k *Known) Verify(ctx context.Context, o Reading) (*Verified, error) {
	log, err := journal.OpenPublic(k.store, k.key)
	if err != nil {
		return nil, err
	}
	lines := o.Since
	if seen := k.memory.Seen(); seen.Size > 0 {
		o.Since = append(slices.Clone(lines), seen)
	}
	var known acknowledged
	v, err := log.Verify(ctx, journal.VerifyOptions{Since: o.Since, Full: o.Full, Sealed: o.Sealed, Visit: known.visiting(o.Visit)})
	if err != nil {
		return nil, err
	}
	seen := k.memory.Seen()
	res := &Verified{Verified: v, Key: k.key, Known: k.known, AsSeen: k.beside == k.key && (seen.Size == 0 || !slices.ContainsFunc(v.Findings, func(f cofre.Finding) bool { return f.Object == seen.String() }))}
	k.memory.Begin() // also for a journal without an entry, which another may have had in its place
	res.UnknownBefore = k.memory.UnknownBefore()
	res.Acknowledged, v.Findings = known.divide(v.Findings)
	if k.beside != k.key {
		v.Findings = append(v.Findings, cofre.Finding{Check: journal.Check, Object: journal.PublicObject}.Saying(journal.KeyChanged(k.key, cmp.Or(k.beside, "-"))))
	}
	if n := len(v.Findings); n > 0 {
		err := fmt.Errorf("%w: %w", cofre.ErrFindings, cofre.Fail(cofre.SayN("verify.findings", n, "1 finding", "{{.n}} findings")))
		for _, way := range []cofre.Message{res.WayOn(), k.compare(res, lines)} {
			if !way.IsZero() {
				return res, cofre.WithHint(err, way)
			}
		}
		return res, journal.Forget(err, k.file)
	}
	if v.Newest.Size == 0 || k.given && k.memory.Key != "" && k.memory.Key != k.key {
		return res, nil
	}
	k.memory.Vouch(lines...)
	k.memory.Repository, k.memory.Key, k.memory.Checkpoint = k.store.URL(), k.key, v.Newest.String()
	res.UnknownBefore = k.memory.UnknownBefore()
	return res, k.memory.Keep(k.file)
}

// compare is what to do if what a person gave does not fit the journal, and what this machine has seen of it does: a line, or a key, that was mistyped is no reason to
// give up what this machine remembers. Otherwise it is the zero message.
func (k *Known) compare(res *Verified, lines []journal.Checkpoint) cofre.Message {
	if k.given && k.beside != k.key {
		return cofre.Say("journal.compare_key", "compare each letter of the key with the recovery kit that somebody kept; if it is the same, somebody has made the journal anew: leave the repository and {{.file}} as they are, and bring journal/ and cofre/keys/ back from a copy or older versions in the bucket", "file", k.file)
	}
	for _, line := range lines {
		if res.AsSeen && slices.ContainsFunc(res.Findings, func(f cofre.Finding) bool { return f.Object == line.String() }) {
			return cofre.Say("journal.compare_line", "compare each letter of the line with what was printed; if it is the same, somebody has rewritten the journal before this machine saw it: leave the repository and {{.file}} as they are, and bring journal/ and cofre/keys/ back from a copy or older versions in the bucket", "file", k.file)
		}
	}
	return cofre.Message{}
}

// Size is how many entries there are.
//
// Errors: those of the store.
func (k *Known) Size(ctx context.Context) (int64, error) {
	log, err := journal.OpenPublic(k.store, k.key)
	if err != nil {
		return 0, err
	}
	return log.Size(ctx, k.memory.Seen().Size)
}

// Newest returns the key and the newest checkpoint, as the recovery kit has them.
//
// Errors: cofre.ErrCorrupt if the key is not the one that this machine knows; those of the store.
func (k *Known) Newest(ctx context.Context) (key, checkpoint string, err error) {
	if k.beside != "" && k.beside != k.key {
		return "", "", k.otherKey()
	}
	log, err := journal.OpenPublic(k.store, k.key)
	if err != nil {
		return "", "", err
	}
	c, err := log.Newest(ctx, k.memory.Seen().Size)
	return k.key, c.String(), err
}

func (k *Known) otherKey() error {
	return journal.Forget(cofre.Fail(journal.KeyChanged(k.key, cmp.Or(k.beside, "-")), cofre.ErrCorrupt), k.file)
}

// Entry is an entry with what is encrypted of it.
type Entry struct {
	journal.Numbered
	Unsealed json.RawMessage `json:"unsealed,omitempty"`
}

// Entry reads one entry by its number, with what is encrypted of it, for which open opens the repository. The journal is verified first.
//
// Errors: cofre.ErrNotFound if there is no such entry; those of Verify, of open and of Unseal, with the entry as far as it could be read.
func (k *Known) Entry(ctx context.Context, number int64, open func() (any, error)) (*Entry, error) {
	var entry *Entry
	_, err := k.Verify(ctx, Reading{Visit: func(e journal.Numbered) {
		if e.Number == number {
			entry = &Entry{Numbered: e}
		}
	}})
	if entry == nil {
		return nil, cmp.Or(err, cofre.Fail(cofre.Say("journal.no_entry", "entry {{.n}} of the journal", "n", number), cofre.ErrNotFound))
	}
	if entry.Body.Sealed == "" {
		return entry, err
	}
	repo, unread := open()
	if unread == nil {
		entry.Unsealed, unread = Unseal(ctx, repo, entry.Body.Sealed)
	}
	return entry, cmp.Or(err, unread)
}

// Unseal reads what a sealed object says, with the repository that has its key.
//
// Errors: cofre.ErrNotFound; cofre.ErrCorrupt; those of the store.
func Unseal(ctx context.Context, repo any, sealed string) (json.RawMessage, error) {
	v, ok := repo.(Vault)
	if !ok || sealed == "" {
		return nil, cofre.ErrNotFound
	}
	var said json.RawMessage
	err := journal.Open(v.Floor(), nil, nil).Unseal(ctx, v, sealed, &said)
	return said, err
}

// Reason reads why something was done.
//
// Errors: as of Unseal.
func Reason(ctx context.Context, repo any, sealed string) (string, error) {
	text, err := Unseal(ctx, repo, sealed)
	if err != nil {
		return "", err
	}
	var said struct {
		Reason string `json:"reason"`
	}
	err = json.Unmarshal(text, &said)
	return cmp.Or(said.Reason, "?"), err
}
