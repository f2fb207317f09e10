package edge

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre/config"
)

// noPasswords refuses a command line that holds a password anywhere: in a flag, whichever it is, or in an argument, also of a command that
// does not exist. It is asked before anything else reads the line, as what is wrong with one is said with its words.
//
// Errors: cofre.ErrConfig.
func noPasswords(root *cobra.Command, args []string) error {
	for i, arg := range args {
		for _, value := range valuesIn(arg) {
			if config.PasswordInArgument("", value) != nil {
				return config.PasswordInArgument(flagOf(root, args[:i+1]), value)
			}
		}
	}
	return nil
}

// valuesIn is what may be a value in a word of a command line: --name=VALUE, -xVALUE, -qxVALUE, and the word itself.
func valuesIn(arg string) []string {
	word := strings.TrimLeft(arg, "-")
	values := []string{word}
	if word == arg {
		return values
	}
	if _, value, ok := strings.Cut(word, "="); ok {
		values = append(values, value)
	}
	for i := 1; i < len(word) && !strings.HasPrefix(arg, "--") && word[i-1] != '='; i++ {
		values = append(values, word[i:])
	}
	return values
}

// flagOf is the flag whose value the last word holds, or "" if it is none's.
func flagOf(root *cobra.Command, args []string) string {
	cmd, _, _ := root.Find(args) // without an error if that is what is wrong
	name, _, ok := strings.Cut(args[len(args)-1], "=")
	if !ok && len(args) > 1 && !strings.HasPrefix(name, "-") {
		name = args[len(args)-2]
	}
	long, isLong := strings.CutPrefix(name, "--")
	switch {
	case isLong && cmd.Flag(long) != nil && (ok || cmd.Flag(long).NoOptDefVal == ""):
		return name
	case !isLong && strings.HasPrefix(name, "-") && len(name) > 1:
		if f := cmd.Flags().ShorthandLookup(name[1:2]); f != nil && f.NoOptDefVal == "" {
			return "--" + f.Name
		}
	}
	return ""
}
