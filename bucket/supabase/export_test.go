package supabase

import (
	"testing"
	"time"
)

// ShortenSilence sets how long a connection of this test may say nothing.
func ShortenSilence(t *testing.T, d time.Duration) {
	was, first := silence, firstSilence
	silence, firstSilence = d, d
	t.Cleanup(func() { silence, firstSilence = was, first })
}
