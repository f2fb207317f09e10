package repository

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/secret"
	"github.com/trustlayer/cofre/repository/compressors"
	"github.com/trustlayer/cofre/store"
)

// The compressions that a repository can be made with.
const (
	// CompressionZstd is the default: it costs twice the CPU of S2 and 0.6 of its space.
	CompressionZstd = compressors.Zstd
	// CompressionS2 is for hosts that are short of CPU.
	CompressionS2 = compressors.S2
)

// Config says where a repository is and how it is opened.
type Config struct {
	URL      string // as in store.Config
	Password secret.Value
	// StateDir is the directory of this machine for caches. It may be deleted at any time, and several
	// processes may use the same one.
	StateDir string

	// Credentials of S3, as in store.Config.
	AccessKey    secret.Value
	SecretKey    secret.Value
	SessionToken secret.Value

	// Compression of what is written from now on; empty means CompressionZstd. It may change between captures.
	Compression string
	// ReadOnly refuses to write anything to the repository.
	ReadOnly bool

	// PasswordSource is where a person finds the password, as configured: env:NAME or file:PATH. It is printed
	// in the recovery kit, as is CopyOf, the address of the repository of which this is a copy, if it is one.
	PasswordSource, CopyOf string
}

// Validate reports everything that is wrong with c, joined.
//
// Errors: ErrConfig if the address or the password is missing, the state directory is no absolute path, or the compression is not
// known.
func (c Config) Validate() error {
	var problems []error
	if c.URL == "" {
		problems = append(problems, cofre.WithHint(fmt.Errorf("repository has no address: %w", cofre.ErrConfig), cofre.Say("repository.url", "set repository.url to a folder or to s3://BUCKET/PREFIX")))
	}
	if c.Password.IsZero() {
		problems = append(problems, cofre.WithHint(fmt.Errorf("repository has no password: %w", cofre.ErrConfig), cofre.Say("repository.password", "set repository.password to env:NAME or file:PATH")))
	}
	if c.StateDir == "" || !filepath.IsAbs(c.StateDir) {
		problems = append(problems, fmt.Errorf("state directory %q is not an absolute path: %w", c.StateDir, cofre.ErrConfig))
	}
	if c.Compression != "" && c.Compression != CompressionZstd && c.Compression != CompressionS2 {
		problems = append(problems, cofre.WithHint(fmt.Errorf("compression %q is not known: %w", c.Compression, cofre.ErrConfig), cofre.Say("repository.compressions", "use {{.first}} or {{.second}}", "first", CompressionZstd, "second", CompressionS2)))
	}
	return errors.Join(problems...)
}

func (c Config) compression() string {
	if c.Compression == "" {
		return CompressionZstd
	}
	return c.Compression
}

func (c Config) store(create bool) store.Config {
	return store.Config{
		URL: c.URL, AccessKey: c.AccessKey, SecretKey: c.SecretKey, SessionToken: c.SessionToken,
		Create: create, ReadOnly: c.ReadOnly,
	}
}
