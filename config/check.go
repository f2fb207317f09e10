package config

import (
	"fmt"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/pattern"
)

// check finds what is wrong though each value has the right type.
func (c *Config) check(p *problems) {
	if !nameForm().MatchString(c.Name) && !p.has("name") {
		p.add("name", cofre.Say("config.not_a_name", "is not a name"), cofre.Say("config.name_form", "up to 63 letters, digits, dots, dashes and underscores, beginning with a letter or a digit"))
	}
	oneOf(p, "language", c.Language)
	if c.Timezone != "" {
		if _, err := time.LoadLocation(c.Timezone); err != nil {
			p.add("timezone", cofre.Say("config.not_a_zone", "is not a known time zone"), cofre.Say("config.zone_form", "as in America/Sao_Paulo, or UTC"))
		}
	}
	c.checkRepositories(p)
	if c.Database != nil {
		c.Database.check(p)
	}
	if c.Cluster != nil {
		c.Cluster.check(p)
	}
	if c.Storage != nil {
		c.Storage.check(p)
	}
	if c.Files != nil {
		c.Files.check(p)
	}
	if w := c.Verify.Window.Duration; w != 0 && w < 24*time.Hour {
		p.add("verify.window", cofre.Say("config.short_window", "is shorter than a day"), cofre.Say("config.window_form", "as in 30d: the time within which everything is read back"))
	}
	if l := c.Serve.Limit.Duration; l != 0 && l < time.Minute {
		p.add("serve.limit", cofre.Say("config.short_limit", "is shorter than a minute"), cofre.Say("config.limit_form", "as in 12h: how long a run may take"))
	}
	for name, commands := range map[string][]string{
		"before_backup": c.Hooks.BeforeBackup, "after_backup": c.Hooks.AfterBackup,
		"before_restore": c.Hooks.BeforeRestore, "after_restore": c.Hooks.AfterRestore,
	} {
		for i, command := range commands {
			if strings.TrimSpace(command) == "" {
				p.add(fmt.Sprintf("hooks.%s[%d]", name, i), cofre.Say("config.empty_command", "is an empty command"), cofre.Message{})
			}
		}
	}
	c.Drill.check(p)
	c.Notify.check(p)
	oneOf(p, "log.format", c.Log.Format)
	oneOf(p, "log.level", c.Log.Level)
}

func (d Drill) check(p *problems) {
	for i, c := range d.Checks {
		at := fmt.Sprintf("drill.checks[%d]", i)
		if n := count(c.SQL != "", c.Command != ""); n != 1 && !p.has(at) {
			p.add(at, cofre.Say("config.check_kinds", "has {{.count}} questions, not one", "count", n), cofre.Say("config.check_form", "set sql, a statement that returns true, or command, a command of the shell that ends with 0"))
		}
	}
	for i, r := range d.RowSecurity {
		at := fmt.Sprintf("drill.row_security[%d]", i)
		if r.Role == "" && !p.has(at) {
			p.add(at+".role", cofre.Say("config.missing", "is missing"), cofre.Say("config.role_form", "a role of the application, as authenticated"))
		}
		if r.Query == "" && !p.has(at) {
			p.add(at+".query", cofre.Say("config.missing", "is missing"), cofre.Say("config.query_form", "what the role asks, as SELECT FROM public.answers"))
		}
		if n := count(r.Rows != nil, r.Value != nil, r.Denied); n != 1 && !p.has(at) {
			p.add(at, cofre.Say("config.probe_answers", "has {{.count}} answers that are right, not one", "count", n), cofre.Say("config.probe_form", "set rows, how many the query returns; or value, of its only row; or denied: true"))
		}
		if r.Rows != nil {
			notNegative(p, at+".rows", *r.Rows)
		}
		for j, s := range r.Settings {
			if s.Name == "" && !p.has(at) {
				p.add(fmt.Sprintf("%s.settings[%d].name", at, j), cofre.Say("config.missing", "is missing"), cofre.Say("config.setting_form", "of a run-time parameter, as app.organization"))
			}
		}
	}
}

// count is how many of these are so.
func count(so ...bool) (n int) {
	for _, yes := range so {
		if yes {
			n++
		}
	}
	return n
}

func (n Notify) check(p *problems) {
	for i, r := range n.To {
		at := fmt.Sprintf("notify.to[%d]", i)
		if r.URL.IsZero() && !p.has(at) && !p.has(fmt.Sprintf("notify[%d]", i)) {
			p.add(at+".url", cofre.Say("config.missing", "is missing"), cofre.Say("config.notify_form", "env:NAME, or file:PATH of a file with the URL of the service"))
		}
		oneOf(p, at+".language", r.Language)
		for j, word := range r.Only {
			if !slices.Contains(NotifyWords, word) {
				p.add(fmt.Sprintf("%s.only[%d]", at, j), cofre.Say("config.unknown_word", "is not a word that is known here"), cofre.Say("config.one_of", "one of {{.words}}", "words", strings.Join(NotifyWords, ", ")))
			}
		}
	}
	if r := n.Repeat.Duration; r != 0 && r < 10*time.Minute {
		p.add("notify.repeat", cofre.Say("config.short_repeat", "is shorter than ten minutes"), cofre.Say("config.repeat_form", "as in 1d: after how long it is said again what still is"))
	}
	if e := n.Heartbeat.Every.Duration; e != 0 && e < time.Minute {
		p.add("notify.heartbeat.every", cofre.Say("config.short_limit", "is shorter than a minute"), cofre.Say("config.heartbeat_form", "as in 5m: how often the URL is fetched"))
	}
	if n.Heartbeat.URL.IsZero() && (!n.Heartbeat.Fail.IsZero() || n.Heartbeat.Every.Duration != 0) && !p.has("notify.heartbeat") {
		p.add("notify.heartbeat.url", cofre.Say("config.missing", "is missing"), cofre.Say("config.notify_form", "env:NAME, or file:PATH of a file with the URL of the service"))
	}
}

// nameForm keeps the name usable in file names, tags, database names and metrics labels.
var nameForm = pattern.Lazy(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

// oneOf holds a value against the words that its key takes.
func oneOf(p *problems, at, value string) {
	allowed := words(indexes().ReplaceAllString(at, ""))
	if value != "" && !slices.Contains(allowed, value) {
		p.add(at, cofre.Say("config.unknown_word", "is not a word that is known here"), cofre.Say("config.one_of", "one of {{.words}}", "words", strings.Join(allowed, ", ")))
	}
}

var indexes = pattern.Lazy(`\[[0-9]+\]`)

func notNegative(p *problems, at string, n int) {
	if n < 0 {
		p.add(at, cofre.Say("config.negative", "is below zero"), cofre.Message{})
	}
}

// Compressions are the words for the repository's compression, the default first.
var Compressions = []string{"zstd-fastest", "s2"}

func (c *Config) checkRepositories(p *problems) {
	c.Repository.check(p, "repository")
	if c.Repository.Password.IsZero() && !p.has("repository.password") {
		p.add("repository.password", cofre.Say("config.missing", "is missing"),
			cofre.Say("config.password_form", "write env:NAME or file:PATH here, or set {{.variable}} or {{.file}}", "variable", PasswordVariable, "file", PasswordFileVariable))
	}
	seen := map[string]string{c.Repository.URL: "repository.url"}
	for i, r := range c.Copies {
		at := fmt.Sprintf("copies[%d]", i)
		r.check(p, at)
		if first, twice := seen[r.URL]; twice && r.URL != "" {
			p.add(at+".url", cofre.Say("config.same_place", "is the same place as {{.other}}", "other", first), cofre.Say("config.copy_elsewhere", "a copy is worth something on another disk, in another building"))
		}
		seen[r.URL] = at + ".url"
	}
}

func (r Repository) check(p *problems, at string) {
	if r.URL == "" {
		if !p.has(at + ".url") {
			p.add(at+".url", cofre.Say("config.missing", "is missing"), cofre.Say("config.repository_form", "a folder, or s3://BUCKET/PREFIX?endpoint=URL"))
		}
	} else if what, hint := wrongRepositoryURL(r.URL); !what.IsZero() {
		p.add(at+".url", what, hint)
	}
	oneOf(p, at+".compression", r.Compression)
	if r.WALRecipient != "" && (!strings.HasPrefix(r.WALRecipient, "age1") || len(r.WALRecipient) != 62) {
		p.add(at+".wal_recipient", cofre.Say("config.no_recipient", "is no recipient"), cofre.Say("config.recipient_form", "age1 and 58 letters and digits, as in cofre/keys/wal.pub of the repository"))
	}
	r.Credentials.check(p, at+".credentials")
}

func (c Credentials) check(p *problems, at string) {
	if c.AccessKey.IsZero() != c.SecretKey.IsZero() && !p.has(at) {
		p.add(at, cofre.Say("config.one_key", "has one key of two"), cofre.Say("config.both_keys", "set access_key and secret_key, or neither"))
	}
}

// folderOf tells a folder from a URL.
func folderOf(address string) (string, bool) {
	if rest, ok := strings.CutPrefix(address, "file://"); ok {
		return rest, true
	}
	return address, address != "" && !strings.Contains(address, "://")
}

func wrongRepositoryURL(address string) (what, hint cofre.Message) {
	if folder, ok := folderOf(address); ok {
		if !strings.HasPrefix(folder, "/") {
			return cofre.Say("config.not_absolute", "is not an absolute path"), hint
		}
		if path.Clean(folder) == "/" {
			return cofre.Say("config.root", "is the root of the file system"), cofre.Say("config.own_folder", "name a folder of its own, as /var/backups/trustlayer")
		}
		return what, hint
	}
	form := cofre.Verbatim("s3://BUCKET/PREFIX?endpoint=URL&region=NAME")
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return cofre.Say("config.not_a_url", "is not a URL"), form
	case u.Scheme != "s3":
		return cofre.Say("config.unknown_store", "names a kind of store that cofre does not know"), cofre.Say("config.folder_or", "a folder, or {{.form}}", "form", form)
	case u.User != nil:
		return cofre.Say("config.credentials_in_clear", "holds credentials in clear"), cofre.Say("config.move_credentials", "move them to credentials: {access_key: …, secret_key: …}, as references")
	case u.Host == "":
		return cofre.Say("config.no_bucket", "names no bucket"), form
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return cofre.Say("config.bad_query", "has a query that is not well-formed"), form
	}
	for key := range query {
		if strings.Contains(key, "key") || strings.Contains(key, "secret") || strings.Contains(key, "token") {
			return cofre.Say("config.credentials_in_clear", "holds credentials in clear"), cofre.Say("config.move_credentials", "move them to credentials: {access_key: …, secret_key: …}, as references")
		}
	}
	if e := query.Get("endpoint"); e != "" && !webURL(e) && !hostPort().MatchString(e) {
		return cofre.Say("config.bad_endpoint", "has an endpoint that is not a URL"), cofre.Say("config.as_in", "as in {{.example}}", "example", "endpoint=https://s3.example.com")
	}
	return what, hint
}

var hostPort = pattern.Lazy(`^[A-Za-z0-9.-]+(:[0-9]{1,5})?$`)

func webURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil
}

func holdsPassword(u *url.URL, query url.Values) bool {
	_, inUser := u.User.Password()
	return inUser || query.Has("password") || query.Has("sslpassword")
}

// PasswordInArgument refuses a word of the command line that is the address of a server with a password in it, as a URL or by keywords:
// every user of the machine can read command lines. It never repeats the value. flag is the flag that has it, or "".
//
// Errors: cofre.ErrConfig.
func PasswordInArgument(flag, value string) error {
	if !strings.Contains(value, "://") && !strings.Contains(value, "password") || !inAddress(value) {
		return nil
	}
	what := cofre.Say("config.password_in_word", "an argument of the command line holds a password, which every user of this machine can read in the list of processes")
	if flag != "" {
		what = cofre.Say("config.password_in_argument", "{{.flag}} holds a password, which every user of this machine can read in the list of processes", "flag", flag)
	}
	return cofre.WithHint(
		cofre.Fail(what, cofre.ErrConfig),
		cofre.Say("config.password_elsewhere", "leave it out, and give it in the variable PGPASSWORD, or in the file that PGPASSFILE names (default ~/.pgpass), for its owner alone, as HOST:PORT:DATABASE:USER:PASSWORD; if others use this machine, change it"))
}

// inAddress reports whether a text is an address that holds a password.
func inAddress(text string) bool {
	if keywordPassword().MatchString(text) {
		return true
	}
	text = strings.TrimSpace(variable().ReplaceAllString(text, ""))
	if !address().MatchString(text) {
		return false
	}
	u, err := url.Parse(text)
	return err != nil || holdsPassword(u, u.Query()) // what makes a URL unreadable is most often a password with / or % in it
}

var (
	// keywordPassword is an address that is written as keywords: host=db password=….
	keywordPassword = pattern.Lazy(`^\s*(\S+\s*=.*\s)?(ssl)?password\s*=`)
	address         = pattern.Lazy(`^(?i)[a-z][a-z0-9+.-]*://(\S*:\S*@|\S*[?&](ssl)?password=)`)
	// variable is an assignment as shells have it, before an address: DATABASE_URL=postgres://….
	variable = pattern.Lazy(`^\s*[A-Za-z_][A-Za-z0-9_]*=`)
)

// wrongPostgresURL never repeats the URL, nor the parser's complaint, which quotes parts of it: either may
// hold a password.
func wrongPostgresURL(text string) (what, hint cofre.Message) {
	form := cofre.Verbatim("postgres://USER@HOST:PORT/DATABASE?sslmode=verify-full")
	if !strings.HasPrefix(text, "postgres://") && !strings.HasPrefix(text, "postgresql://") {
		return cofre.Say("config.not_postgres", "does not begin with postgres://"), form
	}
	u, err := url.Parse(text)
	if err != nil {
		// What makes such a URL unreadable is most often a password with / or % in it.
		return cofre.Say("config.not_a_url", "is not a URL"), cofre.Say("config.url_password", "{{.form}}; the password goes to password: env:NAME or file:PATH", "form", form)
	}
	query, err := url.ParseQuery(u.RawQuery)
	if holdsPassword(u, query) {
		return cofre.Say("config.password_in_clear", "holds a password in clear"), cofre.Say("config.password_below", "take it out of the URL, and write password: env:NAME or file:PATH below it")
	}
	if err != nil {
		return cofre.Say("config.bad_query", "has a query that is not well-formed"), form
	}
	for _, host := range strings.Split(u.Host, ",") {
		if _, port, ok := strings.Cut(host[strings.LastIndex(host, "]")+1:], ":"); ok && !validPort(port) {
			return cofre.Say("config.bad_port", "has a port that is not a number from 1 to 65535"), form
		}
	}
	return what, hint
}

func validPort(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}

func databaseName(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	if name := strings.TrimPrefix(u.Path, "/"); name != "" {
		return name
	}
	return u.Query().Get("dbname")
}

// DatabaseName is the name of the database that the URL names.
func (d Database) DatabaseName() string { return databaseName(d.URL) }

func checkPostgresURL(p *problems, at, text string) bool {
	if text == "" {
		if !p.has(at) {
			p.add(at, cofre.Say("config.missing", "is missing"), cofre.Verbatim("postgres://USER@HOST:PORT/DATABASE"))
		}
		return false
	}
	what, hint := wrongPostgresURL(text)
	if !what.IsZero() {
		p.add(at, what, hint)
	}
	return what.IsZero()
}

func (d *Database) check(p *problems) {
	if checkPostgresURL(p, "database.url", d.URL) && d.DatabaseName() == "" {
		p.add("database.url", cofre.Say("config.no_database", "names no database"), cofre.Verbatim("postgres://USER@HOST:PORT/DATABASE"))
	}
	d.Keep.check(p, "database.keep")
	notNegative(p, "database.jobs", d.Jobs)
}

func (c *Cluster) check(p *problems) {
	checkPostgresURL(p, "cluster.url", c.URL)
	c.Keep.check(p, "cluster.keep")
	notNegative(p, "cluster.jobs", c.Jobs)
	oneOf(p, "cluster.wal", c.WAL)
	oneOf(p, "cluster.checkpoint", c.Checkpoint)
	if c.Slot != "" && !slotForm().MatchString(c.Slot) {
		p.add("cluster.slot", cofre.Say("config.not_a_slot", "is not the name of a replication slot"), cofre.Say("config.slot_form", "up to 63 lower-case letters, digits and underscores"))
	} else if c.Slot != "" && c.WAL != WALStream && !p.has("cluster.wal") {
		p.add("cluster.slot", cofre.Say("config.slot_unused", "is used only if WAL is streamed"), cofre.Say("config.slot_stream", "set wal: stream, or take the slot out"))
	}
}

// slotForm is what PostgreSQL takes for a slot: ReplicationSlotValidateName in slot.c.
var slotForm = pattern.Lazy(`^[a-z0-9_]{1,63}$`)

func (s *Storage) check(p *problems) {
	kinds := 0
	if s.Supabase != nil {
		kinds++
		if s.Supabase.URL == "" && !p.has("storage.supabase.url") {
			p.add("storage.supabase.url", cofre.Say("config.missing", "is missing"), cofre.Say("config.as_in", "as in {{.example}}", "example", "https://trustlayer.example.com"))
		} else if s.Supabase.URL != "" && !webURL(s.Supabase.URL) {
			p.add("storage.supabase.url", cofre.Say("config.not_http", "is not an http or https URL without credentials"), cofre.Say("config.as_in", "as in {{.example}}", "example", "https://trustlayer.example.com"))
		}
		if s.Supabase.ServiceRoleKey.IsZero() && !p.has("storage.supabase.service_role_key") {
			p.add("storage.supabase.service_role_key", cofre.Say("config.missing", "is missing"), cofre.Say("config.service_role_form", "env:SUPABASE_SERVICE_ROLE_KEY, or file:PATH"))
		}
	}
	if s.S3 != nil {
		kinds++
		if s.S3.Endpoint != "" && !webURL(s.S3.Endpoint) {
			p.add("storage.s3.endpoint", cofre.Say("config.not_http", "is not an http or https URL without credentials"), cofre.Say("config.as_in", "as in {{.example}}", "example", "https://s3.example.com"))
		}
		s.S3.Credentials.check(p, "storage.s3.credentials")
		if len(s.S3.Buckets) > 0 && len(s.Buckets) > 0 && !slices.Equal(s.S3.Buckets, s.Buckets) {
			p.add("storage.s3.buckets", cofre.Say("config.buckets_differ", "is set as well as storage.buckets, and says something else"), cofre.Say("config.keep_one", "keep one of them"))
		}
	}
	if s.Folder != nil {
		kinds++
		if s.Folder.Path == "" && !p.has("storage.folder.path") {
			p.add("storage.folder.path", cofre.Say("config.missing", "is missing"), cofre.Say("config.folder_of_buckets", "the folder that holds one folder for each bucket"))
		}
	}
	if kinds != 1 && !p.has("storage.supabase") && !p.has("storage.s3") && !p.has("storage.folder") {
		p.add("storage", cofre.Say("config.places", "names {{.count}} places, not one", "count", kinds), cofre.Say("config.one_storage", "set one of supabase, s3 and folder"))
	}
	s.Keep.check(p, "storage.keep")
	notNegative(p, "storage.jobs", s.Jobs)
	for i, b := range s.Buckets {
		if slices.Index(s.Buckets, b) < i {
			p.add(fmt.Sprintf("storage.buckets[%d]", i), cofre.Say("config.twice", "stands twice"), cofre.Message{})
		}
	}
}

func (f *Files) check(p *problems) {
	if len(f.Paths) == 0 && !f.PostgreSQL && !p.has("config") {
		p.add("config.paths", cofre.Say("config.missing", "is missing"), cofre.Say("config.paths_form", "the files and folders to keep, as [/opt/trustlayer/.env, /etc/nginx]"))
	}
	for i, pattern := range f.Paths {
		at := fmt.Sprintf("config.paths[%d]", i)
		if _, err := path.Match(pattern, ""); err != nil {
			p.add(at, cofre.Say("config.not_a_pattern", "is not a pattern"), cofre.Say("config.close_bracket", "close the bracket, or write a backslash before it"))
		} else if path.Clean(pattern) == "/" {
			p.add(at, cofre.Say("config.root", "is the root of the file system"), cofre.Say("config.name_files", "name the files and folders that configure the installation"))
		}
	}
	for i, pattern := range f.Exclude {
		if _, err := path.Match(pattern, ""); err != nil {
			p.add(fmt.Sprintf("config.exclude[%d]", i), cofre.Say("config.not_a_pattern", "is not a pattern"), cofre.Say("config.close_bracket", "close the bracket, or write a backslash before it"))
		}
	}
	f.Keep.check(p, "config.keep")
}

func (k Keep) check(p *problems, at string) {
	for _, rule := range []struct {
		name string
		n    int
	}{
		{"days", k.Days},
		{"last", k.Last},
		{"hourly", k.Hourly},
		{"daily", k.Daily},
		{"weekly", k.Weekly},
		{"monthly", k.Monthly},
		{"yearly", k.Yearly},
		{"verified", k.Verified},
	} {
		notNegative(p, at+"."+rule.name, rule.n)
	}
	if k.Everything && k != (Keep{Everything: true}) {
		p.add(at+".everything", cofre.Say("config.keep_everything", "stands beside rules that let something go"), cofre.Say("config.keep_one", "keep one of them"))
	}
}
