// Package supabase reaches the buckets of Supabase Storage over its HTTP API, behind a gateway (/storage/v1) or
// bare.
//
// What the server answers is not always what it seems: nearly every error has status 400 and its own status in the
// body, a key that may not see an object gets an empty list, a row whose bytes are gone is listed as if nothing
// had happened, and list v1 merges folders that differ in case. Each of these has its place here: errors.go,
// key.go, Store.Prove, and Store.List, which knows list v2 only. It does not speak the server's S3 endpoint
// (bucket/s3 does) nor SQL. Read store.go first, then objects.go and upload.go.
package supabase

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/bucket"
	"github.com/trustlayer/cofre/internal/bounded"
	"github.com/trustlayer/cofre/internal/retry"
	"github.com/trustlayer/cofre/internal/secret"
	"github.com/trustlayer/cofre/internal/stall"
)

// Config says where the storage is and how to be let in.
type Config struct {
	URL string       // of the installation, with or without /storage/v1, or of the bare server
	Key secret.Value // of role service_role
	CA  string       // path of a PEM file with more certificate authorities; optional
	// Patience is how long a server is waited for that throttles, fails or has gone away, with each request; 5 minutes if 0.
	Patience time.Duration
	// ResumableAbove is the size in bytes above which an upload is resumable (TUS); 50 MB if 0.
	ResumableAbove int64
}

// Store is one Supabase Storage. Safe for several goroutines.
type Store struct {
	base      string // requests are appended to it: http://host/storage/v1
	key       secret.Value
	client    *http.Client
	warnings  []cofre.Message
	resumable int64
	patience  time.Duration
	answered  atomic.Bool  // whether the server was ever there
	maxSize   atomic.Int64 // what MaxSize learned, +1; 0 before
}

var (
	_ bucket.Store   = (*Store)(nil)
	_ bucket.Prover  = (*Store)(nil)
	_ bucket.Limiter = (*Store)(nil)
	_ bucket.Warner  = (*Store)(nil)
	_ bucket.Rowed   = (*Store)(nil)
)

const (
	prefix           = "/storage/v1"
	defaultResumable = 50 << 20
	defaultPatience  = 5 * time.Minute
	attempts         = 6 // of a request that a server which is there fails, or of one to a server that never was
	dialTimeout      = 10 * time.Second
	// attemptsStalled is how often a request is sent to a server that accepts it and says nothing: each takes a whole
	// silence, and everything else that is to be backed up waits.
	attemptsStalled = 2
)

// How long a connection may say nothing; tests shorten it. The server reads an object whole, for its MD5, before it
// answers, and at 100 MB/s two minutes are 12 GB. Whether it is there at all it says at once.
var (
	silence      = 2 * time.Minute
	firstSilence = 30 * time.Second
)

// Open looks at the key, finds the API under the address, and asks it for the buckets, so that a wrong key is
// found out here and not by an empty list.
//
// Errors: cofre.ErrDenied for a key that does not see everything or is not let in; cofre.ErrUnreachable;
// cofre.ErrConfig for an address that is none or has no storage behind it.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	u, err := url.Parse(strings.TrimRight(cfg.URL, "/"))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" {
		return nil, fmt.Errorf("storage address %q is no http or https address without credentials: %w", redactUser(cfg.URL), cofre.ErrConfig)
	}
	warnings, err := examineKey(cfg.Key.Reveal(), time.Now())
	if err != nil {
		return nil, err
	}
	client, err := newClient(cfg.CA)
	if err != nil {
		return nil, err
	}
	s := &Store{
		key: cfg.Key, client: client, warnings: warnings,
		resumable: cmp.Or(cfg.ResumableAbove, defaultResumable), patience: cmp.Or(cfg.Patience, defaultPatience),
	}
	if err := s.findBase(ctx, u.String()); err != nil {
		return nil, err
	}
	s.answered.Store(true)
	return s, nil
}

func redactUser(u string) string {
	if i := strings.LastIndexByte(u, '@'); i >= 0 {
		return "…" + u[i:]
	}
	return u
}

func newClient(ca string) (*http.Client, error) {
	t := &http.Transport{
		Proxy:       http.ProxyFromEnvironment,
		DialContext: stall.Dial(&net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}, silence),
		// HTTP/2 multiplexes every request over one connection, whose flow control a gateway keeps small.
		TLSNextProto:          map[string]func(string, *tls.Conn) http.RoundTripper{},
		TLSHandshakeTimeout:   dialTimeout,
		ResponseHeaderTimeout: silence,
		MaxIdleConnsPerHost:   2 * bucket.MaxJobs,
		IdleConnTimeout:       50 * time.Second, // below the server's own 61 s, so that it does not hang up first
		DisableCompression:    true,
		ReadBufferSize:        64 << 10,
		WriteBufferSize:       64 << 10,
	}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, fmt.Errorf("certificate authorities: %w: %w", cofre.ErrConfig, err)
		}
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("certificate authorities: %s holds none: %w", ca, cofre.ErrConfig)
		}
		t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse // a gateway that redirects would be given the key
	}}, nil
}

// findBase finds out whether the API is under /storage/v1 or at the root.
func (s *Store) findBase(ctx context.Context, given string) error {
	candidates := []string{given + prefix, given}
	if strings.HasSuffix(given, prefix) {
		candidates = []string{given, strings.TrimSuffix(given, prefix)}
	}
	var first error
	for _, base := range candidates {
		s.base = base
		err := s.answers(ctx)
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
		var answer *Error
		// Not there: the router says so, a gateway answers with a page of its own or asks for a password.
		elsewhere := errors.Is(err, errNotStorage) || errors.As(err, &answer) && (answer.noRoute() || answer.Code == "" || answer.Code == "Not Found")
		if !elsewhere {
			return keyHint(err)
		}
	}
	if errors.Is(first, cofre.ErrUnreachable) {
		return first
	}
	return fmt.Errorf("no storage API at %s: %w: %w", given, cofre.ErrConfig, first)
}

// answers asks for the buckets, and does not wait long for a server that says nothing.
func (s *Store) answers(ctx context.Context) error {
	asking, cancel := context.WithTimeoutCause(ctx, attemptsStalled*firstSilence, errSilent)
	defer cancel()
	_, err := s.Buckets(asking)
	if err != nil && ctx.Err() == nil && asking.Err() != nil {
		err = transport("list buckets", fmt.Errorf("%w for %s", errSilent, attemptsStalled*firstSilence))
	}
	return err
}

var errSilent = errors.New("it accepts connections and says nothing")

func keyHint(err error) error {
	if errors.Is(err, cofre.ErrDenied) {
		return cofre.WithHint(err, cofre.Say("supabase.key", "the server does not accept the service role key: was it made with the server's JWT secret?"))
	}
	return err
}

// Describe says what Supabase keeps.
func (s *Store) Describe() bucket.Description {
	return bucket.Description{
		Kind: "supabase", URL: s.base, Enumerable: true,
		Keeps: bucket.Keeps{Settings: bucket.Settings{Public: true, Limits: true}, Headers: true, Rows: true},
	}
}

// legalName is what version 1.70.6 takes of a name; others may take more.
var legalName = regexp.MustCompile(`^[\w/!.*'() &$@=;:+,?-]+$`)

// Fit keeps what a row of storage.objects has; without a cache control the server writes no-cache.
func (s *Store) Fit(o bucket.Object) (bucket.Object, []cofre.Message) {
	var lost []cofre.Message
	for _, p := range []struct {
		is   bool
		what cofre.Message
	}{
		{o.Encoding != "", bucket.LostHeader("Content-Encoding")},
		{o.Disposition != "", bucket.LostHeader("Content-Disposition")},
		{o.Language != "", bucket.LostHeader("Content-Language")},
		{o.Attributes != nil, bucket.LostAttributes()},
		{!legalName.MatchString(o.Name) || slices.ContainsFunc(strings.Split(o.Name, "/"), isDots), cofre.Say("bucket.lost_name", "its name, which the server may not accept")},
	} {
		if p.is {
			lost = append(lost, p.what)
		}
	}
	o.Tags = nil // named by the restore for all objects together
	o.Encoding, o.Disposition, o.Language, o.Attributes = "", "", "", nil
	if o.CacheControl == "" {
		o.CacheControl = "no-cache"
	}
	return o, lost
}

func isDots(segment string) bool { return segment == "." || segment == ".." }

// Warnings says when the key expires, if that is soon.
func (s *Store) Warnings() []cofre.Message { return s.warnings }

// maxAnswer bounds an answer that is a document: a page of a list has at most some thousand objects, each with its metadata.
const maxAnswer = 64 << 20

// errNotStorage is an answer that is not the storage server's.
var errNotStorage = errors.New("the answer is not the storage server's")

// wireBucket is a bucket as the API writes it.
type wireBucket struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Owner   string    `json:"owner"`
	Public  bool      `json:"public"`
	Type    string    `json:"type,omitempty"`
	MaxSize *int64    `json:"file_size_limit"`
	Types   []string  `json:"allowed_mime_types"`
	Created time.Time `json:"created_at,omitzero"`
}

func (w wireBucket) bucket() bucket.Bucket {
	b := bucket.Bucket{
		ID: w.ID, Public: w.Public, MaxSize: w.MaxSize, Types: w.Types, Type: w.Type, Owner: w.Owner, Created: w.Created,
	}
	if w.Name != w.ID {
		b.Name = w.Name
	}
	return b
}

// Buckets lists the buckets, or asks for each that is named: of a listing a missing one would just be absent.
//
// Errors: *Error: cofre.ErrNotFound if a bucket that is named does not exist, cofre.ErrDenied for the key;
// cofre.ErrUnreachable; that the answer is not the storage server's.
func (s *Store) Buckets(ctx context.Context, ids ...string) ([]bucket.Bucket, error) {
	if len(ids) == 0 {
		var all []wireBucket
		if err := s.call(ctx, "list buckets", http.MethodGet, "/bucket", nil, &all); err != nil {
			return nil, err
		}
		out := make([]bucket.Bucket, len(all))
		for i, w := range all {
			out[i] = w.bucket()
		}
		return out, nil
	}
	out := make([]bucket.Bucket, 0, len(ids))
	for _, id := range ids {
		var w wireBucket
		if err := s.call(ctx, "bucket "+id, http.MethodGet, "/bucket/"+escape(id), nil, &w); err != nil {
			return nil, err
		}
		out = append(out, w.bucket())
	}
	return out, nil
}

// Ensure creates a bucket, or sets what can be set of one that exists.
//
// Errors: *Error: cofre.ErrRefused if the server does not take the name or a setting, cofre.ErrDenied for the key;
// cofre.ErrUnreachable.
func (s *Store) Ensure(ctx context.Context, b bucket.Bucket) error {
	settings := map[string]any{"public": b.Public, "file_size_limit": b.MaxSize, "allowed_mime_types": b.Types}
	if len(b.Types) == 0 {
		settings["allowed_mime_types"] = nil
	}
	err := s.call(ctx, "set bucket "+b.ID, http.MethodPut, "/bucket/"+escape(b.ID), settings, nil)
	if !errors.Is(err, cofre.ErrNotFound) {
		return err
	}
	name := b.Name
	if name == "" {
		name = b.ID
	}
	settings["id"], settings["name"] = b.ID, name
	err = s.call(ctx, "create bucket "+b.ID, http.MethodPost, "/bucket", settings, nil)
	if errors.Is(err, cofre.ErrExists) {
		// Created by somebody else meanwhile, or by an attempt whose answer was lost.
		delete(settings, "id")
		delete(settings, "name")
		return s.call(ctx, "set bucket "+b.ID, http.MethodPut, "/bucket/"+escape(b.ID), settings, nil)
	}
	return err
}

// call sends a request with a JSON body and reads a JSON answer, several times if need be.
func (s *Store) call(ctx context.Context, op, method, path string, body, into any) error {
	var payload []byte
	if body != nil {
		var err error
		if payload, err = json.Marshal(body); err != nil {
			return fmt.Errorf("%s: %w", op, err)
		}
	}
	return s.again(ctx, func() error {
		req, err := s.request(ctx, method, path, bytes.NewReader(payload))
		if err != nil {
			return fmt.Errorf("%s: %w", op, err)
		}
		if body != nil {
			req.Header.Set("Content-Type", "application/json")
		} else {
			req.Body, req.ContentLength = http.NoBody, 0
		}
		answer, err := s.send(op, req)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		b, err := bounded.All(answer.Body, maxAnswer)
		if err != nil {
			return transport(op, err)
		}
		if into == nil {
			return nil
		}
		if err := json.Unmarshal(b, into); err != nil {
			return fmt.Errorf("%s: %w: %q", op, errNotStorage, firstLine(b))
		}
		return nil
	})
}

// again repeats what failed for a reason that passes: for as long as the patience if a server is away that was there, some
// seconds otherwise.
func (s *Store) again(ctx context.Context, f func() error) error {
	failed, silent := 0, 0
	return retry.Policy{
		First: 200 * time.Millisecond, Most: 10 * time.Second, For: s.patience,
		Passing: func(err error) bool {
			switch {
			case !cofre.Retryable(err):
				return false
			case stalled(err):
				silent++
				return silent < attemptsStalled
			case s.answered.Load() && (errors.Is(err, cofre.ErrUnreachable) || retry.Throttled(err)):
				return true
			}
			failed++
			return failed < attempts
		},
	}.Do(ctx, f)
}

// stalled reports whether a request ended because nothing moved.
func stalled(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

func (s *Store) request(ctx context.Context, method, path string, body io.Reader) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, s.base+path, body)
	if err != nil {
		return nil, err
	}
	// The bare server reads Authorization, a gateway with key-auth reads apikey; both ignore the other.
	req.Header.Set("Authorization", "Bearer "+s.key.Reveal())
	req.Header.Set("apikey", s.key.Reveal())
	req.Header.Set("User-Agent", "cofre")
	return req, nil
}

// send returns the answer if it is a success. Its body must be closed.
func (s *Store) send(op string, req *http.Request) (*http.Response, error) {
	res, err := s.client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // the address is in op, and may be long
		}
		return nil, transport(op, err)
	}
	if res.StatusCode < 300 {
		return res, nil
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(res.Body, 64<<10)) // half an error text is as good
	return nil, errorOf(op, res, body)
}

// escape encodes a name for a path, segment by segment. A plus stands for itself on this server, both ways, and
// url.PathEscape leaves it alone.
func escape(name string) string {
	segments := strings.Split(name, "/")
	for i, seg := range segments {
		seg = url.PathEscape(seg)
		// A client or proxy would resolve these.
		if seg == "." || seg == ".." {
			seg = strings.ReplaceAll(seg, ".", "%2E")
		}
		segments[i] = seg
	}
	return strings.Join(segments, "/")
}
