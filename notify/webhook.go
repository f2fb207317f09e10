package notify

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/trustlayer/cofre"
)

// webhook takes the document of a letter by POST.
type webhook struct {
	address string
	client  *http.Client
}

func openWebhook(address string) (Service, error) {
	if _, err := parse(address); err != nil {
		return nil, err
	}
	return &webhook{address, newClient()}, nil
}

// newClient follows nothing, since a POST that is sent elsewhere is often made a GET, and holds no connection open between messages.
func newClient() *http.Client {
	var way http.RoundTripper = http.DefaultTransport
	if t, ok := way.(*http.Transport); ok {
		t = t.Clone()
		t.DisableKeepAlives = true
		way = t
	}
	return &http.Client{Transport: way, Timeout: sendBound, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// Name is the scheme.
func (w *webhook) Name() string {
	u, err := url.Parse(w.address)
	if err != nil {
		return "https"
	}
	return u.Scheme
}

// Send posts the document of a letter. Every answer from 200 to 299 takes it.
func (w *webhook) Send(ctx context.Context, l Letter) error {
	if why := exchange(ctx, w.client, http.MethodPost, w.address, w.address, l.Document, isWell); !why.IsZero() {
		return refused(w.Name(), why)
	}
	return nil
}

// isWell reports whether the status of an answer is one of those that take what was sent.
func isWell(status int) bool { return status >= 200 && status <= 299 }

// exchange asks for a URL, and says why that did not go well, without anything of the address of the service; zero if the answer's status is taken.
func exchange(ctx context.Context, client *http.Client, method, asked, address string, body []byte, taken func(status int) bool) cofre.Message {
	status, err := ask(ctx, client, method, asked, body)
	switch {
	case err != nil && ctx.Err() != nil:
		return noAnswer(ctx)
	case err != nil:
		return clean(address, err)
	case !taken(status):
		return cofre.Verbatim(fmt.Sprintf("HTTP %d %s", status, http.StatusText(status)))
	}
	return cofre.Message{}
}

// ask asks for an address, and says with what status it was answered.
func ask(ctx context.Context, client *http.Client, method, address string, body []byte) (int, error) {
	r, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	r.Header.Set("User-Agent", "cofre")
	if len(body) > 0 {
		r.Header.Set("Content-Type", "application/json")
	}
	answer, err := client.Do(r)
	if err != nil {
		return 0, err
	}
	_, _ = io.CopyN(io.Discard, answer.Body, 64<<10) // what it says is of no use
	return answer.StatusCode, answer.Body.Close()
}
