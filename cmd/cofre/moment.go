package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre"
)

// recoveryFlags are the flags that say until when to recover.
type recoveryFlags struct {
	at        string
	tz        string
	lsn       string
	xid       uint64
	name      string
	immediate bool
	exclusive bool
	timeline  uint32
}

func (r *recoveryFlags) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&r.at, "at", "", "recover to this `TIME`: RFC 3339 with an offset, or local time with --tz")
	f.StringVar(&r.tz, "tz", "", "time `ZONE` of --at, as in America/Sao_Paulo")
	f.StringVar(&r.lsn, "lsn", "", "recover to this `LSN`: 16/B374D848")
	f.Uint64Var(&r.xid, "xid", 0, "recover to this transaction `ID`")
	f.StringVar(&r.name, "name", "", "recover to the restore point of this `NAME` (pg_create_restore_point)")
	f.BoolVar(&r.immediate, "immediate", false, "only until the base backup is consistent")
	f.BoolVar(&r.exclusive, "exclusive", false, "stop just before the target instead of just after it")
	f.Uint32Var(&r.timeline, "timeline", 0, "recover along this timeline `NUMBER` (default: the newest that the base backup leads to)")
}

// parse makes a recovery target of the flags.
//
// Errors: ones for a person who typed them: more than one target, a time without a zone.
func (r *recoveryFlags) parse() (cofre.RecoveryTarget, error) {
	t := cofre.RecoveryTarget{XID: r.xid, Name: r.name, Immediate: r.immediate, Exclusive: r.exclusive, Timeline: cofre.Timeline(r.timeline)}
	given := 0
	for _, set := range []bool{r.at != "", r.lsn != "", r.xid != 0, r.name != "", r.immediate} {
		if set {
			given++
		}
	}
	if given > 1 {
		return t, cofre.WithHint(cofre.Fail(cofre.Say("target.several", "more than one recovery target")), cofre.Say("target.one", "give one of --at, --lsn, --xid, --name and --immediate"))
	}
	if r.exclusive && r.at == "" && r.lsn == "" && r.xid == 0 {
		return t, cofre.Fail(cofre.Say("usage.exclusive", "--exclusive applies to --at, --lsn and --xid"))
	}
	var err error
	if r.at != "" {
		t.At, err = parseMoment(r.at, r.tz)
	}
	if r.lsn != "" {
		t.LSN, err = cofre.ParseLSN(r.lsn)
	}
	return t, err
}

// zone is the time zone in which --at was typed, nil without one.
func (r *recoveryFlags) zone() *time.Location {
	if loc, err := time.LoadLocation(r.tz); err == nil && r.tz != "" {
		return loc
	}
	for _, layout := range withOffset {
		if t, err := time.Parse(layout, r.at); err == nil {
			return t.Location()
		}
	}
	return nil
}

// withOffset are the ways to write a time with its offset: RFC 3339, as the screens here do, and as PostgreSQL does.
var withOffset = []string{time.RFC3339Nano, "2006-01-02 15:04:05.999999999 -07:00", "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999-07"}

// parseMoment reads a time that a person typed. Without an offset and without a zone it is refused: the same digits
// are another moment on another machine.
func parseMoment(text, zone string) (time.Time, error) {
	for _, layout := range withOffset {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	if zone == "" {
		return time.Time{}, cofre.WithHint(cofre.Fail(cofre.Say("target.no_offset", "time \"{{.time}}\" has no offset", "time", text)), cofre.Say("target.offset", "write it as 2026-11-24T14:05:00-03:00, or add --tz America/Sao_Paulo"))
	}
	loc, err := time.LoadLocation(zone)
	if err != nil {
		return time.Time{}, cofre.WithHint(cofre.Fail(cofre.Say("target.unknown_zone", "time zone \"{{.zone}}\" is not known", "zone", zone)), cofre.Say("target.zone", "use a name such as America/Sao_Paulo, or UTC"))
	}
	for _, layout := range []string{"2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999", "2006-01-02 15:04", "2006-01-02T15:04"} {
		t, err := time.ParseInLocation(layout, text, loc)
		if err != nil {
			continue
		}
		// When clocks are set back, the same digits come twice. Go takes the first; say so rather than guess.
		if again := t.Add(time.Hour); again.Format(layout) == t.Format(layout) {
			return time.Time{}, cofre.WithHint(cofre.Fail(cofre.Say("target.comes_twice", "time \"{{.time}}\" comes twice in {{.zone}}", "time", text, "zone", zone)), cofre.Say("target.twice", "write it with its offset: {{.first}} or {{.second}}", "first", t.Format(time.RFC3339), "second", again.Format(time.RFC3339)))
		}
		return t.UTC(), nil
	}
	return time.Time{}, cofre.WithHint(cofre.Fail(cofre.Say("target.unread", "time \"{{.time}}\" cannot be read", "time", text)), cofre.Say("target.form", "write it as 2026-11-24 14:05:00"))
}
