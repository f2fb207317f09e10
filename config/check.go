package config

import (
	"fmt"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/trustlayer/cofre/internal/pattern"
)

// check finds what is wrong though each value has the right type.
func (c *Config) check(p *problems) {
	if !nameForm().MatchString(c.Name) && !p.has("name") {
		p.add("name", "is not a name", "up to 63 letters, digits, dots, dashes and underscores, beginning with a letter or a digit")
	}
	oneOf(p, "language", c.Language)
	if c.Timezone != "" {
		if _, err := time.LoadLocation(c.Timezone); err != nil {
			p.add("timezone", "is not a known time zone", "as in America/Sao_Paulo, or UTC")
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
	for name, commands := range map[string][]string{
		"before_backup": c.Hooks.BeforeBackup, "after_backup": c.Hooks.AfterBackup,
		"before_restore": c.Hooks.BeforeRestore, "after_restore": c.Hooks.AfterRestore,
	} {
		for i, command := range commands {
			if strings.TrimSpace(command) == "" {
				p.add(fmt.Sprintf("hooks.%s[%d]", name, i), "is an empty command", "")
			}
		}
	}
	oneOf(p, "log.format", c.Log.Format)
	oneOf(p, "log.level", c.Log.Level)
}

// nameForm keeps the name usable in file names, tags, database names and metrics labels.
var nameForm = pattern.Lazy(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

// oneOf holds a value against the words that its key takes.
func oneOf(p *problems, at, value string) {
	allowed := words(indexes().ReplaceAllString(at, ""))
	if value != "" && !slices.Contains(allowed, value) {
		p.add(at, "is not a word that is known here", "one of "+strings.Join(allowed, ", "))
	}
}

var indexes = pattern.Lazy(`\[[0-9]+\]`)

func notNegative(p *problems, at string, n int) {
	if n < 0 {
		p.add(at, "is below zero", "")
	}
}

// Compressions are the words for the repository's compression, the default first.
var Compressions = []string{"zstd-fastest", "s2"}

func (c *Config) checkRepositories(p *problems) {
	c.Repository.check(p, "repository")
	if c.Repository.Password.IsZero() && !p.has("repository.password") {
		p.add("repository.password", "is missing",
			"write env:NAME or file:PATH here, or set "+PasswordVariable+" or "+PasswordFileVariable)
	}
	seen := map[string]string{c.Repository.URL: "repository.url"}
	for i, r := range c.Copies {
		at := fmt.Sprintf("copies[%d]", i)
		r.check(p, at)
		if first, twice := seen[r.URL]; twice && r.URL != "" {
			p.add(at+".url", "is the same place as "+first, "a copy is worth something on another disk, in another building")
		}
		seen[r.URL] = at + ".url"
	}
}

func (r Repository) check(p *problems, at string) {
	if r.URL == "" {
		if !p.has(at + ".url") {
			p.add(at+".url", "is missing", "a folder, or s3://BUCKET/PREFIX?endpoint=URL")
		}
	} else if what, hint := wrongRepositoryURL(r.URL); what != "" {
		p.add(at+".url", what, hint)
	}
	oneOf(p, at+".compression", r.Compression)
	r.Credentials.check(p, at+".credentials")
}

func (c Credentials) check(p *problems, at string) {
	if c.AccessKey.IsZero() != c.SecretKey.IsZero() && !p.has(at) {
		p.add(at, "has one key of two", "set access_key and secret_key, or neither")
	}
}

// folderOf tells a folder from a URL.
func folderOf(address string) (string, bool) {
	if rest, ok := strings.CutPrefix(address, "file://"); ok {
		return rest, true
	}
	return address, address != "" && !strings.Contains(address, "://")
}

func wrongRepositoryURL(address string) (what, hint string) {
	if folder, ok := folderOf(address); ok {
		if !strings.HasPrefix(folder, "/") {
			return "is not an absolute path", ""
		}
		if path.Clean(folder) == "/" {
			return "is the root of the file system", "name a folder of its own, as /var/backups/trustlayer"
		}
		return "", ""
	}
	const form = "s3://BUCKET/PREFIX?endpoint=URL&region=NAME"
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return "is not a URL", form
	case u.Scheme != "s3":
		return "names a kind of store that cofre does not know", "a folder, or " + form
	case u.User != nil:
		return "holds credentials in clear", "move them to credentials: {access_key: …, secret_key: …}, as references"
	case u.Host == "":
		return "names no bucket", form
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return "has a query that is not well-formed", form
	}
	for key := range query {
		if strings.Contains(key, "key") || strings.Contains(key, "secret") || strings.Contains(key, "token") {
			return "holds credentials in clear", "move them to credentials: {access_key: …, secret_key: …}, as references"
		}
	}
	if e := query.Get("endpoint"); e != "" && !webURL(e) && !hostPort().MatchString(e) {
		return "has an endpoint that is not a URL", "as in endpoint=https://s3.example.com"
	}
	return "", ""
}

var hostPort = pattern.Lazy(`^[A-Za-z0-9.-]+(:[0-9]{1,5})?$`)

func webURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil
}

// wrongPostgresURL never repeats the URL, nor the parser's complaint, which quotes parts of it: either may
// hold a password.
func wrongPostgresURL(text string) (what, hint string) {
	const form = "postgres://USER@HOST:PORT/DATABASE?sslmode=verify-full"
	if !strings.HasPrefix(text, "postgres://") && !strings.HasPrefix(text, "postgresql://") {
		return "does not begin with postgres://", form
	}
	u, err := url.Parse(text)
	if err != nil {
		// What makes such a URL unreadable is most often a password with / or % in it.
		return "is not a URL", form + "; the password goes to password: env:NAME or file:PATH"
	}
	_, inUser := u.User.Password()
	query, err := url.ParseQuery(u.RawQuery)
	if inUser || query.Has("password") || query.Has("sslpassword") {
		return "holds a password in clear", "take it out of the URL, and write password: env:NAME or file:PATH below it"
	}
	if err != nil {
		return "has a query that is not well-formed", form
	}
	for _, host := range strings.Split(u.Host, ",") {
		if _, port, ok := strings.Cut(host[strings.LastIndex(host, "]")+1:], ":"); ok && !validPort(port) {
			return "has a port that is not a number from 1 to 65535", form
		}
	}
	return "", ""
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
			p.add(at, "is missing", "postgres://USER@HOST:PORT/DATABASE")
		}
		return false
	}
	what, hint := wrongPostgresURL(text)
	if what != "" {
		p.add(at, what, hint)
	}
	return what == ""
}

func (d *Database) check(p *problems) {
	if checkPostgresURL(p, "database.url", d.URL) && d.DatabaseName() == "" {
		p.add("database.url", "names no database", "postgres://USER@HOST:PORT/DATABASE")
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
		p.add("cluster.slot", "is not the name of a replication slot", "up to 63 lower-case letters, digits and underscores")
	} else if c.Slot != "" && c.WAL != WALStream && !p.has("cluster.wal") {
		p.add("cluster.slot", "is used only where WAL is streamed", "set wal: stream, or take the slot out")
	}
}

// slotForm is what PostgreSQL takes for a slot: ReplicationSlotValidateName in slot.c.
var slotForm = pattern.Lazy(`^[a-z0-9_]{1,63}$`)

func (s *Storage) check(p *problems) {
	kinds := 0
	if s.Supabase != nil {
		kinds++
		if s.Supabase.URL == "" && !p.has("storage.supabase.url") {
			p.add("storage.supabase.url", "is missing", "as in https://trustlayer.example.com")
		} else if s.Supabase.URL != "" && !webURL(s.Supabase.URL) {
			p.add("storage.supabase.url", "is not an http or https URL without credentials", "as in https://trustlayer.example.com")
		}
		if s.Supabase.ServiceRoleKey.IsZero() && !p.has("storage.supabase.service_role_key") {
			p.add("storage.supabase.service_role_key", "is missing", "env:SUPABASE_SERVICE_ROLE_KEY, or file:PATH")
		}
	}
	if s.S3 != nil {
		kinds++
		if s.S3.Endpoint != "" && !webURL(s.S3.Endpoint) {
			p.add("storage.s3.endpoint", "is not an http or https URL without credentials", "as in https://s3.example.com")
		}
		s.S3.Credentials.check(p, "storage.s3.credentials")
		if len(s.S3.Buckets) > 0 && len(s.Buckets) > 0 && !slices.Equal(s.S3.Buckets, s.Buckets) {
			p.add("storage.s3.buckets", "stands beside storage.buckets, which says something else", "keep one of them")
		}
	}
	if s.Folder != nil {
		kinds++
		if s.Folder.Path == "" && !p.has("storage.folder.path") {
			p.add("storage.folder.path", "is missing", "the folder that holds one folder for each bucket")
		}
	}
	if kinds != 1 && !p.has("storage.supabase") && !p.has("storage.s3") && !p.has("storage.folder") {
		p.add("storage", fmt.Sprintf("names %d places, not one", kinds), "set one of supabase, s3 and folder")
	}
	s.Keep.check(p, "storage.keep")
	notNegative(p, "storage.jobs", s.Jobs)
	for i, b := range s.Buckets {
		if slices.Index(s.Buckets, b) < i {
			p.add(fmt.Sprintf("storage.buckets[%d]", i), "stands twice", "")
		}
	}
}

func (f *Files) check(p *problems) {
	if len(f.Paths) == 0 && !f.PostgreSQL && !p.has("config") {
		p.add("config.paths", "is missing", "the files and folders to keep, as [/opt/trustlayer/.env, /etc/nginx]")
	}
	for i, pattern := range f.Paths {
		at := fmt.Sprintf("config.paths[%d]", i)
		if _, err := path.Match(pattern, ""); err != nil {
			p.add(at, "is not a pattern", "close the bracket, or write a backslash before it")
		} else if path.Clean(pattern) == "/" {
			p.add(at, "is the root of the file system", "name the files and folders that configure the installation")
		}
	}
	for i, pattern := range f.Exclude {
		if _, err := path.Match(pattern, ""); err != nil {
			p.add(fmt.Sprintf("config.exclude[%d]", i), "is not a pattern", "close the bracket, or write a backslash before it")
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
}
