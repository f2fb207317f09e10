package notify_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/notify"
)

// addresses has one for each service, with secrets that hold the mark, in whatever form a service wants them. HOST is an address where nobody listens.
var addresses = map[string][]string{
	"bark":       {"bark://:zqx7devicekey@HOST/"},
	"discord":    {"discord://zqx7-token_abc@123456789012345678"},
	"generic":    {"generic://HOST/zqx7path?template=json&@Authorization=Bearer%20zqx7bearer&$number=zqx7number", "generic+https://zqx7user:zqx7p%40ss@HOST/a?x=zqx7query"},
	"gotify":     {"gotify://HOST/Azqx7.zqx7tokn", "gotify://HOST/zqx7short"},
	"googlechat": {"googlechat://chat.googleapis.com/v1/spaces/zqx7space/messages?key=zqx7key&token=zqx7token"},
	"hangouts":   {"hangouts://chat.googleapis.com/v1/spaces/zqx7space/messages?key=zqx7key&token=zqx7token"},
	"ifttt":      {"ifttt://zqx7key/?events=zqx7event"},
	"join":       {"join://shoutrrr:zqx7apikey@join/?devices=zqx7device"},
	"lark":       {"lark://open.larksuite.com/zqx7token?secret=zqx7secret"},
	"matrix":     {"matrix://user:zqx7pass@HOST/?rooms=zqx7room&disableTLS=yes", "matrix://user:zqx7pass@HOST/?rooms=!zqx7room"},
	"mattermost": {"mattermost://zqx7user@HOST/zqx7token/zqx7channel"},
	"notifiarr":  {"notifiarr://zqx7apikey?channel=123456789012345678"},
	"ntfy":       {"ntfy://zqx7user:zqx7pass@HOST/zqx7topic", "ntfy://:zqx7tk_abc@HOST/zqx7topic?scheme=http"},
	"opsgenie":   {"opsgenie://api.opsgenie.com/zqx7-1234-apikey"},
	"pagerduty":  {"pagerduty:///eb243592zqx7faa28ba2a5511afzqx7", "pagerduty:///eb243592faa24ba2a551a7afdf565c88"},
	"pushbullet": {"pushbullet://o.zqx7aaaaaaaaaaaaaaaaaaaaaaaazqx7/device", "pushbullet://zqx7bad"},
	"pushover":   {"pushover://shoutrrr:zqx7token@zqx7user/?devices=zqx7phone"},
	"rocketchat": {"rocketchat://zqx7user@HOST/zqx7tokenA/zqx7tokenB/zqx7channel"},
	"signal":     {"signal://zqx7user:zqx7pass@HOST/+15551234567/+15557654321"},
	"slack":      {"slack://hook:TZQX7AAAA-BZQX7BBBB-zqx7zqx7zqx7zqx7zqx7zqx7@webhook", "slack://xoxb:123456789012-1234567890123-zqx7zqx7zqx7zqx7zqx7zqx7@CZQX700001", "slack://zqx7@bad"},
	"smtp":       {"smtp://zqx7user:zqx7p%2Fss@HOST/?from=zqx7from@example.com&to=zqx7to@example.com", "smtp://zqx7user:zqx7pass@HOST/?from=zqx7", "smtp://u:zqx7p/ss@HOST/?timeout=zqx7"},
	"smtps":      {"smtps://zqx7user:zqx7pass@HOST/?from=zqx7from@example.com&to=zqx7to@example.com"},
	"teams":      {"teams://11111111-4444-4444-8444-cccccccccccc@22222222-4444-4444-8444-cccccccccccc/33333333zqx7zqx7zqx7cccccccccccc/44444444-4444-4444-8444-cccccccccccc/V2ESyij_gAljSoUQHvZoZYzlpAoAXExyOl26dlf1xHEx05zqx7?host=zqx7.webhook.office.com", "teams://zqx7group@zqx7tenant/zqx7alt/zqx7owner"},
	"telegram":   {"telegram://110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw@telegram?chats=@zqx7chat", "telegram://zqx7bad@telegram?chats=1"},
	"wecom":      {"wecom://zqx7key-1234-abcd"},
	"zulip":      {"zulip://bot%40example.com:zqx7botkey@zulip.example.com/?stream=zqx7stream&topic=zqx7topic"},
	"http":       {"http://zqx7user:zqx7pass@HOST/zqx7path?token=zqx7token"},
	"https":      {"https://HOST/hooks/zqx7path", "https://zqx7user:zqx7:%zz@HOST/"},
}

// honest are the services whose status is 200 only if they have done what they were asked.
var honest = []string{"http", "https", "generic", "discord", "googlechat", "hangouts", "telegram", "ifttt", "join", "notifiarr", "opsgenie", "pagerduty", "pushover", "rocketchat", "signal", "zulip"}

// What a service says of its own address goes nowhere, whatever goes wrong: the address is not understood, nobody is there, or the other side repeats all that it was
// sent.
func TestNoErrorHasAnAddress(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := l.Addr().String()
	_ = l.Close()
	before := http.DefaultTransport
	t.Cleanup(func() { http.DefaultTransport = before })
	for _, name := range notify.Names() {
		if len(addresses[name]) == 0 {
			t.Errorf("no address of %s is tried", name)
		}
		for _, address := range addresses[name] {
			address = strings.ReplaceAll(address, "HOST", nobody)
			for how, answer := range map[string]func(*http.Request) (*http.Response, error){
				"nobody there": func(r *http.Request) (*http.Response, error) {
					return nil, fmt.Errorf("%s of %s as %s to %s says %v: refused", r.URL, r.URL.Host, r.URL.User, r.URL.RequestURI(), r.Header)
				},
				"repeated": func(r *http.Request) (*http.Response, error) {
					text := fmt.Sprintf(`{"error":"%s %s %v","message":"%s"}`, r.URL.RequestURI(), r.URL, r.Header, r.URL.Path)
					if r.Body != nil {
						body, _ := io.ReadAll(r.Body)
						text += string(body)
					}
					return &http.Response{StatusCode: http.StatusBadRequest, Status: "400 " + r.URL.String(), Header: http.Header{}, Body: io.NopCloser(strings.NewReader(text)), Request: r}, nil
				},
				"refused": func(r *http.Request) (*http.Response, error) {
					text := `{"ok":false,"error":"no","errcode":40001,"errmsg":"no","code":99,"msg":"no","success":false,"status":0,"result":"error"}`
					return &http.Response{StatusCode: http.StatusOK, Status: "200 OK", Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(text)), Request: r}, nil
				},
			} {
				http.DefaultTransport = roundTrip(answer)
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				s, err := notify.Open(address)
				if err == nil {
					if s.Name() != strings.TrimSuffix(name, "s") && s.Name() != name {
						t.Errorf("%s is called %s", name, s.Name())
					}
					err = s.Send(ctx, notify.Letter{Title: "t", Text: "x", Document: []byte("{}")})
				} else if !errors.Is(err, cofre.ErrConfig) {
					t.Errorf("%s: %v is no mistake of the configuration", name, err)
				}
				cancel()
				if err == nil {
					if how != "refused" || !slices.Contains(honest, name) {
						t.Errorf("%s, %s: no error", name, how)
					}
					continue
				}
				for _, text := range []string{fmt.Sprint(err), fmt.Sprintf("%+v", err), cofre.OneLine(err), fmt.Sprint(cofre.MessagesOf(err)), fmt.Sprint(cofre.HintOf(err))} {
					low := strings.ToLower(text)
					for _, secret := range []string{"zqx7", "110201543", "aahdqtcv", "eb243592", "123456789012", "15551234567", "v2esyij", "11111111-4444", strings.ToLower(nobody)} {
						if strings.Contains(low, secret) {
							t.Errorf("%s, %s: the error has %s of the address: %s", name, how, secret, text)
						}
					}
				}
			}
		}
	}
	if extra := len(addresses) - len(notify.Names()); extra != 0 {
		t.Errorf("%d addresses are of no service", extra)
	}
}

// A secret in the place of an address is not repeated either.
func TestWhatIsNoAddressIsNotRepeated(t *testing.T) {
	for _, text := range []string{"zqx7", "zqx7://a", "logger://", "http://%zzqx7", "https://:zqx7@/", "zqx7+generic://a", "://zqx7", "mailto:zqx7@a"} {
		_, err := notify.Open(text)
		if !errors.Is(err, cofre.ErrConfig) || strings.Contains(err.Error(), "zqx7") || cofre.HintOf(err).IsZero() {
			t.Errorf("%s: %v", text, err)
		}
	}
	if slices.Contains(notify.Names(), "logger") {
		t.Error("the service that writes into a log is one")
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
