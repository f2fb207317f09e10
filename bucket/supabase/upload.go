package supabase

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/bucket"
)

// chunk is the size of one request of a resumable upload: what upstream's clients use, and the only size that the
// hosted service takes.
const chunk = 6 << 20

// Put writes one object, resumably if it is large. The object keeps its id and its owner if it exists.
//
// Errors: io.ErrUnexpectedEOF if r is not as long as o.Size says; *Error: cofre.ErrRefused for a size, a type or a name
// that the server does not take, cofre.ErrNotFound if there is no such bucket, cofre.ErrDenied for the key;
// cofre.ErrCorrupt if the server says that it has what was not sent; cofre.ErrUnreachable.
func (s *Store) Put(ctx context.Context, o bucket.Object, r io.ReadSeeker) (bucket.Object, error) {
	if err := bucket.CheckLength(r, o.Size); err != nil {
		return o, fmt.Errorf("write %s: %w", o.Path(), err)
	}
	if o.Size > s.resumable {
		if seconds, ok := maxAge(o.CacheControl); ok && o.Robots == "" {
			return s.putResumable(ctx, o, r, seconds)
		}
		// A resumable upload carries nothing but a number of seconds as cache control, and no robots tag.
	}
	return s.putWhole(ctx, o, r)
}

func (s *Store) putWhole(ctx context.Context, o bucket.Object, r io.ReadSeeker) (bucket.Object, error) {
	op := "write " + o.Path()
	err := s.again(ctx, func() error {
		if _, err := r.Seek(0, io.SeekStart); err != nil {
			return err
		}
		// Hidden behind a plain reader: the client would close a reader that can be closed, and it is the caller's.
		var content io.Reader = struct{ io.Reader }{r}
		if o.Size == 0 {
			content = http.NoBody
		}
		req, err := s.request(ctx, http.MethodPut, "/object/"+escape(o.Bucket)+"/"+escape(o.Name), content)
		if err != nil {
			return fmt.Errorf("%s: %w", op, err)
		}
		req.ContentLength = o.Size
		req.Header.Set("x-upsert", "true")
		req.Header.Set("Content-Type", contentType(o))
		if o.CacheControl != "" {
			req.Header.Set("Cache-Control", o.CacheControl)
		}
		if o.Robots != "" {
			req.Header.Set("x-robots-tag", o.Robots)
		}
		if m := bucket.CanonicalMetadata(o.Metadata); string(m) != "{}" {
			req.Header.Set("x-metadata", base64.StdEncoding.EncodeToString(m))
		}
		res, err := s.send(op, req)
		if err != nil {
			return err
		}
		_, _ = io.Copy(io.Discard, res.Body) // the object's id, which the caller can ask for
		return res.Body.Close()
	})
	return o, err
}

func contentType(o bucket.Object) string {
	if o.ContentType == "" {
		return "application/octet-stream"
	}
	return o.ContentType
}

// maxAge reads the only cache controls that a resumable upload can carry.
func maxAge(cacheControl string) (string, bool) {
	if cacheControl == "" || cacheControl == "no-cache" {
		return "no-cache", true // the server writes no-cache for what is no number
	}
	seconds, ok := strings.CutPrefix(cacheControl, "max-age=")
	if !ok {
		return "", false
	}
	n, err := strconv.Atoi(seconds)
	return seconds, err == nil && n >= 0
}

// putResumable uploads in chunks. After a broken connection the server is asked how far it came, and the chunk at
// hand goes on from there.
//
// Source: tus resumable upload protocol 1.0.0, https://tus.io/protocols/resumable-upload
func (s *Store) putResumable(ctx context.Context, o bucket.Object, r io.ReadSeeker, cacheControl string) (bucket.Object, error) {
	op := "write " + o.Path()
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return o, fmt.Errorf("%s: %w", op, err)
	}
	var where string
	if err := s.again(ctx, func() (err error) {
		where, err = s.beginUpload(ctx, op, o, cacheControl)
		return err
	}); err != nil {
		return o, err
	}
	buf := make([]byte, min(chunk, o.Size))
	for offset := int64(0); offset < o.Size; {
		n, err := io.ReadFull(r, buf[:min(int64(len(buf)), o.Size-offset)])
		if err != nil {
			return o, fmt.Errorf("%s: %w", op, err)
		}
		if err := s.sendChunk(ctx, op, where, offset, buf[:n]); err != nil {
			s.giveUp(ctx, where)
			if errors.Is(err, cofre.ErrNotFound) {
				// Finished by a request whose answer was lost, or expired: nobody knows which, so it is begun again.
				err = &transportError{op, fmt.Errorf("the server does not know the upload any more: %v", err)}
			}
			return o, err
		}
		offset += int64(n)
	}
	return o, nil
}

func (s *Store) beginUpload(ctx context.Context, op string, o bucket.Object, cacheControl string) (string, error) {
	req, err := s.request(ctx, http.MethodPost, "/upload/resumable", http.NoBody)
	if err != nil {
		return "", fmt.Errorf("%s: %w", op, err)
	}
	encode := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	meta := []string{
		"bucketName " + encode(o.Bucket), "objectName " + encode(o.Name),
		"contentType " + encode(contentType(o)), "cacheControl " + encode(cacheControl),
	}
	if m := bucket.CanonicalMetadata(o.Metadata); string(m) != "{}" {
		meta = append(meta, "metadata "+encode(string(m)))
	}
	req.Header.Set("Tus-Resumable", "1.0.0")
	req.Header.Set("Upload-Length", strconv.FormatInt(o.Size, 10))
	req.Header.Set("Upload-Metadata", strings.Join(meta, ","))
	req.Header.Set("x-upsert", "true")
	res, err := s.send(op, req)
	if err != nil {
		return "", err
	}
	if err := res.Body.Close(); err != nil {
		return "", transport(op, err)
	}
	// The server writes the address with its public host, and https whatever it is reached by; only the last
	// segment counts.
	u, err := url.Parse(res.Header.Get("Location"))
	if err != nil || path.Base(u.Path) == "." || path.Base(u.Path) == "/" {
		return "", fmt.Errorf("%s: the server names no place for the upload: %w", op, errNotStorage)
	}
	return "/upload/resumable/" + path.Base(u.EscapedPath()), nil
}

// sendChunk writes one chunk at offset, asking after each failure what arrived of it.
func (s *Store) sendChunk(ctx context.Context, op, where string, offset int64, data []byte) error {
	at := int64(0) // of data: what the server has
	return s.again(ctx, func() error {
		err := s.patch(ctx, op, where, offset+at, data[at:])
		if err == nil {
			return nil
		}
		has, headErr := s.uploaded(ctx, op, where)
		if headErr != nil {
			return err // an upload that was finished and forgotten, or has expired: the read-back tells which
		}
		switch {
		case has == offset+int64(len(data)):
			return nil
		case has < offset || has > offset+int64(len(data)):
			return fmt.Errorf("%s: the server has %d bytes, between %d and %d were sent: %w", op, has, offset, offset+int64(len(data)), cofre.ErrCorrupt)
		}
		at = has - offset
		var answer *Error
		if errors.As(err, &answer) && answer.HTTP == http.StatusConflict {
			return &transportError{op, err} // a wrong offset, which is right now
		}
		return err
	})
}

func (s *Store) patch(ctx context.Context, op, where string, offset int64, data []byte) error {
	req, err := s.request(ctx, http.MethodPatch, where, bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	req.Header.Set("Tus-Resumable", "1.0.0")
	req.Header.Set("Upload-Offset", strconv.FormatInt(offset, 10))
	req.Header.Set("Content-Type", "application/offset+octet-stream")
	req.Header.Set("x-upsert", "true")
	res, err := s.send(op, req)
	if err != nil {
		return err
	}
	return res.Body.Close()
}

// uploaded asks how many bytes have arrived.
func (s *Store) uploaded(ctx context.Context, op, where string) (int64, error) {
	req, err := s.request(ctx, http.MethodHead, where, nil)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", op, err)
	}
	req.Header.Set("Tus-Resumable", "1.0.0")
	res, err := s.send(op, req)
	if err != nil {
		return 0, err
	}
	if err := res.Body.Close(); err != nil {
		return 0, transport(op, err)
	}
	n, err := strconv.ParseInt(res.Header.Get("Upload-Offset"), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: upload offset %q: %w", op, res.Header.Get("Upload-Offset"), errNotStorage)
	}
	return n, nil
}

// giveUp removes a half upload. The server expires it otherwise, after an hour.
func (s *Store) giveUp(ctx context.Context, where string) {
	req, err := s.request(context.WithoutCancel(ctx), http.MethodDelete, where, nil)
	if err != nil {
		return
	}
	req.Header.Set("Tus-Resumable", "1.0.0")
	if res, err := s.send("give up an upload", req); err == nil {
		_ = res.Body.Close()
	}
}

// MaxSize asks for the largest object the server takes, -1 if it does not say.
//
// Errors: cofre.ErrUnreachable; *Error if the server cannot answer now.
func (s *Store) MaxSize(ctx context.Context) (int64, error) {
	if known := s.maxSize.Load(); known != 0 {
		return known - 1, nil
	}
	limit := int64(-1)
	err := s.again(ctx, func() error {
		req, err := s.request(ctx, http.MethodOptions, "/upload/resumable", nil)
		if err != nil {
			return err
		}
		req.Header.Set("Tus-Resumable", "1.0.0")
		res, err := s.send("ask for the largest size", req)
		if err != nil {
			return err
		}
		if n, err := strconv.ParseInt(res.Header.Get("Tus-Max-Size"), 10, 64); err == nil && n > 0 {
			limit = n
		}
		return res.Body.Close()
	})
	var answer *Error
	if errors.As(err, &answer) && !answer.Retryable() {
		return -1, nil // a server without resumable uploads
	}
	if err == nil && limit >= 0 {
		s.maxSize.Store(limit + 1)
	}
	return limit, err
}
