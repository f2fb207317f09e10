package screen

import (
	"fmt"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/repository/kit"
)

// ShowKits shows the recovery kit of one repository or more; there is one at least.
//
// Errors: with --json, those of edge.App.Document.
func (s *Screen) ShowKits(kits []*kit.Kit) error {
	doc := struct {
		*kit.Kit
		Copies []*kit.Kit `json:"copies,omitempty"`
	}{kits[0], kits[1:]}
	return s.answer(doc, nil, func() {
		for i, kit := range kits {
			if i > 0 {
				fmt.Fprintln(s.Out)
			}
			fmt.Fprint(s.Out, s.Beside(kit.Text, kit.Messages))
		}
	})
}

// ShowRestoredFormat says which files of the format were put back.
//
// Errors: with --json, those of edge.App.Document.
func (s *Screen) ShowRestoredFormat(written []string) error {
	return s.answer(map[string][]string{"written": written}, nil, func() {
		if s.Quiet {
			return
		}
		for _, name := range written {
			s.Say(cofre.Say("kit.restored", "put back: {{.name}}", "name", name))
		}
	})
}
