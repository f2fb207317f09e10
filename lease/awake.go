package lease

import (
	"time"

	"golang.org/x/sys/unix"
)

// awake is the clock of the machine that nobody sets and that counts on while the machine sleeps (CLOCK_BOOTTIME of clock_gettime(2)).
func awake() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		panic("lease: internal error: " + err.Error()) // every Linux since 2.6.39 has it
	}
	return time.Duration(t.Nano())
}
