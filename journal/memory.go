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

// Keep writes a memory. One that another process has written meanwhile, and that is of more entries of the same journal, stays.
//
// Errors: that of writing the file.
func (m Memory) Keep(file string) error {
	if there, err := Recall(file); err == nil && there.Key == m.Key && there.Seen().Size > m.Seen().Size {
		return nil
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
