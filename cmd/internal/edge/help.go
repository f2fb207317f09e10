package edge

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/nearest"
)

// helpWidth is the width that every help fits into: a terminal of the usual 80 columns.
const helpWidth = 80

// helpTemplate is the long text, the usage, and where the exit codes are.
const helpTemplate = `{{with (or .Long .Short)}}{{wrap .}}
{{end}}{{if or .Runnable .HasSubCommands}}
{{.UsageString}}{{end}}`

// usageTemplate is cobra's, with flags and sentences that fit into helpWidth.
const usageTemplate = `Usage:{{if .Runnable}}{{if .HasParent}}
  {{.UseLine}}{{end}}{{end}}{{if .HasAvailableSubCommands}}
  {{.CommandPath}} COMMAND{{$commands := .Commands}}{{$parent := .}}{{if .Groups}}{{range $group := .Groups}}

{{.Title}}{{range $commands}}{{if eq .GroupID $group.ID}}
{{short $parent .}}{{end}}{{end}}{{end}}

More:{{else}}

Commands:{{end}}{{range $commands}}{{if and (eq .GroupID "") (or .IsAvailableCommand .IsAdditionalHelpTopicCommand)}}
{{short $parent .}}{{end}}{{end}}{{end}}{{if .HasAvailableLocalFlags}}

Flags:
{{flags .LocalFlags}}{{end}}{{if .HasAvailableInheritedFlags}}

Flags of every command:
{{flags .InheritedFlags}}{{end}}{{if .HasAvailableSubCommands}}

{{wrap (printf "%s COMMAND --help says more about a command." .CommandPath)}}{{end}}

What each exit code means: {{.Root.Name}} help exit-codes
`

func helpFunctions() map[string]any {
	return map[string]any{
		"wrap": func(text string) string { return Wrap(strings.TrimSpace(text), helpWidth) },
		"flags": func(set *pflag.FlagSet) string {
			return strings.TrimRight(set.FlagUsagesWrapped(helpWidth), " \n")
		},
		"short": func(parent, cmd *cobra.Command) string {
			width := 0
			for _, c := range parent.Commands() {
				width = max(width, len(c.Name()))
			}
			return hang(fmt.Sprintf("  %-*s  ", width, cmd.Name()), cmd.Short, helpWidth)
		},
	}
}

// Wrap breaks the lines of a text so that none is wider than width, if its words allow that. Paragraphs are filled anew;
// lines that begin with a blank are commands, which stay, and lists of words with what they mean.
func Wrap(text string, width int) string {
	var out []string
	var words []string
	flush := func() {
		if len(words) > 0 {
			out = append(out, hang("", strings.Join(words, " "), width))
		}
		words = nil
	}
	for line := range strings.SplitSeq(text, "\n") {
		if line == "" || line[0] == ' ' || line[0] == '\t' {
			flush()
			if meaning := strings.LastIndex(line, "   ") + 3; meaning > 2 && len([]rune(line)) > width {
				line = hang(line[:meaning], line[meaning:], width)
			}
			out = append(out, line)
			continue
		}
		words = append(words, strings.Fields(line)...)
	}
	flush()
	return strings.Join(out, "\n")
}

// hang writes text after lead, and under it as far as it takes more than one line.
func hang(lead, text string, width int) string {
	indent := strings.Repeat(" ", len(lead))
	var b strings.Builder
	line := lead
	for word := range strings.FieldsSeq(text) {
		switch {
		case len(line) == len(lead):
			line += word
		case len([]rune(line))+1+len([]rune(word)) > width:
			b.WriteString(line + "\n")
			line = indent + word
		default:
			line += " " + word
		}
	}
	return b.String() + line
}

// newExitCodesTopic is the one place of the help that lists the exit codes.
func newExitCodesTopic() *cobra.Command {
	return &cobra.Command{Use: "exit-codes", Short: "What each exit code means", Long: exitHelp()}
}

// unknownCommand is the error of a word that is no command, with the command that may have been meant.
func unknownCommand(cmd *cobra.Command, word string) error {
	err := fmt.Errorf("unknown command %q for %q", word, cmd.CommandPath())
	cmd.SuggestionsMinimumDistance = 2
	if meant := cmd.SuggestionsFor(word); len(meant) > 0 {
		return cofre.WithHint(err, "did you mean: %s %s", cmd.CommandPath(), meant[0])
	}
	return err
}

// unknownFlag adds the flag that may have been meant to an error of pflag.
func unknownFlag(cmd *cobra.Command, err error) error {
	word, ok := strings.CutPrefix(err.Error(), "unknown flag: --")
	if !ok {
		return err
	}
	var known []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			known = append(known, f.Name)
		}
	})
	meant := nearest.Word(word, known)
	if meant == "" {
		return err
	}
	return cofre.WithHint(err, "did you mean: %s --%s", cmd.CommandPath(), meant)
}
