package notify

import (
	"encoding/base64"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/trustlayer/cofre"
)

// hidden stands where a part of an address was.
const hidden = "…"

var (
	// anyURL is a URL in a text: what a service was asked for, which is made of the address.
	anyURL = regexp.MustCompile(`(?i)[a-z][a-z0-9+.-]*://[^\s"'<>]+`)
	// parts separates an address into what its services are opened with.
	parts = regexp.MustCompile(`[^A-Za-z0-9_.~%-]+`)
	words = regexp.MustCompile(`[^A-Za-z0-9]+`)
)

const (
	leastPart  = 3   // of fewer letters nothing is a secret, and everything is a word
	longestWhy = 300 // of what a service says
)

// clean is what an error of a service says, without anything of the address, in whatever form the service repeats it: it may be the whole right to write there. The error
// itself is not wrapped: it has the address, too.
func clean(address string, err error) cofre.Message {
	text := anyURL.ReplaceAllString(cofre.OneLine(err), hidden)
	for _, p := range secretsOf(address) {
		text = replaceFold(text, p, hidden)
	}
	text = strings.ToValidUTF8(text, "?")
	if r := []rune(text); len(r) > longestWhy {
		text = string(r[:longestWhy]) + hidden
	}
	return cofre.Verbatim(text)
}

// secretsOf are the parts of an address, the longest first, as they are and as they are written elsewhere.
func secretsOf(address string) []string {
	_, rest, ok := strings.Cut(address, "://")
	if !ok {
		rest = address
	}
	seen := map[string]bool{}
	add := func(p string) {
		if len(p) >= leastPart && !names[strings.ToLower(p)] {
			seen[p] = true
		}
	}
	forms := []string{rest}
	if plain, err := url.PathUnescape(rest); err == nil {
		forms = append(forms, plain)
	}
	if plain, err := url.QueryUnescape(rest); err == nil {
		forms = append(forms, plain)
	}
	for _, f := range forms {
		add(f)
		for _, separate := range []*regexp.Regexp{parts, words} {
			for _, p := range separate.Split(f, -1) {
				add(p)
			}
		}
	}
	if u, err := url.Parse(address); err == nil {
		add(u.Host)
		add(u.Hostname())
		add(u.Path)
		add(u.RawQuery)
		if u.User != nil {
			password, _ := u.User.Password()
			add(u.User.String())
			add(u.User.Username())
			add(password)
			for _, pair := range []string{u.User.Username() + ":" + password, "\x00" + u.User.Username() + "\x00" + password, u.User.Username(), password} {
				add(base64.StdEncoding.EncodeToString([]byte(pair)))
			}
		}
		for name, values := range u.Query() {
			add(name)
			for _, v := range values {
				add(v)
			}
		}
	}
	var all []string
	for p := range seen {
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b string) int { return len(b) - len(a) })
	return all
}

// names are parts of addresses that are the same in everybody's, and words of what services say.
var names = map[string]bool{"from": true, "fromaddress": true, "toaddresses": true, "auth": true, "token": true, "tokens": true, "host": true, "title": true, "subject": true, "com": true, "www": true, "api": true, "webhook": true, "hook": true, "bot": true, "http": true, "https": true, "smtp": true, "none": true, "plain": true, "telegram": true, "rest": true, "chats": true, "groups": true, "timeout": true}

// replaceFold is strings.ReplaceAll of any case.
func replaceFold(text, old, by string) string {
	return regexp.MustCompile(`(?i)`+regexp.QuoteMeta(old)).ReplaceAllLiteralString(text, by)
}
