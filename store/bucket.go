package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"

	"github.com/minio/minio-go/v7"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/s3client"
)

// bucket keeps objects under a prefix of an S3 bucket. S3 makes every write whole and durable before it answers.
type bucket struct {
	client *minio.Client
	config s3client.Config
	name   string
	prefix string // empty, or ends with /

	patience s3client.Patience
}

// try makes a request, and again while it may pass.
func (b *bucket) try(ctx context.Context, verb, name string, request func() error) error {
	return b.patience.Do(ctx, verb+" "+name, request)
}

func (b *bucket) Create(ctx context.Context, name string, r io.Reader, size int64) error {
	options := minio.PutObjectOptions{}
	options.SetMatchETagExcept("*")
	counted, again := countRewinds(r)
	// What was refused is no reason to send it again; whether the object is there is asked below.
	err := b.put(ctx, "create", name, counted, size, options)
	var answer minio.ErrorResponse
	refused := errors.As(err, &answer) && answer.StatusCode == http.StatusPreconditionFailed
	// A server that refuses may close the connection before it has read what it does not want, and its answer is
	// then lost behind the error of a write: whether the object is there is asked for by itself.
	if brokeOff(err) {
		if _, statErr := b.Stat(ctx, name); statErr == nil {
			refused, err = true, fmt.Errorf("create %s in %s: %w", name, b.URL(), cofre.ErrExists)
		}
	}
	// The answer to the first request may have been lost with its connection; the second then finds the object
	// that the first has made.
	if refused && again() {
		if same, readErr := b.holds(ctx, name, counted); readErr == nil && same {
			return nil
		}
	}
	if errors.Is(err, cofre.ErrExists) {
		return err
	}
	// Amazon answers 409 while another create of the same name is under way; whoever wins, it then exists.
	if errors.As(err, &answer) && answer.StatusCode == http.StatusConflict {
		if _, statErr := b.Stat(ctx, name); statErr == nil {
			return fmt.Errorf("create %s in %s: %w", name, b.URL(), cofre.ErrExists)
		}
	}
	return b.explain("create", name, err)
}

// brokeOff reports whether a connection ended in the middle of a request.
func brokeOff(err error) bool {
	for _, end := range []error{net.ErrClosed, syscall.EPIPE, syscall.ECONNRESET, io.EOF, io.ErrUnexpectedEOF} {
		if errors.Is(err, end) {
			return true
		}
	}
	// The client puts a text in the place of io.EOF.
	return err != nil && strings.Contains(err.Error(), "Connection closed by foreign host")
}

// countRewinds counts how often the client goes back to the beginning of r, which it does for each request. again
// reports whether there was more than one.
func countRewinds(r io.Reader) (counted io.Reader, again func() bool) {
	s, ok := r.(io.ReadSeeker)
	if !ok {
		return r, func() bool { return false } // it is sent once
	}
	c := &rewinds{ReadSeeker: s}
	return c, func() bool { return c.n > 1 }
}

type rewinds struct {
	io.ReadSeeker
	n int
}

func (r *rewinds) Seek(offset int64, whence int) (int64, error) {
	if offset == 0 && whence == io.SeekStart {
		r.n++
	}
	return r.ReadSeeker.Seek(offset, whence)
}

// holds reports whether an object holds exactly what r does.
func (b *bucket) holds(ctx context.Context, name string, r io.Reader) (bool, error) {
	if _, err := r.(io.Seeker).Seek(0, io.SeekStart); err != nil {
		return false, err
	}
	there, err := b.Open(ctx, name, 0, -1)
	if err != nil {
		return false, err
	}
	defer there.Close()
	return equal(r, there)
}

// equal reports whether two readers yield the same, and reads no more of either than it takes to know.
func equal(a, b io.Reader) (bool, error) {
	one, other := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, err := io.ReadFull(a, one)
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			return false, err
		}
		m, otherErr := io.ReadFull(b, other)
		if otherErr != nil && otherErr != io.EOF && otherErr != io.ErrUnexpectedEOF {
			return false, otherErr
		}
		if n != m || !bytes.Equal(one[:n], other[:m]) {
			return false, nil
		}
		if n < len(one) {
			return true, nil
		}
	}
}

func (b *bucket) Replace(ctx context.Context, name string, r io.Reader, size int64) error {
	return b.explain("replace", name, b.put(ctx, "replace", name, r, size, minio.PutObjectOptions{}))
}

func (b *bucket) put(ctx context.Context, verb, name string, r io.Reader, size int64, options minio.PutObjectOptions) error {
	if err := checkName(name); err != nil {
		return err
	}
	options.ContentType = "application/octet-stream"
	// One request, so that the condition of Create holds for the object and not for its last part, and so that
	// nothing is left of an upload that broke off.
	options.DisableMultipart = true
	if _, ok := r.(io.Seeker); !ok {
		return b.putOnce(ctx, name, r, size, options) // it is sent once
	}
	// The client goes back to the beginning of r before each request.
	return b.try(ctx, verb, name, func() error {
		err := b.putOnce(ctx, name, r, size, options)
		if verb == "create" && brokeOff(err) {
			// A server that refuses may close the connection before its answer is read: that is no outage.
			if _, statErr := b.stat(ctx, name); statErr == nil {
				return s3client.Final(err)
			}
		}
		return err
	})
}

func (b *bucket) putOnce(ctx context.Context, name string, r io.Reader, size int64, options minio.PutObjectOptions) error {
	if size == 0 {
		return b.putEmpty(ctx, name, r, options)
	}
	// The client closes what it can close; the reader is the caller's.
	_, err := b.client.PutObject(ctx, b.name, b.prefix+name, keepOpen(r), size, options)
	return err
}

// putEmpty stores an object without bytes. The client signs a body in chunks, also one without bytes, of which versitygw
// does not read the last chunk: it then takes that for the beginning of the next request on the connection, and answers 400.
func (b *bucket) putEmpty(ctx context.Context, name string, r io.Reader, options minio.PutObjectOptions) error {
	options.DisableContentSha256 = true // not in chunks: the sum is given
	sum := sha256.Sum256(nil)
	core := minio.Core{Client: b.client}
	_, err := core.PutObject(ctx, b.name, b.prefix+name, keepOpen(r), 0, "", hex.EncodeToString(sum[:]), options)
	return err
}

// keepOpen hides Close and keeps Seek, which the client needs to send a request again.
func keepOpen(r io.Reader) io.Reader {
	if s, ok := r.(io.ReadSeeker); ok {
		return struct{ io.ReadSeeker }{s}
	}
	return struct{ io.Reader }{r}
}

func (b *bucket) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	if length == 0 {
		if _, err := b.Stat(ctx, name); err != nil {
			return nil, err
		}
		return io.NopCloser(strings.NewReader("")), nil
	}
	body, etag, err := b.get(ctx, name, offset, length, "")
	if err != nil {
		var answer minio.ErrorResponse
		if errors.As(err, &answer) && answer.StatusCode == http.StatusRequestedRangeNotSatisfiable {
			return io.NopCloser(strings.NewReader("")), nil // from the end on there is nothing
		}
		return nil, b.explain("open", name, err)
	}
	r := &bucketReader{bucket: b, name: name, body: body}
	r.goOn = func() (io.ReadCloser, error) {
		rest := length
		if rest > 0 {
			rest -= r.read
		}
		if ctx.Err() != nil || rest == 0 {
			return nil, ctx.Err()
		}
		body, _, err := b.get(ctx, name, offset+r.read, rest, etag)
		return body, err
	}
	return r, nil
}

// get asks for a part of an object, length below 0 for all of it from offset on; with etag for that version alone.
func (b *bucket) get(ctx context.Context, name string, offset, length int64, etag string) (io.ReadCloser, string, error) {
	options := minio.GetObjectOptions{}
	var err error
	switch {
	case length > 0:
		err = options.SetRange(offset, offset+length-1)
	case offset > 0:
		err = options.SetRange(offset, 0)
	}
	if err == nil && etag != "" {
		err = options.SetMatchETag(etag)
	}
	if err != nil {
		return nil, "", err
	}
	core := minio.Core{Client: b.client}
	var body io.ReadCloser
	var info minio.ObjectInfo
	err = b.try(ctx, "read", name, func() (err error) {
		body, info, _, err = core.GetObject(ctx, b.name, b.prefix+name, options)
		return err
	})
	return body, info.ETag, err
}

// resumes is how often a reader goes on after its connection broke without a byte having come in between.
const resumes = 2

// bucketReader goes on where a connection broke: a restore of hours is not ended by one that was reset. What it
// cannot go on with it gives its condition.
type bucketReader struct {
	bucket *bucket
	name   string
	body   io.ReadCloser
	goOn   func() (io.ReadCloser, error) // from read on; nil if nothing is left
	read   int64
	tried  int
}

func (r *bucketReader) Read(p []byte) (int, error) {
	for {
		n, err := r.body.Read(p)
		r.read += int64(n)
		if n > 0 {
			r.tried = 0
		}
		if err == nil || err == io.EOF {
			return n, err
		}
		err = r.bucket.explain("read", r.name, err)
		if !errors.Is(err, cofre.ErrUnreachable) || r.tried == resumes {
			return n, err
		}
		r.tried++
		body, againErr := r.goOn()
		if againErr != nil {
			return n, err // the first says what has happened
		}
		if body == nil {
			return n, io.EOF // it broke after the last byte
		}
		_ = r.body.Close() // it is broken already
		r.body = body
		if n > 0 {
			return n, nil
		}
	}
}

func (r *bucketReader) Close() error { return r.body.Close() }

func (b *bucket) Stat(ctx context.Context, name string) (cofre.StoredObject, error) {
	var info cofre.StoredObject
	err := b.try(ctx, "stat", name, func() (err error) {
		info, err = b.stat(ctx, name)
		return err
	})
	return info, b.explain("stat", name, err)
}

func (b *bucket) stat(ctx context.Context, name string) (cofre.StoredObject, error) {
	info, err := b.client.StatObject(ctx, b.name, b.prefix+name, minio.StatObjectOptions{})
	if err != nil {
		return cofre.StoredObject{}, err
	}
	return cofre.StoredObject{Name: name, Size: info.Size, ModifiedAt: info.LastModified.UTC(), ChangedAt: info.LastModified.UTC(), Version: strings.Trim(info.ETag, `"`)}, nil
}

func (b *bucket) List(ctx context.Context, prefix string) iter.Seq2[cofre.StoredObject, error] {
	return func(yield func(cofre.StoredObject, error) bool) {
		last, more := "", true
		// A page that cannot be had is asked for again, from the last object on.
		err := b.try(ctx, "list", prefix+"…", func() error {
			var err error
			last, more, err = b.listFrom(ctx, prefix, last, yield)
			return err
		})
		switch {
		case !more:
		case err != nil:
			yield(cofre.StoredObject{}, b.explain("list", prefix+"…", err))
		case ctx.Err() != nil: // the iterator ends without a word when the context does
			yield(cofre.StoredObject{}, ctx.Err())
		}
	}
}

// listFrom lists what comes after last, and returns the last that it gave. more is false if the caller has enough.
func (b *bucket) listFrom(ctx context.Context, prefix, last string, yield func(cofre.StoredObject, error) bool) (string, bool, error) {
	options := minio.ListObjectsOptions{Prefix: b.prefix + prefix, Recursive: true, StartAfter: last}
	for info := range b.client.ListObjectsIter(ctx, b.name, options) {
		if info.Err != nil {
			return last, true, info.Err
		}
		last = info.Key
		if strings.HasSuffix(info.Key, "/") {
			continue // the marker of an empty folder, as consoles make them
		}
		o := cofre.StoredObject{Name: strings.TrimPrefix(info.Key, b.prefix), Size: info.Size, ModifiedAt: info.LastModified.UTC(), ChangedAt: info.LastModified.UTC(), Version: strings.Trim(info.ETag, `"`)}
		if !yield(o, nil) {
			return last, false, nil
		}
	}
	return last, true, nil
}

func (b *bucket) Delete(ctx context.Context, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	err := b.explain("delete", name, b.try(ctx, "delete", name, func() error {
		return b.client.RemoveObject(ctx, b.name, b.prefix+name, minio.RemoveObjectOptions{})
	}))
	if errors.Is(err, cofre.ErrNotFound) {
		return nil
	}
	return err
}

// Free is not something S3 says.
func (b *bucket) Free(context.Context) (int64, error) { return -1, nil }

func (b *bucket) URL() string {
	u := "s3://" + strings.TrimSuffix(b.name+"/"+b.prefix, "/")
	q := url.Values{}
	for key, value := range map[string]string{"endpoint": b.config.Endpoint, "region": b.config.Region, "ca": b.config.CA} {
		if value != "" {
			q.Set(key, value)
		}
	}
	if len(q) == 0 {
		return u
	}
	// Slashes and colons are allowed in a query, and an address is for people.
	return u + "?" + strings.NewReplacer("%2F", "/", "%3A", ":").Replace(q.Encode())
}

// explain gives an error of the client its address, its condition and its hint.
func (b *bucket) explain(verb, name string, err error) error {
	if err == nil {
		return nil
	}
	condition := s3client.Condition(err)
	if condition == nil {
		return fmt.Errorf("%s %s in %s: %w", verb, name, b.URL(), err)
	}
	explained := fmt.Errorf("%s %s in %s: %w: %w", verb, name, b.URL(), condition, err)
	if hint := s3client.Hint(err, condition, b.config, b.name); !hint.IsZero() {
		return cofre.WithHint(explained, hint)
	}
	return explained
}
