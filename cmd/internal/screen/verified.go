package screen

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/internal/words"
	"github.com/trustlayer/cofre/verify"
)

// verification is the JSON document of a verification.
type verification struct {
	*verify.Result
	Error *edge.ErrorDocument `json:"error,omitempty"`
}

// ShowVerified shows the findings of a verification and, if it came to its end, the level that was reached. err is how it ended, and is returned.
func (s *Screen) ShowVerified(ctx context.Context, res *verify.Result, err error) error {
	return s.answer(verification{res, edge.DocumentOf(edge.Interrupted(ctx, err))}, err, func() {
		s.showVerified(res, err == nil || res.Count() > 0 || len(res.WAL) > 0 || errors.Is(err, cofre.ErrPartial))
	})
}

func (s *Screen) showVerified(res *verify.Result, whole bool) {
	var rows [][]string
	for _, f := range res.Findings {
		rows = append(rows, []string{"", f.Check, string(f.Kind), objectIn(f), s.Beside(f.What, f.Messages)})
	}
	for _, p := range res.Points {
		for _, f := range slices.Concat(p.Findings, p.Known, p.Needs) {
			rows = append(rows, []string{string(p.ID), f.Check, string(f.Kind), f.Object, s.Beside(f.What, f.Messages)})
		}
	}
	if len(rows) > 0 {
		Columns(s.Out, []string{s.Text(cofre.Say("heading.point", "POINT")), s.Text(cofre.Say("heading.check", "CHECK")), s.Text(cofre.Say("heading.kind", "KIND")), s.Text(cofre.Say("heading.object", "OBJECT")), s.Text(cofre.Say("heading.finding", "FINDING"))}, rows)
	}
	if !whole || s.Quiet && len(rows) == 0 {
		return
	}
	if len(res.Points) == 0 {
		s.Say(cofre.Say("verify.nothing", "there is no recovery point to verify"))
	} else {
		s.Line(s.Out, cofre.SayN("verify.reached", len(res.Points), "level reached: {{.level}}, by 1 recovery point, at {{.at}}, in {{.time}}", "level reached: {{.level}}, by {{.n}} recovery points, at {{.at}}, in {{.time}}", "level", levelWord(res.Reached), "at", s.Clocks(res.EndedAt), "time", words.Took(res.EndedAt.Sub(res.StartedAt))))
	}
	for _, w := range res.WAL {
		s.showVerifiedWAL(w, len(res.WAL) > 1)
	}
	if res.Coverage != nil {
		s.showCoverage(res)
	}
}

// showCoverage says how much of all was read back, and how far all of it is proven.
func (s *Screen) showCoverage(res *verify.Result) {
	c := res.Coverage
	all := []cofre.Message{cofre.Say("verify.part_points", "recovery points")}
	wal := 0
	for _, w := range res.WAL {
		if w.Segments > 0 {
			wal++
		}
	}
	switch {
	case wal == 1:
		all = append(all, cofre.Say("verify.part_wal", "WAL"))
	case wal > 1:
		all = append(all, cofre.Say("verify.part_wals", "WAL of {{.n}} repositories", "n", wal))
	}
	if res.Journal != nil {
		all = append(all, cofre.Say("verify.part_journal", "journal"))
	}
	days := int(c.Window / (24 * time.Hour))
	s.Say(cofre.Say("verify.covered", "read back within {{.window}}: {{.share}} of {{.bytes}}, {{.read}} of it now; the deepest level that all of it reached: {{.level}} ({{.all}})",
		"window", cofre.SayN("verify.window", days, "1 day", "{{.n}} days"), "share", percent(c.Proven, c.Bytes), "bytes", words.Size(c.Bytes), "read", words.Size(c.Read), "level", levelWord(c.Deepest), "all", cofre.List(all...)))
}

// percent is a share that is 100 % only if it is all.
func percent(of, all int64) string {
	if of == all {
		return "100 %"
	}
	return fmt.Sprintf("%.1f %%", min(99.9, 100*float64(of)/float64(all)))
}

// objectIn is what a finding is about, with the address of the repository that it is in if there are several.
func objectIn(f cofre.Finding) string {
	if f.Repository == "" {
		return f.Object
	}
	return strings.TrimSuffix(f.Repository, "/") + "/" + f.Object
}

// showVerifiedWAL says what was proven of the WAL of one repository, or that it was not looked at.
func (s *Screen) showVerifiedWAL(w verify.WAL, several bool) {
	switch {
	case w.Err != nil:
		s.Say(cofre.Say("verify.wal_unread", "WAL in {{.url}}: not verified: {{.cause}}", "url", w.URL, "cause", w.Err))
	case w.Segments == 0 && !several:
	default:
		s.Say(cofre.SayN("verify.wal_reached", w.Segments, "WAL in {{.url}}: 1 segment, level reached: {{.level}}", "WAL in {{.url}}: {{.n}} segments, level reached: {{.level}}", "url", w.URL, "level", levelWord(w.Reached)))
	}
}

func levelWord(level cofre.Level) cofre.Message {
	if level == "" {
		return cofre.Say("verify.no_level", "none")
	}
	return cofre.Verbatim(string(level))
}
