package testkit

import (
	"cmp"
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// SupabaseStorage stands in for the Supabase Storage server if the real one (Node.js, and a database) cannot be
// had. It was written from what the real server, version 1.70.6 with the file backend, was observed to answer, its
// traps above all: status 400 with the real one in the body, empty lists for weak keys, capped pages, rows without
// bytes, a 500 beside an overwrite, a public host in the address of a resumable upload.
//
// It is no proof: the suites run against the real server too, if COFRE_SUPABASE_URL names one.
type SupabaseStorage struct {
	URL    string // of the bare server
	Key    string // role service_role
	Anon   string // role anon
	Secret string // of the tokens

	// Gateway serves under /storage/v1 only, and asks for a password everywhere else.
	Gateway bool
	// OldServer has no list-v2.
	OldServer bool
	// TimeETags makes etags that are no MD5, as STORAGE_FILE_ETAG_ALGORITHM=mtime does: another for each upload.
	TimeETags bool
	// OnGet is called before the bytes of an object are served, without any lock held.
	OnGet func(bucket, name string)
	// MaxSize is the server's own limit on objects.
	MaxSize int64

	mu      sync.Mutex
	buckets map[string]*standInBucket
	rows    map[string]standInRow // by bucket + "/" + name
	blobs   map[string]standInBlob
	uploads map[string]*standInUpload
	fail    []int          // statuses of the next requests for bytes
	shaken  map[string]int // of an overwritten object: so many reads fail
	counts  map[string]int
}

type standInBucket struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Owner   string    `json:"owner"`
	Public  bool      `json:"public"`
	Type    string    `json:"type,omitempty"`
	MaxSize *int64    `json:"file_size_limit"`
	Types   []string  `json:"allowed_mime_types"`
	Created time.Time `json:"created_at"`
	Updated time.Time `json:"updated_at"`
}

type standInRow struct {
	id, bucket, name, version string
	owner                     string
	created, updated          time.Time
	etag, mime, cache, robots string
	size                      int64
	meta                      string // user metadata, JSON
}

type standInBlob struct {
	bytes       []byte
	mime, cache string // the file's attributes
}

type standInUpload struct {
	bucket, name, mime, cache, meta string
	length                          int64
	data                            []byte
	upsert                          bool
}

// Supabase starts a stand-in that ends with the test.
func Supabase(t testing.TB) *SupabaseStorage {
	t.Helper()
	s := &SupabaseStorage{
		Secret: "super-secret-jwt-token-with-at-least-32-characters-long", MaxSize: 500 << 20,
		buckets: map[string]*standInBucket{}, rows: map[string]standInRow{}, blobs: map[string]standInBlob{},
		uploads: map[string]*standInUpload{}, shaken: map[string]int{}, counts: map[string]int{},
	}
	s.Key, s.Anon = s.Token("service_role", 2000000000), s.Token("anon", 2000000000)
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.URL = server.URL
	return s
}

// Token makes a JSON web token; exp is in Unix seconds.
func (s *SupabaseStorage) Token(role string, exp int64) string { return token(s.Secret, role, exp) }

// Forged makes a token that another server would have made.
func (s *SupabaseStorage) Forged() string { return token("another secret", "service_role", 2000000000) }

func token(secret, role string, exp int64) string {
	part := func(v any) string {
		b, _ := json.Marshal(v) // maps of strings and numbers always encode
		return base64.RawURLEncoding.EncodeToString(b)
	}
	signed := part(map[string]any{"alg": "HS256", "typ": "JWT"}) + "." + part(map[string]any{"role": role, "iss": "supabase", "exp": exp})
	return signed + "." + sign(secret, signed)
}

func sign(secret, text string) string {
	h := hmac.New(sha256.New, []byte(secret))
	_, _ = io.WriteString(h, text)
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// Count is how many requests of a kind were answered: get, info, list, put.
func (s *SupabaseStorage) Count(kind string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts[kind]
}

// FailReads answers the next requests for bytes with these statuses.
func (s *SupabaseStorage) FailReads(statuses ...int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = append(s.fail, statuses...)
}

// LoseBytes removes an object's bytes and leaves its row.
func (s *SupabaseStorage) LoseBytes(bucket, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.blobs, s.rows[bucket+"/"+name].version)
}

// FlipByte changes an object's bytes and leaves its row.
func (s *SupabaseStorage) FlipByte(bucket, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.rows[bucket+"/"+name].version
	b := s.blobs[v]
	b.bytes = slices.Clone(b.bytes)
	b.bytes[0] ^= 1
	s.blobs[v] = b
}

// DropBuckets removes everything.
func (s *SupabaseStorage) DropBuckets() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.buckets)
	clear(s.rows)
	clear(s.blobs)
}

// Rows is the state of storage.objects, for SetRows.
func (s *SupabaseStorage) Rows() any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.rows)
}

// SetRows puts storage.objects back to what Rows returned, as a restored database does: bytes stay as they are.
func (s *SupabaseStorage) SetRows(rows any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rows = maps.Clone(rows.(map[string]standInRow))
}

// Columns of storage.objects as COPY writes them.
func (s *SupabaseStorage) Columns() []string {
	return []string{"id", "bucket_id", "name", "owner", "created_at", "updated_at", "last_accessed_at", "metadata", "version", "owner_id", "user_metadata"}
}

// Copy is storage.objects as COPY TO STDOUT writes it.
func (s *SupabaseStorage) Copy() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	escape := strings.NewReplacer(`\`, `\\`, "\t", `\t`, "\n", `\n`, "\r", `\r`)
	for _, k := range slices.Sorted(maps.Keys(s.rows)) {
		r := s.rows[k]
		const layout = "2006-01-02 15:04:05.999999-07"
		fields := []string{
			r.id, r.bucket, r.name, `\N`, r.created.UTC().Format(layout), r.updated.UTC().Format(layout),
			r.created.UTC().Format(layout), r.stored(), r.version, `\N`, `\N`,
		}
		if r.owner != "" {
			fields[9] = r.owner
		}
		if r.meta != "" {
			fields[10] = r.meta
		}
		for i, f := range fields {
			if i > 0 {
				b.WriteByte('\t')
			}
			if f != `\N` {
				f = escape.Replace(f)
			}
			b.WriteString(f)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// stored is the column metadata.
func (r standInRow) stored() string {
	m := map[string]any{
		"eTag": `"` + r.etag + `"`, "size": r.size, "mimetype": r.mime, "cacheControl": r.cache,
		"lastModified": r.updated.UTC().Format(time.RFC3339), "contentLength": r.size, "httpStatusCode": 200,
	}
	if r.robots != "" {
		m["xRobotsTag"] = r.robots
	}
	b, _ := json.Marshal(m) // strings and numbers always encode
	return string(b)
}

// standInError is an answer that is no success.
type standInError struct {
	http          int
	status        string // in the body
	code, message string
}

func (e *standInError) Error() string { return e.message }

func refuse(status int, code, message string) *standInError {
	return &standInError{http.StatusBadRequest, strconv.Itoa(status), code, message}
}

var (
	errStandInKey    = refuse(404, "NoSuchKey", "Object not found")
	errStandInBucket = refuse(404, "NoSuchBucket", "Bucket not found")
	errStandInLost   = &standInError{500, "500", "InternalError", "Internal Server Error"}
)

func (s *SupabaseStorage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.EscapedPath()
	if s.Gateway {
		inner, ok := strings.CutPrefix(path, "/storage/v1")
		if !ok {
			w.Header().Set("WWW-Authenticate", "Basic")
			http.Error(w, "<html>Unauthorized</html>", http.StatusUnauthorized)
			return
		}
		path = inner
	}
	if err := s.route(w, r, path); err != nil {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(err.http)
		_ = json.NewEncoder(w).Encode(map[string]string{"statusCode": err.status, "error": err.code, "message": err.message, "code": err.code})
	}
}

func (s *SupabaseStorage) route(w http.ResponseWriter, r *http.Request, path string) *standInError {
	noRoute := &standInError{404, "404", "Not Found", "Route " + r.Method + ":" + path + " not found"}
	parts := strings.SplitN(strings.TrimPrefix(path, "/"), "/", 4)
	known := parts[0] == "bucket" || parts[0] == "object" || strings.HasPrefix(path, "/upload/resumable")
	if !known || s.OldServer && strings.HasPrefix(path, "/object/list-v2/") {
		return noRoute
	}
	if strings.HasPrefix(path, "/upload/resumable") {
		return s.resumable(w, r, strings.TrimPrefix(strings.TrimPrefix(path, "/upload/resumable"), "/"))
	}
	role, refused := s.role(r)
	if refused != nil {
		return refused
	}
	if parts[0] == "bucket" {
		return s.serveBuckets(w, r, strings.Join(parts[1:], "/"), role)
	}
	switch {
	case len(parts) >= 3 && parts[1] == "list-v2" && r.Method == http.MethodPost:
		return s.list(w, r, parts[2], role)
	case len(parts) == 4 && parts[1] == "authenticated" && r.Method == http.MethodGet:
		return s.get(w, r, parts[2], parts[3], role)
	case len(parts) == 4 && parts[1] == "info":
		if b, n, ok := strings.Cut(parts[3], "/"); ok && parts[2] == "authenticated" {
			return s.info(w, b, n, role)
		}
	case len(parts) >= 3:
		b, n, _ := strings.Cut(strings.TrimPrefix(path, "/object/"), "/")
		switch r.Method {
		case http.MethodPut, http.MethodPost:
			return s.put(w, r, b, n, role)
		case http.MethodDelete:
			return s.delete(w, b, n, role)
		}
	}
	return noRoute
}

func (s *SupabaseStorage) role(r *http.Request) (string, *standInError) {
	bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return "", refuse(400, "InvalidRequest", "headers must have required property 'authorization'")
	}
	signed, signature, ok := cutLast(bearer, ".")
	if !ok || signature != sign(s.Secret, signed) {
		return "", refuse(403, "AccessDenied", "signature verification failed")
	}
	var claims struct {
		Role string `json:"role"`
		Exp  int64  `json:"exp"`
	}
	_, payload, _ := strings.Cut(signed, ".")
	b, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil || json.Unmarshal(b, &claims) != nil {
		return "", refuse(403, "AccessDenied", "Invalid Compact JWS")
	}
	if claims.Exp < time.Now().Unix() {
		return "", refuse(403, "AccessDenied", `"exp" claim timestamp check failed`)
	}
	return claims.Role, nil
}

func cutLast(s, sep string) (string, string, bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

func (s *SupabaseStorage) serveBuckets(w http.ResponseWriter, r *http.Request, id, role string) *standInError {
	s.mu.Lock()
	defer s.mu.Unlock()
	id = unescapePath(id)
	var in map[string]json.RawMessage
	if r.Method == http.MethodPost || r.Method == http.MethodPut {
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			return refuse(400, "InvalidRequest", err.Error())
		}
	}
	switch r.Method {
	case http.MethodGet:
		if id == "" {
			all := []*standInBucket{}
			if role == "service_role" {
				for _, k := range slices.Sorted(maps.Keys(s.buckets)) {
					all = append(all, s.buckets[k])
				}
			}
			return answer(w, all)
		}
		b := s.buckets[id]
		if b == nil || role != "service_role" {
			return errStandInBucket
		}
		c := *b
		c.Type = ""
		return answer(w, c)
	case http.MethodPost:
		b := &standInBucket{Type: "STANDARD", Created: time.Now(), Updated: time.Now()}
		_ = json.Unmarshal(in["name"], &b.Name)
		_ = json.Unmarshal(in["id"], &b.ID)
		b.ID = cmp.Or(b.ID, b.Name)
		if s.buckets[b.ID] != nil {
			return refuse(409, "BucketAlreadyExists", "The resource already exists")
		}
		if !regexp.MustCompile(`^[\w!.*'() &$@=;:+,?-]{1,100}$`).MatchString(b.ID) {
			return refuse(400, "InvalidBucketName", "Bucket name invalid")
		}
		b.set(in)
		s.buckets[b.ID] = b
		return answer(w, map[string]string{"name": b.Name})
	case http.MethodPut:
		b := s.buckets[id]
		if b == nil {
			return errStandInBucket
		}
		b.set(in)
		return answer(w, map[string]string{"message": "Successfully updated"})
	}
	return refuse(404, "InvalidRequest", "Route not found")
}

func (b *standInBucket) set(in map[string]json.RawMessage) {
	if v, ok := in["public"]; ok {
		_ = json.Unmarshal(v, &b.Public)
	}
	if v, ok := in["file_size_limit"]; ok {
		b.MaxSize = nil
		_ = json.Unmarshal(v, &b.MaxSize)
	}
	if v, ok := in["allowed_mime_types"]; ok {
		b.Types = nil
		_ = json.Unmarshal(v, &b.Types)
	}
}

func (s *SupabaseStorage) list(w http.ResponseWriter, r *http.Request, bucket, role string) *standInError {
	var ask struct {
		Prefix string `json:"prefix"`
		Limit  int    `json:"limit"`
		Cursor string `json:"cursor"`
	}
	if err := json.NewDecoder(r.Body).Decode(&ask); err != nil {
		return refuse(400, "InvalidRequest", err.Error())
	}
	after := ""
	if ask.Cursor != "" {
		b, err := base64.StdEncoding.DecodeString(ask.Cursor)
		if err != nil || !strings.HasPrefix(string(b), "l:") {
			return refuse(400, "InvalidParameter", "cursor")
		}
		after = string(b[2:])
	}
	const most = 1000
	limit := most
	if ask.Limit > 0 {
		limit = min(ask.Limit, most)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts["list"]++
	objects, next := []any{}, ""
	if role == "service_role" {
		for _, row := range s.sorted(unescapePath(bucket)) {
			if !strings.HasPrefix(row.name, ask.Prefix) || after != "" && row.name <= after {
				continue
			}
			if len(objects) == limit {
				next = base64.StdEncoding.EncodeToString([]byte("l:" + objects[limit-1].(map[string]any)["name"].(string)))
				break
			}
			objects = append(objects, map[string]any{
				"id": row.id, "name": row.name, "metadata": json.RawMessage(row.stored()),
				"updated_at": row.updated.UTC(), "created_at": row.created.UTC(),
			})
		}
	}
	return answer(w, map[string]any{"hasNext": next != "", "nextCursor": next, "folders": []any{}, "objects": objects})
}

func (s *SupabaseStorage) sorted(bucket string) []standInRow {
	var out []standInRow
	for _, r := range s.rows {
		if r.bucket == bucket {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b standInRow) int { return strings.Compare(a.name, b.name) })
	return out
}

// legalName is what the real server takes of a name.
var legalName = regexp.MustCompile(`^[\w/!.*'() &$@=;:+,?-]+$`)

func checkName(name string) *standInError {
	if !legalName.MatchString(name) || slices.ContainsFunc(strings.Split(name, "/"), func(seg string) bool { return seg == "." || seg == ".." }) {
		return refuse(400, "InvalidKey", "Invalid key: "+name)
	}
	return nil
}

func (s *SupabaseStorage) get(w http.ResponseWriter, r *http.Request, bucket, name, role string) *standInError {
	bucket, name = unescapePath(bucket), unescapePath(name)
	if err := checkName(name); err != nil {
		return err
	}
	if role != "service_role" {
		return refuse(403, "AccessDenied", "new row violates row-level security policy")
	}
	if s.OnGet != nil {
		s.OnGet(bucket, name)
	}
	s.mu.Lock()
	s.counts["get"]++
	if len(s.fail) > 0 {
		status := s.fail[0]
		s.fail = s.fail[1:]
		s.mu.Unlock()
		return &standInError{status, strconv.Itoa(status), "DatabaseTimeout", "timeout"}
	}
	row, ok := s.rows[bucket+"/"+name]
	blob, there := s.blobs[row.version]
	shaken := s.shaken[bucket+"/"+name] > 0
	if shaken {
		s.shaken[bucket+"/"+name]--
	}
	s.mu.Unlock()
	switch {
	case !ok:
		return errStandInKey
	case !there || shaken:
		return errStandInLost
	}
	h := w.Header()
	h.Set("Content-Type", blob.mime)
	h.Set("Cache-Control", blob.cache)
	h.Set("Etag", `"`+s.etag(row.version, blob.bytes)+`"`)
	h.Set("Last-Modified", row.updated.UTC().Format(http.TimeFormat))
	h.Set("X-Robots-Tag", cmp.Or(row.robots, "none"))
	if r.Header.Get("Range") == "bytes=0-0" {
		if len(blob.bytes) == 0 {
			return &standInError{416, "416", "InvalidRange", "The requested range is not satisfiable"}
		}
		h.Set("Content-Range", fmt.Sprintf("bytes 0-0/%d", len(blob.bytes)))
		h.Set("Content-Length", "1")
		w.WriteHeader(http.StatusPartialContent)
		_, _ = w.Write(blob.bytes[:1])
		return nil
	}
	h.Set("Content-Length", strconv.Itoa(len(blob.bytes)))
	_, _ = w.Write(blob.bytes)
	return nil
}

func (s *SupabaseStorage) info(w http.ResponseWriter, bucket, name, role string) *standInError {
	bucket, name = unescapePath(bucket), unescapePath(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts["info"]++
	if err := checkName(name); err != nil {
		return err
	}
	r, ok := s.rows[bucket+"/"+name]
	if !ok || role != "service_role" {
		return errStandInKey
	}
	return answer(w, map[string]any{
		"id": r.id, "name": r.name, "version": r.version, "bucket_id": r.bucket, "size": r.size, "content_type": r.mime,
		"cache_control": r.cache, "etag": `"` + r.etag + `"`, "metadata": json.RawMessage(cmp.Or(r.meta, "{}")),
		"last_modified": r.updated.UTC(), "created_at": r.created.UTC(),
	})
}

func (s *SupabaseStorage) put(w http.ResponseWriter, r *http.Request, bucket, name, role string) *standInError {
	bucket, name = unescapePath(bucket), unescapePath(name)
	if role != "service_role" {
		return refuse(403, "AccessDenied", "new row violates row-level security policy")
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return refuse(400, "InvalidRequest", "aborted")
	}
	u := standInUpload{
		bucket: bucket, name: name, data: body, mime: cmp.Or(r.Header.Get("Content-Type"), "application/octet-stream"),
		cache: cmp.Or(r.Header.Get("Cache-Control"), "no-cache"), upsert: r.Method == http.MethodPut || r.Header.Get("x-upsert") == "true",
	}
	if m, err := base64.StdEncoding.DecodeString(r.Header.Get("x-metadata")); err == nil && json.Valid(m) {
		u.meta = string(m)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	row, refused := s.store(u, r.Header.Get("x-robots-tag"))
	if refused != nil {
		return refused
	}
	return answer(w, map[string]string{"Key": bucket + "/" + name, "Id": row.id})
}

// store writes an object; s.mu is held.
func (s *SupabaseStorage) store(u standInUpload, robots string) (standInRow, *standInError) {
	b := s.buckets[u.bucket]
	if b == nil {
		return standInRow{}, errStandInBucket
	}
	if err := checkName(u.name); err != nil {
		return standInRow{}, err
	}
	if !strings.HasSuffix(u.name, ".emptyFolderPlaceholder") {
		if b.MaxSize != nil && int64(len(u.data)) > *b.MaxSize || int64(len(u.data)) > s.MaxSize {
			return standInRow{}, refuse(413, "EntityTooLarge", "The object exceeded the maximum allowed size")
		}
		if len(b.Types) > 0 && !slices.Contains(b.Types, u.mime) {
			return standInRow{}, refuse(415, "InvalidMimeType", "mime type "+u.mime+" is not supported")
		}
	}
	key := u.bucket + "/" + u.name
	row, exists := s.rows[key]
	if exists && !u.upsert {
		return standInRow{}, refuse(409, "KeyAlreadyExists", "The resource already exists")
	}
	s.counts["put"]++
	now := time.Now().Truncate(time.Microsecond)
	if exists {
		delete(s.blobs, row.version) // at once, before a reader has seen the new row
		s.shaken[key] = 1
	} else {
		row = standInRow{id: newUUID(), bucket: u.bucket, name: u.name, created: now}
	}
	row.version, row.updated, row.size = newUUID(), now, int64(len(u.data))
	row.etag = s.etag(row.version, u.data)
	row.mime, row.cache, row.meta, row.robots = u.mime, u.cache, u.meta, robots
	s.rows[key] = row
	s.blobs[row.version] = standInBlob{u.data, u.mime, u.cache}
	return row, nil
}

func (s *SupabaseStorage) delete(w http.ResponseWriter, bucket, name, role string) *standInError {
	bucket, name = unescapePath(bucket), unescapePath(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	row, ok := s.rows[bucket+"/"+name]
	if !ok || role != "service_role" {
		return errStandInKey
	}
	delete(s.rows, bucket+"/"+name)
	delete(s.blobs, row.version)
	return answer(w, map[string]string{"message": "Successfully deleted"})
}

// resumable answers the TUS protocol, with real statuses and texts instead of JSON.
func (s *SupabaseStorage) resumable(w http.ResponseWriter, r *http.Request, id string) *standInError {
	w.Header().Set("Tus-Resumable", "1.0.0")
	if r.Method == http.MethodOptions {
		w.Header().Set("Tus-Max-Size", strconv.FormatInt(s.MaxSize, 10))
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	if role, refused := s.role(r); refused != nil || role != "service_role" {
		http.Error(w, "denied", http.StatusForbidden)
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Method == http.MethodPost {
		return s.beginResumable(w, r)
	}
	u := s.uploads[id]
	if u == nil {
		http.Error(w, "The file for this url was not found", http.StatusNotFound)
		return nil
	}
	switch r.Method {
	case http.MethodHead:
		w.Header().Set("Upload-Offset", strconv.Itoa(len(u.data)))
		w.Header().Set("Upload-Length", strconv.FormatInt(u.length, 10))
		w.WriteHeader(http.StatusOK)
	case http.MethodDelete:
		delete(s.uploads, id)
		w.WriteHeader(http.StatusNoContent)
	case http.MethodPatch:
		if r.Header.Get("Upload-Offset") != strconv.Itoa(len(u.data)) {
			http.Error(w, "Upload-Offset conflict", http.StatusConflict)
			return nil
		}
		b, err := io.ReadAll(r.Body)
		u.data = append(u.data, b...) // what arrived of a broken request stays
		if err != nil {
			return nil
		}
		if int64(len(u.data)) == u.length {
			delete(s.uploads, id)
			if _, refused := s.store(*u, ""); refused != nil {
				status, _ := strconv.Atoi(refused.status)
				http.Error(w, refused.message, status)
				return nil
			}
			w.Header().Set("Tus-Complete", "1")
		}
		w.Header().Set("Upload-Offset", strconv.Itoa(len(u.data)))
		w.WriteHeader(http.StatusNoContent)
	}
	return nil
}

func (s *SupabaseStorage) beginResumable(w http.ResponseWriter, r *http.Request) *standInError {
	meta := map[string]string{}
	for kv := range strings.SplitSeq(r.Header.Get("Upload-Metadata"), ",") {
		k, v, _ := strings.Cut(strings.TrimSpace(kv), " ")
		b, _ := base64.StdEncoding.DecodeString(v)
		meta[k] = string(b)
	}
	length, _ := strconv.ParseInt(r.Header.Get("Upload-Length"), 10, 64)
	if length > s.MaxSize {
		http.Error(w, "Maximum size exceeded", http.StatusRequestEntityTooLarge)
		return nil
	}
	if s.buckets[meta["bucketName"]] == nil {
		http.Error(w, "Bucket not found", http.StatusNotFound)
		return nil
	}
	u := &standInUpload{
		bucket: meta["bucketName"], name: meta["objectName"], mime: cmp.Or(meta["contentType"], "application/octet-stream"),
		cache: "no-cache", meta: meta["metadata"], length: length, upsert: r.Header.Get("x-upsert") == "true",
	}
	if _, err := strconv.Atoi(meta["cacheControl"]); err == nil {
		u.cache = "max-age=" + meta["cacheControl"]
	}
	id := newUUID()
	s.uploads[id] = u
	w.Header().Set("Location", "https://storage.example.com/storage/v1/upload/resumable/"+id)
	w.WriteHeader(http.StatusCreated)
	return nil
}

func answer(w http.ResponseWriter, v any) *standInError {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // a client that has gone is no error of the server
	return nil
}

func unescapePath(s string) string {
	if out, err := url.PathUnescape(s); err == nil {
		return out
	}
	return s
}

func (s *SupabaseStorage) etag(version string, b []byte) string {
	if s.TimeETags {
		return md5Hex([]byte(version))[:12] + "-" + strconv.Itoa(len(b))
	}
	return md5Hex(b)
}

func md5Hex(b []byte) string {
	h := md5.Sum(b)
	return hex.EncodeToString(h[:])
}

func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
