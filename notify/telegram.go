package notify

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"

	shoutrrr "github.com/nicholas-fedor/shoutrrr/pkg/services/chat/telegram"
)

// telegram sends to chats of Telegram. Its address is that of shoutrrr, whose own sender is not used: in v0.13.2 a message that
// did not leave the machine, and every answer that is no JSON, is a success there (GetErrorResponse returns nil).
type telegram struct {
	address string
	shoutrrr.Config
	client *http.Client
}

// telegramAPI is where its messages go.
const telegramAPI = "https://api.telegram.org/bot"

func openTelegram(address string) (Service, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, errors.New("it is not a URL")
	}
	t := &telegram{address: address, client: newClient()}
	t.Preview, t.Notification = true, true
	if err := t.SetURL(u); err != nil {
		return nil, err
	}
	return t, nil
}

// Name is telegram.
func (*telegram) Name() string { return "telegram" }

// Send sends a letter to each chat, as plain text.
func (t *telegram) Send(ctx context.Context, l Letter) error {
	for _, chat := range t.Chats {
		m := map[string]any{"chat_id": chat, "text": cut(l.Title+"\n\n"+l.Text, longestText)}
		if !t.Preview {
			m["disable_web_page_preview"] = true
		}
		if !t.Notification {
			m["disable_notification"] = true
		}
		body, err := json.Marshal(m)
		if err != nil {
			return refused(t.Name(), clean(t.address, err))
		}
		// The API says by its status of everything that it did not do.
		why := exchange(ctx, t.client, http.MethodPost, telegramAPI+t.Token+"/sendMessage", t.address, body, func(status int) bool { return status == http.StatusOK })
		if !why.IsZero() {
			return refused(t.Name(), why)
		}
	}
	return nil
}
