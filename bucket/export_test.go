package bucket

import (
	"time"

	"github.com/trustlayer/cofre/internal/retry"
)

// Hasten shortens the longest pause between attempts, and how long is waited for a service that is away.
func Hasten(most, whole time.Duration) {
	longestPause = most
	for _, p := range []*retry.Policy{&outage, &patience, &settling, &broken, &uploads} {
		p.First, p.Most = min(p.First, most), most
	}
	outage.For, patience.For = whole, whole
}
