package runs_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"strings"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/installation/runs"
)

// junk is a repository that unseals everything as it is, with one object.
type junk struct {
	cofre.Store

	name, text string
}

func (j junk) Floor() cofre.Store                         { return j }
func (junk) Seal(_ string, text []byte) ([]byte, error)   { return text, nil }
func (junk) Unseal(_ string, text []byte) ([]byte, error) { return text, nil }
func (junk) RowKey() (k cofre.RowKey, err error)          { return k, nil }
func (j junk) Stat(context.Context, string) (cofre.StoredObject, error) {
	return cofre.StoredObject{Name: j.name, Size: int64(len(j.text))}, nil
}

func (j junk) List(context.Context, string) iter.Seq2[cofre.StoredObject, error] {
	return func(yield func(cofre.StoredObject, error) bool) {
		yield(cofre.StoredObject{Name: j.name, Size: int64(len(j.text))}, nil)
	}
}

func (j junk) Open(context.Context, string, int64, int64) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(j.text)), nil
}

// FuzzLog: what lies in the place of a run's log is the log of that run, or is damaged.
func FuzzLog(f *testing.F) {
	f.Add(runs.Prefix+"20261101T000000Z-abcd.backup.error", `{"run":"20261101T000000Z-abcd","kind":"backup","code":"error"}`)
	f.Add(runs.Prefix+"x\n\x1b[2K.backup.", `{"events":[{"type":"note","said":[{"code":"x","args":{"a":{}}}]}]}`)
	f.Add(runs.Prefix+"a.b.c.d", "null")
	f.Add(runs.Prefix+"a.b.c", "{")
	f.Fuzz(func(t *testing.T, name, text string) {
		st := junk{name: name, text: text}
		all, err := runs.List(t.Context(), st)
		if err != nil || len(all) > 1 {
			t.Fatalf("%v, %v", all, err)
		}
		for _, s := range all {
			l, err := s.Read(t.Context(), st, "")
			if err != nil && !errors.Is(err, cofre.ErrCorrupt) {
				t.Errorf("log: %v", err)
			}
			if err == nil && (l.Run != s.Run || l.Kind != s.Kind || l.Code != s.Code) {
				t.Errorf("it is of run %s", l.Run)
			}
			if _, err := json.Marshal(l); err != nil {
				t.Errorf("it cannot be shown: %v", err)
			}
			if _, err := s.Read(t.Context(), st, "0"); !errors.Is(err, cofre.ErrCorrupt) {
				t.Errorf("a log that the journal does not know: %v", err)
			}
		}
	})
}
