package screen

import (
	"bufio"
	"context"
	"fmt"
	"strings"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/cmd/internal/edge"
)

// Confirm asks before something that cannot be taken back. Only the typed word yes confirms; without a terminal
// there is nobody to ask, and only --yes does.
//
// Errors: ErrRefused without a terminal; ErrDeclined.
func (s *Screen) Confirm(ctx context.Context, yes bool, question cofre.Message) error {
	if yes {
		return nil
	}
	if !edge.IsTerminal(s.In) {
		return cofre.WithHint(cofre.Fail(question, cofre.ErrRefused, cofre.Fail(cofre.Say("confirm.no_terminal", "it needs a confirmation, and stdin is no terminal"))), cofre.Say("confirm.yes", "add --yes"))
	}
	fmt.Fprint(s.Err, s.Text(cofre.Say("confirm.ask", "{{.question}}? type yes to go on: ", "question", question)))
	answered := make(chan string, 1)
	go func() {
		// Only the end of the process ends a read of a terminal; an interruption must not wait for it.
		line, err := bufio.NewReader(s.In).ReadString('\n')
		if err != nil {
			line = "" // the end of the input is not a yes
		}
		answered <- line
	}()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case line := <-answered:
		if strings.TrimSpace(line) != "yes" {
			return fmt.Errorf("%w: %w", cofre.ErrDeclined, cofre.Fail(cofre.Say("confirm.refused", "not confirmed, nothing was changed")))
		}
		return nil
	}
}
