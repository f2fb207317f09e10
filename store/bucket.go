package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strings"

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
}

func (b *bucket) Create(ctx context.Context, name string, r io.Reader, size int64) error {
	options := minio.PutObjectOptions{}
	options.SetMatchETagExcept("*")
	err := b.put(ctx, name, r, size, options)
	var answer minio.ErrorResponse
	// Amazon answers 409 while another create of the same name is under way; whoever wins, it then exists.
	if errors.As(err, &answer) && answer.StatusCode == http.StatusConflict {
		if _, statErr := b.Stat(ctx, name); statErr == nil {
			return fmt.Errorf("create %s in %s: %w", name, b.URL(), cofre.ErrExists)
		}
	}
	return b.explain("create", name, err)
}

func (b *bucket) Replace(ctx context.Context, name string, r io.Reader, size int64) error {
	return b.explain("replace", name, b.put(ctx, name, r, size, minio.PutObjectOptions{}))
}

func (b *bucket) put(ctx context.Context, name string, r io.Reader, size int64, options minio.PutObjectOptions) error {
	if err := checkName(name); err != nil {
		return err
	}
	options.ContentType = "application/octet-stream"
	// One request, so that the condition of Create holds for the object and not for its last part, and so that
	// nothing is left of an upload that broke off.
	options.DisableMultipart = true
	// The client closes what it can close; the reader is the caller's.
	_, err := b.client.PutObject(ctx, b.name, b.prefix+name, keepOpen(r), size, options)
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
	options := minio.GetObjectOptions{}
	switch {
	case length == 0:
		if _, err := b.Stat(ctx, name); err != nil {
			return nil, err
		}
		return io.NopCloser(strings.NewReader("")), nil
	case length > 0:
		if err := options.SetRange(offset, offset+length-1); err != nil {
			return nil, fmt.Errorf("open %s in %s: %w", name, b.URL(), err)
		}
	case offset > 0:
		if err := options.SetRange(offset, 0); err != nil {
			return nil, fmt.Errorf("open %s in %s: %w", name, b.URL(), err)
		}
	}
	core := minio.Core{Client: b.client}
	body, _, _, err := core.GetObject(ctx, b.name, b.prefix+name, options)
	if err != nil {
		var answer minio.ErrorResponse
		if errors.As(err, &answer) && answer.StatusCode == http.StatusRequestedRangeNotSatisfiable {
			return io.NopCloser(strings.NewReader("")), nil // from the end on there is nothing
		}
		return nil, b.explain("open", name, err)
	}
	return &bucketReader{ReadCloser: body, bucket: b, name: name}, nil
}

// bucketReader gives a connection that broke in the middle its condition.
type bucketReader struct {
	io.ReadCloser
	bucket *bucket
	name   string
}

func (r *bucketReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = r.bucket.explain("read", r.name, err)
	}
	return n, err
}

func (b *bucket) Stat(ctx context.Context, name string) (cofre.StoredObject, error) {
	info, err := b.client.StatObject(ctx, b.name, b.prefix+name, minio.StatObjectOptions{})
	if err != nil {
		return cofre.StoredObject{}, b.explain("stat", name, err)
	}
	return cofre.StoredObject{Name: name, Size: info.Size, ModifiedAt: info.LastModified.UTC()}, nil
}

func (b *bucket) List(ctx context.Context, prefix string) iter.Seq2[cofre.StoredObject, error] {
	return func(yield func(cofre.StoredObject, error) bool) {
		for info := range b.client.ListObjectsIter(ctx, b.name, minio.ListObjectsOptions{Prefix: b.prefix + prefix, Recursive: true}) {
			if info.Err != nil {
				yield(cofre.StoredObject{}, b.explain("list", prefix+"…", info.Err))
				return
			}
			if strings.HasSuffix(info.Key, "/") {
				continue // the marker of an empty folder, as consoles make them
			}
			o := cofre.StoredObject{Name: strings.TrimPrefix(info.Key, b.prefix), Size: info.Size, ModifiedAt: info.LastModified.UTC()}
			if !yield(o, nil) {
				return
			}
		}
		// The iterator ends without a word when the context does.
		if err := ctx.Err(); err != nil {
			yield(cofre.StoredObject{}, err)
		}
	}
}

func (b *bucket) Delete(ctx context.Context, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	err := b.explain("delete", name, b.client.RemoveObject(ctx, b.name, b.prefix+name, minio.RemoveObjectOptions{}))
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
	if hint := s3client.Hint(err, condition, b.config, b.name); hint != "" {
		return cofre.WithHint(explained, "%s", hint)
	}
	return explained
}
