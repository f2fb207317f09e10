package screen

import (
	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/installation"
	"github.com/trustlayer/cofre/internal/words"
	"github.com/trustlayer/cofre/postgres/logical/rescue"
)

// tableDocument is the JSON document of the restore of one table.
type tableDocument struct {
	Point    cofre.PointID `json:"point"`
	Plan     *cofre.Plan   `json:"plan,omitempty"`
	Table    string        `json:"table"`
	Rows     int64         `json:"rows"`
	Bytes    int64         `json:"bytes_read"`
	Checksum string        `json:"checksum"`
	Unkeyed  bool          `json:"sum_without_key,omitempty"`
	Left     []string      `json:"left_out,omitempty"`
	Made     []string      `json:"made_again,omitempty"`     // of others
	Missing  []string      `json:"not_made_again,omitempty"` // of others, with the reason
	Differs  []string      `json:"differences,omitempty"`    // of the table, with the reason if no dump holds it
	Lost     []string      `json:"lost,omitempty"`           // which rows could not be read
	Next     []cofre.Next  `json:"next,omitempty"`
	Seconds  float64       `json:"took_seconds"`

	Messages cofre.Messages `json:"messages,omitempty"`
}

// ShowTable shows what became of one table: how far it is proven, and what of it was left out, differs or was made again. err is how
// the restore ended, and is returned.
func (s *Screen) ShowTable(r *installation.Restored, done *rescue.TableOutcome, err error) error {
	doc := tableDocument{
		r.Point, r.Plan, done.Table, done.Rows, done.Bytes, done.Checksum, done.Unkeyed, done.Left, done.Made, done.Missing, done.Differs, done.Lost, r.Outcome.Next, r.Took.Seconds(), done.Messages,
	}
	return s.answer(doc, err, func() {
		if s.Quiet && len(done.Left) == 0 {
			return
		}
		s.Line(s.Out, cofre.SayN("rescued.done", int(done.Rows), "restored {{.table}}: 1 row in {{.time}}", "restored {{.table}}: {{.n}} rows in {{.time}}", "table", done.Table, "time", words.Took(r.Took)))
		s.Line(s.Out, provenOf(done))
		if done.Unkeyed {
			s.Line(s.Out, withoutKey())
		}
		for _, l := range done.Left {
			s.Line(s.Out, cofre.Say("rescued.left_out", "left out: {{.what}}", "what", done.Messages.Of(l)))
		}
		for _, d := range done.Differs {
			edge.Say(s.Out, s.Word(cofre.Say("word.differs", "differs")), s.Beside(d, done.Messages))
		}
		for _, m := range done.Made {
			s.Line(s.Out, cofre.Say("rescued.made_again", "made again: {{.what}}", "what", done.Messages.Of(m)))
		}
		for _, n := range r.Outcome.Next {
			s.Next(n.Said)
		}
	})
}

// provenOf says how far the rows of a table are proven to be those that were captured.
func provenOf(done *rescue.TableOutcome) cofre.Message {
	switch {
	case done.Unrecorded, done.Unsummed:
		return cofre.Say("rescued.unrecorded", "the rows are as the repository holds them; what they could be compared with is lost: checksum {{.checksum}}", "checksum", done.Checksum)
	case len(done.Lost) > 0:
		return cofre.Say("rescued.readable_equal", "the rows that could be read are proven equal to what was captured: checksum {{.checksum}}; what is lost is named below", "checksum", done.Checksum)
	case len(done.Differs) > 0:
		return cofre.Say("rescued.rows_equal", "rows proven equal to what was captured: checksum {{.checksum}}; the table differs, as named below", "checksum", done.Checksum)
	}
	return cofre.Say("rescued.equal", "proven equal to what was captured: checksum {{.checksum}}", "checksum", done.Checksum)
}
