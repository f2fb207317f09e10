package config_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/config"
)

// TestPasswordsOfTheCommandLine: whatever form an address has, a password in it is refused and not repeated; what is no address is not looked into.
func TestPasswordsOfTheCommandLine(t *testing.T) {
	for _, value := range []string{
		"postgres://u:s3cret@h/d", "postgresql://u:s3cret%zz@h/d", "postgres://u:a/s3cret@h/d", "postgres://u@h/d?password=s3cret", "postgres:///d?host=/run&sslpassword=s3cret",
		"host=h password=s3cret", "password = 's3cret' host=h", "s3://key:s3cret@bucket/x", "https://u:s3cret@host/",
		"POSTGRES://u:s3cret@h/d", " postgres://u:s3cret@h/d", "DATABASE_URL=postgres://u:s3cret@h/d",
	} {
		if of := config.PasswordInArgument("", value); !errors.Is(of, cofre.ErrConfig) || strings.Contains(of.Error(), "s3cret") {
			t.Errorf("%s as a word: %v", value, of)
		}
		err := config.PasswordInArgument("--server", value)
		if !errors.Is(err, cofre.ErrConfig) || cofre.Hint(err) == "" || strings.Contains(err.Error()+cofre.Hint(err), "s3cret") {
			t.Errorf("%s: %v", value, err)
		}
	}
	for _, value := range []string{
		"", "latest", "postgres://u@h:5432/d?sslmode=verify-full", "postgres:///d?host=/run/postgresql", "host=h user=u passfile=/x", "s3://bucket/x?endpoint=https://h:9000",
		"the password= of the old server is gone", "audit: mail a@b.example, see https://x.example/?q=1", "/srv/a@b:c",
		"a:b@c/d", "evidence/2026-11-27T10:00:00@x.jpg", "mail:me@h.example", "http://h/a:b@c.jpg", "x://a@b%zz", "a=b:c@d", "https://x.example: ask a@b.example", "POINT=latest",
	} {
		if err := config.PasswordInArgument("--why", value); err != nil {
			t.Errorf("%s: %v", value, err)
		}
	}
}
