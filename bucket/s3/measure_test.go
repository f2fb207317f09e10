package s3_test

import (
	"bytes"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/bucket"
	"github.com/trustlayer/cofre/bucket/s3"
	"github.com/trustlayer/cofre/internal/s3client"
	"github.com/trustlayer/cofre/internal/secret"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/repository"
)

// TestMeasure compares a capture from S3 into a repository in a folder with rclone copy of the same bucket into a
// folder, both with 8 at once. docs/failures/storage.md has what it printed.
func TestMeasure(t *testing.T) {
	if os.Getenv("COFRE_MEASURE") == "" {
		t.Skip("COFRE_MEASURE is not set")
	}
	rclone, err := exec.LookPath("rclone")
	if err != nil {
		t.Skip("no rclone")
	}
	server := testkit.S3(t)
	store, err := s3.Open(s3client.Config{
		Endpoint: server.Endpoint, Region: server.Region, AccessKey: secret.New(server.AccessKey), SecretKey: secret.New(server.SecretKey),
	})
	if err != nil {
		t.Fatal(err)
	}
	const jobs = 8
	random := rand.New(rand.NewSource(1))
	var wg sync.WaitGroup
	slots := make(chan struct{}, jobs)
	for i := range 2020 {
		content := make([]byte, 1000+random.Intn(49_000))
		if i >= 2000 {
			content = make([]byte, 5<<20)
		}
		random.Read(content)
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			o := bucket.Object{Bucket: server.Bucket, Name: fmt.Sprintf("%02d/%03d/%d.bin", i%40, i%211, i), Size: int64(len(content))}
			if _, err := store.Put(t.Context(), o, bytes.NewReader(content)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for round := range 2 {
		dir := t.TempDir()
		started := time.Now()
		cmd := exec.CommandContext(t.Context(), rclone, "copy", "--transfers", fmt.Sprint(jobs), "--checkers", fmt.Sprint(jobs), ":s3:"+server.Bucket, filepath.Join(dir, "rclone"))
		cmd.Env = append(os.Environ(), "AWS_CA_BUNDLE=", "RCLONE_CONFIG="+filepath.Join(dir, "none.conf"), "RCLONE_S3_PROVIDER=Other", "RCLONE_S3_ENDPOINT="+server.Endpoint,
			"RCLONE_S3_REGION="+server.Region, "RCLONE_S3_ACCESS_KEY_ID="+server.AccessKey, "RCLONE_S3_SECRET_ACCESS_KEY="+server.SecretKey)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		copied := time.Since(started)

		cfg := repository.Config{URL: filepath.Join(dir, "repo"), Password: secret.New("measure"), StateDir: filepath.Join(dir, "state")}
		if _, err := repository.Init(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
		repo, err := repository.Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		started = time.Now()
		session, err := repo.Begin(t.Context(), cofre.SourceID{Kind: cofre.KindStorage, Name: "storage"})
		if err != nil {
			t.Fatal(err)
		}
		captured, err := bucket.NewSource(bucket.Config{Store: store, Buckets: []string{server.Bucket}, Jobs: jobs}).Capture(t.Context(), &cofre.Capture{Session: session, Jobs: 1})
		if err != nil || captured.Partial {
			t.Fatal(err, captured.Warnings)
		}
		if _, err := session.Finish(t.Context()); err != nil {
			t.Fatal(err)
		}
		took := time.Since(started)
		if err := session.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if err := repo.Close(t.Context()); err != nil {
			t.Error(err)
		}
		t.Logf("round %d: rclone copy %.2f s, capture %.2f s, %.2f of it", round+1, copied.Seconds(), took.Seconds(), took.Seconds()/copied.Seconds())
	}
}
