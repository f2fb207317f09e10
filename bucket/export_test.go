package bucket

import "time"

// Hasten shortens the longest pause between attempts.
func Hasten(most time.Duration) { paceMost = most }
