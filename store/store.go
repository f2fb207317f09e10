package store

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/s3client"
	"github.com/trustlayer/cofre/internal/secret"
)

// Config says where a store is.
type Config struct {
	// URL is the path of a folder, or s3://BUCKET/PREFIX?endpoint=URL&region=NAME&ca=PATH&timeout=DURATION&patience=DURATION.
	// Without endpoint it is Amazon's; ca is a PEM file with the authority of the server's certificate; timeout
	// is how long the server may say and take nothing, 45s if it is left out; patience is how long a server that
	// throttles, fails or has gone away is waited for, with each request, 5m if it is left out.
	URL string

	// Credentials of S3. Left out, the environment (AWS_ACCESS_KEY_ID …), the shared credentials file and the
	// machine's role are asked, in this order.
	AccessKey    secret.Value
	SecretKey    secret.Value
	SessionToken secret.Value

	// Create makes the folder if it does not exist. Without it a folder that is not there is ErrNoRepo: it
	// may be a disk that is not mounted, and what is written under its mount point would be on the wrong one.
	Create bool
	// ReadOnly refuses every write with ErrReadOnly.
	ReadOnly bool
}

// Open returns the store at c.URL. It does not reach S3: an endpoint that does not answer is an error of the
// first operation.
//
// Errors: ErrConfig for an address that cannot be read; ErrNoRepo for a folder that does not exist; ErrDenied.
func Open(_ context.Context, c Config) (cofre.Store, error) {
	s, err := open(c)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	if c.ReadOnly {
		return &readOnly{s}, nil
	}
	return s, nil
}

func open(c Config) (cofre.Store, error) {
	if c.URL == "" {
		return nil, cofre.WithHint(fmt.Errorf("no address: %w", cofre.ErrConfig), cofre.Say("repository.url", "set repository.url to a folder or to s3://BUCKET/PREFIX"))
	}
	scheme, rest, ok := strings.Cut(c.URL, "://")
	if !ok {
		return openFolder(c.URL, c.Create)
	}
	switch scheme {
	case "file":
		return openFolder(rest, c.Create)
	case "s3":
		return openS3(c)
	}
	return nil, cofre.WithHint(fmt.Errorf("address %q: scheme %q is not known: %w", redact(c.URL), scheme, cofre.ErrConfig),
		cofre.Say("store.address", "use a path or s3://BUCKET/PREFIX?endpoint=URL"))
}

// IsFolder reports whether the address is that of a folder.
func IsFolder(address string) bool { return !strings.HasPrefix(address, "s3://") }

func openS3(c Config) (cofre.Store, error) {
	u, err := url.Parse(c.URL)
	if err != nil {
		// The parser's own error quotes the address, and with it whatever secret was written into it.
		return nil, fmt.Errorf("address %q: not a URL: %w", redact(c.URL), cofre.ErrConfig)
	}
	if u.User != nil {
		return nil, cofre.WithHint(fmt.Errorf("address %q carries credentials: %w", redact(c.URL), cofre.ErrConfig),
			cofre.Say("store.keys", "give the keys by AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or in the configuration, never in an address"))
	}
	if u.Host == "" {
		return nil, fmt.Errorf("address %q: no bucket: %w", c.URL, cofre.ErrConfig)
	}
	config := s3client.Config{AccessKey: c.AccessKey, SecretKey: c.SecretKey, SessionToken: c.SessionToken}
	for key, values := range u.Query() {
		value := values[0]
		switch key {
		case "endpoint":
			config.Endpoint = value
		case "region":
			config.Region = value
		case "ca":
			config.CA = value
		case "timeout":
			d, err := time.ParseDuration(value)
			if err != nil || d < time.Second || d > time.Hour {
				return nil, cofre.WithHint(fmt.Errorf("address of bucket %s: timeout %q is not a duration from 1s to 1h: %w", u.Host, value, cofre.ErrConfig), cofre.Say("store.timeout", "as in timeout=30s"))
			}
			config.Timeout = d
		case "patience":
			d, err := time.ParseDuration(value)
			if err != nil || d < time.Second || d > 24*time.Hour {
				return nil, cofre.WithHint(fmt.Errorf("address of bucket %s: patience %q is not a duration from 1s to 24h: %w", u.Host, value, cofre.ErrConfig), cofre.Say("store.patience", "as in patience=5m"))
			}
			config.Patience = d
		default:
			return nil, cofre.WithHint(fmt.Errorf("address of bucket %s: parameter %q is not known: %w", u.Host, key, cofre.ErrConfig), cofre.Say("store.parameters", "use endpoint, region, ca, timeout and patience"))
		}
	}
	client, err := s3client.New(config)
	if err != nil {
		return nil, err
	}
	prefix := strings.Trim(u.Path, "/")
	if prefix != "" {
		if err := checkName(prefix); err != nil {
			return nil, fmt.Errorf("address of bucket %s: prefix: %w: %w", u.Host, err, cofre.ErrConfig)
		}
		prefix += "/"
	}
	return &bucket{client: client, config: config, name: u.Host, prefix: prefix, patience: s3client.Patience{For: config.Patience}}, nil
}

func openFolder(path string, create bool) (cofre.Store, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("folder %s: %w", path, err)
	}
	f := &folder{root: abs}
	return f, f.prepare(create)
}

var errName = errors.New("empty, . and .. are no segments of a name")

// checkName keeps names inside the store: the name of a WAL segment may come from another machine.
func checkName(name string) error {
	for segment := range strings.SplitSeq(name, "/") {
		if segment == "" || segment == "." || segment == ".." || strings.Contains(segment, "\x00") || strings.HasPrefix(segment, tempPrefix) {
			return fmt.Errorf("name %q: %w", name, errName)
		}
	}
	return nil
}

func redact(address string) string {
	scheme, rest, ok := strings.Cut(address, "://")
	if i := strings.LastIndexByte(rest, '@'); ok && i >= 0 {
		return scheme + "://[redacted]" + rest[i:]
	}
	return address
}
