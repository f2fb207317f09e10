package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/wal/origin"
	"github.com/trustlayer/cofre/postgres/wal/sealed"
)

// forge FILE CONTENT [KEYS]: puts an archived file in place as somebody does who can write to the repository in $WORK/repo and has no password: by
// the public recipient alone, or signed with the key of a host that is in the folder KEYS. FILE is, of the segments that are there +N the N-th, from the newest -N, with 2/ before it of timeline 2, or the name of
// a file; CONTENT is empty, a segment without a record; fork:SEGMENT, a history that leaves timeline 1 in it; or a file.
func cmdForge(ts *testscript.TestScript, _ bool, args []string) {
	name := segmentNamed(ts, args[0])
	content := []byte(nil)
	from, fork := strings.CutPrefix(args[1], "fork:")
	switch {
	case args[1] == "empty":
		content = emptySegment(ts, name)
	case fork:
		s, err := pgdata.ParseSegment(segmentNamed(ts, from), segmentSize)
		ts.Check(err)
		content = fmt.Appendf(nil, "1\t%s\tno recovery target specified\n", s.Start(segmentSize)+40)
	default:
		content = []byte(ts.ReadFile(args[1]))
	}
	path := filepath.Join(walOf(ts), name[:8], name)
	if len(args) > 2 {
		forgeSigned(ts, path, content, ts.MkAbs(args[2]))
		return
	}
	forge(ts, path, content)
}

// forgeSigned is forge as a host does that archives, with its key, and the digest of what it has.
func forgeSigned(ts *testscript.TestScript, path string, content []byte, keys string) {
	key, err := origin.Host(keys)
	ts.Check(err)
	public, err := os.ReadFile(filepath.Join(ts.Getenv("WORK"), "repo", "cofre", "keys", "wal.pub"))
	ts.Check(err)
	r, err := age.ParseX25519Recipient(strings.TrimSpace(string(public)))
	ts.Check(err)
	object, err := filepath.Rel(filepath.Join(ts.Getenv("WORK"), "repo"), path)
	ts.Check(err)
	b, err := sealed.Seal(r, sealed.Contents{Object: object, Digest: sealed.DigestOf(r.String(), object, content), Sign: key.Sign}, sealed.Compress(content, 1))
	ts.Check(err)
	_ = os.Remove(path)
	ts.Check(os.WriteFile(path, b, 0o644))
}

// swap: puts another recipient in the place of the one that WAL is encrypted for.
func cmdSwap(ts *testscript.TestScript, _ bool, _ []string) {
	other, err := age.GenerateX25519Identity()
	ts.Check(err)
	ts.Setenv("OTHER", other.Recipient().String())
	ts.Check(os.WriteFile(filepath.Join(ts.Getenv("WORK"), "repo", "cofre", "keys", "wal.pub"), []byte(other.Recipient().String()+"\n"), 0o644))
}

// fingerprint VAR: sets $VAR to the fingerprint of the first key that waits.
func cmdFingerprint(ts *testscript.TestScript, _ bool, args []string) {
	cmd := exec.Command(filepath.Join(ts.Getenv("WORK"), "bin", "cofre"), "wal", "admit", "--json")
	cmd.Dir, cmd.Env = ts.Getenv("WORK"), append(os.Environ(), "XDG_CACHE_HOME="+ts.Getenv("XDG_CACHE_HOME"))
	out, err := cmd.Output()
	ts.Check(err)
	var said struct {
		Repositories []struct {
			Keys []struct{ Fingerprint, State string }
		}
	}
	ts.Check(json.Unmarshal(out, &said))
	for _, r := range said.Repositories {
		for _, k := range r.Keys {
			if k.State == "waiting" {
				ts.Setenv(args[0], k.Fingerprint)
				return
			}
		}
	}
	ts.Fatalf("no key waits: %s", out)
}

// lose FILE...: removes archived files, named as forge does.
func cmdLose(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range segmentsNamed(ts, args) {
		ts.Check(os.Remove(filepath.Join(walOf(ts), name[:8], name)))
	}
}

const segmentSize = 16 << 20

func walOf(ts *testscript.TestScript) string {
	found, err := filepath.Glob(filepath.Join(ts.Getenv("WORK"), "repo", "wal", "*"))
	if err != nil || len(found) != 1 {
		ts.Fatalf("WAL of %v, %v", found, err)
	}
	return found[0]
}

func segmentNamed(ts *testscript.TestScript, text string) string {
	return segmentsNamed(ts, []string{text})[0]
}

// segmentsNamed are looked up before any of them is touched.
func segmentsNamed(ts *testscript.TestScript, args []string) (names []string) {
	all, err := filepath.Glob(filepath.Join(walOf(ts), "00000001", strings.Repeat("?", 24)))
	ts.Check(err)
	slices.Sort(all)
	for _, text := range args {
		text, forked := strings.CutPrefix(text, "2/")
		n := strings.TrimLeft(text, "+-")
		switch {
		case n == text:
			names = append(names, text)
			continue
		case len(n) != 1 || int(n[0]-'0') > len(all):
			ts.Fatalf("no segment %s of %d", text, len(all))
		}
		at := int(n[0] - '0')
		if text[0] == '-' {
			at = len(all) + 1 - at
		}
		name := filepath.Base(all[at-1])
		if forked {
			name = "00000002" + name[8:]
		}
		names = append(names, name)
	}
	return names
}

// emptySegment is the first page of a segment of the cluster that is archived, and zeros.
//
// Source: PostgreSQL, src/include/access/xlog_internal.h, XLogLongPageHeaderData.
func emptySegment(ts *testscript.TestScript, name string) []byte {
	w, err := pgdata.ParseWALName(name)
	ts.Check(err)
	files, err := filepath.Glob(filepath.Join(ts.Getenv("PGDATA"), "pg_wal", strings.Repeat("?", 24)))
	if err != nil || len(files) == 0 {
		ts.Fatalf("segments of the server: %v, %v", files, err)
	}
	b, err := os.ReadFile(files[0])
	ts.Check(err)
	s, err := w.Segment(int64(len(b)))
	ts.Check(err)
	clear(b[40:])
	binary.LittleEndian.PutUint16(b[2:], 2)
	binary.LittleEndian.PutUint32(b[4:], uint32(s.Timeline))
	binary.LittleEndian.PutUint64(b[8:], uint64(s.Start(int64(len(b)))))
	clear(b[16:24])
	return b
}

func forge(ts *testscript.TestScript, path string, content []byte) {
	public, err := os.ReadFile(filepath.Join(ts.Getenv("WORK"), "repo", "cofre", "keys", "wal.pub"))
	ts.Check(err)
	r, err := age.ParseX25519Recipient(strings.TrimSpace(string(public)))
	ts.Check(err)
	var b bytes.Buffer
	to, err := age.Encrypt(&b, r)
	ts.Check(err)
	z, err := zstd.NewWriter(to)
	ts.Check(err)
	_, err = z.Write(content)
	ts.Check(err)
	ts.Check(z.Close())
	ts.Check(to.Close())
	ts.Check(os.MkdirAll(filepath.Dir(path), 0o755))
	_ = os.Remove(path)
	ts.Check(os.WriteFile(path, b.Bytes(), 0o644))
}
