package supabase

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strconv"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/bucket"
)

// pageSize is the server's own cap on list v2.
const pageSize = 1000

// listed is an object as list v2 writes it.
type listed struct {
	ID        string          `json:"id"`
	Name      string          `json:"name"`
	Metadata  json.RawMessage `json:"metadata"`
	UpdatedAt time.Time       `json:"updated_at"`
	CreatedAt time.Time       `json:"created_at"`
}

// List pages through list v2: flat, full names, in byte order, with a cursor that survives deletes. List v1 is not
// used even if a server has nothing else: it merges folders that differ in case and skips rows when something
// is deleted meanwhile.
//
// Errors: *bucket.UnreadableError for an object whose metadata cannot be read, which does not end the list; cofre.ErrRefused on
// a server without list v2; cofre.ErrCorrupt if it says that there is more and not where; those of Buckets.
func (s *Store) List(ctx context.Context, id, prefix string) iter.Seq2[bucket.Object, error] {
	return func(yield func(bucket.Object, error) bool) {
		// A listing of a bucket that does not exist is an empty success.
		if _, err := s.Buckets(ctx, id); err != nil {
			yield(bucket.Object{}, err)
			return
		}
		cursor := ""
		for {
			var page struct {
				HasNext    bool     `json:"hasNext"`
				NextCursor string   `json:"nextCursor"`
				Objects    []listed `json:"objects"`
			}
			ask := map[string]any{"prefix": prefix, "limit": pageSize, "with_delimiter": false}
			if cursor != "" {
				ask["cursor"] = cursor
			}
			err := s.call(ctx, "list bucket "+id, http.MethodPost, "/object/list-v2/"+escape(id), ask, &page)
			var answer *Error
			if errors.As(err, &answer) && answer.noRoute() {
				err = cofre.WithHint(
					fmt.Errorf("list bucket %s: this server has no list-v2, and list v1 loses objects whose folders differ in case: %w", id, cofre.ErrRefused),
					cofre.Say("supabase.inventory", "back the database up in the same run, or give storage.database_url, so that the inventory comes from storage.objects"))
			}
			if err != nil {
				yield(bucket.Object{}, err)
				return
			}
			for _, l := range page.Objects {
				if !yield(l.object(id)) {
					return
				}
			}
			if !page.HasNext {
				return
			}
			if page.NextCursor == "" || page.NextCursor == cursor {
				yield(bucket.Object{}, fmt.Errorf("list bucket %s: the server says there is more and not where: %w", id, cofre.ErrCorrupt))
				return
			}
			cursor = page.NextCursor
		}
	}
}

func (l listed) object(id string) (bucket.Object, error) {
	o := bucket.Object{
		Bucket: id, Name: l.Name, ModifiedAt: l.UpdatedAt,
		Row: &bucket.Row{ID: l.ID, CreatedAt: l.CreatedAt, UpdatedAt: l.UpdatedAt},
	}
	o, err := parseStored(o, l.Metadata)
	if err != nil {
		return o, &bucket.UnreadableError{Object: o, Why: cofre.Say("bucket.metadata_unreadable", "its metadata cannot be read: {{.cause}}", "cause", err)}
	}
	return o, nil
}

// info is what the server says of one object, from its row alone.
type info struct {
	ID           string          `json:"id"`
	Name         string          `json:"name"`
	Version      string          `json:"version"`
	Size         int64           `json:"size"`
	ContentType  string          `json:"content_type"`
	CacheControl string          `json:"cache_control"`
	ETag         string          `json:"etag"`
	Metadata     json.RawMessage `json:"metadata"`
	LastModified time.Time       `json:"last_modified"`
	CreatedAt    time.Time       `json:"created_at"`
}

// Stat describes an object by its row. Its bytes may be gone all the same: see Prove.
//
// Errors: *Error for what the server answers: cofre.ErrNotFound if there is no such row, cofre.ErrDenied for the key;
// cofre.ErrUnreachable if it does not answer.
func (s *Store) Stat(ctx context.Context, id, name string) (bucket.Object, error) {
	var i info
	op := "info " + id + "/" + name
	if err := s.call(ctx, op, http.MethodGet, "/object/info/authenticated/"+escape(id)+"/"+escape(name), nil, &i); err != nil {
		return bucket.Object{}, err
	}
	return bucket.Object{
		Bucket: id, Name: name, Version: i.Version, ETag: bucket.TrimETag(i.ETag), Size: i.Size,
		ModifiedAt: i.LastModified, ContentType: i.ContentType, CacheControl: i.CacheControl,
		Metadata: bucket.CanonicalMetadata(i.Metadata),
		Row:      &bucket.Row{ID: i.ID, CreatedAt: i.CreatedAt, UpdatedAt: i.LastModified},
	}, nil
}

// Open reads an object's bytes, and its row too if the caller does not know the version and metadata: from a
// listing, for instance.
//
// Errors: those of Stat; a Retryable one if row and bytes are not of the same moment, or, from reads too, the connection
// breaks.
func (s *Store) Open(ctx context.Context, o bucket.Object) (bucket.Object, io.ReadCloser, error) {
	res, err := s.get(ctx, o, "")
	if err != nil {
		return bucket.Object{}, nil, err
	}
	got := served(o, res)
	got.Size = res.ContentLength
	if o.Version == "" || o.Metadata == nil {
		row, err := s.Stat(ctx, o.Bucket, o.Name)
		if err != nil {
			return bucket.Object{}, nil, errors.Join(err, res.Body.Close())
		}
		if got.Size >= 0 && row.Size != got.Size || got.ETag != "" && bucket.IsMD5(got.ETag) && bucket.IsMD5(row.ETag) && row.ETag != got.ETag {
			return bucket.Object{}, nil, errors.Join(&changedError{o.Path()}, res.Body.Close())
		}
		got = withRow(got, row)
	} else {
		got.Version, got.Metadata = o.Version, o.Metadata
	}
	return got, &body{res.Body, "read " + o.Path()}, nil
}

// withRow adds what only the row tells. Headers of a download come from attributes of the file, which a copy
// loses; the row is what the application sees.
func withRow(got, row bucket.Object) bucket.Object {
	got.Version, got.Metadata, got.Row, got.ModifiedAt = row.Version, row.Metadata, row.Row, row.ModifiedAt
	if got.ETag == "" {
		got.ETag = row.ETag
	}
	return got
}

// changedError says that the bytes and the row of an object are not of the same moment.
type changedError struct{ path string }

func (e *changedError) Error() string   { return "read " + e.path + ": its row and its bytes differ" }
func (e *changedError) Retryable() bool { return true }

// Prove asks for one byte. The server computes the etag of what it has, and answers with an error if that is gone.
//
// Errors: *Error if the bytes are gone; those of Stat.
func (s *Store) Prove(ctx context.Context, o bucket.Object) (bucket.Object, error) {
	row, err := s.Stat(ctx, o.Bucket, o.Name)
	if err != nil {
		return bucket.Object{}, err
	}
	span := "bytes=0-0"
	if row.Size == 0 {
		span = "" // any range of an empty object is refused
	}
	res, err := s.get(ctx, o, span)
	if err != nil {
		return bucket.Object{}, err
	}
	_, copyErr := io.Copy(io.Discard, io.LimitReader(res.Body, 1)) // so that the connection can be used again
	if err := errors.Join(copyErr, res.Body.Close()); err != nil {
		return bucket.Object{}, transport("read "+o.Path(), err)
	}
	got := served(o, res)
	got.Size = res.ContentLength
	if span != "" {
		got.Size = rangeTotal(res.Header.Get("Content-Range"), row.Size)
	}
	return withRow(got, row), nil
}

// rangeTotal reads the total from "bytes 0-0/12".
func rangeTotal(header string, otherwise int64) int64 {
	for i := len(header) - 1; i >= 0; i-- {
		if header[i] == '/' {
			if n, err := strconv.ParseInt(header[i+1:], 10, 64); err == nil {
				return n
			}
		}
	}
	return otherwise
}

// get asks for the bytes of an object. /object/authenticated answers a bad key as such; /object calls the bucket
// missing.
func (s *Store) get(ctx context.Context, o bucket.Object, span string) (*http.Response, error) {
	op := "read " + o.Path()
	req, err := s.request(ctx, http.MethodGet, "/object/authenticated/"+escape(o.Bucket)+"/"+escape(o.Name), nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	if span != "" {
		req.Header.Set("Range", span)
	}
	return s.send(op, req)
}

func served(o bucket.Object, res *http.Response) bucket.Object {
	h := res.Header
	got := bucket.Object{
		Bucket: o.Bucket, Name: o.Name, ETag: bucket.TrimETag(h.Get("Etag")), ContentType: h.Get("Content-Type"),
		CacheControl: h.Get("Cache-Control"), ModifiedAt: o.ModifiedAt, Row: o.Row,
	}
	// The server says none if nothing was set.
	if r := h.Get("X-Robots-Tag"); r != "none" {
		got.Robots = r
	}
	return got
}

// body is the bytes of an object; a connection that breaks is a reason to try again.
type body struct {
	io.ReadCloser
	op string
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = transport(b.op, err)
	}
	return n, err
}

// Delete removes an object. The server also deletes a row whose bytes are gone.
//
// Errors: *Error: cofre.ErrDenied for the key, cofre.ErrNotFound if there is no such bucket; cofre.ErrUnreachable. An
// object that is not there is none.
func (s *Store) Delete(ctx context.Context, id, name string) error {
	err := s.call(ctx, "delete "+id+"/"+name, http.MethodDelete, "/object/"+escape(id)+"/"+escape(name), nil, nil)
	var answer *Error
	if errors.As(err, &answer) && answer.Code == "NoSuchKey" {
		return nil
	}
	return err
}
