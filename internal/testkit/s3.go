package testkit

import (
	"cmp"
	"context"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/trustlayer/cofre/internal/s3client"
	"github.com/trustlayer/cofre/internal/secret"
)

// S3Server is a real S3 server of one test, on a loopback port of its own: versitygw, or the program of MinIO that COFRE_MINIO names.
type S3Server struct {
	Endpoint  string // http://127.0.0.1:PORT
	Region    string
	AccessKey string
	SecretKey string
	Bucket    string // exists, and is empty
	Dir       string // where versitygw keeps its objects: Dir/BUCKET/KEY

	process *os.Process
	done    chan struct{} // closed when the process has ended
}

// S3 starts a server that ends with the test, and makes a bucket in it.
func S3(t testing.TB) *S3Server {
	t.Helper()
	program := cmp.Or(os.Getenv("COFRE_MINIO"), versitygw())
	if program == "" {
		Missing(t, "s3", "versitygw is not installed: go install github.com/versity/versitygw/cmd/versitygw@v1.8.0")
	}
	s := &S3Server{
		Region: "us-east-1", AccessKey: "cofre-test", SecretKey: "cofre-test-secret", Bucket: "backups", Dir: t.TempDir(),
	}
	// Another program may take the port between its choice and the start: then another one is chosen.
	for attempt := 0; ; attempt++ {
		err := s.start(t, program)
		if err == nil {
			break
		}
		if attempt == 4 {
			t.Fatalf("start versitygw: %v", err)
		}
	}
	t.Cleanup(s.Stop)
	s.MakeBucket(t, s.Bucket)
	return s
}

// versitygw finds the server's program, or returns "".
func versitygw() string {
	if path := os.Getenv("COFRE_VERSITYGW"); path != "" {
		return path
	}
	if path, err := exec.LookPath("versitygw"); err == nil {
		return path
	}
	for _, path := range []string{filepath.Join(os.Getenv("HOME"), "go/bin/versitygw"), "/usr/local/bin/versitygw"} {
		if info, err := os.Stat(path); err == nil && info.Mode()&0o111 != 0 {
			return path
		}
	}
	return ""
}

func (s *S3Server) start(t testing.TB, program string) error {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		return err
	}
	output, err := os.Create(filepath.Join(t.TempDir(), "versitygw.log"))
	if err != nil {
		return err
	}
	defer output.Close()
	cmd := exec.Command(program, "--port", address, "--quiet", "--keep-alive", "posix", s.Dir)
	if program == os.Getenv("COFRE_MINIO") {
		cmd = exec.Command(program, "server", "--quiet", "--address", address, s.Dir)
	}
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+s.AccessKey, "ROOT_SECRET_KEY="+s.SecretKey, "MINIO_ROOT_USER="+s.AccessKey, "MINIO_ROOT_PASSWORD="+s.SecretKey)
	cmd.Stdout, cmd.Stderr = output, output
	if err := Start(cmd); err != nil {
		return err
	}
	s.Endpoint, s.process, s.done = "http://"+address, cmd.Process, make(chan struct{})
	done := s.done
	go func() {
		_ = cmd.Wait()
		close(done)
	}()
	deadline := time.Now().Add(Hang)
	for {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-done:
			said, _ := os.ReadFile(output.Name())
			return &net.OpError{Op: "start", Net: address, Err: &net.AddrError{Err: string(said), Addr: address}}
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			s.Stop()
			return err
		}
	}
}

// Stop ends the server at once, as a failing machine would. Safe to call again.
func (s *S3Server) Stop() {
	_ = s.process.Kill()
	<-s.done
}

// Client returns a client with the server's credentials.
func (s *S3Server) Client(t testing.TB) *minio.Client {
	t.Helper()
	c, err := s3client.New(s3client.Config{
		Endpoint: s.Endpoint, Region: s.Region, AccessKey: secret.New(s.AccessKey), SecretKey: secret.New(s.SecretKey),
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// MakeBucket makes another bucket.
func (s *S3Server) MakeBucket(t testing.TB, name string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Hang)
	defer cancel()
	err := s.Client(t).MakeBucket(ctx, name, minio.MakeBucketOptions{Region: s.Region})
	for err != nil && ctx.Err() == nil && minio.ToErrorResponse(err).StatusCode == http.StatusServiceUnavailable { // MinIO listens before it serves
		time.Sleep(50 * time.Millisecond)
		err = s.Client(t).MakeBucket(ctx, name, minio.MakeBucketOptions{Region: s.Region})
	}
	if err != nil {
		t.Fatalf("make bucket %s: %v", name, err)
	}
}

// URL is the address of a store under a prefix of the server's bucket, without credentials.
func (s *S3Server) URL(prefix string) string {
	q := url.Values{"endpoint": {s.Endpoint}, "region": {s.Region}}
	return "s3://" + s.Bucket + "/" + strings.Trim(prefix, "/") + "?" + q.Encode()
}
