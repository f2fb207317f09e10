package postgres

import (
	"cmp"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/pattern"
	"github.com/trustlayer/cofre/internal/secret"
)

// applicationName is under which sessions of cofre and of the programs it runs show in pg_stat_activity.
const applicationName = "cofre"

// Config says how to reach a database. The zero value means what psql without arguments means: the PG*
// variables, a service file, a password file, the local socket.
type Config struct {
	// URL is a connection URI or a key=value string, as libpq reads them. What it leaves out comes from the
	// PG* variables. It may hold a password and is therefore never printed: String leaves it out.
	URL      string
	Database string       // instead of the URL's, if not empty
	User     string       // instead of the URL's, if not empty
	Password secret.Value // instead of any other, if not zero
	// Settings are run-time parameters of the session, instead of those that Connect sets: synchronous_commit,
	// lock_timeout. "replication" makes it a session of the replication protocol.
	Settings map[string]string

	asFound []string // parameters that are left as role, database and server have them
}

// With returns the config with another database.
func (c Config) With(database string) Config {
	c.Database = database
	return c
}

// WithSettings returns the config with further run-time parameters.
func (c Config) WithSettings(settings map[string]string) Config {
	merged := maps.Clone(c.Settings)
	if merged == nil {
		merged = map[string]string{}
	}
	maps.Copy(merged, settings)
	c.Settings = merged
	return c
}

// LeavingAsFound returns the config of sessions in which parameters are as role, database and server have them.
func (c Config) LeavingAsFound(names ...string) Config {
	c.asFound = append(slices.Clone(c.asFound), names...)
	return c
}

// Validate reports what is wrong with the config without connecting.
//
// Errors: cofre.ErrConfig, without the password.
func (c Config) Validate() error {
	_, err := c.parse()
	return err
}

// String is where the config leads, for people: user@host:port/database.
func (c Config) String() string {
	p, err := c.parse()
	if err != nil {
		return "postgres"
	}
	host := p.Host
	if !strings.HasPrefix(host, "/") {
		host = net.JoinHostPort(host, fmt.Sprint(p.Port))
	}
	return fmt.Sprintf("%s@%s/%s", p.User, host, p.Database)
}

// Format prints String under every verb, since URL may hold a password.
func (c Config) Format(f fmt.State, _ rune) { fmt.Fprint(f, c.String()) }

// LogValue logs String.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

// MarshalText writes String.
func (c Config) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// DatabaseName is the database that the config leads to.
func (c Config) DatabaseName() string {
	p, err := c.parse()
	if err != nil {
		return c.Database
	}
	return p.Database
}

func (c Config) userName() string {
	p, err := c.parse()
	if err != nil {
		return c.User
	}
	return p.User
}

func (c Config) parse() (*pgx.ConnConfig, error) {
	p, err := pgx.ParseConfig(c.URL)
	if err != nil {
		return nil, cofre.WithHint(fmt.Errorf("read the database URL: %w: %s", cofre.ErrConfig, withoutPassword(err.Error())),
			cofre.Say("postgres.url", "write it as postgres://user@host:5432/database?sslmode=verify-full, and the password as a reference"))
	}
	if c.Database != "" {
		p.Database = c.Database
	}
	if c.User != "" {
		p.User = c.User
	}
	if p.Database == "" {
		p.Database = p.User // as libpq does
	}
	if !c.Password.IsZero() {
		p.Password = c.Password.Reveal()
	}
	if p.RuntimeParams["application_name"] == "" {
		p.RuntimeParams["application_name"] = applicationName
	}
	if p.ConnectTimeout == 0 && !c.waitsForEver() {
		p.ConnectTimeout = connectTimeout
	}
	// The others are set once the session is there: a pooler in between refuses parameters that it does not know.
	if mode, ok := c.Settings["replication"]; ok {
		p.RuntimeParams["replication"] = mode
	}
	return p, nil
}

// connectTimeout is how long a server that was reached may take until it has let a session in, if connect_timeout says
// nothing else: one that accepts connections and is silent would hold a backup for ever, and all other sources with it.
const connectTimeout = 45 * time.Second

// waitsForEver reports whether the URL, or the environment, asks for no bound, as libpq takes a connect_timeout of 0.
func (c Config) waitsForEver() bool {
	return cmp.Or(urlParameters(c.URL)["connect_timeout"], os.Getenv("PGCONNECT_TIMEOUT")) == "0"
}

var passwordInText = pattern.Lazy(`(?i)(://[^:/@\s]*:)[^@\s]*@|(password\s*=\s*)('(?:[^'\\]|\\.)*'|\S+)`)

// withoutPassword is a second fence: pgx redacts what it recognises as a password, and not in every malformed URL.
func withoutPassword(s string) string {
	return passwordInText().ReplaceAllString(s, "${1}${2}[redacted]")
}

// libpqVariables are the variables by which libpq takes each connection parameter.
//
// Source: PostgreSQL, src/interfaces/libpq/fe-connect.c, PQconninfoOptions.
var libpqVariables = map[string]string{
	"host": "PGHOST", "hostaddr": "PGHOSTADDR", "port": "PGPORT", "user": "PGUSER", "dbname": "PGDATABASE",
	"passfile": "PGPASSFILE", "service": "PGSERVICE", "servicefile": "PGSERVICEFILE", "channel_binding": "PGCHANNELBINDING",
	"connect_timeout": "PGCONNECT_TIMEOUT", "client_encoding": "PGCLIENTENCODING", "options": "PGOPTIONS",
	"sslmode": "PGSSLMODE", "sslnegotiation": "PGSSLNEGOTIATION", "sslcert": "PGSSLCERT", "sslkey": "PGSSLKEY",
	"sslcertmode": "PGSSLCERTMODE", "sslrootcert": "PGSSLROOTCERT", "sslcrl": "PGSSLCRL", "sslcrldir": "PGSSLCRLDIR",
	"sslsni": "PGSSLSNI", "requirepeer": "PGREQUIREPEER", "require_auth": "PGREQUIREAUTH",
	"ssl_min_protocol_version": "PGSSLMINPROTOCOLVERSION", "ssl_max_protocol_version": "PGSSLMAXPROTOCOLVERSION",
	"gssencmode": "PGGSSENCMODE", "krbsrvname": "PGKRBSRVNAME", "gsslib": "PGGSSLIB", "gssdelegation": "PGGSSDELEGATION",
	"target_session_attrs": "PGTARGETSESSIONATTRS", "load_balance_hosts": "PGLOADBALANCEHOSTS",
}

// urlParameters reads the parameters of a connection URI or key=value string, without the password.
func urlParameters(s string) map[string]string {
	params := map[string]string{}
	if strings.HasPrefix(s, "postgres://") || strings.HasPrefix(s, "postgresql://") {
		u, err := url.Parse(s)
		if err != nil {
			return params
		}
		for k, v := range u.Query() {
			if len(v) > 0 {
				params[k] = v[len(v)-1]
			}
		}
		return params
	}
	for _, m := range keyValue().FindAllStringSubmatch(s, -1) {
		v := m[2]
		if strings.HasPrefix(v, "'") {
			v = strings.TrimSuffix(v[1:], "'")
		}
		params[m[1]] = backslashed().ReplaceAllString(v, "$1")
	}
	return params
}

var (
	keyValue    = pattern.Lazy(`(\w+)\s*=\s*('(?:[^'\\]|\\.)*'|(?:[^\s\\]|\\.)*)`)
	backslashed = pattern.Lazy(`\\(.)`)
)

// toolEnv is the environment with which libpq in a client program reaches the same database. If at is not
// nil it is the address that Connect ended at, so that of several hosts the programs reach the same one. Options are
// added to those that the URL or the environment has.
func (c Config) toolEnv(base []string, at net.Addr, options string) ([]string, error) {
	p, err := c.parse()
	if err != nil {
		return nil, err
	}
	vars := map[string]string{}
	for _, kv := range os.Environ() {
		if k, v, _ := strings.Cut(kv, "="); slices.Contains(slices.Collect(maps.Values(libpqVariables)), k) {
			vars[k] = v
		}
	}
	for k, v := range urlParameters(c.URL) {
		if name, ok := libpqVariables[k]; ok {
			vars[name] = v
		}
	}
	// pgx resolved what a service says; libpq must not resolve it again and differ.
	delete(vars, "PGSERVICE")
	delete(vars, "PGHOSTADDR")
	delete(vars, "PGTARGETSESSIONATTRS")
	delete(vars, "PGCLIENTENCODING") // of whoever started us: the database's own, unless a program is told another
	vars["PGHOST"], vars["PGPORT"] = p.Host, fmt.Sprint(p.Port)
	vars["PGUSER"], vars["PGDATABASE"] = p.User, p.Database
	vars["PGAPPNAME"] = applicationName
	if p.ConnectTimeout > 0 {
		vars["PGCONNECT_TIMEOUT"] = fmt.Sprint(int(p.ConnectTimeout / time.Second))
	}
	if options != "" {
		vars["PGOPTIONS"] = strings.TrimSpace(vars["PGOPTIONS"] + " " + options)
	}
	switch a := at.(type) {
	case *net.TCPAddr:
		vars["PGHOSTADDR"], vars["PGPORT"] = a.IP.String(), fmt.Sprint(a.Port)
	case *net.UnixAddr:
		vars["PGHOST"] = filepath.Dir(a.Name)
		vars["PGPORT"] = strings.TrimPrefix(filepath.Base(a.Name), ".s.PGSQL.")
	}
	if p.Password != "" {
		vars["PGPASSWORD"] = p.Password
	}
	env := slices.Clone(base)
	for _, k := range slices.Sorted(maps.Keys(vars)) {
		env = append(env, k+"="+vars[k])
	}
	return env, nil
}
