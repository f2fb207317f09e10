package dump

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/trustlayer/cofre/postgres"
)

// readBuffer is what is read from the server at once, in bytes. A Unix socket holds about as much.
const readBuffer = 256 << 10

// session is a connection that runs statements without results and COPY … TO STDOUT.
//
// It speaks the protocol itself because the driver hands over each row of a COPY by itself: at a hundred
// bytes a row that alone costs more than hashing and compressing it. Here Read fills the reader's buffer with
// as many rows as have arrived.
//
// Source: https://www.postgresql.org/docs/current/protocol-message-formats.html
type session struct {
	conn net.Conn
	from *pgconn.PgConn // for a cancel request alone
	buf  []byte
	r, w int
	dead error    // after it, nothing is sent any more
	last []string // statements before a pooler takes the session back
}

// takeOver makes a session of a driver's connection, which is not to be used by anybody else from then on.
//
// Errors: of the connection; it is then closed.
func takeOver(ctx context.Context, conn *pgx.Conn) (*session, error) {
	pc := conn.PgConn()
	last := postgres.AsFound(conn)
	if err := pc.SyncConn(ctx); err != nil {
		return nil, errors.Join(err, postgres.Close(ctx, conn))
	}
	h, err := pc.Hijack()
	if err != nil {
		return nil, errors.Join(err, postgres.Close(ctx, conn))
	}
	return &session{conn: h.Conn, from: pc, buf: make([]byte, readBuffer), last: last}, nil
}

// close ends the session. One that is in the middle of a statement is cancelled first, since a server that
// waits for a lock does not notice that its client has gone.
func (s *session) close() {
	if s.dead != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = s.from.CancelRequest(ctx)
	} else {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		for _, sql := range s.last {
			_ = s.exec(ctx, sql)
		}
		_ = s.conn.SetDeadline(time.Now().Add(5 * time.Second))
		_, _ = s.conn.Write([]byte{'X', 0, 0, 0, 4})
	}
	_ = s.conn.Close()
}

// exec runs statements and forgets their results.
//
// Errors: *pgconn.PgError, after which the session can be used; of the connection, after which it cannot.
func (s *session) exec(ctx context.Context, sql string) error {
	c := s.copyOut(ctx, sql)
	defer c.stop()
	_, err := io.Copy(io.Discard, c)
	return err
}

// copyOut runs statements, the last of which may be COPY … TO STDOUT, and returns a reader of what it sends.
// The reader must be read to its end or to an error before the session is used again, and stop be called.
func (s *session) copyOut(ctx context.Context, sql string) *copyReader {
	c := &copyReader{s: s, ctx: ctx, stop: func() bool { return true }}
	if s.dead != nil {
		c.err = s.dead
		return c
	}
	if err := ctx.Err(); err != nil {
		c.err = err
		return c
	}
	// A deadline in the past ends the read that is under way, and every later one.
	c.stop = context.AfterFunc(ctx, func() { _ = s.conn.SetDeadline(time.Unix(1, 0)) })
	msg := make([]byte, 0, len(sql)+6)
	msg = append(msg, 'Q')
	msg = binary.BigEndian.AppendUint32(msg, uint32(len(sql)+5))
	msg = append(append(msg, sql...), 0)
	if _, err := s.conn.Write(msg); err != nil {
		c.fail(err)
	}
	return c
}

// copyReader reads the data of one COPY.
type copyReader struct {
	s    *session
	ctx  context.Context
	stop func() bool
	left int // of the row at hand
	err  error
	told error // what the server said went wrong; returned when it is ready again
}

// Read returns what has arrived, many rows at once, and waits only if nothing has.
func (c *copyReader) Read(p []byte) (n int, err error) {
	s := c.s
	for n < len(p) && c.err == nil {
		if c.left > 0 {
			if s.r == s.w {
				if n > 0 {
					return n, nil
				}
				if c.left >= len(p) && len(p) >= len(s.buf) {
					// A long row into a long buffer: no need to copy it twice.
					m, err := s.conn.Read(p)
					c.left -= m
					if err != nil && m == 0 {
						c.fail(err)
						break
					}
					return m, nil
				}
				if !c.fill(1) {
					break
				}
			}
			m := min(c.left, s.w-s.r)
			m = copy(p[n:], s.buf[s.r:s.r+m])
			s.r, c.left, n = s.r+m, c.left-m, n+m
			continue
		}
		if s.w-s.r < 5 {
			if n > 0 {
				return n, nil
			}
			if !c.fill(5) {
				break
			}
		}
		kind, size := s.buf[s.r], int(binary.BigEndian.Uint32(s.buf[s.r+1:]))-4
		if size < 0 {
			c.fail(fmt.Errorf("message %q of the server has the length %d", kind, size))
			break
		}
		s.r += 5
		if kind == 'd' {
			c.left = size
			continue
		}
		c.other(kind, size)
	}
	if n > 0 {
		return n, nil
	}
	return 0, c.err
}

// other takes a message that is not data.
func (c *copyReader) other(kind byte, size int) {
	if size > 1<<20 && kind != 'E' && kind != 'N' && kind != 'D' {
		c.fail(fmt.Errorf("message %q of the server has the length %d", kind, size))
		return
	}
	body, ok := c.body(size)
	if !ok {
		return
	}
	switch kind {
	case 'Z':
		c.err = io.EOF
		if c.told != nil {
			c.err = c.told
		}
	case 'E':
		var e pgproto3.ErrorResponse
		if err := e.Decode(body); err != nil {
			c.fail(err)
			return
		}
		c.told = pgconn.ErrorResponseToPgError(&e)
	}
}

func (c *copyReader) body(size int) ([]byte, bool) {
	s := c.s
	if size <= len(s.buf) {
		if s.w-s.r < size && !c.fill(size) {
			return nil, false
		}
		s.r += size
		return s.buf[s.r-size : s.r], true
	}
	body := make([]byte, size)
	n := copy(body, s.buf[s.r:s.w])
	s.r += n
	if _, err := io.ReadFull(s.conn, body[n:]); err != nil {
		c.fail(err)
		return nil, false
	}
	return body, true
}

// fill reads until at least n bytes are in the buffer.
func (c *copyReader) fill(n int) bool {
	s := c.s
	if s.r > 0 {
		s.w = copy(s.buf, s.buf[s.r:s.w])
		s.r = 0
	}
	for s.w < n {
		m, err := s.conn.Read(s.buf[s.w:])
		s.w += m
		if err != nil && s.w < n {
			c.fail(err)
			return false
		}
	}
	return true
}

// fail records an error after which the session is of no use. What the server said before it went explains
// more than the end of the connection does.
func (c *copyReader) fail(err error) {
	switch {
	case c.ctx.Err() != nil:
		err = context.Cause(c.ctx)
	case c.told != nil:
		err = c.told
	case errors.Is(err, io.EOF):
		err = fmt.Errorf("the server closed the connection: %w", io.ErrUnexpectedEOF)
	}
	c.err, c.s.dead = err, err
}

// settle returns the error that explains why the use of c failed with err: what ended the stream, if
// something did. If the user of the stream failed by itself, the statement is unfinished and the session
// of no further use.
func (c *copyReader) settle(err error) error {
	if c.err == nil {
		c.s.dead = err
	} else if !errors.Is(c.err, io.EOF) {
		return c.err
	}
	return err
}
