package inside

import (
	"os"
	"os/user"
	"strconv"
	"syscall"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/shell"
)

// Own refuses what is at a path if somebody else than root or this process's user owns it, or anybody may write into it: what lies there
// is not to be believed. A group that may write was chosen by whoever set the mode. A link's own owner does not count.
//
// Errors: cofre.ErrRefused with the command that makes it this user's; those of the operating system.
func Own(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok:
		return nil
	case st.Uid != 0 && int(st.Uid) != os.Geteuid():
		return cofre.WithHint(
			cofre.Fail(cofre.Say("inside.not_yours", "{{.path}} belongs to {{.user}}, who is neither root nor you", "path", path, "user", UserName(int(st.Uid))), cofre.ErrRefused),
			cofre.Say("inside.take_it", "run this as {{.user}}; or, once you have looked at what is in it: chown -R {{.you}} {{.word}}", "user", UserName(int(st.Uid)), "you", UserName(os.Geteuid()), "word", shell.Quote(path)))
	case st.Mode&0o002 != 0:
		return cofre.WithHint(
			cofre.Fail(cofre.Say("inside.anybodys", "anybody may write into {{.path}}", "path", path), cofre.ErrRefused),
			cofre.Say("inside.close_it", "look at what is in it, and then: chmod o-w {{.word}}", "word", shell.Quote(path)))
	}
	return nil
}

// UserName is the name of a user, or its number.
func UserName(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return strconv.Itoa(uid)
}
