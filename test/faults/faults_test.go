// Package faults_test breaks what lies between cofre and its repository, with the real program, a real server and
// a real store: what is refused, slow, cut, silent, failing or full. After every fault nothing half done may be
// visible, one error says what happened, and the same command succeeds once the fault is gone.
//
// A proxy stands before the S3 server (toxiproxy), and its faults are toxiproxy's. COFRE_SOAK runs all of
// them against every command, and cuts at many more places; without it a few stand for the others.
package faults_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/trustlayer/cofre/postgres/wal/fetch"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	vocabulary "github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/secret"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/throwaway"
	"github.com/trustlayer/cofre/postgres/wal"
	"github.com/trustlayer/cofre/store"
)

// silence is how long the store may say nothing in these tests. patience is how many requests a command may make of a
// store that fails until it gives up, and to clean up: how long they take is the machine's matter.
const (
	silence  = time.Second
	patience = 60
)

var soak = os.Getenv("COFRE_SOAK") != ""

func TestMain(m *testing.M) {
	code := m.Run()
	if program.dir != "" {
		_ = os.RemoveAll(program.dir)
	}
	os.Exit(code)
}

// program is cofre, built once and readable by every user.
var program struct {
	once sync.Once
	dir  string
	err  error
}

func cofre(t testing.TB) string {
	t.Helper()
	program.once.Do(func() {
		if program.dir, program.err = os.MkdirTemp("", "cofre-faults-"); program.err != nil {
			return
		}
		if program.err = os.Chmod(program.dir, 0o755); program.err != nil {
			return
		}
		out, err := exec.Command("go", "build", "-o", filepath.Join(program.dir, "cofre"), "../../cmd/cofre").CombinedOutput()
		if err != nil {
			program.err = fmt.Errorf("%w\n%s", err, out)
		}
	})
	if program.err != nil {
		t.Fatalf("build cofre: %v", program.err)
	}
	return filepath.Join(program.dir, "cofre")
}

// fault is what the way to the store does. The zero fault lets everything pass.
type fault struct {
	name    string
	passes  bool     // slow, or seldom, is not broken: commands succeed
	refused bool     // nobody listens
	toxics  []string // of toxiproxy, in JSON, for each connection

	// What happens to requests once from of them have passed: the store answers with status, or says nothing, or the
	// connection ends before the answer.
	from   int64
	status int
	silent bool
	gone   bool

	// once loses the answer to the first of every two equal requests after the store has carried it out, or, where it
	// is an object, breaks it off in the middle.
	once bool
}

func toxic(kind, direction, attributes string) string {
	return fmt.Sprintf(`{"name":%q,"type":%q,"stream":%q,"attributes":{%s}}`, kind+"-"+direction, kind, direction, attributes)
}

var (
	slow = fault{name: "slow", passes: true, toxics: []string{
		toxic("latency", "downstream", `"latency":20,"jitter":10`), toxic("bandwidth", "upstream", `"rate":4000`), toxic("bandwidth", "downstream", `"rate":4000`),
	}}
	flaky    = fault{name: "flaky", passes: true, once: true}
	refused  = fault{name: "refused", refused: true}
	reset    = fault{name: "reset", toxics: []string{toxic("reset_peer", "downstream", `"timeout":0`)}}
	silent   = fault{name: "silent", toxics: []string{toxic("timeout", "downstream", `"timeout":0`)}}
	deaf     = fault{name: "deaf", toxics: []string{toxic("timeout", "upstream", `"timeout":0`)}}
	unusable = fault{name: "503", status: http.StatusServiceUnavailable}
	failing  = fault{name: "500", status: http.StatusInternalServerError}
)

// cutUp breaks every connection after it took n bytes, cutDown after it gave them.
func cutUp(n int) fault {
	return fault{name: fmt.Sprintf("cut after %d bytes sent", n), toxics: []string{toxic("limit_data", "upstream", fmt.Sprintf(`"bytes":%d`, n))}}
}

func cutDown(n int) fault {
	return fault{name: fmt.Sprintf("cut after %d bytes received", n), toxics: []string{toxic("limit_data", "downstream", fmt.Sprintf(`"bytes":%d`, n))}}
}

// after begins a fault of single requests once n of them have passed.
func after(n int64, f fault) fault {
	f.name += fmt.Sprintf(" after %d requests", n)
	f.from = n
	return f
}

// mute and dead are for after.
var (
	mute = fault{name: "silent", silent: true}
	dead = fault{name: "gone", gone: true}
)

// way leads to the store, on a port that stays. A toxiproxy is replaced as a whole when the fault changes: one that
// loses a toxic under load may wait for ever.
type way struct {
	server  *toxiproxy.ApiServer
	address string
	proxy   *toxiproxy.Proxy
	front   *http.Server // between the proxy and the store, for faults of single requests
	behind  string
	fault   atomic.Pointer[fault]
	passed  atomic.Int64 // requests since the fault was set
	seen    sync.Map     // of fault.once
}

// errLost ends an answer.
var errLost = errors.New("lost")

func newWay(t testing.TB, s *testkit.S3Server) *way {
	t.Helper()
	w := &way{server: toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop()), address: "127.0.0.1:0"}
	to, err := url.Parse(s.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	forward := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = r.In.Host // it is signed
		},
		Transport:      &http.Transport{MaxIdleConnsPerHost: 16, DisableCompression: true},
		ModifyResponse: w.answer,
		ErrorHandler:   func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
		ErrorLog:       log.New(io.Discard, "", 0),
	}
	w.front = &http.Server{ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		n, f := w.passed.Add(1), w.fault.Load()
		switch {
		case n <= f.from:
		case f.status != 0:
			rw.WriteHeader(f.status)
			return
		case f.silent:
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
			return
		case f.gone:
			panic(http.ErrAbortHandler)
		}
		forward.ServeHTTP(rw, r)
	})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.behind = l.Addr().String()
	go func() { _ = w.front.Serve(l) }()
	t.Cleanup(func() {
		w.proxy.Stop()
		_ = w.front.Close()
	})
	w.set(t, fault{})
	return w
}

// answer loses an answer, or breaks it off, where the fault is one of fault.once. What goes on where it was broken
// off (If-Match) passes.
func (w *way) answer(r *http.Response) error {
	q := r.Request
	if !w.fault.Load().once || q.Header.Get("If-Match") != "" {
		return nil
	}
	key := q.Method + q.URL.String() + q.Header.Get("Range")
	if _, again := w.seen.LoadOrStore(key, true); again {
		w.seen.Delete(key)
		return nil
	}
	if q.Method != http.MethodGet || r.StatusCode >= 300 || r.ContentLength < 2 {
		return errLost
	}
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(io.LimitReader(r.Body, r.ContentLength/2), brokenReader{}), r.Body}
	return nil
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errLost }

// set breaks the way, or mends it with the zero fault. Connections of before are cut.
func (w *way) set(t testing.TB, f fault) {
	t.Helper()
	w.fault.Store(&f)
	w.passed.Store(0)
	w.seen.Clear()
	if w.proxy != nil {
		w.proxy.Stop()
	}
	if f.refused {
		return
	}
	testkit.Await(t, "listen at "+w.address+" again", 10*time.Second, func() bool {
		p := toxiproxy.NewProxy(w.server, "store", w.address, w.behind)
		for _, text := range f.toxics {
			if _, err := p.Toxics.AddToxicJson(strings.NewReader(text)); err != nil {
				t.Fatalf("toxic %s: %v", text, err)
			}
		}
		if p.Start() != nil {
			return false // the kernel has not given the port back
		}
		w.proxy, w.address = p, p.Listen
		return true
	})
}

// installation is a cluster, a store behind a way, and a configuration. Everything in dir can be read by the
// server's user, which runs archive_command and restore_command.
type installation struct {
	t       testing.TB
	dir     string
	server  *testkit.Server
	address string
	store   *testkit.S3Server // nil where the repository is a folder
	way     *way
	cluster string // more of its section
	config  string // path of the configuration
	env     []string
}

// newInstallation makes an installation whose repository is at address, or in an S3 server of its own behind a way.
// cluster is added to the section of that name.
func newInstallation(t testing.TB, address, cluster string, conf ...string) *installation {
	t.Helper()
	cofre(t) // before anything else is waited for
	i := &installation{t: t, dir: t.TempDir(), address: address, cluster: cluster}
	if err := os.Chmod(filepath.Dir(i.dir), 0o711); err != nil {
		t.Fatal(err)
	}
	i.env = []string{"HOME=" + i.dir, "PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8"}
	if address == "" {
		i.store = testkit.S3(t)
	}
	i.server = testkit.Postgres(t, 0, testkit.Conf(append([]string{
		"archive_mode = on", "archive_command = 'false'", "log_min_messages = log", "wal_keep_size = 512MB", "checkpoint_timeout = 1h",
	}, conf...)...))
	i.configure()
	i.must("init")
	return i
}

// configure writes a configuration, and makes a way of its own to the store.
func (i *installation) configure() {
	i.t.Helper()
	address, credentials := i.address, ""
	if i.store != nil {
		i.way = newWay(i.t, i.store)
		address = fmt.Sprintf("s3://%s/cofre?endpoint=http://%s&region=%s&timeout=%s&patience=1s", i.store.Bucket, i.way.address, i.store.Region, silence)
		i.write("access", i.store.AccessKey)
		i.write("secret", i.store.SecretKey)
		credentials = fmt.Sprintf(", credentials: {access_key: %q, secret_key: %q}", "file:"+filepath.Join(i.dir, "access"), "file:"+filepath.Join(i.dir, "secret"))
	}
	i.write("password", "a long password\n")
	name := fmt.Sprintf("cofre-%s.yaml", filepath.Base(i.t.Name()))
	i.config = filepath.Join(i.dir, name)
	i.write(name, fmt.Sprintf("name: tl\nrepository: {url: %q, password: %q%s}\ndatabase: {url: %q}\ncluster: {url: %q%s}\nstate_dir: %q\n",
		address, "file:"+filepath.Join(i.dir, "password"), credentials, i.server.URL("postgres"), i.server.URL("postgres"), i.cluster, filepath.Join(i.dir, "state")))
}

// of is the installation as one subtest sees it: by a way of its own.
func (i *installation) of(t testing.TB) *installation {
	t.Helper()
	one := *i
	one.t = t
	one.configure()
	return &one
}

// seenBy is the installation with the errors of a subtest, and by the same way.
func (i *installation) seenBy(t testing.TB) *installation {
	one := *i
	one.t = t
	return &one
}

// fetcher reads the archive directly, by no way that has faults.
func (i *installation) fetcher() *fetch.Fetcher {
	i.t.Helper()
	address := i.address
	c := store.Config{URL: address}
	if i.store != nil {
		c = store.Config{URL: i.store.URL("cofre"), AccessKey: secret.New(i.store.AccessKey), SecretKey: secret.New(i.store.SecretKey)}
	}
	st, err := store.Open(i.t.Context(), c)
	if err != nil {
		i.t.Fatal(err)
	}
	id, err := wal.Unlock(i.t.Context(), st, secret.New("a long password"))
	if err != nil {
		i.t.Fatal(err)
	}
	system, err := strconv.ParseUint(i.server.Query(i.t, "postgres", "SELECT system_identifier FROM pg_control_system()"), 10, 64)
	if err != nil {
		i.t.Fatal(err)
	}
	return &fetch.Fetcher{Store: st, Identity: id, System: vocabulary.SystemID(system), Whole: true}
}

// archived reports whether a file of pg_wal is archived, and fails the test where other bytes are.
func (i *installation) archived(f *fetch.Fetcher, path string) bool {
	i.t.Helper()
	to := filepath.Join(i.t.TempDir(), "fetched")
	if answer, _ := f.Fetch(i.t.Context(), filepath.Base(path), to); answer != fetch.Delivered {
		return false
	}
	got, err := os.ReadFile(to)
	if err != nil || !bytes.Equal(got, i.read(path)) {
		i.t.Errorf("%s: other bytes are archived (%v)", path, err)
	}
	return true
}

func (i *installation) write(name, text string) {
	i.t.Helper()
	if err := os.WriteFile(filepath.Join(i.dir, name), []byte(text), 0o644); err != nil {
		i.t.Fatal(err)
	}
}

// archives makes the server archive by itself, as its own user.
func (i *installation) archives() {
	i.t.Helper()
	command := fmt.Sprintf("%s wal archive --config %s %%p", cofre(i.t), i.config)
	i.server.Exec(i.t, "postgres", "ALTER SYSTEM SET archive_command = '"+command+"'")
	i.server.Exec(i.t, "postgres", "SELECT pg_reload_conf()")
}

// result is how a command ended.
type result struct {
	line           string
	code           int
	stdout, stderr string
	took           time.Duration
	asked          int64 // requests that met a fault; 0 of a store that answers
}

func (r result) String() string {
	return fmt.Sprintf("cofre %s: exit %d after %s\n%s%s", r.line, r.code, r.took.Round(time.Millisecond), r.stdout, r.stderr)
}

func (i *installation) command(ctx context.Context, dir string, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, cofre(i.t), append([]string{"--config", i.config}, args...)...)
	c.Dir, c.Env = dir, i.env
	return c
}

// run carries out one command, in the folder of the installation.
func (i *installation) run(args ...string) result {
	i.t.Helper()
	return i.in(i.dir, args...)
}

// in carries out a command in a folder: the data directory, for archive and fetch.
func (i *installation) in(dir string, args ...string) result {
	i.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*testkit.Hang)
	defer cancel()
	c := i.command(ctx, dir, args...)
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGQUIT) } // to see where it hangs
	var out, err bytes.Buffer
	c.Stdout, c.Stderr = &out, &err
	began := time.Now()
	ended := testkit.Run(c)
	r := result{line: strings.Join(args, " "), stdout: out.String(), stderr: err.String(), took: time.Since(began)}
	if i.way != nil {
		if f := i.way.fault.Load(); f.name != "" && !f.passes {
			r.asked = i.way.passed.Load() - f.from
		}
	}
	var exit *exec.ExitError
	switch {
	case errors.As(ended, &exit):
		r.code = exit.ExitCode()
	case ended != nil:
		i.t.Fatalf("cofre %s: %v", r.line, ended)
	}
	return r
}

// must carries out a command that succeeds.
func (i *installation) must(args ...string) result {
	i.t.Helper()
	r := i.run(args...)
	if r.code != 0 {
		i.t.Fatalf("%s", r)
	}
	return r
}

// fails checks how a command failed: with one of the codes, without asking the store for ever, with one error and one hint, which hold
// no secret.
func (i *installation) fails(r result, codes ...int) {
	i.t.Helper()
	fits := false
	for _, c := range codes {
		fits = fits || r.code == c
	}
	var said, hints int
	for line := range strings.Lines(r.stderr) {
		if strings.HasPrefix(line, "cofre: ") {
			said++
		}
		if strings.HasPrefix(line, "hint: ") || strings.HasPrefix(line, "  hint: ") { // that of a problem stands below it
			hints++
		}
	}
	switch {
	case !fits:
		i.t.Errorf("want exit code %v: %s", codes, r)
	case said != 1 || hints != 1:
		i.t.Errorf("want one error and one hint: %s", r)
	case r.asked > patience:
		i.t.Errorf("%d requests went to a store that fails, more than %d: %s", r.asked, patience, r)
	case strings.Contains(r.stderr, "long password") || i.store != nil && strings.Contains(r.stderr, i.store.SecretKey):
		i.t.Errorf("it tells a secret: %s", r)
	}
}

// dataDir is the cluster's.
func (i *installation) dataDir() string { return i.server.DataDir }

// segment makes the server end a segment and returns the path of one that waits to be archived, relative to the data
// directory.
func (i *installation) segment() string {
	i.t.Helper()
	name := i.server.Query(i.t, "postgres", `SELECT pg_walfile_name(pg_logical_emit_message(false, 'cofre',
		(SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 20000)))) -- 640 kB, about half of it as stored`)
	i.server.Exec(i.t, "postgres", "SELECT pg_switch_wal()")
	return filepath.Join("pg_wal", name)
}

// read reads a file of the data directory.
func (i *installation) read(path string) []byte {
	i.t.Helper()
	b, err := os.ReadFile(filepath.Join(i.dataDir(), path))
	if err != nil {
		i.t.Fatal(err)
	}
	return b
}

// points lists the recovery points.
func (i *installation) points() int {
	i.t.Helper()
	return strings.Count(i.must("list", "--json").stdout, `"id":`)
}

// clean checks that everything in the repository is whole.
func (i *installation) clean() {
	i.t.Helper()
	if r := i.run("verify", "--level", "content"); r.code != 0 {
		i.t.Errorf("%s", r)
	}
}

// query asks a server that is not the installation's.
func query(t testing.TB, s *throwaway.Server, sql string) string {
	t.Helper()
	return (&testkit.Server{Server: s}).Query(t, "postgres", sql)
}
