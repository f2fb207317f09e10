package seal

import (
	"bytes"
	"reflect"
	"testing"
	"time"
)

func sampleSeal() Seal {
	return Seal{At: time.Date(2026, 11, 24, 22, 0, 0, 5, time.UTC), Records: []Record{
		{State: Stored, Size: 1 << 40, Hash: Hash{1, 2, 255}, Name: "p/1ab/name with spaces"},
		{State: Announced, Size: 0, Name: "x"},
		{State: Removed, Name: "q/a/b.f"},
	}}
}

func TestSealComesBack(t *testing.T) {
	for _, want := range []Seal{sampleSeal(), {At: time.Unix(0, 0).UTC()}} {
		got, err := Parse(want.Encode())
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("came back as %+v, %v; want %+v", got, err, want)
		}
	}
}

func TestSealNoticesEveryBit(t *testing.T) {
	text := sampleSeal().Encode()
	for i := range text {
		for bit := range 8 {
			changed := bytes.Clone(text)
			changed[i] ^= 1 << bit
			if _, err := Parse(changed); err == nil {
				t.Errorf("bit %d of byte %d was changed, and the seal was taken", bit, i)
			}
		}
		if _, err := Parse(text[:i]); err == nil {
			t.Errorf("%d bytes of a seal were taken", i)
		}
	}
}

func FuzzParseSeal(f *testing.F) {
	f.Add(sampleSeal().Encode())
	f.Add(Seal{}.Encode())
	f.Add([]byte("cofre seals 1\nat \nend "))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := Parse(text)
		if err != nil {
			return
		}
		again, err := Parse(s.Encode())
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
