// Package stall ends connections on which nothing moves.
package stall

import (
	"context"
	"net"
	"time"
)

// Dial returns the dialer's DialContext, whose connections give a read or a write up that took nothing for timeout, with
// os.ErrDeadlineExceeded. Without it a peer that vanished without a word, or that says nothing more in the middle of a
// body, holds a transfer for as long as the kernel lets it: for ever, if it only reads.
func Dial(d *net.Dialer, timeout time.Duration) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := d.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &guard{conn, timeout}, nil
	}
}

type guard struct {
	net.Conn
	timeout time.Duration
}

func (c *guard) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.timeout)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

func (c *guard) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}
