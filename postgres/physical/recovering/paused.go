package recovering

import (
	"fmt"
	"path/filepath"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/shell"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/physical/datadir"
)

// Next adds what can be done with a server that is paused at its target. Its spool, and the key in it, stay: a promotion asks the archive for the
// timelines that there are.
func (p *Paused) Next(done *cofre.Outcome, superuser string) {
	done.Next = nil
	dir := shell.Quote(done.Restored)
	reach := fmt.Sprintf("psql -h %s -p %d -U %s", shell.Quote(p.Socket), p.Port, shell.Quote(superuser))
	stop := postgres.Ctl("stop", done.Restored)
	promote, adopt := fmt.Sprintf("%s -c 'SELECT pg_promote()' template1 && %s && %s", reach, stop, postgres.Ctl("start", done.Restored)), "cofre adopt "+dir
	done.Then(cofre.DoLook, reach, cofre.Say("recover.to_look", "to look: {{.command}}", "command", reach))
	done.Then(cofre.DoPromote, promote, cofre.Say("recover.to_keep", "to keep this moment: {{.command}}", "command", promote))
	done.Then(cofre.DoAdopt, adopt, cofre.Say("recover.to_adopt", "if it was promoted and is to be the original: {{.command}}", "command", adopt))
	done.Then(cofre.DoStop, stop, cofre.Say("recover.to_go_on", "before another moment is restored to, with cofre restore cluster --delta: {{.command}}", "command", stop))
	ForgetKey(done, stop+" && ")
}

// ForgetKey adds how the key is removed that reads the archived WAL.
func ForgetKey(done *cofre.Outcome, before string) {
	command := before + "rm -r " + shell.Quote(filepath.Join(done.Restored, datadir.SpoolDir))
	done.Then(cofre.DoForgetKey, command, cofre.Say("recover.to_forget", "if it is never promoted, to remove the key that reads the archived WAL: {{.command}}", "command", command))
}
