package demo

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/trustlayer/cofre"
)

// leave hands the server over from this process, with which it would end, to one of its own, and says how to
// look at what there is and how to end it.
func (s *stage) leave(ctx context.Context) error {
	info, err := os.Stat(s.server.DataDir)
	if err != nil {
		return errors.Join(err, s.close())
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return errors.Join(fmt.Errorf("demonstration: owner of %s is not known", s.server.DataDir), s.close())
	}
	if err := s.server.Close(); err != nil {
		return errors.Join(err, s.close())
	}
	socket := s.path("socket")
	if err := errors.Join(os.Mkdir(socket, 0o700), os.Lchown(socket, int(owner.Uid), int(owner.Gid))); err != nil {
		return errors.Join(err, s.close())
	}
	cmd := exec.CommandContext(ctx, filepath.Join(s.server.BinDir, "pg_ctl"), "start", "-w", "-s",
		"-D", s.server.DataDir, "-l", filepath.Join(s.server.DataDir, "server.log"),
		"-o", fmt.Sprintf("-k '%s' -h '' -p %d -c unix_socket_permissions=0700", socket, s.server.Port))
	cmd.Dir, cmd.Env = "/", plainEnvironment()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if os.Geteuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: owner.Uid, Gid: owner.Gid}
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return errors.Join(fmt.Errorf("demonstration: leave the server running: %w\n%s", err, out), s.close())
	}
	address := func(database string) string {
		u := url.URL{
			Scheme: "postgres", User: url.User("postgres"), Path: "/" + database,
			RawQuery: url.Values{"host": {socket}, "port": {fmt.Sprint(s.server.Port)}}.Encode(),
		}
		return u.String()
	}
	s.say("\n")
	if err := s.writeConfiguration(address(databaseName)); err != nil {
		return err
	}
	// It stays its owner's: it is written over, not made anew.
	if err := os.WriteFile(filepath.Join(s.dir, "cofre.yaml"), []byte(clusterConfiguration(address("postgres"))), 0o600); err != nil {
		return err
	}
	s.tell(cofre.Say("demo.left", "\nLeft running. To look at it:\n  psql '{{.url}}'\n  cd {{.folder}} && {{.program}} list\n  cd {{.cluster}} && {{.program}} wal status\nIt is as the last disaster left it: grc.answers is empty. What it was before is in the copy that was recovered:\n  {{.recovered}}\nTo end it:\n  kill -INT $(head -n 1 {{.pid}}) && rm -rf {{.folder}}",
		"url", address(databaseName), "folder", s.Dir, "cluster", s.dir, "recovered", filepath.Join(s.dir, "recovered"), "program", s.Program, "pid", filepath.Join(s.server.DataDir, "postmaster.pid")))
	return nil
}
