package dir_test

import (
	"testing"

	"github.com/trustlayer/cofre/bucket/buckettest"
	"github.com/trustlayer/cofre/bucket/dir"
)

func TestContract(t *testing.T) {
	t.Parallel()
	s, err := dir.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	buckettest.Run(t, s, "evidence")
}
