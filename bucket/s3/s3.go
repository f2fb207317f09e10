// Package s3 reaches buckets on S3 and on what speaks like it: Amazon, MinIO, versitygw, and Supabase's own S3
// endpoint.
//
// It uses the smallest part of the protocol that all of them share: ListObjectsV2, GET, HEAD, PUT and multipart
// uploads, DELETE; and GetObjectTagging, of objects that have tags. It takes no locks, sets no policies and reads the newest version only. It is not the repository's
// store (package store is).
package s3

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"mime"
	"net/http"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/minio/minio-go/v7"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/bucket"
	"github.com/trustlayer/cofre/internal/s3client"
)

// Store is the buckets of one S3 account. Safe for several goroutines.
type Store struct {
	core     minio.Core
	plain    *http.Client // for what the library does not know, see tags.go
	config   s3client.Config
	patience s3client.Patience
	tagless  sync.Map // by bucket: false if objects that seem to have no tags have none, true if the key is not told
}

var (
	_ bucket.Store  = (*Store)(nil)
	_ bucket.Warner = (*Store)(nil)
)

// Open makes a store. It sends no request.
//
// Errors: cofre.ErrConfig if the endpoint or the CA file is not usable.
func Open(cfg s3client.Config) (*Store, error) {
	client, err := s3client.New(cfg)
	if err != nil {
		return nil, err
	}
	plain, err := s3client.Plain(cfg)
	if err != nil {
		return nil, err
	}
	return &Store{core: minio.Core{Client: client}, plain: plain, config: cfg, patience: s3client.Patience{For: cfg.Patience}}, nil
}

// Describe says what S3 keeps. Its listings show neither content type nor metadata.
func (s *Store) Describe() bucket.Description {
	return bucket.Description{
		Kind: "s3", URL: s.core.EndpointURL().String(),
		Keeps: bucket.Keeps{Settings: bucket.Settings{Versions: true}, Headers: true, Tags: true}, TextMetadata: true, SlashIsFolder: true,
	}
}

// maxKey is the length of a name, in bytes.
//
// Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
const maxKey = 1024

// Fit keeps headers that HTTP has; user metadata are strings under names in lower case.
func (s *Store) Fit(o bucket.Object) (bucket.Object, []cofre.Message) {
	var lost []cofre.Message
	if o.Robots != "" {
		lost = append(lost, bucket.LostHeader("X-Robots-Tag"))
	}
	if o.Attributes != nil {
		lost = append(lost, bucket.LostAttributes())
	}
	if len(o.Name) > maxKey || o.Name == "" || !utf8.ValidString(o.Name) {
		lost = append(lost, cofre.Say("bucket.lost_key", "its name, which is longer than 1024 bytes, or empty, or not UTF-8"))
	}
	o.Robots, o.Attributes = "", nil
	if o.Metadata != nil {
		asText, _ := json.Marshal(bucket.MetadataStrings(o.Metadata)) // strings always encode
		if !bytes.Equal(bucket.CanonicalMetadata(asText), bucket.CanonicalMetadata(o.Metadata)) {
			lost = append(lost, cofre.Say("bucket.lost_metadata", "user metadata that is not text under names in lower case: it becomes that"))
		}
		o.Metadata = asText
	}
	return o, lost
}

// Buckets lists the buckets that the key may list, or asks for each that is named.
//
// Errors: cofre.ErrNotFound if a bucket that is named does not exist; cofre.ErrDenied; cofre.ErrUnreachable once the
// patience of the configuration is at an end.
func (s *Store) Buckets(ctx context.Context, ids ...string) ([]bucket.Bucket, error) {
	if len(ids) == 0 {
		var all []minio.BucketInfo
		if err := s.try(ctx, "list buckets", "", func() (err error) {
			all, err = s.core.ListBuckets(ctx)
			return err
		}); err != nil {
			return nil, err
		}
		out := make([]bucket.Bucket, 0, len(all))
		for _, b := range all {
			out = append(out, s.settings(ctx, b.Name))
		}
		return out, nil
	}
	out := make([]bucket.Bucket, 0, len(ids))
	for _, id := range ids {
		ok, err := s.exists(ctx, id)
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, fmt.Errorf("bucket %s: %w", id, cofre.ErrNotFound)
		}
		out = append(out, s.settings(ctx, id))
	}
	return out, nil
}

func (s *Store) settings(ctx context.Context, id string) bucket.Bucket {
	b := bucket.Bucket{ID: id}
	// Not every server knows of versioning, and not every key may ask.
	_ = s.patience.Do(ctx, "versioning of bucket "+id, func() error {
		v, err := s.core.GetBucketVersioning(ctx, id)
		b.Versions = err == nil && v.Enabled()
		return err
	})
	return b
}

// Ensure makes a bucket. Of the settings, S3 has only versioning, which is switched on but never off.
//
// Errors: cofre.ErrRefused if the server does not take the name, or somebody else has it; cofre.ErrDenied;
// cofre.ErrUnreachable.
func (s *Store) Ensure(ctx context.Context, b bucket.Bucket) error {
	ok, err := s.exists(ctx, b.ID)
	if err != nil {
		return err
	}
	if !ok {
		if err := s.try(ctx, "create bucket "+b.ID, b.ID, func() error { return s.makeBucket(ctx, b.ID) }); err != nil {
			return err
		}
	}
	if b.Versions {
		return s.try(ctx, "switch versioning of bucket "+b.ID+" on", b.ID, func() error { return s.core.EnableVersioning(ctx, b.ID) })
	}
	return nil
}

// makeBucket makes a bucket, or finds that an attempt whose answer was lost has made it.
func (s *Store) makeBucket(ctx context.Context, id string) error {
	err := s.core.MakeBucket(ctx, id, minio.MakeBucketOptions{Region: s.config.Region})
	if minio.ToErrorResponse(err).Code == "BucketAlreadyOwnedByYou" {
		return nil
	}
	return err
}

func (s *Store) exists(ctx context.Context, id string) (ok bool, err error) {
	err = s.try(ctx, "bucket "+id, id, func() (err error) {
		ok, err = s.core.BucketExists(ctx, id)
		return err
	})
	return ok, err
}

// try makes a request, and again while its error may pass, and gives the error its meaning.
func (s *Store) try(ctx context.Context, op, id string, request func() error) error {
	return s.explain(op, id, s.patience.Do(ctx, op, request))
}

// List pages through ListObjectsV2. A page that cannot be had is asked for again, from the last object on.
//
// Errors: cofre.ErrNotFound if there is no such bucket; cofre.ErrDenied; cofre.ErrUnreachable; the error of ctx.
func (s *Store) List(ctx context.Context, id, prefix string) iter.Seq2[bucket.Object, error] {
	return func(yield func(bucket.Object, error) bool) {
		options := minio.ListObjectsOptions{Prefix: prefix, Recursive: true}
		stopped := false
		err := s.try(ctx, "list bucket "+id, id, func() error {
			for info := range s.core.ListObjectsIter(ctx, id, options) {
				if info.Err != nil {
					return info.Err
				}
				options.StartAfter = info.Key
				o := bucket.Object{Bucket: id, Name: info.Key, ETag: bucket.TrimETag(info.ETag), Size: info.Size, ModifiedAt: info.LastModified}
				if stopped = !yield(o, nil); stopped {
					return nil
				}
			}
			return ctx.Err()
		})
		if err != nil && !stopped {
			yield(bucket.Object{}, err)
		}
	}
}

// Stat describes an object by HEAD.
//
// Errors: cofre.ErrNotFound; cofre.ErrDenied; cofre.ErrUnreachable.
func (s *Store) Stat(ctx context.Context, id, name string) (bucket.Object, error) {
	var info minio.ObjectInfo
	err := s.try(ctx, "stat "+id+"/"+name, id, func() (err error) {
		info, err = s.core.StatObject(ctx, id, name, minio.StatObjectOptions{})
		return err
	})
	if err != nil {
		return bucket.Object{}, err
	}
	o := describe(id, name, info)
	return o, s.readTags(ctx, &o, info.UserTagCount)
}

// readTags asks for the tags of an object that has some. A key that may not read them is not even told that there are any, so
// the first object of a bucket that seems to have none is asked for them, too.
//
// Errors: cofre.ErrUnreachable. That they may not be read is said in o.
//
// Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html (x-amz-tagging-count).
func (s *Store) readTags(ctx context.Context, o *bucket.Object, count int) error {
	o.Tags = map[string]string{}
	if denied, asked := s.tagless.Load(o.Bucket); asked && count == 0 {
		if denied.(bool) {
			o.Tags = nil
		}
		return nil
	}
	err := s.try(ctx, "read the tags of "+o.Path(), o.Bucket, func() error {
		found, err := s.getTags(ctx, *o)
		if err == nil {
			o.Tags = found
		}
		return err
	})
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, cofre.ErrNotFound) && count == 0: // deleted since, or it has none
		return nil
	case errors.Is(err, cofre.ErrUnreachable) && !unknownRequest(err):
		return err
	case err != nil && count > 0:
		o.Tags, o.TagsUnread = nil, err.Error()
	case errors.Is(err, cofre.ErrDenied):
		o.Tags = nil
	}
	if count == 0 { // a server that knows no tags refuses the question
		s.tagless.Store(o.Bucket, o.Tags == nil)
	}
	return nil
}

// unknownRequest tells a server that does not know a request from one that is away.
func unknownRequest(err error) bool {
	var answer minio.ErrorResponse
	return errors.As(err, &answer) && answer.StatusCode == http.StatusNotImplemented
}

// Warnings names the buckets whose tags the key may not read, as far as that was seen.
func (s *Store) Warnings() []cofre.Message {
	var ids []string
	s.tagless.Range(func(id, denied any) bool {
		if denied.(bool) {
			ids = append(ids, id.(string))
		}
		return true
	})
	slices.Sort(ids)
	var out []cofre.Message
	for _, id := range ids {
		out = append(out, cofre.Say("s3.tags_denied", "bucket {{.bucket}}: the key may not read the tags of objects (s3:GetObjectTagging), so these are not captured, if there are any", "bucket", id))
	}
	return out
}

// Open reads an object in one request.
//
// Errors: cofre.ErrNotFound; cofre.ErrDenied; cofre.ErrUnreachable, from reads too, which is Retryable: to try again
// is left to the caller.
func (s *Store) Open(ctx context.Context, o bucket.Object) (bucket.Object, io.ReadCloser, error) {
	r, info, _, err := s.core.GetObject(ctx, o.Bucket, o.Name, minio.GetObjectOptions{})
	if err != nil {
		return bucket.Object{}, nil, s.explain("read "+o.Path(), o.Bucket, err)
	}
	got := describe(o.Bucket, o.Name, info)
	if o.ETag == got.ETag && o.ModifiedAt.Unix() == got.ModifiedAt.Unix() {
		got.ModifiedAt = o.ModifiedAt // the header has whole seconds
	}
	if err := s.readTags(ctx, &got, info.UserTagCount); err != nil {
		return bucket.Object{}, nil, errors.Join(err, r.Close())
	}
	return got, &body{ReadCloser: r, store: s, o: o}, nil
}

// body gives the errors of a download their meaning.
type body struct {
	io.ReadCloser
	store *Store
	o     bucket.Object
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = b.store.explain("read "+b.o.Path(), b.o.Bucket, err)
	}
	return n, err
}

func describe(id, name string, info minio.ObjectInfo) bucket.Object {
	o := bucket.Object{
		Bucket: id, Name: name, Version: info.VersionID, ETag: bucket.TrimETag(info.ETag), Size: info.Size,
		ModifiedAt: info.LastModified, ContentType: info.ContentType,
		CacheControl: info.Metadata.Get("Cache-Control"), Encoding: contentEncoding(info.Metadata),
		Disposition: info.Metadata.Get("Content-Disposition"), Language: info.Metadata.Get("Content-Language"),
	}
	if o.Version == "null" {
		o.Version = "" // of an object written while versioning was off: not the name of one content
	}
	// What the server encrypts with keys that are not its own has an ETag that is no MD5, though it looks like one.
	// Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html (ETag).
	kms := strings.HasPrefix(info.Metadata.Get("X-Amz-Server-Side-Encryption"), "aws:kms")
	o.OpaqueETag = kms || info.Metadata.Get("X-Amz-Server-Side-Encryption-Customer-Algorithm") != ""
	// Headers are ASCII; what is not comes as an encoded word.
	var words mime.WordDecoder
	values := make(map[string]string, len(info.UserMetadata))
	for k, v := range info.UserMetadata {
		if decoded, err := words.DecodeHeader(v); err == nil {
			v = decoded
		}
		values[strings.ToLower(k)] = v
	}
	o.Metadata, _ = json.Marshal(values) // strings always encode
	return o
}

// contentEncoding leaves out aws-chunked: the framing of an upload, which some servers keep as if it were the
// object's.
func contentEncoding(h http.Header) string {
	var kept []string
	for e := range strings.SplitSeq(h.Get("Content-Encoding"), ",") {
		if e = strings.TrimSpace(e); e != "" && e != "aws-chunked" {
			kept = append(kept, e)
		}
	}
	return strings.Join(kept, ", ")
}

// Sizes of the parts of an upload. Some servers take no more than 1000 parts, so parts grow with the object.
const (
	partSize = 16 << 20
	maxParts = 1000
)

// Put writes an object, in parts if it is large. Nothing is seen of it before the last part.
//
// Errors: cofre.ErrRefused if the name is empty or not UTF-8, or the server does not take the name or the size;
// io.ErrUnexpectedEOF if r is not as long as o.Size says; cofre.ErrNotFound if there is no such bucket; cofre.ErrDiskFull
// if the server or a quota is full; cofre.ErrDenied; cofre.ErrUnreachable.
func (s *Store) Put(ctx context.Context, o bucket.Object, r io.ReadSeeker) (bucket.Object, error) {
	if !utf8.ValidString(o.Name) || o.Name == "" {
		return o, fmt.Errorf("write %s: the name is empty or not UTF-8: %w", o.Path(), cofre.ErrRefused)
	}
	if err := bucket.CheckLength(r, o.Size); err != nil {
		return o, fmt.Errorf("write %s: %w", o.Path(), err)
	}
	meta := bucket.MetadataStrings(o.Metadata)
	for k, v := range meta {
		meta[k] = mime.BEncoding.Encode("utf-8", v) // as it stands if it is ASCII
	}
	options := minio.PutObjectOptions{
		UserMetadata: meta, ContentType: o.ContentType, CacheControl: o.CacheControl, ContentEncoding: o.Encoding,
		ContentDisposition: o.Disposition, ContentLanguage: o.Language,
		// One part in memory at a time: several objects are under way at once.
		PartSize: uint64(max(partSize, (o.Size/maxParts+1<<20)&^(1<<20-1))), NumThreads: 1,
	}
	put := s.putParts
	if o.Size <= partSize {
		put = s.putWhole
	}
	write := func() error {
		return s.try(ctx, "write "+o.Path(), o.Bucket, func() error {
			if _, err := r.Seek(0, io.SeekStart); err != nil {
				return err
			}
			return put(ctx, o, r, options)
		})
	}
	if unfit(o.Tags) {
		if err := write(); err != nil {
			return o, err
		}
		err := s.try(ctx, "set the tags of "+o.Path(), o.Bucket, func() error { return s.setTags(ctx, o) })
		if errors.Is(err, cofre.ErrDenied) || errors.Is(err, cofre.ErrRefused) {
			err = nil // told apart when the object is read
		}
		return o, err
	}
	options.UserTags = o.Tags
	err := write()
	if len(o.Tags) > 0 && (errors.Is(err, cofre.ErrDenied) || errors.Is(err, cofre.ErrRefused)) {
		// The key may not set tags, or the server knows none: the object without them is better than nothing, and is told apart
		// when it is read.
		options.UserTags = nil
		err = write()
	}
	return o, err
}

func (s *Store) putParts(ctx context.Context, o bucket.Object, r io.ReadSeeker, options minio.PutObjectOptions) error {
	_, err := s.core.Client.PutObject(ctx, o.Bucket, o.Name, struct{ io.Reader }{r}, o.Size, options)
	return err
}

// putWhole signs the hash of the whole content. Otherwise the client signs chunk by chunk over plain HTTP, and
// some servers keep the name of that framing, aws-chunked, as the object's content encoding.
func (s *Store) putWhole(ctx context.Context, o bucket.Object, r io.ReadSeeker, options minio.PutObjectOptions) error {
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return err
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return err
	}
	options.DisableContentSha256 = true // of the client's own making; the one given here is sent and checked
	_, err := s.core.PutObject(ctx, o.Bucket, o.Name, struct{ io.Reader }{r}, o.Size, "", hex.EncodeToString(h.Sum(nil)), options)
	return err
}

// Delete removes an object; with versioning on, S3 keeps it under a delete marker.
//
// Errors: cofre.ErrDenied; cofre.ErrUnreachable. An object that is not there is none.
func (s *Store) Delete(ctx context.Context, id, name string) error {
	err := s.try(ctx, "delete "+id+"/"+name, id, func() error { return s.core.RemoveObject(ctx, id, name, minio.RemoveObjectOptions{}) })
	if errors.Is(err, cofre.ErrNotFound) {
		return nil
	}
	return err
}

// serverError is an answer, or a failure to get one, with its condition.
type serverError struct {
	op        string
	err       error
	condition error // of package cofre, or nil
}

func (e *serverError) Error() string { return e.op + ": " + e.err.Error() }

func (e *serverError) Unwrap() []error {
	if e.condition == nil {
		return []error{e.err}
	}
	return []error{e.condition, e.err}
}

// Retryable reports whether the same request may succeed later.
func (e *serverError) Retryable() bool { return errors.Is(e.condition, cofre.ErrUnreachable) }

// Throttled reports whether the server asked to be called less.
func (e *serverError) Throttled() bool {
	var answer minio.ErrorResponse
	return errors.As(e.err, &answer) &&
		(answer.Code == "SlowDown" || answer.StatusCode == http.StatusServiceUnavailable || answer.StatusCode == http.StatusTooManyRequests)
}

func (s *Store) explain(op, id string, err error) error {
	if err == nil {
		return nil
	}
	condition := s3client.Condition(err)
	var answer minio.ErrorResponse
	switch {
	case errors.Is(condition, cofre.ErrNoRepo):
		condition = cofre.ErrNotFound // a bucket to be captured is no repository
	case condition == nil && errors.As(err, &answer) && answer.StatusCode >= 400 && answer.StatusCode < 500:
		condition = cofre.ErrRefused
	}
	out := error(&serverError{op, err, condition})
	if hint := s3client.Hint(err, condition, s.config, id); !hint.IsZero() {
		out = cofre.WithHint(out, hint)
	}
	return out
}
