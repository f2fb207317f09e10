package notify

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/internal/language"
)

// Try tells every recipient of a configuration that this is a test, all at once, and says of each whether its service has taken the message.
//
// Errors: cofre.ErrConfig if nobody is configured; one that says how many could not be told.
func Try(ctx context.Context, cfg *config.Config, otherwise language.Language) ([]cofre.Diagnosis, error) {
	to := Recipients(cfg, otherwise)
	if len(to) == 0 {
		return nil, cofre.WithHint(cofre.Fail(cofre.Say("notify.nobody", "nobody is to be told: notify.to is empty"), cofre.ErrConfig),
			cofre.Say("notify.configure", "name somebody in the configuration, as in notify: {to: [\"file:/etc/cofre/notify.url\"]}, and put the URL of the service into that file"))
	}
	notice := Notice{Kind: KindTest, Installation: cfg.Name, At: time.Now()}
	notice.Host, _ = os.Hostname()
	found := make([]cofre.Diagnosis, len(to))
	var all sync.WaitGroup
	for i, r := range to {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, sendBound)
			defer cancel()
			s, err := r.Open()
			if err == nil {
				err = s.Send(ctx, notice.Letter(r.Language))
			}
			found[i] = diagnosis(r.Key, s, err, cofre.Say("notify.taken", "the service has taken a message"))
		})
	}
	all.Wait()
	return found, wrongOnes(found)
}

func wrongOnes(found []cofre.Diagnosis) error {
	n := 0
	for _, d := range found {
		if !d.OK {
			n++
		}
	}
	if n == 0 {
		return nil
	}
	return cofre.Fail(cofre.SayN("notify.not_told", n, "1 could not be told", "{{.n}} could not be told"))
}

// Examine says of each recipient, and of the heartbeat, whether its address can be read, and is one. It connects to nothing.
func Examine(cfg *config.Config) []cofre.Diagnosis {
	var found []cofre.Diagnosis
	there := cofre.Say("notify.readable", "the address can be read; whether messages arrive says: cofre notify test")
	for _, r := range Recipients(cfg, language.English) {
		s, err := r.Open()
		found = append(found, diagnosis(r.Key, s, err, there))
	}
	for _, h := range []struct {
		key string
		of  config.Secret
	}{{"notify.heartbeat.url", cfg.Notify.Heartbeat.URL}, {"notify.heartbeat.fail", cfg.Notify.Heartbeat.Fail}} {
		if h.of.IsZero() {
			continue
		}
		address, err := h.of.Read()
		if err == nil {
			_, err = parse(address.Reveal())
		}
		if err != nil {
			err = unread(h.key, err)
		}
		found = append(found, diagnosis(h.key, nil, err, cofre.Say("notify.readable_only", "the address can be read")))
	}
	return found
}

// diagnosis names a recipient by its number, and by its scheme if that is known: never by its address.
func diagnosis(key string, s Service, err error, well cofre.Message) cofre.Diagnosis {
	subject := cofre.Verbatim(key)
	if s != nil {
		subject = cofre.Verbatim(fmt.Sprintf("%s (%s)", key, s.Name()))
	}
	if err == nil {
		return cofre.NewDiagnosis(subject, true, well, cofre.Message{})
	}
	hint := cofre.HintOf(err)
	if hint.IsZero() {
		hint = cofre.Say("notify.look", "see whether the service is up, and whether the address is right and opens it; then: cofre notify test")
	}
	d := cofre.NewDiagnosis(subject, false, cofre.SayError(err), hint)
	d.Messages = append(d.Messages, cofre.MessagesOf(err)...)
	return d
}
