package s3_test

import (
	"testing"

	"github.com/trustlayer/cofre/bucket/buckettest"
	"github.com/trustlayer/cofre/bucket/s3"
	"github.com/trustlayer/cofre/internal/s3client"
	"github.com/trustlayer/cofre/internal/secret"
	"github.com/trustlayer/cofre/internal/testkit"
)

func TestContract(t *testing.T) {
	t.Parallel()
	server := testkit.S3(t)
	s, err := s3.Open(s3client.Config{
		Endpoint: server.Endpoint, Region: server.Region,
		AccessKey: secret.New(server.AccessKey), SecretKey: secret.New(server.SecretKey),
	})
	if err != nil {
		t.Fatal(err)
	}
	buckettest.Run(t, s, "evidence")
}
