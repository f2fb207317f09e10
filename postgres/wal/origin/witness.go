package origin

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/bounded"
)

// Witness is something else than the record that says of a system that a record was made: a base backup, or the journal. It does not say what counted.
type Witness struct {
	System cofre.SystemID
	// Key is the ID or the fingerprint of the key that was revoked; "" if signatures were required.
	Key string
	// Said is what it says, as it is told of a record that is not there.
	Said cofre.Message
}

// Missing are the records that witnesses say were made, and that neither the repository nor this host has, by their objects. Of a key that is not believed nothing was
// gained: a copy may never have known it.
func (s *Set) Missing(witnesses []Witness) map[string]cofre.Message {
	missing := map[string]cofre.Message{}
	say := func(object string, w Witness) {
		if _, said := missing[object]; !said {
			missing[object] = w.Said
		}
	}
	for _, w := range witnesses {
		switch k, known := s.Find(w.Key); {
		case w.System != s.System:
		case w.Key == "" && !s.Required:
			say(RequiredObject(s.System), w)
		case known && k.State == Admitted:
			say(RevokedObject(s.System, k.ID), w)
		}
	}
	return missing
}

// Has reports whether a record that a journal tells of is believed already, so that nobody needs the journal's copy of it. Key is a fingerprint.
func (s *Set) Has(change cofre.OriginChange, key string) bool {
	if change == cofre.OriginRequired {
		return s.Required
	}
	k, known := s.Find(key)
	switch change {
	case cofre.OriginAdmitted:
		return known && k.State != Waiting
	case cofre.OriginRevoked: // one without lists may be one of before that was put back
		return known && k.State == Revoked && (k.revoked.Lists != nil || len(k.revoked.Before)+len(k.revoked.Files) == 0)
	}
	return true
}

// NameOf is the name of the record by which whom a repository believes changed.
func NameOf(change cofre.OriginChange, id string) string {
	if change == cofre.OriginRequired {
		return RequiredName
	}
	return id + "." + string(change)
}

// ReadRecord reads one record as it is stored.
//
// Errors: cofre.ErrNotFound; cofre.ErrCorrupt if it is longer than any; the store's.
func ReadRecord(ctx context.Context, st cofre.Store, system cofre.SystemID, name string) ([]byte, error) {
	return bounded.Read(ctx, st, Folder(system)+name, recordSize)
}

// IsRecord reports whether somebody who has the password said something under a name of a system's records.
func IsRecord(b []byte, system cofre.SystemID, name, secret string) bool {
	_, err := parse(b, system, name, secret, !strings.HasSuffix(name, requestSuffix))
	return err == nil
}

// Return stores a record that this host has seen and that the repository does not hold any more, as it was: what counted then counts, and not what was put there since.
// It does nothing, and returns false, if the repository has it.
//
// Errors: the store's.
func (s *Set) Return(ctx context.Context, st cofre.Store, name string) (bool, error) {
	b, object := s.Seen[name], Folder(s.System)+name
	if b == nil || !slices.Contains(s.Gone, object) {
		return false, nil
	}
	if err := st.Replace(ctx, object, bytes.NewReader(b), int64(len(b))); err != nil {
		return false, fmt.Errorf("store %s: %w", object, err)
	}
	return true, nil
}
