package notify_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/notify"
	"github.com/trustlayer/cofre/status"
)

// TestWhatWasToldIsWrittenBehindNoLink: the state directory is another user's, who has put a link to a folder of root's in the place of that of what was told.
func TestWhatWasToldIsWrittenBehindNoLink(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("gives files away")
	}
	dir := t.TempDir()
	roots, state := filepath.Join(dir, "roots"), filepath.Join(dir, "state")
	link := filepath.Join(state, "notify")
	conf := fmt.Sprintf("name: tl\nrepository: {url: repo, password: env:P}\nstate_dir: %s\nnotify: {to: ['http://127.0.0.1:1/']}\n", state)
	err := errors.Join(os.Mkdir(roots, 0o700), os.Mkdir(state, 0o755), os.Symlink(roots, link), os.Lchown(link, 65534, 65534), os.Chown(state, 65534, 65534), os.WriteFile(filepath.Join(dir, "cofre.yaml"), []byte(conf), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(filepath.Join(dir, "cofre.yaml"), os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	n := notify.New(notify.Options{
		Config: cfg, Look: func(context.Context) (*status.Status, error) { return nil, errors.New("not looked at") },
		Say: func(_ bool, what cofre.Message) { said = append(said, what.Text) },
	})
	n.Failed("backup config", cofre.SourceID{}, "r", start, cofre.CodeError, cofre.Message{}, true)
	if files, err := os.ReadDir(roots); err != nil || len(files) > 0 {
		t.Errorf("root's folder holds %v, %v", files, err)
	}
	if all := strings.Join(said, "\n"); !strings.Contains(all, "cannot be written down") || !strings.Contains(all, roots) {
		t.Errorf("said %q", all)
	}
}
