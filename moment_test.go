package cofre_test

import (
	"strings"
	"testing"

	"github.com/trustlayer/cofre"
)

func TestMomentsAreNeverGuessed(t *testing.T) {
	for _, c := range []struct{ text, zone, want, hint string }{
		{text: "2026-11-24T14:05:00-03:00", want: "2026-11-24T17:05:00Z"},
		{text: "2026-11-24T17:05:00.123456Z", want: "2026-11-24T17:05:00.123456Z"},
		{text: "2026-11-24 14:05:01 -03:00", want: "2026-11-24T17:05:01Z"},
		{text: "2026-11-24 17:05:01.5+00", want: "2026-11-24T17:05:01.5Z"},
		{text: "2026-11-24 17:05:01Z", zone: "America/Sao_Paulo", want: "2026-11-24T17:05:01Z"},
		{text: "2026-11-24 14:05:00", hint: "--tz America/Sao_Paulo"},
		{text: "2026-11-24 14:05", zone: "America/Sao_Paulo", want: "2026-11-24T17:05:00Z"},
		// Brazil had daylight saving time until 2019: on 2018-11-04 the clock went from 00:00 to 01:00, and on
		// 2018-02-18 at midnight it went back to 23:00.
		{text: "2018-11-04 00:30", zone: "America/Sao_Paulo", hint: "with its offset"},
		{text: "2018-11-04 01:00", zone: "America/Sao_Paulo", want: "2018-11-04T03:00:00Z"},
		{text: "2018-11-03 23:59:59", zone: "America/Sao_Paulo", want: "2018-11-04T02:59:59Z"},
		// Lord Howe Island turns its clocks by half an hour; Samoa left out a day.
		{text: "2026-04-05 01:45", zone: "Australia/Lord_Howe", hint: "2026-04-05T01:45:00+11:00 or 2026-04-05T01:45:00+10:30"},
		{text: "2011-12-30 12:00", zone: "Pacific/Apia", hint: "with its offset"},
		{text: "2011-12-31 12:00", zone: "Pacific/Apia", want: "2011-12-30T22:00:00Z"},
		{text: "2018-02-17 23:30", zone: "America/Sao_Paulo", hint: "2018-02-17T23:30:00-02:00 or 2018-02-17T23:30:00-03:00"},
		{text: "2026-11-24 14:05", zone: "Brasilia", hint: "America/Sao_Paulo"},
		{text: "yesterday", zone: "UTC", hint: "2026-11-24 14:05:00"},
	} {
		got, err := cofre.ParseMoment(c.text, c.zone)
		if c.want == "" {
			if err == nil || !strings.Contains(cofre.Hint(err), c.hint) {
				t.Errorf("%s %s: %v, %v, hint %q", c.text, c.zone, got, err, cofre.Hint(err))
			}
			continue
		}
		if err != nil || got.UTC().Format("2006-01-02T15:04:05.999999Z07:00") != c.want {
			t.Errorf("%s %s: %v, %v; want %s", c.text, c.zone, got, err, c.want)
		}
	}
}

func TestRecoveryTargetsExcludeOneAnother(t *testing.T) {
	for _, c := range []struct {
		target cofre.RecoveryTarget
		good   bool
	}{
		{cofre.RecoveryTarget{}, true},
		{cofre.RecoveryTarget{LSN: 1, Immediate: true}, false},
		{cofre.RecoveryTarget{XID: 7, Name: "x"}, false},
		{cofre.RecoveryTarget{Exclusive: true, Name: "x"}, false},
		{cofre.RecoveryTarget{Exclusive: true}, false},
		{cofre.RecoveryTarget{Exclusive: true, LSN: 0x16B374D848}, true},
	} {
		if err := c.target.Check(); (err == nil) != c.good {
			t.Errorf("%+v: %v", c.target, err)
		}
	}
}
