// Package stamp makes what tells the names of two runs apart: databases, schemas and directories that a run makes
// or puts aside carry the time of the run, and two runs may begin in one second.
package stamp

import (
	"crypto/rand"
	"fmt"
	"time"
)

// New is a stamp of 23 bytes that sorts by time, to the millisecond, and that no other call returns:
// 20060102t150405z_123k7q. It needs no quotes in SQL and none in a shell.
func New(at time.Time) string {
	at = at.UTC()
	return fmt.Sprintf("%s_%03d%.3s", at.Format("20060102t150405z"), at.Nanosecond()/int(time.Millisecond), letters())
}

// letters are random, of an alphabet of 32 that has neither capitals nor what is read as something else.
func letters() string {
	const alphabet = "abcdefghijkmnpqrstuvwxyz23456789"
	var b [3]byte
	_, _ = rand.Read(b[:]) // it never fails: it ends the program instead
	for i := range b {
		b[i] = alphabet[b[i]&31]
	}
	return string(b[:])
}
