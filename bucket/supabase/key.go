package supabase

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/trustlayer/cofre"
)

// expiryWarning is how long before a key expires a person is told.
const expiryWarning = 60 * 24 * time.Hour

// serviceRole is the only role that sees every object: row-level security hides the rest from others without an
// error.
const serviceRole = "service_role"

// examineKey refuses a key that would make an empty answer look like an empty storage, and says what a person
// should know about one that works.
//
// Errors: cofre.ErrDenied with a hint; never with the key in it.
func examineKey(key string, now time.Time) (warnings []string, err error) {
	const hint = "use the service_role key (SERVICE_ROLE_KEY in the .env of a self-hosted Supabase, or a secret key sb_secret_…)"
	denied := func(format string, args ...any) error {
		return cofre.WithHint(fmt.Errorf("service role key: %s: %w", fmt.Sprintf(format, args...), cofre.ErrDenied), hint)
	}
	switch {
	case key == "":
		return nil, denied("there is none")
	case strings.HasPrefix(key, "sb_secret_"):
		return nil, nil // opaque: the gateway knows what it stands for
	case strings.HasPrefix(key, "sb_publishable_"):
		return nil, denied("it is a publishable key, which sees only what anybody may")
	}
	parts := strings.Split(key, ".")
	if len(parts) != 3 {
		return nil, denied("it is neither a JSON web token nor a secret key")
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return nil, denied("it is not a readable JSON web token")
	}
	var claims struct {
		Role string      `json:"role"`
		Exp  json.Number `json:"exp"`
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		return nil, denied("it is not a readable JSON web token")
	}
	if claims.Role != serviceRole {
		return nil, denied("its role is %q, which does not see every object", claims.Role)
	}
	seconds, err := claims.Exp.Float64()
	if err != nil {
		return nil, nil // it never expires
	}
	expires := time.Unix(int64(seconds), 0).UTC()
	switch left := expires.Sub(now); {
	case left <= 0:
		return nil, denied("it expired at %s", expires.Format(time.RFC3339))
	case left < expiryWarning:
		return []string{fmt.Sprintf("the service role key of the storage expires at %s, in %d days", expires.Format(time.RFC3339), int(left.Hours()/24))}, nil
	}
	return nil, nil
}
