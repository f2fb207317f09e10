package coverage

import (
	"encoding/binary"
	"time"

	"github.com/zeebo/blake3"
)

// An object becomes due once in each period, which is a little shorter than the window, so that what was due between two verifications is
// read before the window has passed.
const (
	periodPercent = 90
	// longest part of the window that is waited for the next verification.
	aheadPercent = 50
)

// schedule says when what was read is to be read again.
type schedule struct {
	now    time.Time
	window time.Duration
	// every is how long it took until this verification since the one before: as long as it takes to the next, perhaps.
	every time.Duration
}

// due reports whether what was read at a moment is to be read now. with says in which part of a period it becomes due.
func (s schedule) due(read time.Time, with string) bool {
	if read.IsZero() || s.now.Sub(read)+min(s.every, s.window*aheadPercent/100) > s.window {
		return true
	}
	period := s.window * periodPercent / 100
	if period <= 0 {
		return true
	}
	sum := blake3.Sum256([]byte(with))
	phase := time.Duration(binary.LittleEndian.Uint64(sum[:]) % uint64(period))
	since := time.Duration(read.UnixNano()-int64(phase)) % period
	if since < 0 {
		since += period
	}
	return !read.Add(period - since).After(s.now)
}
