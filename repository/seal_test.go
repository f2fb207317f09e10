package repository

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"github.com/kopia/kopia/repo/blob"
)

func sampleSeal() seal {
	return seal{At: time.Date(2026, 11, 24, 22, 0, 0, 5, time.UTC), Records: []record{
		{State: stored, Size: 1 << 40, Hash: hash{1, 2, 255}, Name: "p/1ab/name with spaces"},
		{State: announced, Size: 0, Name: "x"},
		{State: removed, Name: "q/a/b.f"},
	}}
}

func TestSealComesBack(t *testing.T) {
	for _, want := range []seal{sampleSeal(), {At: time.Unix(0, 0).UTC()}} {
		got, err := parseSeal(want.encode())
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("came back as %+v, %v; want %+v", got, err, want)
		}
	}
}

func TestSealNoticesEveryBit(t *testing.T) {
	text := sampleSeal().encode()
	for i := range text {
		for bit := range 8 {
			changed := bytes.Clone(text)
			changed[i] ^= 1 << bit
			if _, err := parseSeal(changed); err == nil {
				t.Errorf("bit %d of byte %d was changed, and the seal was taken", bit, i)
			}
		}
		if _, err := parseSeal(text[:i]); err == nil {
			t.Errorf("%d bytes of a seal were taken", i)
		}
	}
}

func FuzzParseSeal(f *testing.F) {
	f.Add(sampleSeal().encode())
	f.Add(seal{}.encode())
	f.Add([]byte("cofre seals 1\nat \nend "))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := parseSeal(text)
		if err != nil {
			return
		}
		again, err := parseSeal(s.encode())
		if err != nil || len(again.Records) != len(s.Records) {
			t.Errorf("what was parsed is not encoded as it was: %v", err)
		}
		// The records are parsed without the hash too, which a fuzzer cannot guess.
	})
}

func FuzzParseRecord(f *testing.F) {
	f.Add("= 10 0000000000000000000000000000000000000000000000000000000000000000 name")
	f.Add("~ -1  ")
	f.Fuzz(func(t *testing.T, line string) {
		if r, err := parseRecord(line); err == nil && (r.Size < 0 || r.Name == "") {
			t.Errorf("%q was taken as %+v", line, r)
		}
	})
}

func TestNamesAreThoseOfKopia(t *testing.T) {
	for id, want := range map[blob.ID]string{
		"kopia.repository": "kopia.repository.f",
		"p0123456789abcdef0123456789abcdef-s0123456789abcdef12d": "p/012/3456789abcdef0123456789abcdef-s0123456789abcdef12d.f",
		"xe12": "xe12.f",
		"xn0_0123456789abcdef0123456789abcdef-s1-c1": "x/n0_/0123456789abcdef0123456789abcdef-s1-c1.f",
	} {
		if got := (folderNames{}).name(id); got != want {
			t.Errorf("%s is %s in a folder, want %s", id, got, want)
		}
		if back, ok := (folderNames{}).id(want); !ok || back != id {
			t.Errorf("%s is the blob %s, %v, want %s", want, back, ok, id)
		}
		if back, ok := (bucketNames{}).id(string(id)); !ok || back != id {
			t.Errorf("%s in a bucket is the blob %s, %v", id, back, ok)
		}
	}
	for _, name := range []string{"cofre/seals/x-a", "wal/1/2/3", "wal/1/000000010000000000000001.f", "README.f", "p/x.f", "photos/2024/a.f", ".shards", ""} {
		if id, ok := (folderNames{}).id(name); ok {
			t.Errorf("%q is taken for the blob %s", name, id)
		}
		if id, ok := (bucketNames{}).id(name); ok {
			t.Errorf("%q is taken for the blob %s", name, id)
		}
	}
}
