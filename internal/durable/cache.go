package durable

import (
	"errors"
	"os"
	"path/filepath"
)

// WriteCache makes a file hold b whole, or what it held before, and makes its directory, for this user alone. It is not synced: what a crash leaves of it
// must be known by what is in it. That it cannot be written is no error, since it can be had without.
func WriteCache(file string, b []byte) {
	if os.MkdirAll(filepath.Dir(file), 0o700) != nil {
		return
	}
	f, err := os.CreateTemp(filepath.Dir(file), ".new-*")
	if err != nil {
		return
	}
	_, err = f.Write(b)
	if errors.Join(err, f.Close()) != nil || os.Rename(f.Name(), file) != nil {
		_ = os.Remove(f.Name())
	}
}
