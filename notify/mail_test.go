package notify_test

import (
	"context"
	"io"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/notify"
)

// A letter arrives for all of its readers as it was meant, in letters that every server takes.
func TestALetterArrives(t *testing.T) {
	box := testkit.SMTP(t)
	s, err := notify.Open("smtp://" + box.Address + "/?from=cofre@example.com&fromname=Cópias&to=ops@example.com,dba@example.com")
	if err != nil {
		t.Fatal(err)
	}
	text := "não pôde ser lido\n.\n.. " + strings.Repeat("comprido ", 200)
	if err := s.Send(t.Context(), notify.Letter{Title: "cofre, tl: é grave\r\nBcc: x@example.com", Text: text}); err != nil {
		t.Fatal(err)
	}
	letters := box.Letters()
	if len(letters) != 1 {
		t.Fatalf("%d letters", len(letters))
	}
	m, err := mail.ReadMessage(strings.NewReader(letters[0] + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	subject, _ := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil || strings.TrimSpace(strings.ReplaceAll(string(body), "\r", "")) != strings.TrimSpace(text) || subject != `cofre, tl: é grave\r\nBcc: x@example.com` || m.Header.Get("Bcc") != "" {
		t.Errorf("%v: subject %q, body:\n%s", err, subject, body)
	}
	if _, err := m.Header.Date(); err != nil || m.Header.Get("Message-Id") == "" || m.Header.Get("Auto-Submitted") != "auto-generated" {
		t.Errorf("%v: %v", err, m.Header)
	}
	if to, err := m.Header.AddressList("To"); err != nil || len(to) != 2 {
		t.Errorf("%v, %v", to, err)
	}
}

// Whoever answers nothing is left when the time is over, and no connection stays.
func TestWhatHangsIsLeft(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	closed := make(chan struct{}, 9)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(io.Discard, c); _ = c.Close(); closed <- struct{}{} }()
		}
	}()
	for _, address := range []string{"smtp://" + l.Addr().String() + "/?from=a@example.com&to=b@example.com", "http://" + l.Addr().String() + "/"} {
		s, err := notify.Open(address)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if err := s.Send(ctx, notify.Letter{Title: "t", Document: []byte("{}")}); err == nil || !strings.Contains(err.Error(), "no answer") {
			t.Errorf("%v", err)
		}
		cancel()
		<-closed
	}
}

// A webhook takes the document, and an answer that is no success is none.
func TestAWebhookTakesTheDocument(t *testing.T) {
	var code atomic.Int32
	got := make(chan string, 9)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- r.Method + " " + r.Header.Get("Content-Type") + " " + string(body)
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(int(code.Load()))
	}))
	defer server.Close()
	s, err := notify.Open(server.URL + "/zqx7")
	if err != nil {
		t.Fatal(err)
	}
	for c, taken := range map[int32]bool{200: true, 204: true, 302: false, 307: false, 401: false, 500: false} {
		code.Store(c)
		if err := s.Send(t.Context(), notify.Letter{Document: []byte(`{"a":1}`)}); (err == nil) != taken || err != nil && strings.Contains(err.Error(), "zqx7") {
			t.Errorf("%d: %v", c, err)
		}
		if text := <-got; text != `POST application/json {"a":1}` {
			t.Errorf("%s", text)
		}
	}
}
