package origin

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/bounded"
)

// Request is a host's wish that its key be believed. Anybody who may write to the repository can make one: what a person compares is the
// fingerprint, with the one that the host says.
type Request struct {
	Key  string    `json:"key"`
	Host string    `json:"host"`
	At   time.Time `json:"at"`

	public Public
}

// Public is the key.
func (r Request) Public() Public { return r.public }

// record is what whoever has the password says of a key, or of all.
type record struct {
	System cofre.SystemID `json:"system"`
	Name   string         `json:"name"` // of the object, without the prefix
	Key    string         `json:"key,omitempty"`
	Host   string         `json:"host,omitempty"`
	By     string         `json:"by"`
	At     time.Time      `json:"at"`
	// Before is, by timeline, the last segment that is older than the record: of required, not signed; of a revocation, signed in time.
	Before map[string]string `json:"before,omitempty"`
	// Files are other files that are older than it: histories, and the beginnings of segments behind Before.
	Files []string `json:"files,omitempty"`
	// Lists are, of a revocation, the hashes of the lists of what counts, by the first file of each; nil in a record of before, by which names alone count.
	Lists map[string]string `json:"lists,omitempty"`
	Code  string            `json:"code"` // HMAC-SHA-256 of the record without it, under a key that only the identity makes
}

// covers reports whether a file is older than the record.
func (r *record) covers(file string) bool {
	if len(file) >= 24 && file[:24] <= r.Before[file[:8]] {
		return true
	}
	return slices.Contains(r.Files, file)
}

// FileOf is the name under which a record has an object: SEGMENT, SEGMENT.parts/PART, or that of another file.
func FileOf(object string) string {
	dir, file := path.Split(object)
	if strings.HasSuffix(dir, ".parts/") {
		return path.Base(dir) + "/" + file
	}
	return file
}

func (r record) code(secret string) string {
	r.Code = ""
	b, err := json.Marshal(r)
	if err != nil {
		panic("origin: internal error: " + err.Error()) // it holds what JSON has
	}
	return Code(secret, "records", string(b))
}

// Code authenticates a text for a purpose, as whoever has the password does.
func Code(secret, purpose, text string) string {
	h := hmac.New(sha256.New, derive(secret, purpose))
	h.Write([]byte(text))
	return base64.RawStdEncoding.EncodeToString(h.Sum(nil))
}

// Same compares two codes.
func Same(a, b string) bool { return hmac.Equal([]byte(a), []byte(b)) }

// State is what became of a key.
type State string

// The states of a key.
const (
	Waiting  State = "waiting"
	Admitted State = "admitted"
	Revoked  State = "revoked"
)

// Known is a key that a repository knows of.
type Known struct {
	Fingerprint string    `json:"fingerprint"`
	ID          string    `json:"id"`
	Host        string    `json:"host"`
	FirstAt     time.Time `json:"first_seen"`
	State       State     `json:"state"`

	public  Public
	revoked *record
}

// Public is the key.
func (k Known) Public() Public { return k.public }

// Set is who is believed of one system's WAL in one repository.
type Set struct {
	System   cofre.SystemID
	Keys     []Known // by the time of their request
	Required bool    // nothing else is believed
	// Unread are records that nobody who has the password made, or that cannot be read.
	Unread map[string]error
	// Gone are records that this host has seen, and that the repository does not hold any more.
	Gone []string
	// Seen is what a host is to remember.
	Seen Records

	// Lists reads what counted when a key was revoked; whoever believes somebody sets it. Without it nothing of such a key counts.
	Lists Lists

	required *record
	own      ed25519.PublicKey
	mu       sync.Mutex
	read     map[string]map[string]string // lists, by their hash
}

// Folder is where the records of a system lie.
func Folder(system cofre.SystemID) string { return "wal/" + system.String() + "/origins/" }

// RequiredName is the name of the record that nothing is believed but what is signed; RequiredObject is the object.
const RequiredName = "required"

const requestSuffix = ".request"

// Records are what a repository holds of one system's keys, by the name of the object without its folder.
type Records map[string][]byte

// ReadRecords reads them.
//
// Errors: the store's.
func ReadRecords(ctx context.Context, st cofre.Store, system cofre.SystemID) (Records, error) {
	all := Records{}
	for o, err := range st.List(ctx, Folder(system)) {
		if err != nil {
			return nil, fmt.Errorf("list the keys of WAL's origin of %s: %w", st.URL(), err)
		}
		b, err := bounded.Read(ctx, st, o.Name, recordSize)
		if err != nil && !errors.Is(err, cofre.ErrCorrupt) {
			return nil, err
		}
		all[strings.TrimPrefix(o.Name, Folder(system))] = b
	}
	return all, nil
}

// RequiredObject is the record that nothing is believed but what is signed.
func RequiredObject(system cofre.SystemID) string { return Folder(system) + RequiredName }

// RevokedObject is the record that a key is not believed any more, by its ID.
func RevokedObject(system cofre.SystemID, id string) string { return Folder(system) + id + ".revoked" }

// PutBack is what to do about a record that was there and is not any more, or about a list.
func PutBack(object string) cofre.Message {
	switch {
	case strings.HasSuffix(object, ".revoked"):
		return cofre.Say("origin.revocation_taken", "somebody who can write to the repository took it away: cofre wal admit --revoke with the fingerprint of the key stores it again as it was, on a host that has seen it or if the journal has it; cofre wal admit lists the keys. Where nobody has it, put it back from a copy of the repository: what is there now, also what was put there since, would count then")
	case strings.Contains(object, "/counted/"):
		return cofre.Say("origin.list_taken", "somebody who can write to the repository took it away, and this host has kept it: cofre wal admit --revoke with the fingerprint of the revoked key stores it again; cofre wal admit lists the keys")
	}
	return cofre.Say("origin.taken_away", "somebody who can write to the repository took it away: put it back from a copy of the repository, or store it again, as this host knows it, with: cofre wal admit, its key, or --require")
}

// NewSet says who is believed, by what a repository says now and what this host has seen of it before. secret is what only the password opens.
// What was said once and is not said any more is believed as before, and is in Gone.
func NewSet(system cofre.SystemID, secret string, now, seen Records) *Set {
	s := &Set{System: system, Unread: map[string]error{}, Seen: Records{}, own: Own(secret).Public().key, read: map[string]map[string]string{}}
	keys := map[string]*Known{}
	for name, b := range now {
		if err := s.take(keys, name, b, secret); err != nil {
			s.Unread[Folder(system)+name] = fmt.Errorf("read %s: %w", Folder(system)+name, err)
		}
	}
	for name, b := range seen {
		if there := s.Seen[name]; there != nil && !s.saidMore(name, there, b, secret) || strings.HasSuffix(name, requestSuffix) {
			continue
		}
		if s.take(keys, name, b, secret) == nil {
			s.Gone = append(s.Gone, Folder(system)+name)
		}
	}
	for _, k := range keys {
		s.Keys = append(s.Keys, *k)
	}
	slices.SortFunc(s.Keys, func(a, b Known) int { return a.FirstAt.Compare(b.FirstAt) })
	slices.Sort(s.Gone)
	return s
}

// saidMore reports whether this host has seen a revocation with lists where one of before, without them, is now: both were said by somebody who has the password,
// and whoever may write to the repository could have put the first back.
func (s *Set) saidMore(name string, now, seen []byte, secret string) bool {
	n, err := parse(now, s.System, name, secret, true)
	b, seenErr := parse(seen, s.System, name, secret, true)
	return err == nil && seenErr == nil && n.Lists == nil && b.Lists != nil
}

// take takes one record.
//
// Errors: cofre.ErrCorrupt; cofre.ErrRefused if nobody made it who has the password.
func (s *Set) take(keys map[string]*Known, name string, b []byte, secret string) error {
	id, kind, _ := strings.Cut(name, ".")
	r, err := parse(b, s.System, name, secret, "."+kind != requestSuffix)
	if err != nil {
		return err
	}
	if name == RequiredName {
		s.Required, s.required, s.Seen[name] = true, &r, b
		return nil
	}
	p, err := ParsePublic(r.Key)
	if err == nil && p.ID() != id {
		err = fmt.Errorf("it is of another key: %w", cofre.ErrCorrupt)
	}
	if err != nil {
		return err
	}
	s.Seen[name] = b
	k := keys[id]
	if k == nil {
		k = &Known{Fingerprint: p.Fingerprint(), ID: id, State: Waiting, public: p, FirstAt: r.At}
		keys[id] = k
	}
	if r.At.Before(k.FirstAt) {
		k.FirstAt = r.At
	}
	if k.Host == "" {
		k.Host = r.Host
	}
	switch kind {
	case "admitted":
		if k.State == Waiting {
			k.State = Admitted
		}
	case "revoked":
		k.State, k.revoked = Revoked, &r
	}
	return nil
}

func parse(b []byte, system cofre.SystemID, name, secret string, authentic bool) (r record, err error) {
	if json.Unmarshal(b, &r) != nil {
		return r, fmt.Errorf("not a record: %w", cofre.ErrCorrupt)
	}
	if authentic && (r.System != system || r.Name != name || !Same(r.Code, r.code(secret))) {
		return r, fmt.Errorf("nobody who has the password made it: %w", cofre.ErrRefused)
	}
	return r, nil
}

// Error says that nobody who is believed has signed an object.
type Error struct {
	Object string
	Why    cofre.Message
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %s", e.Object, e.Why.Text) }

// Message is the error for a person.
func (e *Error) Message() cofre.Message {
	return cofre.Say("origin.refused", "{{.object}}: {{.why}}", "object", e.Object, "why", e.Why)
}

// Unwrap is cofre.ErrRefused.
func (e *Error) Unwrap() error { return cofre.ErrRefused }

// IsRefusal reports whether an error is an Error.
func IsRefusal(err error) bool {
	_, ok := errors.AsType[*Error](err)
	return ok
}

// Judge says whether an object is believed, by what its header states and the arguments of its line StanzaType; known is false if it is believed
// although nothing proves where it comes from: it was stored before that was required.
//
// Errors: *Error, with what to do; those of Lists if it cannot be asked.
func (s *Set) Judge(ctx context.Context, object, statement string, args []string) (known bool, err error) {
	file := FileOf(object)
	why := cofre.Say("origin.unsigned", "no host that archives has signed it")
	if len(args) == 2 {
		switch k, ok := s.key(args[0]); {
		case !ok:
			why = cofre.Say("origin.unknown_key", "key {{.id}} has signed it, which the repository knows nothing of", "id", args[0])
		case !verified(k.public, object, statement, args[1]):
			why = cofre.Say("origin.forged", "the signature of key {{.id}} is not of it", "id", args[0])
			return false, cofre.WithHint(error(&Error{object, why}), wayOn(why))
		case k.State == Admitted:
			return true, nil
		case k.State == Revoked:
			return s.judgeRevoked(ctx, k, object, statement)
		default:
			why = cofre.Say("origin.waiting", "key {{.fingerprint}} of {{.host}} has signed it, which nobody has admitted", "fingerprint", k.Fingerprint, "host", k.Host)
		}
	}
	if !s.Required || s.required.covers(file) {
		return false, nil
	}
	return false, cofre.WithHint(error(&Error{object, why}), wayOn(why))
}

// judgeRevoked is Judge for what a revoked key has signed.
func (s *Set) judgeRevoked(ctx context.Context, k Known, object, statement string) (known bool, err error) {
	counts, isAnother, err := s.counts(ctx, k.revoked, object, statement)
	why := cofre.Say("origin.revoked", "key {{.fingerprint}} of {{.host}} has signed it, which was revoked before", "fingerprint", k.Fingerprint, "host", k.Host)
	switch {
	case errors.Is(err, cofre.ErrNotFound), errors.Is(err, cofre.ErrCorrupt):
		why = cofre.Say("origin.no_list", "key {{.fingerprint}} of {{.host}} has signed it, which was revoked, and the list of what counted then cannot be read: {{.cause}}", "fingerprint", k.Fingerprint, "host", k.Host, "cause", err)
	case err != nil:
		return false, fmt.Errorf("what counted when key %s was revoked: %w", k.Fingerprint, err)
	case counts:
		return true, nil
	case isAnother:
		why = cofre.Say("origin.replaced", "it was replaced: key {{.fingerprint}} of {{.host}} has signed it, which was revoked, and what counted then was another", "fingerprint", k.Fingerprint, "host", k.Host)
	}
	return false, cofre.WithHint(error(&Error{object, why}), wayOn(why))
}

// wayOn is what to do about what nobody has signed who is believed: a host may wait for it.
func wayOn(why cofre.Message) cofre.Message {
	switch why.Code {
	case "origin.replaced":
		return cofre.Say("origin.replaced_way_on", "whoever has that key and may write to the repository has replaced it: change the credentials of the storage, and bring the file back from a copy of the repository; recovery ends before it")
	case "origin.forged":
		return cofre.Say("origin.forged_way_on", "another file lies there, or what was signed was changed: bring the file back from a copy of the repository; recovery ends before it")
	case "origin.no_list":
		return cofre.Say("origin.no_list_way_on", "bring the folder counted of this system's WAL back from a copy of the repository: without the list nobody can tell what that key has signed since")
	}
	if why.Code == "origin.revoked" {
		return cofre.Say("origin.still_archives", "switch the archiving of {{.host}} off; what it has stored since is used by nobody, and may be moved out of the repository", "host", why.Args["host"])
	}
	if fingerprint, ok := why.Args["fingerprint"]; ok && why.Code == "origin.waiting" {
		return cofre.Say("origin.admit", "if the fingerprint is the one that this host says: cofre wal admit {{.fingerprint}}", "fingerprint", fingerprint)
	}
	return cofre.Say("origin.look", "somebody put it there who has no admitted key, or a host archives with a version of before: cofre wal admit lists the keys")
}

// WayOn is what to do about the first Error among errors; zero if there is none. What waits for a key comes first: the WAL of a new primary is
// whole, and is lost if somebody takes it for damaged.
func WayOn(errs ...error) (way cofre.Message) {
	for _, err := range errs {
		e, ok := errors.AsType[*Error](err)
		if !ok {
			continue
		}
		if e.Why.Code == "origin.waiting" {
			return wayOn(e.Why)
		}
		if way.IsZero() {
			way = cofre.HintOf(err)
		}
	}
	return way
}

// Said are the errors that messages tell of.
func Said(messages []cofre.Message) (errs []error) {
	for _, m := range messages {
		if err, ok := m.Args["error"].(error); ok {
			errs = append(errs, err)
		}
	}
	return errs
}

func (s *Set) key(id string) (Known, bool) {
	if own := (Public{s.own}); own.ID() == id {
		return Known{public: own, State: Admitted}, true
	}
	i := slices.IndexFunc(s.Keys, func(k Known) bool { return k.ID == id })
	if i < 0 {
		return Known{}, false
	}
	return s.Keys[i], true
}

func verified(p Public, object, statement, signature string) bool {
	b, err := base64.RawStdEncoding.DecodeString(signature)
	return err == nil && ed25519.Verify(p.key, message(object, statement), b)
}

// Find is the key of a fingerprint, or of an ID.
func (s *Set) Find(text string) (Known, bool) {
	i := slices.IndexFunc(s.Keys, func(k Known) bool { return k.Fingerprint == text || k.ID == text })
	if i < 0 {
		return Known{}, false
	}
	return s.Keys[i], true
}

// Waiting are the keys that nobody has admitted.
func (s *Set) Waiting() (all []Known) {
	for _, k := range s.Keys {
		if k.State == Waiting {
			all = append(all, k)
		}
	}
	return all
}

// Ask leaves the wish of a host, unless it is there.
//
// Errors: the store's.
func Ask(ctx context.Context, st cofre.Store, system cofre.SystemID, p Public) error {
	host, _ := os.Hostname() // a name for people
	b, err := json.Marshal(Request{Key: p.String(), Host: host, At: time.Now().UTC()})
	if err != nil {
		return err
	}
	return create(ctx, st, Folder(system)+p.ID()+requestSuffix, b)
}

// Admit has a key believed; isNew is false if that was said before.
//
// Errors: the store's.
func Admit(ctx context.Context, st cofre.Store, system cofre.SystemID, secret string, p Public, host, by string) (isNew bool, err error) {
	return write(ctx, st, secret, record{System: system, Name: p.ID() + ".admitted", Key: p.String(), Host: host, By: by})
}

// Revoke has nothing believed any more that a key has signed, but the files that are there now, as they are: before is, by timeline, the last of them, files are others, and sums says what was
// signed of each; see Sum. isNew is false if that was said before. A record of before, which has no sums, gets them. With a crash before its end nothing was said.
//
// Errors: the store's.
func Revoke(ctx context.Context, st cofre.Store, system cofre.SystemID, secret string, k Known, by string, before map[string]string, files []string, sums map[string]string) (isNew bool, err error) {
	r := record{System: system, Name: k.ID + ".revoked", Key: k.public.String(), Host: k.Host, By: by, Before: before, Files: files}
	if r.Lists, err = writeLists(ctx, st, system, sums); err != nil {
		return false, err
	}
	return write(ctx, st, secret, r)
}

// Require has nothing believed any more but what an admitted key has signed, and what is there now: before is, by timeline, the last file that
// is not signed; isNew is false if that was said before.
//
// Errors: the store's.
func Require(ctx context.Context, st cofre.Store, system cofre.SystemID, secret, by string, before map[string]string, files []string) (isNew bool, err error) {
	return write(ctx, st, secret, record{System: system, Name: RequiredName, By: by, Before: before, Files: files})
}

func write(ctx context.Context, st cofre.Store, secret string, r record) (isNew bool, err error) {
	r.At = time.Now().UTC()
	r.Code = r.code(secret)
	b, err := json.Marshal(r)
	if err != nil {
		return false, err
	}
	name := Folder(r.System) + r.Name
	if len(b) > recordSize {
		return false, fmt.Errorf("store %s: it has %d bytes, and nobody would read more than %d of it: %w", name, len(b), recordSize, cofre.ErrRefused)
	}
	err = st.Create(ctx, name, bytes.NewReader(b), int64(len(b)))
	if errors.Is(err, cofre.ErrExists) {
		// What somebody put there who has no password must not keep it from being said.
		there, readErr := bounded.Read(ctx, st, name, recordSize)
		var said record
		if readErr == nil {
			said, readErr = parse(there, r.System, r.Name, secret, true)
		}
		if readErr == nil && (said.Lists != nil || r.Lists == nil) {
			return false, nil
		}
		err = st.Replace(ctx, name, bytes.NewReader(b), int64(len(b)))
	}
	if err != nil {
		return false, fmt.Errorf("store %s: %w", name, err)
	}
	return true, nil
}

// recordSize is how many bytes a record may have: that of a whole system names two files for each timeline.
const recordSize = 1 << 20

func create(ctx context.Context, st cofre.Store, name string, b []byte) error {
	err := st.Create(ctx, name, bytes.NewReader(b), int64(len(b)))
	if err != nil && !errors.Is(err, cofre.ErrExists) {
		return fmt.Errorf("store %s: %w", name, err)
	}
	return nil
}
