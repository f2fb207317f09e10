package config

import (
	"errors"
	"fmt"
	"net/url"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/secret"
)

// Reference is a secret of the configuration, and where it is needed.
type Reference struct {
	From Secret
	To   *secret.Value
}

// Into says where the keys of an S3 service are needed.
func (c Credentials) Into(access, secretKey, session *secret.Value) []Reference {
	return []Reference{{c.AccessKey, access}, {c.SecretKey, secretKey}, {c.SessionToken, session}}
}

// ReadSecrets reads secrets now, and says of all that could not be read which they are.
//
// Errors: cofre.ErrConfig for each that cannot be read, all at once.
func ReadSecrets(of string, secrets ...Reference) error {
	var problems []error
	for _, s := range secrets {
		v, err := s.From.Read()
		if err != nil {
			problems = append(problems, fmt.Errorf("read a secret of %s: %w: %w", of, cofre.ErrConfig, err))
		}
		*s.To = v
	}
	return errors.Join(problems...)
}

// Address is the URL of a repository with everything that belongs to it and is no secret.
//
// Errors: cofre.ErrConfig if there is a CA file, and the URL to which it belongs is none.
func (r Repository) Address() (string, error) {
	if r.CA == "" {
		return r.URL, nil
	}
	u, err := url.Parse(r.URL)
	if err != nil {
		return "", fmt.Errorf("repository.url: not a URL: %w", cofre.ErrConfig)
	}
	q := u.Query()
	q.Set("ca", r.CA)
	u.RawQuery = q.Encode()
	return u.String(), nil
}
