package config

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"

	"github.com/goccy/go-yaml/ast"

	"github.com/trustlayer/cofre"
)

// The variables that hold, or lead to, the repository's password if the configuration names none.
const (
	PasswordVariable     = "COFRE_PASSWORD"
	PasswordFileVariable = "COFRE_PASSWORD_FILE"
)

// maxSize is far more than a configuration needs, and little enough to parse.
const maxSize = 1 << 20

// Load reads the configuration file at path. Relative paths in it are relative to its folder. getenv resolves
// env: references, now for none and later for those that are read.
//
// Errors: cofre.ErrNotFound if there is no file; *InvalidError (cofre.ErrConfig) with every problem at once.
func Load(path string, getenv func(string) string) (*Config, error) {
	full, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration %s: %w", path, err)
	}
	text, of, err := read(full)
	if errors.Is(err, fs.ErrNotExist) {
		err := fmt.Errorf("read configuration %s: %w", path, cofre.ErrNotFound)
		return nil, cofre.WithHint(err, cofre.Say("config.write", "cofre init --write-config writes one to begin with"))
	}
	if err != nil {
		return nil, fmt.Errorf("read configuration %s: %w: %w", path, cofre.ErrConfig, err)
	}
	c, err := decode(text, full, getenv)
	if err != nil {
		var invalid *InvalidError
		if errors.As(err, &invalid) {
			invalid.File = path
		}
		return nil, err
	}
	c.file = of
	return c, nil
}

func read(path string) (text []byte, of fs.FileInfo, err error) {
	f, err := os.Open(path)
	if err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) && !errors.Is(err, fs.ErrNotExist) {
			return nil, nil, pe.Err
		}
		return nil, nil, err
	}
	defer f.Close() // only read
	if of, err = f.Stat(); err != nil {
		return nil, nil, err
	}
	if text, err = io.ReadAll(io.LimitReader(f, maxSize+1)); err != nil {
		return nil, nil, err
	}
	if len(text) > maxSize {
		return nil, nil, errors.New("larger than 1 MiB")
	}
	return text, of, nil
}

// decode makes a configuration of the text of the file at path.
func decode(text []byte, path string, getenv func(string) string) (*Config, error) {
	found := &problems{at: map[string]place{"": {1, 1}}}
	d := &decoding{problems: found, anchors: map[string]ast.Node{}, getenv: getenv}
	root := d.parse(text)
	if root == nil {
		return nil, found.err(path)
	}
	c := &Config{Path: path, Digest: digest(text)}
	d.value(root, reflect.ValueOf(c).Elem(), "")
	c.complete(filepath.Dir(path), getenv)
	c.check(found)
	if err := found.err(path); err != nil {
		return nil, err
	}
	// After the checks: what is inherited would be found wrong twice.
	c.inherit()
	return c, nil
}

func digest(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// preset is what holds for a config section that does not say otherwise.
func (f *Files) preset() { f.Cofre = true }

// complete makes relative paths absolute and fills in what the machine and the environment say.
func (c *Config) complete(base string, getenv func(string) string) {
	if c.Name == "" {
		c.NameGuessed = true
		c.Name, _ = os.Hostname() // check complains if there is none
	}
	for _, p := range c.paths() {
		*p = absolute(base, *p)
	}
	for _, s := range c.secrets() {
		if path, ok := cutFile(s.ref); ok {
			s.ref = "file:" + absolute(base, path)
		}
	}
	if c.Repository.Password.IsZero() {
		c.Repository.Password = passwordFromEnvironment(getenv)
	}
}

// inherit gives copies what they have from the repository, the storage what it has from its kind, and what says nothing of it the
// time that it is kept.
func (c *Config) inherit() {
	for _, k := range c.keeps() {
		if k.keep.IsZero() {
			k.keep.Days = keptDays(k.kind)
			c.keptByDefault = append(c.keptByDefault, k.kind)
		}
	}
	for i := range c.Copies {
		if c.Copies[i].Password.IsZero() {
			c.Copies[i].Password = c.Repository.Password
		}
		if c.Copies[i].Compression == "" {
			c.Copies[i].Compression = c.Repository.Compression
		}
	}
	if c.Storage != nil && c.Storage.S3 != nil && len(c.Storage.Buckets) == 0 {
		c.Storage.Buckets = c.Storage.S3.Buckets
	}
}

// passwordFromEnvironment refers to the repository's password in the environment. The variable wins over the file.
func passwordFromEnvironment(getenv func(string) string) Secret {
	if getenv(PasswordVariable) != "" {
		return Secret{"env:" + PasswordVariable, getenv}
	}
	if path := getenv(PasswordFileVariable); path != "" {
		return Secret{"file:" + path, getenv}
	}
	return Secret{}
}

func cutFile(ref string) (string, bool) {
	if len(ref) > 5 && ref[:5] == "file:" {
		return ref[5:], true
	}
	return "", false
}

// paths are the fields that hold a path of this machine.
func (c *Config) paths() []*string {
	paths := []*string{&c.StateDir, &c.Repository.CA, &c.Drill.Directory}
	repositories := []*Repository{&c.Repository}
	for i := range c.Copies {
		paths = append(paths, &c.Copies[i].CA)
		repositories = append(repositories, &c.Copies[i])
	}
	for _, r := range repositories {
		if folder, ok := folderOf(r.URL); ok {
			r.URL = folder
			paths = append(paths, &r.URL)
		}
	}
	if c.Cluster != nil {
		paths = append(paths, &c.Cluster.DataDirectory)
	}
	if c.Storage != nil {
		if c.Storage.Folder != nil {
			paths = append(paths, &c.Storage.Folder.Path)
		}
		if c.Storage.S3 != nil {
			paths = append(paths, &c.Storage.S3.CA)
		}
		if c.Storage.Supabase != nil {
			paths = append(paths, &c.Storage.Supabase.CA)
		}
	}
	if c.Files != nil {
		for i := range c.Files.Paths {
			paths = append(paths, &c.Files.Paths[i])
		}
	}
	return paths
}

// secrets are the fields that refer to a secret.
func (c *Config) secrets() []*Secret {
	var secrets []*Secret
	ofRepository := func(r *Repository) {
		secrets = append(secrets, &r.Password, &r.Credentials.AccessKey, &r.Credentials.SecretKey, &r.Credentials.SessionToken)
	}
	ofRepository(&c.Repository)
	for i := range c.Copies {
		ofRepository(&c.Copies[i])
	}
	if c.Database != nil {
		secrets = append(secrets, &c.Database.Password)
	}
	if c.Cluster != nil {
		secrets = append(secrets, &c.Cluster.Password)
	}
	if c.Storage != nil {
		if c.Storage.Supabase != nil {
			secrets = append(secrets, &c.Storage.Supabase.ServiceRoleKey)
		}
		if s := c.Storage.S3; s != nil {
			secrets = append(secrets, &s.Credentials.AccessKey, &s.Credentials.SecretKey, &s.Credentials.SessionToken)
		}
	}
	for i := range c.Notify.To {
		secrets = append(secrets, &c.Notify.To[i].URL.Secret)
	}
	secrets = append(secrets, &c.Notify.Heartbeat.URL, &c.Notify.Heartbeat.Fail)
	return secrets
}
