package testkit

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// Missing ends a test whose service is not here: skipped, or failed where COFRE_REQUIRE names the service.
func Missing(t testing.TB, service, why string) {
	t.Helper()
	if slices.Contains(strings.Split(os.Getenv("COFRE_REQUIRE"), ","), service) {
		t.Fatalf("%s is required: %s", service, why)
	}
	t.Skip(why)
}
