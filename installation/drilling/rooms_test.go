package drilling

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trustlayer/cofre"
)

// A folder in which the socket of a server would have no name is refused before anything is restored, and no shorter one is: a recovering cluster has its socket deeper.
func TestAFolderThatIsTooDeepForASocket(t *testing.T) {
	for _, socket := range []string{socketName, recoveringSocket} {
		for more, refused := range map[int]bool{0: false, 1: true} {
			base, err := os.MkdirTemp("/var/tmp", "d") // whose path is short
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.RemoveAll(base) })
			dir := filepath.Join(base, strings.Repeat("d", longestSocket-len("/cofre-drill-abcdefgh"+socket)-len(base)-1+more))
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			m, err := (Rooms{State: t.TempDir(), Folder: dir}).begin("abcdefgh", Record{}, socket)
			if errors.Is(err, cofre.ErrConfig) != refused || (err == nil) == refused {
				t.Errorf("%d bytes more for %s: %v", more, socket, err)
			}
			if m != nil {
				_ = m.file.Close()
			}
		}
	}
}
