package repository_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/secret"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/repository"
)

const crashSize = 48 << 20 // of what the killed capture stores before it says so

// captureForEver stores two files, waits until they were flushed, stores a third and never ends. It is killed.
func captureForEver() {
	ctx := context.Background()
	c := repository.Config{URL: os.Getenv("COFRE_TEST_CAPTURE_FOR_EVER"), Password: secret.New(password), StateDir: os.Getenv("COFRE_TEST_STATE")}
	check := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	r, err := repository.Open(ctx, c)
	check(err)
	repository.FlushEvery(r, 20*time.Millisecond)
	s, err := r.Begin(ctx, source)
	check(err)
	for i := range uint64(2) {
		_, err = s.Put(ctx, cofre.Entry{Path: fmt.Sprint(i), Mode: 0o600, Size: -1}, pgText(i, crashSize/2))
		check(err)
	}
	repository.AwaitFlush(s)
	fmt.Println("flushed")
	_, err = s.Put(ctx, cofre.Entry{Path: "2", Mode: 0o600, Size: -1}, pgText(2, 1<<40))
	check(err)
}

func TestAKilledCaptureIsReused(t *testing.T) {
	c := folderConfig(t)
	r := create(t, c)
	publish(t, r, capture(t, r, map[string][]byte{"before": []byte("before")}))
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "COFRE_TEST_CAPTURE_FOR_EVER="+c.URL, "COFRE_TEST_STATE="+t.TempDir())
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := testkit.Start(cmd); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, len("flushed\n"))); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()

	if got := points(t, r); len(got) != 1 {
		t.Fatalf("%d points are visible, want the one of before", len(got))
	}
	for _, f := range findings(t, r, points(t, r), cofre.LevelContent) {
		t.Errorf("after the kill: %+v", f)
	}
	s, err := r.Begin(t.Context(), source)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(t.Context())
	for i := range uint64(2) {
		if _, err := s.Put(t.Context(), cofre.Entry{Path: fmt.Sprint(i), Mode: 0o600, Size: -1}, pgText(i, crashSize/2)); err != nil {
			t.Fatal(err)
		}
	}
	content, err := s.Finish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if content.Stored > crashSize/100 {
		t.Errorf("%d bytes stored anew of %d, and the killed capture had flushed them", content.Stored, content.Bytes)
	}
	publish(t, r, content)
	want, _ := io.ReadAll(pgText(1, crashSize/2))
	if got := readFile(t, r, content.Root, "1"); !bytes.Equal(got, want) {
		t.Error("what was reused differs")
	}
}

func TestTwoAtOnce(t *testing.T) {
	c := folderConfig(t)
	repositories := []*repository.Repository{create(t, c), open(t, c)}
	var wg sync.WaitGroup
	for i, r := range repositories {
		wg.Go(func() {
			for day := range 3 {
				publish(t, r, capture(t, r, map[string][]byte{
					"same": bytes.Repeat([]byte("same"), 100_000), "own": fmt.Appendf(nil, "%d on day %d", i, day),
				}))
			}
		})
	}
	wg.Wait()
	for _, r := range append(repositories, open(t, c)) {
		p := points(t, r)
		if len(p) != 6 {
			t.Errorf("%d points are visible, want 6", len(p))
		}
		if found := findings(t, r, p, cofre.LevelContent); len(found) != 0 {
			t.Errorf("found %+v", found)
		}
	}
	if _, err := repositories[0].Expire(t.Context(), cofre.Expiry{Point: points(t, repositories[1])[0].ID}); err != nil {
		t.Fatal(err)
	}
	if got := len(points(t, repositories[1])); got != 5 {
		t.Errorf("%d points after the other expired one, want 5", got)
	}
}

func TestStateMayGoAtAnyTime(t *testing.T) {
	server := testkit.S3(t)
	for name, c := range map[string]repository.Config{"folder": folderConfig(t), "s3": s3Config(t, server, "state")} {
		r := create(t, c)
		content := capture(t, r, map[string][]byte{"a": []byte("a")})
		if err := os.RemoveAll(c.StateDir); err != nil {
			t.Fatal(err)
		}
		publish(t, r, content)
		publish(t, r, capture(t, r, map[string][]byte{"b": []byte("b")}))
		if got := len(points(t, r)); got != 2 {
			t.Errorf("%s: %d points, want 2", name, got)
		}
		other := open(t, c)
		if got := len(points(t, other)); got != 2 {
			t.Errorf("%s: %d points when opened anew, want 2", name, got)
		}
	}
}

func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=24m"); err != nil {
		testkit.Missing(t, "mount", "cannot mount a tmpfs: "+err.Error())
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	c := folderConfig(t)
	c.URL = filepath.Join(dir, "repository")
	if _, err := repository.Init(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	r, err := repository.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close(t.Context())
	p := publish(t, r, capture(t, r, map[string][]byte{"a": []byte("a")}))
	s, err := r.Begin(t.Context(), source)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Put(t.Context(), cofre.Entry{Path: "big", Mode: 0o600, Size: -1}, rand.NewChaCha8([32]byte{1})) // without end
	if !errors.Is(err, cofre.ErrDiskFull) || cofre.Hint(err) == "" {
		t.Errorf("a capture that does not fit: %v (hint %q), want ErrDiskFull and a hint", err, cofre.Hint(err))
	}
	if err := s.Close(t.Context()); err != nil {
		t.Errorf("close: %v", err)
	}
	// What is there can still be listed, read and verified.
	if got := points(t, r); len(got) != 1 || got[0].ID != p.ID {
		t.Errorf("points are %v", got)
	}
	if got := readFile(t, r, p.Components[0].Root, "a"); string(got) != "a" {
		t.Errorf("a holds %q", got)
	}
	if found := findings(t, r, points(t, r), cofre.LevelContent); len(found) != 0 {
		t.Errorf("found %+v", found)
	}
}

func TestOpenedToRead(t *testing.T) {
	c := folderConfig(t)
	r := create(t, c)
	for i := range 20 { // enough that Kopia would compact manifests by itself
		publish(t, r, capture(t, r, map[string][]byte{"a": fmt.Append(nil, i)}))
	}
	before := len(files(t, c.URL))
	c.ReadOnly = true
	reader := open(t, c)
	if got := len(points(t, reader)); got != 20 {
		t.Errorf("%d points, want 20", got)
	}
	if found := findings(t, reader, points(t, reader), cofre.LevelContent); len(found) != 0 {
		t.Errorf("found %+v", found)
	}
	_, err := reader.Begin(t.Context(), source)
	if !errors.Is(err, cofre.ErrReadOnly) {
		t.Errorf("begin: %v, want ErrReadOnly", err)
	}
	if _, err := reader.Expire(t.Context(), cofre.Expiry{Point: points(t, reader)[0].ID}); !errors.Is(err, cofre.ErrReadOnly) {
		t.Errorf("expire: %v, want ErrReadOnly", err)
	}
	if after := len(files(t, c.URL)); after != before {
		t.Errorf("%d files became %d by reading", before, after)
	}
}

func TestS3CutInTheMiddle(t *testing.T) {
	server := testkit.S3(t)
	c := s3Config(t, server, "cut")
	c.URL += "&patience=2s" // a service that goes away is waited for; here it does not come back
	if _, err := repository.Init(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	r, err := repository.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close(t.Context())
	s, err := r.Begin(t.Context(), source)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(t.Context())
	if _, err := s.Put(t.Context(), cofre.Entry{Path: "a", Mode: 0o600, Size: -1}, io.LimitReader(rand.NewChaCha8([32]byte{1}), 8<<20)); err != nil {
		t.Fatal(err)
	}
	server.Stop()
	// Without end: if the cut is not noticed, the test never ends.
	_, err = s.Put(t.Context(), cofre.Entry{Path: "b", Mode: 0o600, Size: -1}, rand.NewChaCha8([32]byte{2}))
	if !errors.Is(err, cofre.ErrUnreachable) || cofre.Hint(err) == "" {
		t.Errorf("put after the cut: %v (hint %q), want ErrUnreachable and a hint", err, cofre.Hint(err))
	}
	if _, err := s.Finish(t.Context()); !errors.Is(err, cofre.ErrUnreachable) {
		t.Errorf("finish after the cut: %v, want ErrUnreachable", err)
	}
	if _, err := repository.Open(t.Context(), c); !errors.Is(err, cofre.ErrUnreachable) {
		t.Errorf("open after the cut: %v, want ErrUnreachable", err)
	}
}
