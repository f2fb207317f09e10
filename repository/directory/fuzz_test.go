package directory_test

import (
	"bytes"
	"testing"

	"github.com/trustlayer/cofre/repository/directory"
)

// FuzzDirectory: a directory that is read has its entries in order, each is found by its name, and its summary can be read alone.
func FuzzDirectory(f *testing.F) {
	f.Add([]byte(`{"stream":"kopia:directory","summary":{"size":3,"files":1,"symlinks":0,"dirs":1,"maxTime":"2026-11-27T00:00:00Z"},"entries":[{"name":"a","type":"f","mode":"0644","size":3,"mtime":"2026-11-27T00:00:00Z","obj":"00112233445566778899aabbccddeeff"},{"name":"l","type":"s","mode":"0777","mtime":"2026-11-27T00:00:00Z","obj":"00112233445566778899aabbccddee00"}]}`))
	f.Add([]byte(`{"stream":"kopia:directory","summary":{},"entries":null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		table, err := directory.ReadTable(bytes.NewReader(b))
		if err != nil {
			return
		}
		if _, err := directory.ReadSummary(bytes.NewReader(b)); err != nil {
			t.Errorf("its summary: %v", err)
		}
		for i := range table.Len() {
			c := table.At(i)
			if _, ok := table.Find(c.Name); !ok || i > 0 && table.At(i-1).Name > c.Name {
				t.Errorf("entry %d, %q, is not in its place", i, c.Name)
			}
			if e := c.Entry("folder/" + c.Name); e.Path != "folder/"+c.Name {
				t.Errorf("entry %q is at %q", c.Name, e.Path)
			}
		}
	})
}
