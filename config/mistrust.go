package config

import (
	"os"
	"strconv"
	"syscall"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/shell"
)

// Mistrusted refuses a configuration that nobody has named, if it runs commands and they are not the words of root or of this process's user: whoever
// can write into the current folder could have put it there. The user that sudo was called by counts as this process's. One that is
// named with --config, or is in /etc/cofre, was chosen, as those of containers are.
//
// Errors: cofre.ErrRefused with the command that makes it this user's.
func (c *Config) Mistrusted(getenv func(string) string) error {
	if c.file == nil || !c.Hooks.any() {
		return nil
	}
	st, ok := c.file.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	uid := strconv.FormatUint(uint64(st.Uid), 10)
	named := cofre.Say("config.name_it", "if what it runs is what you want, name it: --config {{.file}}", "file", shell.Quote(c.Path))
	switch {
	case st.Uid != 0 && int(st.Uid) != os.Geteuid() && uid != getenv("SUDO_UID"):
		return cofre.WithHint(cofre.Fail(cofre.Say("config.not_yours", "{{.file}} has hooks, and belongs to user {{.uid}}, who is neither root nor you", "file", c.Path, "uid", uid), cofre.ErrRefused, cofre.ErrConfig), named)
	case st.Mode&0o002 != 0:
		return cofre.WithHint(cofre.Fail(cofre.Say("config.anybodys", "{{.file}} has hooks, and anybody may write into it", "file", c.Path), cofre.ErrRefused, cofre.ErrConfig),
			cofre.Say("config.close_it", "look at what it runs, and then: chmod o-w {{.file}}", "file", shell.Quote(c.Path)))
	}
	return nil
}

func (h *Hooks) any() bool {
	return len(h.BeforeBackup)+len(h.AfterBackup)+len(h.BeforeRestore)+len(h.AfterRestore) > 0
}
