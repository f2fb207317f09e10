package testkit

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Missing ends a test whose service is not here: skipped, or failed if COFRE_REQUIRE names the service.
func Missing(t testing.TB, service, why string) {
	t.Helper()
	if slices.Contains(required(), service) {
		t.Fatalf("%s is required: %s", service, why)
	}
	t.Skip(why)
}

// required lists the services that COFRE_REQUIRE names.
func required() []string { return strings.Split(os.Getenv("COFRE_REQUIRE"), ",") }

// requiredMajors lists the majors of PostgreSQL that COFRE_REQUIRE names: 17 of postgres-17.
func requiredMajors() []int {
	var majors []int
	for _, service := range required() {
		if major, ok := strings.CutPrefix(service, "postgres-"); ok {
			if n, err := strconv.Atoi(major); err == nil {
				majors = append(majors, n)
			}
		}
	}
	return majors
}
