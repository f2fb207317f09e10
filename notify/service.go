package notify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nicholas-fedor/shoutrrr/pkg/router"
	"github.com/nicholas-fedor/shoutrrr/pkg/types"

	"github.com/trustlayer/cofre"
)

// sendBound is how long one message may take to be given to a service.
const sendBound = 15 * time.Second

// Letter is one message, as it is sent.
type Letter struct {
	Title    string
	Text     string // without the title, in lines
	Document []byte // of programs: docs/formats/notification.md
}

// Service is where letters go. Its errors are clean.
type Service interface {
	// Name is the scheme of the address: "smtp".
	Name() string
	// Send gives a letter to the service, within the bound of ctx.
	//
	// Errors: one that says why, without anything of the address.
	Send(ctx context.Context, l Letter) error
}

// Open makes a service of its address. It connects to nothing.
//
// Errors: cofre.ErrConfig, if no service is known by such an address.
func Open(address string) (Service, error) {
	scheme, _, ok := strings.Cut(address, "://")
	scheme = strings.ToLower(scheme)
	if !ok {
		return nil, unusable("", errors.New("it has no scheme, as smtp:// has"))
	}
	var s Service
	var err error
	switch scheme {
	case "http", "https":
		s, err = openWebhook(address)
	case "smtp", "smtps":
		s, err = openMail(address)
	case "telegram":
		s, err = openTelegram(address)
	default:
		s, err = openOther(address, scheme)
	}
	if err != nil {
		return nil, unusable(nameOf(scheme), cofre.Fail(clean(address, err)))
	}
	return s, nil
}

// Names are the schemes of addresses.
func Names() []string {
	all := slices.DeleteFunc(new(router.ServiceRouter).ListServices(), func(s string) bool { return s == "logger" })
	all = append(all, "http", "https", "smtps")
	slices.Sort(all)
	return all
}

// nameOf is a scheme if it is one: what stands before :// may be a secret in the wrong place.
func nameOf(scheme string) string {
	plain, _, _ := strings.Cut(scheme, "+")
	if slices.Contains(Names(), plain) {
		return plain
	}
	return "?"
}

func unusable(scheme string, why error) error {
	return cofre.WithHint(
		cofre.Fail(cofre.Say("notify.unusable", "the address is not usable ({{.scheme}})", "scheme", scheme), cofre.ErrConfig, why),
		cofre.Say("notify.schemes", "addresses begin with one of {{.schemes}}, and look as in https://shoutrrr.nickfedor.com/v0.13.2/services/overview/", "schemes", strings.Join(Names(), ", ")))
}

func refused(scheme string, why cofre.Message) error {
	return cofre.Fail(cofre.Say("notify.refused", "{{.scheme}} has not taken the message: {{.why}}", "scheme", scheme, "why", why))
}

// other is a service that shoutrrr knows.
type other struct {
	address, scheme string
	to              types.Service
	hanging         *atomic.Int32 // sends that were given up and have not returned
}

// mostHanging is how many sends of one service may hang at once: shoutrrr lets none be ended, and each holds a connection.
const mostHanging = 3

func openOther(address, scheme string) (Service, error) {
	if nameOf(scheme) == "?" {
		return nil, errors.New("no such service")
	}
	to, err := new(router.ServiceRouter).Locate(address)
	if err != nil {
		return nil, err
	}
	to.SetLogger(log.New(io.Discard, "", 0)) // it would write the address
	return &other{address, nameOf(scheme), to, new(atomic.Int32)}, nil
}

// Name is the scheme.
func (s *other) Name() string { return s.scheme }

// titled are the services that show a title of their own.
var titled = []string{"ntfy", "gotify", "pushover", "pushbullet", "bark"}

// longestText is how many bytes the strictest of the services takes in one message, with room for its own words.
const longestText = 3500

// Send sends a letter, and waits no longer than ctx.
func (s *other) Send(ctx context.Context, l Letter) error {
	if s.hanging.Load() >= mostHanging {
		return refused(s.scheme, cofre.Say("notify.hangs", "{{.n}} messages before this one hang there still", "n", mostHanging))
	}
	params := types.Params{}
	text := l.Title + "\n\n" + l.Text
	if slices.Contains(titled, s.scheme) {
		text = l.Text
		params.SetTitle(l.Title)
	}
	text = cut(text, longestText)
	sent := make(chan error, 1)
	s.hanging.Add(1)
	go func() {
		defer s.hanging.Add(-1)
		defer func() {
			if r := recover(); r != nil {
				sent <- fmt.Errorf("the service's own code failed: %v", r)
			}
		}()
		sent <- s.to.Send(text, &params)
	}()
	select {
	case err := <-sent:
		if err != nil {
			return refused(s.scheme, clean(s.address, err))
		}
		return nil
	case <-ctx.Done():
		return refused(s.scheme, noAnswer(ctx))
	}
}

// cut is a text of so many bytes at most, whole letters.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + " …"
}

func noAnswer(ctx context.Context) cofre.Message {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return cofre.Say("notify.no_answer", "no answer within {{.bound}}", "bound", sendBound)
	}
	return cofre.SayError(cofre.ErrInterrupted)
}

// parse never repeats the address: what makes it unreadable may be a secret.
func parse(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, errors.New("it is not a URL; what is special in a password is written as %3A")
	}
	if u.Hostname() == "" {
		return nil, errors.New("it names no host")
	}
	return u, nil
}
