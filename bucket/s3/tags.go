package s3

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/tags"

	"github.com/trustlayer/cofre/bucket"
)

// The library takes tags of ASCII letters alone, and refuses an answer that has others; S3 takes the letters, digits and spaces of every
// language. What it refuses is asked for by a request of our own, which it signs.
//
// Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html (restrictions).

// tagging is the body of GetObjectTagging and PutObjectTagging.
type tagging struct {
	XMLName xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ Tagging"`
	Set     []tag    `xml:"TagSet>Tag"`
}

type tag struct{ Key, Value string }

// getTags returns the tags of an object.
func (s *Store) getTags(ctx context.Context, o bucket.Object) (map[string]string, error) {
	found, err := s.core.GetObjectTagging(ctx, o.Bucket, o.Name, minio.GetObjectTaggingOptions{VersionID: o.Version})
	if err == nil {
		return found.ToMap(), nil
	}
	if !isUnfit(err) {
		return nil, err
	}
	body, err := s.tagging(ctx, http.MethodGet, o, nil)
	if err != nil {
		return nil, err
	}
	var t struct {
		Set []tag `xml:"TagSet>Tag"` // whatever the name space
	}
	if err := xml.Unmarshal(body, &t); err != nil {
		return nil, fmt.Errorf("read the tags: %w", err)
	}
	out := make(map[string]string, len(t.Set))
	for _, one := range t.Set {
		out[one.Key] = one.Value
	}
	return out, nil
}

// setTags sets the tags of an object that is there.
func (s *Store) setTags(ctx context.Context, o bucket.Object) error {
	var t tagging
	for k, v := range o.Tags {
		t.Set = append(t.Set, tag{k, v})
	}
	body, err := xml.Marshal(t)
	if err != nil {
		return err
	}
	_, err = s.tagging(ctx, http.MethodPut, o, body)
	return err
}

// unfit reports whether the library refuses tags, and does not send them.
func unfit(all map[string]string) bool {
	_, err := tags.NewTags(all, true)
	return len(all) > 0 && err != nil
}

func isUnfit(err error) bool {
	var e tags.Error
	return errors.As(err, &e)
}

// tagging sends a request about the tags of an object.
//
// Errors: minio.ErrorResponse if the server refuses it.
func (s *Store) tagging(ctx context.Context, method string, o bucket.Object, body []byte) ([]byte, error) {
	params, header := url.Values{"tagging": {""}}, http.Header{}
	if o.Version != "" {
		params.Set("versionId", o.Version)
	}
	if method == http.MethodPut {
		sum := md5.Sum(body)
		header.Set("Content-Md5", base64.StdEncoding.EncodeToString(sum[:]))
	}
	signed, err := s.core.PresignHeader(ctx, method, o.Bucket, o.Name, time.Hour, params, header)
	if err != nil {
		return nil, err
	}
	q, err := http.NewRequestWithContext(ctx, method, signed.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	q.Header = header
	a, err := s.plain.Do(q)
	if err != nil {
		return nil, withoutSignature(err)
	}
	defer a.Body.Close() // only read
	answer, err := io.ReadAll(io.LimitReader(a.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	if a.StatusCode/100 == 2 {
		return answer, nil
	}
	refused := minio.ErrorResponse{StatusCode: a.StatusCode, Code: http.StatusText(a.StatusCode), Message: a.Status}
	_ = xml.Unmarshal(answer, &refused) // what is no XML says nothing more
	return nil, refused
}

// withoutSignature takes the address, which would let anybody repeat the request, out of an error.
func withoutSignature(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
