// Package throwaway runs a PostgreSQL server of one's own: made by initdb or on a data directory that is there
// already, reachable over a Unix socket in a private directory and, if asked, over a free port of the loopback
// interface. The server ends with its user, even by kill -9, unless it was asked for detached.
//
// Drills, the demonstration, tests and a restored cluster that is to be looked at use it. It is no way to run
// a server that others depend on: a new cluster runs without fsync unless Durable is set.
package throwaway

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/inside"
	"github.com/trustlayer/cofre/internal/process"
	"github.com/trustlayer/cofre/internal/secret"
	"github.com/trustlayer/cofre/postgres"
)

// startTimeout bounds the wait for a server whose context has no deadline. Recovery of an existing data
// directory may take long: its caller passes a context with a deadline of its own.
const startTimeout = 2 * time.Minute

// Options describe a server. The zero value is a new cluster of the newest PostgreSQL on the machine.
type Options struct {
	BinDir string // of one major version, as postgres.BinDir finds it; empty takes the newest found

	// DataDir is used as it is if it holds a cluster, and initialised if it is empty or absent. Empty
	// means a temporary one, removed by Close.
	DataDir string
	// Template is a data directory of a stopped cluster that is copied instead of running initdb.
	Template string

	TCP      bool     // listen on 127.0.0.1 too, at a free port; Password is then needed there
	Conf     []string // lines of postgresql.conf: "wal_level = logical"
	InitArgs []string // further arguments of initdb: "--wal-segsize=1"
	Durable  bool     // fsync as usual, if the cluster is new
	Args     []string // further arguments of postgres, which override its configuration files: "-c", "ssl=off"
	Env      []string // further variables of the server's environment, which its commands get: NAME=VALUE

	// Dir is an empty or prepared directory of this user that becomes the server's: for its socket and its log.
	// Close, and a Start that fails, remove it. Empty makes one.
	Dir string
	// Detached lets the server go on when this process ends, or dies, without Close.
	Detached bool
	// User is the superuser that it is asked as; empty is postgres, which a cluster that was made here has.
	User string
}

// Server is a running server.
type Server struct {
	Major    int
	BinDir   string
	DataDir  string
	Socket   string // the directory of the Unix socket
	Port     int    // of the socket's name, and of 127.0.0.1 with Options.TCP
	Password secret.Value

	opts  Options
	temp  string
	dir   *inside.Dir // temp, open: it belongs to the server's user, who could put a link in the place of anything in it, or of it
	owned bool        // the data directory is ours to remove
	as    *syscall.Credential
	proc  *process.Process
	log   string
}

// Mode is a way of stopping.
type Mode syscall.Signal

// Fast disconnects everybody and writes a checkpoint; Immediate does neither, so that the next start recovers.
//
// Source: https://www.postgresql.org/docs/current/server-shutdown.html
const (
	Fast      = Mode(syscall.SIGINT)
	Immediate = Mode(syscall.SIGQUIT)
)

// Start makes and starts a server and returns when it answers. Close must be called.
//
// Errors: *cofre.ToolError from initdb; an error with the end of the server's log if it does not start.
// After an error nothing is left, except what a data directory of the caller holds.
func Start(ctx context.Context, o Options) (*Server, error) {
	s, err := prepare(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := s.Start(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Init makes a cluster in dir, which must be empty or absent, without starting it: a Template for others.
//
// Errors: *cofre.ToolError from initdb.
func Init(ctx context.Context, binDir, dir string, args ...string) error {
	as, err := Account()
	if err != nil {
		return err
	}
	made, err := inside.MakeAs(dir, 0o700)
	if err != nil {
		return err
	}
	if as != nil {
		err = made.Chown(".", int(as.Uid), int(as.Gid))
	}
	if err = errors.Join(err, made.Close()); err != nil {
		return err
	}
	if _, err := postgres.VersionOf(ctx, filepath.Join(binDir, "initdb")); err != nil {
		return err
	}
	argv := append([]string{
		"-D", dir, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync",
	}, args...)
	_, err = process.Output(ctx, process.Command{
		Path: filepath.Join(binDir, "initdb"), Args: argv, Env: process.BaseEnv(), Dir: "/", Credential: as,
	})
	return err
}

func prepare(ctx context.Context, o Options) (_ *Server, err error) {
	if o.BinDir == "" {
		installed := postgres.Installed()
		if len(installed) == 0 {
			return nil, cofre.WithHint(fmt.Errorf("start a throwaway server: no PostgreSQL server programs: %w", cofre.ErrNotFound),
				cofre.Say("postgres.install", "apt-get install postgresql"))
		}
		o.BinDir = installed[len(installed)-1].Dir
	}
	s := &Server{BinDir: o.BinDir, opts: o, Port: 5432}
	if s.as, err = Account(); err != nil {
		return nil, err
	}
	v, err := postgres.VersionOf(ctx, filepath.Join(o.BinDir, "postgres"))
	if err != nil {
		return nil, err
	}
	s.Major = v.Major()
	// A socket's path is limited to 107 bytes, so it is not below t.TempDir or a deep TMPDIR.
	if s.temp = o.Dir; s.temp == "" {
		if s.temp, err = os.MkdirTemp("", "cofre-pg-"); err != nil {
			return nil, err
		}
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.remove())
		}
	}()
	if s.dir, err = inside.Open(s.temp); err != nil {
		return nil, err
	}
	s.Socket, s.log = s.temp, filepath.Join(s.temp, logName)
	if s.as != nil {
		if err := s.dir.Chown(".", int(s.as.Uid), int(s.as.Gid)); err != nil {
			return nil, err
		}
	}
	s.DataDir = o.DataDir
	if s.DataDir == "" {
		s.DataDir, s.owned = filepath.Join(s.temp, "data"), true
	}
	if _, err := os.Stat(filepath.Join(s.DataDir, "PG_VERSION")); err == nil {
		return s, nil
	}
	if o.Template != "" {
		err = s.copyTemplate(ctx)
	} else {
		err = Init(ctx, o.BinDir, s.DataDir, o.InitArgs...)
	}
	if err != nil {
		return nil, err
	}
	return s, s.configure()
}

func (s *Server) copyTemplate(ctx context.Context) error {
	// cp keeps owners and modes and clones extents if the file system can.
	return process.Run(ctx, process.Command{
		Path: "cp", Args: []string{"-a", "--reflink=auto", s.opts.Template, s.DataDir}, Env: process.BaseEnv(),
	})
}

// configure writes what a new cluster of ours differs in. The socket's directory is closed to other users, so
// trust on the socket trusts its owner alone; on TCP a password is asked for, since ports are open to everybody.
func (s *Server) configure() (err error) {
	data, err := inside.OpenAs(s.DataDir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, data.Close()) }()
	lines := []string{"logging_collector = off", "log_min_messages = warning", "shared_buffers = 64MB"}
	if !s.opts.Durable {
		lines = append(lines, "fsync = off", "full_page_writes = off", "synchronous_commit = off")
	}
	hba := "local all all trust\nlocal replication all trust\nhost all all 127.0.0.1/32 scram-sha-256\nhost replication all 127.0.0.1/32 scram-sha-256\n"
	if err := s.write(data, "pg_hba.conf", hba); err != nil {
		return err
	}
	conf, err := data.ReadFile("postgresql.conf", inside.MaxKept)
	if err != nil {
		return err
	}
	return s.write(data, "postgresql.conf", string(conf)+"\n"+strings.Join(append(lines, s.opts.Conf...), "\n")+"\n")
}

// write makes a file of the data directory anew, so that nothing is written into what a link in its place leads to.
func (s *Server) write(data *inside.Dir, name, text string) error {
	f, err := afresh(data, name)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err == nil && s.as != nil {
		err = f.Chown(int(s.as.Uid), int(s.as.Gid))
	}
	return errors.Join(err, f.Close())
}

// afresh makes a file in the place of what has its name.
func afresh(in *inside.Dir, name string) (*os.File, error) {
	if err := in.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return in.Create(name)
}

// Start starts a server that was stopped, and returns when it answers. Start of the package has called it once.
//
// Errors: one with the end of the server's log.
func (s *Server) Start(ctx context.Context) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, startTimeout)
		defer cancel()
	}
	// Between choosing a free port and binding it somebody else may take it: choose again.
	for attempt := 0; ; attempt++ {
		err := s.launch(ctx)
		if err != nil && s.opts.TCP && attempt < 5 && strings.Contains(s.Log(), "could not bind") {
			continue
		}
		if err != nil {
			return fmt.Errorf("start PostgreSQL %d on %s: %w", s.Major, s.DataDir, err)
		}
		if s.opts.TCP && s.Password.IsZero() {
			return s.setPassword(ctx)
		}
		return nil
	}
}

func (s *Server) launch(ctx context.Context) error {
	listen := ""
	if s.opts.TCP {
		port, err := freePort()
		if err != nil {
			return err
		}
		s.Port, listen = port, "127.0.0.1"
	}
	log, err := afresh(s.dir, logName)
	if err != nil {
		return err
	}
	args := []string{
		"-D", s.DataDir, "-k", s.Socket, "-h", listen, "-p", strconv.Itoa(s.Port),
		"-c", "unix_socket_permissions=0700", "-c", "logging_collector=off", "-c", "log_destination=stderr",
		"-c", "external_pid_file=" + filepath.Join(s.Socket, "pid"),
	} // a restored configuration may name the original's
	args = append(args, s.opts.Args...)
	// The server outlives the call that starts it: its end is Stop, Kill, or the end of this process.
	s.proc, err = process.Start(context.WithoutCancel(ctx), process.Command{
		Path: filepath.Join(s.BinDir, "postgres"), Args: args, Env: append(process.BaseEnv(), s.opts.Env...), Dir: "/",
		Name: fmt.Sprintf("postgres %d", s.Major), Credential: s.as, Stdout: log, Stderr: log,
		// An immediate shutdown, since nobody would be there to wait for a slower one.
		Pdeathsig: syscall.SIGQUIT, Detached: s.opts.Detached,
	})
	if err != nil {
		return errors.Join(err, log.Close())
	}
	// What a server that is not detached says to its standard error passes through this process for as long as it runs.
	go func(done <-chan struct{}) {
		<-done
		_ = log.Close()
	}(s.proc.Done())
	if err := s.ready(ctx); err != nil {
		s.Kill()
		return err
	}
	return nil
}

// ready polls until the server answers anything but "starting up", as pg_isready does.
func (s *Server) ready(ctx context.Context) error {
	// Each question is a process of the server's and a line in its log: a recovery that lasts is asked rarely.
	const first, most = 10 * time.Millisecond, 300 * time.Millisecond
	for wait := first; ; wait = min(wait*3/2, most) {
		conn, err := pgconn.Connect(ctx, s.dsn("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		var refused *pgconn.PgError
		if errors.As(err, &refused) && refused.Code != "57P03" {
			return nil // it speaks: that this role may not come in is another matter
		}
		select {
		case <-s.proc.Done():
			return fmt.Errorf("%w\n%s", s.proc.Wait(), s.Log())
		case <-ctx.Done():
			return fmt.Errorf("%w while it was starting\n%s", context.Cause(ctx), s.Log())
		case <-time.After(wait):
		}
	}
}

func (s *Server) setPassword(ctx context.Context) error {
	password := rand.Text()
	conn, err := pgconn.Connect(ctx, s.dsn("postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	// 13 still hashes with MD5 unless told otherwise.
	sql := "SET password_encryption = 'scram-sha-256'; ALTER ROLE postgres PASSWORD '" + password + "'"
	if _, err := conn.Exec(ctx, sql).ReadAll(); err != nil {
		return fmt.Errorf("set the password of the throwaway server: %w", err)
	}
	s.Password = secret.New(password)
	return nil
}

func (s *Server) dsn(database string) string {
	q := url.Values{"host": {s.Socket}, "port": {strconv.Itoa(s.Port)}, "sslmode": {"disable"}}
	return (&url.URL{Scheme: "postgres", User: url.User(s.User()), Path: "/" + database, RawQuery: q.Encode()}).String()
}

// User is the superuser that it is asked as.
func (s *Server) User() string { return cmp.Or(s.opts.User, "postgres") }

// Detach stops the server, and starts it again as one that goes on when this process ends.
//
// Errors: those of Stop and Start.
func (s *Server) Detach(ctx context.Context) error {
	if err := s.Stop(ctx, Fast); err != nil {
		return err
	}
	s.opts.Detached = true
	return s.Start(ctx)
}

// Config reaches a database of the server over the socket, as its superuser.
func (s *Server) Config(database string) postgres.Config {
	return postgres.Config{URL: s.dsn(database)}
}

// TCPConfig reaches a database over the loopback interface, with the password.
func (s *Server) TCPConfig(database string) postgres.Config {
	u := url.URL{
		Scheme: "postgres", User: url.User("postgres"), Path: "/" + database, RawQuery: "sslmode=disable",
		Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port)),
	}
	return postgres.Config{URL: u.String(), Password: s.Password}
}

// URL is Config as a URL, without a password: the socket needs none.
func (s *Server) URL(database string) string { return s.dsn(database) }

// PID is the postmaster's process id.
func (s *Server) PID() int { return s.proc.PID() }

// Running reports whether the postmaster lives.
func (s *Server) Running() bool {
	if s.proc == nil {
		return false
	}
	select {
	case <-s.proc.Done():
		return false
	default:
		return true
	}
}

// Log is the end of the server's log since its last start.
func (s *Server) Log() string {
	if s.dir == nil {
		return ""
	}
	f, err := s.dir.Open(logName)
	if err != nil {
		return ""
	}
	defer f.Close() // only read
	fi, err := f.Stat()
	if err != nil || !fi.Mode().IsRegular() {
		return ""
	}
	const end = 8 << 10
	b := make([]byte, min(fi.Size(), end))
	n, _ := f.ReadAt(b, fi.Size()-int64(len(b))) // what could be read of it
	return string(b[:n])
}

// Stop stops the server and waits for its end. A server that has ended already is no error.
//
// Errors: ctx's, if it ends first; the server then goes on stopping.
func (s *Server) Stop(ctx context.Context, mode Mode) error {
	if !s.Running() {
		return nil
	}
	if err := s.proc.Signal(syscall.Signal(mode)); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop PostgreSQL %d on %s: %w", s.Major, s.DataDir, err)
	}
	select {
	case <-s.proc.Done():
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stop PostgreSQL %d on %s: %w", s.Major, s.DataDir, context.Cause(ctx))
	}
}

// Kill ends the postmaster as a power cut would, and waits until it is gone. Its children notice and end.
func (s *Server) Kill() {
	if s.proc == nil {
		return
	}
	s.proc.Kill()
	<-s.proc.Done()
}

// Close stops the server at once and removes what Start made. A data directory that the caller named stays,
// after an ordinary shutdown.
//
// Errors: of the removal.
func (s *Server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	mode := Immediate
	if !s.owned {
		mode = Fast
	}
	if err := s.Stop(ctx, mode); err != nil {
		s.Kill()
	}
	return s.remove()
}

// remove takes what is left away.
func (s *Server) remove() error {
	err := os.RemoveAll(s.temp)
	if s.dir != nil {
		err = errors.Join(err, s.dir.Close())
		s.dir = nil
	}
	return err
}

// logName is the log in the directory of the socket.
const logName = "server.log"

// LogFile is where the server's log goes.
func (s *Server) LogFile() string { return s.log }

// TempDir is the private directory of socket and log, and of the data directory if that is temporary.
func (s *Server) TempDir() string { return s.temp }

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// Reaches refuses a folder that the user of a server cannot reach, as one below the home of root.
//
// Errors: cofre.ErrDenied, with who that is.
func Reaches(dir string) error {
	as, err := Account()
	if err != nil || as == nil {
		return err
	}
	if err := inside.As(int(as.Uid), func() error { _, err := os.Stat(filepath.Join(dir, ".")); return err }); !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return cofre.Fail(cofre.Say("postgres.unreached", "user {{.user}}, who runs the server, cannot reach {{.folder}}", "user", inside.UserName(int(as.Uid)), "folder", dir), cofre.ErrDenied)
}

// Account is the user that the server runs as: this one, and postgres if this user is root, since PostgreSQL
// refuses to run as root.
func Account() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		u, err = user.Lookup("nobody")
	}
	if err != nil {
		return nil, cofre.WithHint(fmt.Errorf("find a user for PostgreSQL, which does not run as root: %w", err),
			cofre.Say("postgres.user", "run as another user, or: useradd --system postgres"))
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}
