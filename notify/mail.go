package notify

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"net/smtp"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	shoutrrr "github.com/nicholas-fedor/shoutrrr/pkg/services/email/smtp"

	"github.com/trustlayer/cofre"
)

// post sends mail. Its address is that of shoutrrr, whose own sender is not used: it sets no deadline on the conversation, so that a server that hangs
// would hold it for ever, and its headers are not ASCII.
type post struct {
	address string
	shoutrrr.Config
	secure bool // TLS from the first byte
	bare   bool // no TLS at all, because the address says so
}

func openMail(address string) (Service, error) {
	u, err := parse(address)
	if err != nil {
		return nil, err
	}
	p := &post{address: address, secure: u.Scheme == "smtps"}
	u.Scheme = "smtp"
	p.Config = shoutrrr.Config{Port: 25, UseStartTLS: true, Auth: shoutrrr.AuthTypes.Unknown, Encryption: shoutrrr.EncMethods.Auto}
	if p.secure {
		p.Port = 465
	}
	if err := p.SetURL(u); err != nil {
		return nil, err
	}
	p.FixEmailTags()
	for _, a := range append([]string{p.FromAddress}, p.ToAddresses...) {
		if _, err := mail.ParseAddress(a); err != nil {
			return nil, errors.New("from or to is no address of mail")
		}
	}
	p.secure = p.secure || p.Encryption == shoutrrr.EncMethods.ImplicitTLS || p.Encryption == shoutrrr.EncMethods.Auto && p.Port == 465
	p.bare = !p.UseStartTLS || p.Encryption == shoutrrr.EncMethods.None
	if p.bare && p.Username != "" && !isLoopback(p.Host) {
		return nil, errors.New("it would send a password without encryption: take out encryption=None and starttls=No")
	}
	return p, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Name is smtp.
func (*post) Name() string { return "smtp" }

// Send gives a letter to the server, for all of its readers at once: it is taken for every one of them, or an error says for whom it was not by their place.
func (p *post) Send(ctx context.Context, l Letter) error {
	err := p.send(ctx, l)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() == nil: // the connection has noticed first
		return refused(p.Name(), cofre.Say("notify.no_answer", "no answer within {{.bound}}", "bound", sendBound))
	case err != nil && ctx.Err() != nil:
		return refused(p.Name(), noAnswer(ctx))
	case err != nil:
		return refused(p.Name(), clean(p.address, err))
	}
	return nil
}

func (p *post) send(ctx context.Context, l Letter) error {
	ctx, cancel := context.WithTimeout(ctx, sendBound)
	defer cancel()
	conf := &tls.Config{ServerName: p.Host, MinVersion: tls.VersionTLS12, InsecureSkipVerify: p.SkipTLSVerify} //nolint:gosec // only if the address asks for it
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(p.Host, strconv.Itoa(int(p.Port))))
	if err != nil {
		return err
	}
	defer conn.Close() // what was said is said
	if until, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(until); err != nil {
			return err
		}
	}
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	if p.secure {
		conn = tls.Client(conn, conf)
	}
	c, err := smtp.NewClient(conn, p.Host)
	if err != nil {
		return err
	}
	if p.ClientHost != "" {
		if err := c.Hello(p.ClientHost); err != nil {
			return err
		}
	}
	if err := p.secured(c, conf); err != nil {
		return err
	}
	if err := p.login(c); err != nil {
		return err
	}
	if err := c.Mail(bareAddress(p.FromAddress)); err != nil {
		return err
	}
	for _, to := range p.ToAddresses {
		if err := c.Rcpt(bareAddress(to)); err != nil {
			return err
		}
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(p.letter(l)); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	_ = c.Quit() // the server has taken it
	return nil
}

// secured goes over to TLS if the server has it. Without it no password is sent, unless the server is on this machine.
func (p *post) secured(c *smtp.Client, conf *tls.Config) error {
	if p.secure || p.bare {
		return nil
	}
	if has, _ := c.Extension("STARTTLS"); has {
		return c.StartTLS(conf)
	}
	if p.RequireStartTLS || p.Encryption == shoutrrr.EncMethods.ExplicitTLS {
		return errors.New("the server has no STARTTLS, and the address requires it")
	}
	return nil
}

func (p *post) login(c *smtp.Client) error {
	if p.Username == "" || p.Auth == shoutrrr.AuthTypes.None {
		return nil
	}
	switch p.Auth {
	case shoutrrr.AuthTypes.CRAMMD5:
		return c.Auth(smtp.CRAMMD5Auth(p.Username, p.Password))
	case shoutrrr.AuthTypes.OAuth2:
		return c.Auth(shoutrrr.OAuth2Auth(p.Username, p.Password))
	}
	return c.Auth(smtp.PlainAuth("", p.Username, p.Password, p.Host)) // which refuses without TLS
}

func bareAddress(a string) string {
	parsed, err := mail.ParseAddress(a)
	if err != nil {
		return a
	}
	return parsed.Address
}

// letter is a message of RFC 5322, in ASCII. Nobody is to answer it by a machine (RFC 3834).
func (p *post) letter(l Letter) []byte {
	var b bytes.Buffer
	from := mail.Address{Name: p.FromName, Address: bareAddress(p.FromAddress)}
	var to []string
	for _, a := range p.ToAddresses {
		to = append(to, (&mail.Address{Address: bareAddress(a)}).String())
	}
	_, domain, _ := strings.Cut(from.Address, "@")
	for _, h := range [][2]string{
		{"From", from.String()},
		{"To", strings.Join(to, ", ")},
		{"Subject", mime.QEncoding.Encode("utf-8", cofre.Printable(l.Title))},
		{"Date", time.Now().Format(time.RFC1123Z)},
		{"Message-ID", "<" + strings.ToLower(rand.Text()) + "@" + url.PathEscape(domain) + ">"},
		{"Auto-Submitted", "auto-generated"},
		{"MIME-Version", "1.0"},
		{"Content-Type", `text/plain; charset="utf-8"`},
		{"Content-Transfer-Encoding", "quoted-printable"},
	} {
		fmt.Fprintf(&b, "%s: %s\r\n", h[0], h[1])
	}
	b.WriteString("\r\n")
	w := quotedprintable.NewWriter(&b)
	_, _ = w.Write([]byte(strings.ReplaceAll(l.Text, "\n", "\r\n"))) // to memory
	_ = w.Close()
	return b.Bytes()
}
