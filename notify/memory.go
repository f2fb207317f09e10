package notify

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"path/filepath"

	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/internal/inside"
)

// memory is what each recipient was told, on this machine. Without it everything that is wrong is told once more.
type memory struct {
	path    string
	Version int                `json:"version"`
	Ledgers map[string]*Ledger `json:"recipients"`
}

// remember reads the memory of an installation. One that cannot be read is empty, beside the error: rather something is told twice than never.
func remember(cfg *config.Config) (*memory, error) {
	m := &memory{Version: 1, Ledgers: map[string]*Ledger{}}
	state, err := cfg.StateFolder()
	if err != nil {
		return m, err
	}
	sum := sha256.Sum256([]byte(cfg.Repository.URL))
	m.path = filepath.Join(state, "notify", cfg.Name+"-"+hex.EncodeToString(sum[:8])+".json")
	text, err := inside.ReadFile(m.path)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	read := *m
	if err == nil {
		err = json.Unmarshal(text, &read)
	}
	if err != nil || read.Ledgers == nil {
		return m, err
	}
	for id, l := range read.Ledgers {
		if l == nil {
			delete(read.Ledgers, id)
			continue
		}
		for k, e := range l.Entries {
			if e == nil {
				delete(l.Entries, k)
			}
		}
	}
	return &read, nil
}

// of is the ledger of a recipient.
func (m *memory) of(id string) *Ledger {
	if m.Ledgers[id] == nil {
		m.Ledgers[id] = &Ledger{}
	}
	return m.Ledgers[id]
}

// save writes the memory, and syncs it. Whoever may write to the state directory leads it nowhere.
//
// Errors: those of inside.WriteFile.
func (m *memory) save() error {
	if m.path == "" {
		return nil
	}
	text, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return err
	}
	return inside.WriteFile(m.path, 0o600, 0o700, func(w io.Writer) error { _, err := w.Write(text); return err })
}
