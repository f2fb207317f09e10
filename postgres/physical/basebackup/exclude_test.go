package basebackup

import "testing"

// What tells a server to recover, or keeps it from starting, is no part of the cluster; what only has such a name is.
func TestWhatIsOmitted(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"recovery.signal": true, "standby.signal": true, "recovery.conf": true, "backup_label": true, "tablespace_map": true,
		"recovery.done": false, "base/recovery.conf": false, "postgresql.auto.conf": false,
	} {
		if got := isOmitted(name); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
