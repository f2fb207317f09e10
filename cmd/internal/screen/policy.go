package screen

import (
	"fmt"
	"strings"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/installation/policies"
	"github.com/trustlayer/cofre/policy"
)

// ShowPolicy shows a backup policy, and what was found of it: err is how the comparison ended, and is returned.
func (s *Screen) ShowPolicy(p *policies.Policy, err error) error {
	var by *policy.Signed
	if p.AsSigned() {
		by = p.Signed
	}
	lines := p.Terms.Text(by)
	var english []string
	for _, m := range lines {
		english = append(english, m.Text)
	}
	doc := struct {
		*policies.Policy
		Text     string              `json:"text"` // Markdown
		Messages cofre.Messages      `json:"messages"`
		Error    *edge.ErrorDocument `json:"error,omitempty"`
	}{p, strings.Join(english, "\n") + "\n", lines, edge.DocumentOf(err)}
	return s.answer(doc, err, func() {
		for _, m := range lines {
			fmt.Fprintln(s.Out, s.Text(m))
		}
		for _, f := range p.Findings {
			s.Line(s.Err, cofre.Say("policy.finding", "finding: {{.what}}", "what", f.Messages.Of(f.What)))
		}
		if p.Signed == nil && !s.Quiet {
			s.Line(s.Err, cofre.Say("policy.sign_it", "nobody has signed it: cofre policy sign --by NAME"))
		}
	})
}

// ShowPreset shows keys for a configuration.
//
// Errors: with --json, those of edge.App.Document.
func (s *Screen) ShowPreset(class, text string) error {
	return s.answer(map[string]string{"class": class, "configuration": text}, nil, func() { fmt.Fprint(s.Out, text) })
}

// ShowSigned shows what was signed, and the newest checkpoint of the journal, which has it.
//
// Errors: with --json, those of edge.App.Document.
func (s *Screen) ShowSigned(signed *policy.Signed, checkpoint string) error {
	doc := struct {
		*policy.Signed
		Checkpoint string `json:"checkpoint"`
	}{signed, checkpoint}
	return s.answer(doc, nil, func() {
		if !s.Quiet {
			s.Line(s.Out, cofre.Say("policy.was_signed", "version {{.number}} of the policy, digest {{.digest}}, is signed by {{.by}}, in entry {{.entry}} of the journal", "number", signed.Number, "digest", signed.Digest[:16], "by", signed.By, "entry", signed.Entry))
		}
		s.ShowCheckpoint(checkpoint)
	})
}
