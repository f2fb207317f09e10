package config

import (
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/schedule"
)

// The guide's own variables. An installation that follows it switches to cofre without writing a file.
var environmentVariables = []string{
	"DB_HOST", "DB_PORT", "DB_USER", "DB_NAME", "DB_PASSWORD", "BACKUP_DIR", "S3_BUCKET", "RETENTION_DAYS",
	"SUPABASE_URL", "SUPABASE_SERVICE_ROLE_KEY",
}

// HasEnvironment reports whether any of the guide's variables is set, so that FromEnvironment makes sense.
func HasEnvironment(getenv func(string) string) bool {
	for _, name := range environmentVariables {
		if getenv(name) != "" {
			return true
		}
	}
	return false
}

// FromEnvironment makes a configuration of the guide's environment variables, with the guide's defaults: the
// database daily at 02:00 and the storage every six hours, kept RETENTION_DAYS (30).
//
// The repository is the folder cofre inside BACKUP_DIR (beside the dumps of the guide's script, which stay
// as they are), and S3_BUCKET is a copy of it. If only S3_BUCKET is set, the repository is there. Without
// either it is in /var/backups/trustlayer. AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL and AWS_REGION count.
//
// Errors: *InvalidError (cofre.ErrConfig), whose paths are the variables' names; with a hint if none is set.
func FromEnvironment(getenv func(string) string) (*Config, error) {
	found := &problems{at: map[string]place{}, names: map[string]string{
		"repository.url": "BACKUP_DIR", "repository.password": PasswordVariable, "copies[0].url": "S3_BUCKET",
		"database.url": "DB_HOST", "storage.supabase.url": "SUPABASE_URL", "repository.credentials": "AWS_ACCESS_KEY_ID",
		"copies[0].credentials": "AWS_ACCESS_KEY_ID", "storage.supabase.service_role_key": "SUPABASE_SERVICE_ROLE_KEY",
	}}
	if !HasEnvironment(getenv) {
		found.add("", cofre.Say("config.no_variables", "none of the variables {{.names}} is set", "names", strings.Join(environmentVariables, ", ")), cofre.Message{})
		return nil, cofre.WithHint(found.err(""), cofre.Say("config.begin", "write a cofre.yaml (cofre init --write-config begins one), or set DB_HOST, DB_NAME and {{.password}}", "password", PasswordVariable))
	}
	e := &environment{getenv, found}
	c := &Config{NameGuessed: true, FromVariables: true, Repository: Repository{Password: passwordFromEnvironment(getenv)}}
	c.Name, _ = os.Hostname() // check complains if there is none
	e.repositories(c)
	days := e.number("RETENTION_DAYS", 30, 36500)
	if e.anySet("DB_HOST", "DB_NAME", "DB_USER", "DB_PASSWORD", "DB_PORT") || getenv("SUPABASE_URL") == "" {
		c.Database = e.database(days)
		if form := c.Database.DatabaseName(); nameForm().MatchString(form) {
			c.Name = form
		}
	}
	if address := getenv("SUPABASE_URL"); address != "" {
		c.Storage = &Storage{
			Supabase: &Supabase{URL: address, ServiceRoleKey: e.secret("SUPABASE_SERVICE_ROLE_KEY")},
			Schedule: mustSchedule("0 */6 * * *"), Keep: Keep{Days: days},
		}
	}
	c.check(found)
	if err := found.err(""); err != nil {
		return nil, err
	}
	c.inherit()
	c.Digest = e.digest()
	return c, nil
}

// digest is of the variables that hold no secret.
func (e *environment) digest() string {
	var b strings.Builder
	for _, name := range environmentVariables {
		if name != "DB_PASSWORD" && name != "SUPABASE_SERVICE_ROLE_KEY" {
			b.WriteString(name + "=" + e.getenv(name) + "\n")
		}
	}
	return digest([]byte(b.String()))
}

type environment struct {
	getenv func(string) string
	*problems
}

func (e *environment) anySet(names ...string) bool {
	for _, name := range names {
		if e.getenv(name) != "" {
			return true
		}
	}
	return false
}

func (e *environment) or(name, otherwise string) string {
	if v := e.getenv(name); v != "" {
		return v
	}
	return otherwise
}

func (e *environment) secret(name string) Secret {
	if e.getenv(name) == "" {
		return Secret{}
	}
	return Secret{"env:" + name, e.getenv}
}

func (e *environment) number(name string, otherwise, largest int) int {
	text := e.getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > largest {
		e.add(name, cofre.Say("config.not_whole", "is not a whole number from 1 to {{.largest}}", "largest", largest), cofre.Message{})
		return otherwise
	}
	return n
}

func (e *environment) repositories(c *Config) {
	folder, bucket := e.getenv("BACKUP_DIR"), e.getenv("S3_BUCKET")
	if folder == "" && bucket == "" {
		folder = "/var/backups/trustlayer"
	}
	if bucket != "" && !bucketForm(bucket) {
		e.add("S3_BUCKET", cofre.Say("config.not_a_bucket", "is not the name of a bucket"), cofre.Say("config.bucket_alone", "the name alone, without s3://"))
	}
	if folder != "" {
		c.Repository.URL = strings.TrimRight(folder, "/") + "/cofre"
	}
	if bucket == "" || e.has("S3_BUCKET") {
		return
	}
	store := Repository{URL: e.s3URL(bucket), Password: c.Repository.Password, Credentials: Credentials{
		AccessKey: e.secret("AWS_ACCESS_KEY_ID"), SecretKey: e.secret("AWS_SECRET_ACCESS_KEY"), SessionToken: e.secret("AWS_SESSION_TOKEN"),
	}, CA: e.getenv("AWS_CA_BUNDLE")}
	if folder == "" {
		c.Repository = store
		e.names["repository.url"] = "S3_BUCKET"
		return
	}
	c.Copies = []Repository{store}
}

func bucketForm(name string) bool {
	return !strings.ContainsAny(name, ":/?#@ ")
}

func (e *environment) s3URL(bucket string) string {
	query := url.Values{}
	if endpoint := e.or("AWS_ENDPOINT_URL_S3", e.getenv("AWS_ENDPOINT_URL")); endpoint != "" {
		query.Set("endpoint", endpoint)
	}
	if region := e.or("AWS_REGION", e.getenv("AWS_DEFAULT_REGION")); region != "" {
		query.Set("region", region)
	}
	u := url.URL{Scheme: "s3", Host: bucket, Path: "/cofre", RawQuery: query.Encode()}
	return u.String()
}

func (e *environment) database(days int) *Database {
	u := url.URL{Scheme: "postgres", User: url.User(e.or("DB_USER", "postgres")), Path: "/" + e.or("DB_NAME", "trustlayer")}
	host, port := e.or("DB_HOST", "localhost"), strconv.Itoa(e.number("DB_PORT", 5432, 65535))
	if strings.HasPrefix(host, "/") { // a socket's folder
		u.RawQuery = url.Values{"host": {host}, "port": {port}}.Encode()
	} else {
		u.Host = net.JoinHostPort(strings.Trim(host, "[]"), port)
	}
	return &Database{
		URL: u.String(), Password: e.secret("DB_PASSWORD"),
		Schedule: mustSchedule("0 2 * * *"), Keep: Keep{Days: days},
	}
}

// mustSchedule is for the schedules that are written in this package.
func mustSchedule(text string) Schedule {
	s, err := schedule.Parse(text)
	if err != nil {
		panic("config: internal error: " + err.Error())
	}
	return Schedule{s}
}

// Hint is the hint that fits this configuration: the one about its file, or the one about variables if there is no file.
func (c *Config) Hint(file, variables cofre.Message) cofre.Message {
	if c.FromVariables {
		return variables
	}
	return file
}

// Adding says how a source of a kind comes into this configuration: by a section of its file, or by variables if there is no file.
func (c *Config) Adding(kind cofre.Kind) cofre.Message {
	if !c.FromVariables {
		return cofre.Say("sources.add", "add a section {{.kind}} to the configuration", "kind", kind)
	}
	switch kind {
	case cofre.KindDatabase:
		return cofre.Say("sources.set", "set {{.variables}}", "variables", "DB_HOST, DB_NAME")
	case cofre.KindStorage:
		return cofre.Say("sources.set", "set {{.variables}}", "variables", "SUPABASE_URL, SUPABASE_SERVICE_ROLE_KEY")
	}
	return cofre.Say("sources.write", "no variable leads to a source of kind {{.kind}}: write a cofre.yaml (cofre init --write-config begins one) with a section {{.kind}}", "kind", kind)
}
