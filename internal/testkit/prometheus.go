package testkit

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Prometheus is where a program of Prometheus is, prometheus or promtool: on the path, or in .services of this checkout.
func Prometheus(t testing.TB, program string) string {
	t.Helper()
	if found, err := exec.LookPath(program); err == nil {
		return found
	}
	dir, err := os.Getwd()
	for ; err == nil; dir = filepath.Dir(dir) {
		if found := filepath.Join(dir, ".services", "prometheus", "usr", "bin", program); executable(found) {
			return found
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	Missing(t, "prometheus", "Prometheus is not here: make services")
	return ""
}

func executable(file string) bool {
	info, err := os.Stat(file)
	return err == nil && info.Mode()&0o111 != 0
}
