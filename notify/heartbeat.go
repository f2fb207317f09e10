package notify

import (
	"context"
	"net/http"
	"sync"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/secret"
)

// beat fetches the URL of the heartbeat, beside the rounds: one that hangs delays none, and is not fetched a second time meanwhile.
func (n *Notifier) beat(ctx context.Context, all *sync.WaitGroup, well bool) {
	conf := n.o.Config.Notify.Heartbeat
	of := conf.URL
	if !well {
		of = conf.Fail
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	now := n.o.Now()
	n.beatAgain = n.beatAgain || n.beating
	// A round that begins early, because something has happened, is told of only if it is bad news.
	if of.IsZero() || n.beating || well && !n.beatFail && !n.beatAt.IsZero() && now.Sub(n.beatAt) < conf.Every.Duration*9/10 {
		return
	}
	n.beating, n.beatAt = true, now
	all.Go(func() {
		bounded, cancel := context.WithTimeout(ctx, sendBound)
		defer cancel()
		err := fetch(bounded, of.Read)
		n.mu.Lock()
		defer n.mu.Unlock()
		n.beating = false
		if n.beatAgain {
			n.beatAgain = false
			nudge(n.kick)
		}
		if ctx.Err() != nil || (err != nil) == n.beatFail {
			return
		}
		if n.beatFail = err != nil; n.beatFail {
			n.o.Say(true, cofre.Say("notify.no_heartbeat", "the URL of notify.heartbeat could not be fetched, and whoever waits for it will give alarm: {{.why}}", "why", cofre.SayError(err)))
			return
		}
		n.o.Say(false, cofre.Say("notify.heartbeat", "the URL of notify.heartbeat was fetched"))
	})
}

func fetch(ctx context.Context, read func() (secret.Value, error)) error {
	address, err := read()
	if err != nil {
		return err
	}
	if _, err := parse(address.Reveal()); err != nil {
		return cofre.Fail(clean(address.Reveal(), err))
	}
	if why := exchange(ctx, newClient(), http.MethodGet, address.Reveal(), address.Reveal(), nil, isWell); !why.IsZero() {
		return cofre.Fail(why)
	}
	return nil
}
