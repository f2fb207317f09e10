package edge

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/trustlayer/cofre"
)

// number is the value of a flag that is a number or a duration. None of ours means anything below zero.
type number struct{ pflag.Value }

// Set takes what a person typed.
//
// Errors: ones that say in the language of the person what is wrong with it.
func (n *number) Set(typed string) error {
	if err := n.Value.Set(typed); err != nil {
		if n.Type() == "duration" {
			return cofre.Fail(cofre.Say("usage.not_duration", "is not a duration such as 90s or 5m"))
		}
		return cofre.Fail(cofre.Say("usage.not_number", "is not a whole number that fits here"))
	}
	if strings.HasPrefix(n.String(), "-") {
		return cofre.Fail(cofre.Say("usage.negative", "is less than 0"))
	}
	return nil
}

// bounded makes every flag that is a number or a duration, of a command and of those below it, refuse what is less than zero.
func bounded(cmd *cobra.Command) {
	each := func(f *pflag.Flag) {
		if slices.Contains([]string{"int", "int32", "int64", "uint32", "uint64", "duration"}, f.Value.Type()) {
			f.Value = &number{f.Value}
		}
	}
	cmd.Flags().VisitAll(each)
	cmd.PersistentFlags().VisitAll(each)
	for _, sub := range cmd.Commands() {
		bounded(sub)
	}
}
