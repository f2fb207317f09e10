package bucket_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/bucket"
)

// oneText is a component in which every file has one text.
type oneText struct {
	cofre.Tree

	text []byte
}

type textFile struct{ *bytes.Reader }

func (textFile) Close() error { return nil }

func (o oneText) Open(context.Context, string) (io.ReadSeekCloser, error) {
	return textFile{bytes.NewReader(o.text)}, nil
}

// FuzzIndex: what lies in the place of the indexes of a storage component is one, or is damaged.
func FuzzIndex(f *testing.F) {
	f.Add([]byte(`{"format":1,"digits":1,"digests":{"0":{"objects":1,"rows":"x"}}}`))
	f.Add([]byte("{\"bucket\":\"a\",\"name\":\"b\",\"file\":\"../x\"}\n{\"bucket\":\"\\u001b[2K\",\"missing\":\"x\",\"said\":{\"code\":\"x\",\"args\":{}}}\n"))
	f.Add([]byte(`[{"name":"a","public":true}]`))
	f.Add(bytes.Repeat([]byte{'x'}, bucket.MaxLine+1))
	f.Fuzz(func(t *testing.T, text []byte) {
		c := oneText{text: text}
		for _, err := range bucket.ReadShard(t.Context(), c, "0") {
			if err != nil && !errors.Is(err, cofre.ErrCorrupt) {
				t.Errorf("index: %v", err)
			}
		}
		if _, err := bucket.ReadBuckets(t.Context(), c); err != nil && !errors.Is(err, cofre.ErrCorrupt) {
			t.Errorf("buckets: %v", err)
		}
		if s, err := bucket.ReadShards(t.Context(), c); err == nil && (s.Format != 1 || s.Digits < 1) {
			t.Errorf("shards %+v", s)
		}
		n := 0
		for _, err := range bucket.ReadIndex(t.Context(), c) {
			if n++; err != nil || n > 1000 {
				break
			}
		}
	})
}
