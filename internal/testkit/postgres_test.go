package testkit_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/trustlayer/cofre/internal/testkit"
)

func TestEveryMajorAnswers(t *testing.T) {
	testkit.EachMajor(t, func(t *testing.T, major int) {
		s := testkit.Postgres(t, major)
		db := s.Database(t)
		if got := s.Query(t, db, "SHOW server_version"); !strings.HasPrefix(got, strconv.Itoa(major)+".") {
			t.Errorf("asked for %d, got %s", major, got)
		}
		testkit.Healthy(t, s)
	})
}

func TestOwnServer(t *testing.T) {
	s := testkit.Postgres(t, 0, testkit.Conf("wal_level = logical"))
	if got := s.Query(t, "postgres", "SHOW wal_level"); got != "logical" {
		t.Errorf("wal_level is %s", got)
	}
	if s == testkit.Postgres(t, 0) {
		t.Error("a server with options of its own is shared")
	}
}
