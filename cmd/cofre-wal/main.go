// Command cofre-wal is the part of cofre that PostgreSQL itself calls: archive_command and restore_command run a
// process for each segment of WAL, and this one starts in about half the time of cofre, which brings the whole
// repository along (docs/decisions/0010). Its commands are those of cofre wal, of the same code. It is one static
// file of a few megabytes, to be put beside a PostgreSQL that runs in a container.
package main

import (
	"context"
	"os"

	"github.com/trustlayer/cofre/cmd/internal/edge"
)

func main() {
	a := edge.System()
	os.Exit(a.Run(context.Background(), edge.NewWALRoot(&a), os.Args[1:]))
}
