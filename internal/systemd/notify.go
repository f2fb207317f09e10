// Package systemd tells the service manager how a service is, as sd_notify(3) does: datagrams to the socket that NOTIFY_SOCKET names.
// Without that variable nothing is told, and that is no error.
package systemd

import (
	"net"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Manager is who is told. The zero Manager is nobody.
type Manager struct {
	socket string
	every  time.Duration
}

// Of reads from the environment whom to tell. WATCHDOG_PID of another process means that the watchdog is not ours.
func Of(getenv func(string) string, pid int) Manager {
	m := Manager{socket: getenv("NOTIFY_SOCKET")}
	usec, err := strconv.ParseInt(getenv("WATCHDOG_USEC"), 10, 64)
	if of := getenv("WATCHDOG_PID"); err == nil && usec > 0 && (of == "" || of == strconv.Itoa(pid)) {
		m.every = time.Duration(usec) * time.Microsecond
	}
	return m
}

// Told reports whether there is a manager.
func (m Manager) Told() bool { return m.socket != "" }

// Watchdog is within which time Alive is to be called again and again; 0 if nobody waits for it.
func (m Manager) Watchdog() time.Duration {
	if m.socket == "" {
		return 0
	}
	return m.every
}

// Ready says that the service has started, or has read its configuration again.
func (m Manager) Ready(status string) { m.tell("READY=1", "STATUS="+oneLine(status)) }

// Reloading says that the service reads its configuration again.
func (m Manager) Reloading() {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) // which is always there
	m.tell("RELOADING=1", "MONOTONIC_USEC="+strconv.FormatInt(now.Nano()/1000, 10))
}

// Stopping says that the service ends.
func (m Manager) Stopping() { m.tell("STOPPING=1") }

// Alive says that the service does its work, and how it is.
func (m Manager) Alive(status string) { m.tell("WATCHDOG=1", "STATUS="+oneLine(status)) }

// tell sends one datagram. A manager that is gone is no reason to do anything else.
func (m Manager) tell(lines ...string) {
	if m.socket == "" {
		return
	}
	// A name that begins with @ is in the abstract namespace, which net knows.
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: m.socket, Net: "unixgram"})
	if err != nil {
		return
	}
	defer conn.Close() // nothing waits in it
	_ = conn.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	_, _ = conn.Write([]byte(strings.Join(lines, "\n")))
}

func oneLine(s string) string { return strings.ReplaceAll(s, "\n", " ") }
