// Package sparse writes files that had holes without filling them.
package sparse

import (
	"bytes"
	"os"
	"slices"
)

// block is the smallest hole that file systems keep.
const block = 4096

var zeros [block]byte

// Writer writes a file from its start. Finish must follow the last Write: a hole at the end is only a length.
type Writer struct {
	f     *os.File
	holes bool
	at    int64
}

// NewWriter writes into f; blocks of zeros become holes if holes is set.
func NewWriter(f *os.File, holes bool) *Writer { return &Writer{f: f, holes: holes} }

// Write appends p.
//
// Errors: those of the operating system.
func (w *Writer) Write(p []byte) (int, error) {
	if !w.holes {
		n, err := w.f.Write(p)
		w.at += int64(n)
		return n, err
	}
	n := 0
	for chunk := range slices.Chunk(p, block) {
		if !bytes.Equal(chunk, zeros[:len(chunk)]) {
			if _, err := w.f.WriteAt(chunk, w.at); err != nil {
				return n, err
			}
		}
		n += len(chunk)
		w.at += int64(len(chunk))
	}
	return n, nil
}

// Finish gives the file its length.
//
// Errors: those of the operating system.
func (w *Writer) Finish() error { return w.f.Truncate(w.at) }
