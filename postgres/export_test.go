package postgres

import (
	"testing"
	"time"
)

// ConnectTimeout is how long a session of c is waited for; 0 is for ever.
func ConnectTimeout(t *testing.T, c Config) time.Duration {
	p, err := c.parse()
	if err != nil {
		t.Fatal(err)
	}
	return p.ConnectTimeout
}
