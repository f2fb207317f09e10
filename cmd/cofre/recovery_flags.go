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

// parse makes a recovery target of the flags. The zone in which --at was typed is nil without one.
//
// Errors: ones for a person who typed them: those of cofre.ParseMoment, cofre.ParseLSN and RecoveryTarget.Check.
func (r *recoveryFlags) parse() (t cofre.RecoveryTarget, zone *time.Location, err error) {
	t = cofre.RecoveryTarget{XID: r.xid, Name: r.name, Immediate: r.immediate, Exclusive: r.exclusive, Timeline: cofre.Timeline(r.timeline)}
	if r.lsn != "" {
		if t.LSN, err = cofre.ParseLSN(r.lsn); err != nil {
			return t, nil, err
		}
	}
	if r.at != "" {
		at, err := cofre.ParseMoment(r.at, r.tz)
		if err != nil {
			return t, nil, err
		}
		t.At, zone = at.UTC(), at.Location()
	}
	if r.tz != "" {
		if loc, err := time.LoadLocation(r.tz); err == nil {
			zone = loc
		}
	}
	return t, zone, t.Check()
}
