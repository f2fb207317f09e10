package walstore

import (
	"os"
	"slices"
	"strings"

	"github.com/trustlayer/cofre/config"
)

// connecting are variables by which an S3 client is told how to get there, besides those that begin with AWS_.
var connecting = []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR"}

// keys are the variables of the client that hold one.
var keys = []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}

// Environment is what a process must have in its environment to reach the repositories as this one does, NAME=VALUE each: keys
// that the configuration reads from variables, and what the S3 client looks for by itself. secrets are the names of those that
// hold a key. The passwords are not among them: whoever archives needs none, and a recovery finds the key in its spool.
//
// It is for the environment of a process alone: nothing else may hold or show it.
func Environment(cfg *config.Config) (environ, secrets []string) {
	add := func(name, value string, secret bool) {
		pair := name + "=" + value
		if value == "" || slices.Contains(environ, pair) {
			return
		}
		environ = append(environ, pair)
		if secret {
			secrets = append(secrets, name)
		}
	}
	for _, r := range cfg.Repositories() {
		if !r.IsS3() {
			continue
		}
		c := r.Credentials
		for _, s := range []config.Secret{c.AccessKey, c.SecretKey, c.SessionToken} {
			name, ok := strings.CutPrefix(s.String(), "env:")
			if !ok {
				continue
			}
			if v, err := s.Read(); err == nil {
				add(name, v.Reveal(), true)
			}
		}
		for _, pair := range os.Environ() {
			name, value, _ := strings.Cut(pair, "=")
			if strings.HasPrefix(name, "AWS_") && c.IsZero() || slices.Contains(connecting, name) {
				add(name, value, slices.Contains(keys, name))
			}
		}
	}
	return environ, secrets
}
