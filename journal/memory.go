package journal

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/durable"
	"github.com/trustlayer/cofre/internal/inside"
)

// Memory is what a machine has seen of the journal of one repository: it is believed over the repository.
type Memory struct {
	Repository string    `json:"repository"` // its address, for a person who looks into the file
	Key        string    `json:"key"`        // the public half; "" if nothing was seen yet
	Checkpoint string    `json:"checkpoint"` // the newest that was seen, as a line
	At         time.Time `json:"at"`
	// BegunAt is when it was begun from what the store showed, of a journal that was there before; zero if this machine has seen the journal begin. A
	// memory of a version that did not note it counts as one that has.
	BegunAt time.Time `json:"begun_at,omitzero"`
	// Vouched is the checkpoint that a person has brought from elsewhere, and that the journal goes on from.
	Vouched string `json:"vouched,omitempty"`
}

// Begin notes that all that is known of a journal is what its store shows now. A memory that has begun stays as it is.
func (m *Memory) Begin() {
	if m.Key == "" {
		m.BegunAt = time.Now().UTC().Truncate(time.Second)
	}
}

// Vouch notes a checkpoint that a person has kept, and that the journal goes on from: the longest of several.
func (m *Memory) Vouch(lines ...Checkpoint) {
	for _, c := range lines {
		if kept, err := ParseCheckpoint(m.Vouched); c.Size > 0 && (err != nil || c.Size > kept.Size) {
			m.Vouched = c.String()
		}
	}
}

// UnknownBefore is since when this machine knows the journal, if nobody vouches for what was before; otherwise it is zero.
func (m Memory) UnknownBefore() time.Time {
	if m.Vouched != "" {
		return time.Time{}
	}
	return m.BegunAt
}

// MemoryFile is where a machine keeps it, in its state directory.
func MemoryFile(state, repository string) string {
	sum := sha256.Sum256([]byte(repository))
	return filepath.Join(state, "journal", hex.EncodeToString(sum[:8])+".json")
}

// Recall reads a memory. Without a file it is empty.
//
// Errors: cofre.ErrConfig if the file is none; that of reading it.
func Recall(file string) (Memory, error) {
	var m Memory
	text, err := inside.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return m, owned(fmt.Errorf("read what this machine has seen of the journal: %w", err))
	}
	err = json.Unmarshal(text, &m)
	if err == nil && m.Checkpoint != "" {
		_, err = ParseCheckpoint(m.Checkpoint)
	}
	if err != nil {
		return Memory{}, Forget(fmt.Errorf("read what this machine has seen of the journal: %s: %w: %w", file, err, cofre.ErrConfig), file)
	}
	return m, nil
}

// Seen is the checkpoint; the zero one if there is none.
func (m Memory) Seen() Checkpoint {
	c, err := ParseCheckpoint(m.Checkpoint)
	if err != nil {
		return Checkpoint{}
	}
	return c
}

// Keep writes a memory. Of one of the same journal that another process has written meanwhile, what says more stays: the longer checkpoint, and what is known of the past.
//
// Errors: that of writing the file.
func (m Memory) Keep(file string) error {
	if there, err := Recall(file); err == nil && there.Key == m.Key {
		settled := m.Vouched
		if m.BegunAt = there.BegunAt; m.Vouched == "" {
			m.Vouched = there.Vouched
		}
		if there.Seen().Size > m.Seen().Size {
			if settled == "" || there.Vouched == m.Vouched {
				return nil
			}
			m.Checkpoint = there.Checkpoint
		}
	}
	m.At = time.Now().UTC()
	text, err := json.MarshalIndent(m, "", "  ")
	if err == nil {
		err = inside.WriteFile(file, 0o600, 0o700, func(w io.Writer) error {
			_, err := w.Write(append(text, '\n'))
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("remember the journal: %w", err)
	}
	return nil
}

// Forget gives an error the way out for a person who knows why a journal is not what was seen before.
func Forget(err error, file string) error {
	return cofre.WithHint(err, cofre.Say("journal.forget", "see what has become of it: cofre journal verify; if you have put the repository back, or made it anew, yourself: rm {{.file}}", "file", file))
}

// SetAside keeps the memory of a journal that was at this address before, under another name, and reports whether there was one.
//
// Errors: that of renaming the file.
func SetAside(file string) (bool, error) {
	err := durable.Rename(file, file+"."+time.Now().UTC().Format("20060102T150405Z"))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// owned says of a file that another user keeps what to do about it: what root did once, cron cannot go on with.
func owned(err error) error {
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return cofre.WithHint(err, cofre.Say("journal.owned", "cofre ran here as another user: run it always as the same one, and give state_dir to that user"))
}
