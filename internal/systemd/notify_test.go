package systemd_test

import (
	"net"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/trustlayer/cofre/internal/systemd"
)

func TestTheManagerIsTold(t *testing.T) {
	for _, name := range []string{filepath.Join(t.TempDir(), "notify"), "@cofre-test-" + filepath.Base(t.TempDir())} {
		conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		m := systemd.Of(func(key string) string {
			return map[string]string{"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}[key]
		}, 7)
		if m.Watchdog() != 30*time.Second {
			t.Errorf("watchdog %s", m.Watchdog())
		}
		for _, c := range []struct {
			tell func()
			want string
		}{
			{func() { m.Ready("a\nb") }, `^READY=1\nSTATUS=a b$`},
			{m.Reloading, `^RELOADING=1\nMONOTONIC_USEC=[0-9]+$`},
			{func() { m.Alive("ok") }, `^WATCHDOG=1\nSTATUS=ok$`},
			{m.Stopping, `^STOPPING=1$`},
		} {
			c.tell()
			b := make([]byte, 1000)
			n, err := conn.Read(b)
			if err != nil || !regexp.MustCompile(c.want).Match(b[:n]) {
				t.Errorf("%q, %v, want %s", b[:n], err, c.want)
			}
		}
	}
}

func TestNobodyIsTold(t *testing.T) {
	for _, env := range []map[string]string{{}, {"WATCHDOG_USEC": "1000"}, {"NOTIFY_SOCKET": filepath.Join(t.TempDir(), "gone"), "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "8"}} {
		m := systemd.Of(func(key string) string { return env[key] }, 7)
		m.Ready("")
		m.Stopping()
		if m.Watchdog() != 0 {
			t.Errorf("%v: watchdog %s", env, m.Watchdog())
		}
	}
}
