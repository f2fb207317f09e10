package drilled

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/process"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/throwaway"
)

// Fault is one thing in a drilled cluster that is not as it must be: what it is of, and what is said of it.
type Fault struct {
	Object string
	Said   cofre.Message
}

// maxFaults bounds what is told of a cluster of which much is damaged.
const maxFaults = 100

// Pages has pg_checksums read every page of a cluster that was shut down, and says how many there are, and which are damaged.
//
// Errors: *cofre.ToolError if it could not; cofre.ErrNotFound if there is no pg_checksums.
func Pages(ctx context.Context, binDir, dataDir string) (pages int64, damaged []Fault, err error) {
	out, said, exit, err := tool(ctx, binDir, "pg_checksums", "--check", "-D", dataDir)
	if err != nil {
		return 0, nil, err
	}
	pages, damaged, ok := readPages(out, said, dataDir)
	if exit != nil && (!ok || len(damaged) == 0) {
		return pages, damaged, exit
	}
	return pages, damaged, nil
}

// Source: PostgreSQL, src/bin/pg_checksums/pg_checksums.c, scan_file and main.
var (
	pageFailed   = regexp.MustCompile(`checksum verification failed in file "(.*)", block (\d+): (calculated checksum [0-9A-F]+ but block contains [0-9A-F]+)`)
	pagesScanned = regexp.MustCompile(`(?m)^Blocks scanned:\s+(\d+)`)
)

// readPages reads what pg_checksums has printed; ok says that it came to its end.
func readPages(out, said []byte, dataDir string) (pages int64, damaged []Fault, ok bool) {
	for _, m := range pageFailed.FindAllSubmatch(said, maxFaults) {
		file := strings.TrimPrefix(strings.TrimPrefix(string(m[1]), dataDir), "/")
		damaged = append(damaged, Fault{file, cofre.Say("drill.page", "block {{.block}} is damaged: {{.said}}", "block", string(m[2]), "said", string(m[3]))})
	}
	if m := pagesScanned.FindSubmatch(out); m != nil {
		pages, _ = strconv.ParseInt(string(m[1]), 10, 64) // digits
		ok = true
	}
	return pages, damaged, ok
}

// Structure has pg_amcheck look at every table and every B-tree index of all databases, each row looked for in its indexes. unchecked says why nothing
// was, if this machine or this version has no means to.
//
// Errors: *cofre.ToolError if it could not come to its end.
func Structure(ctx context.Context, s *throwaway.Server, jobs int) (damaged []Fault, unchecked cofre.Message, err error) {
	has, err := available(ctx, s)
	if err != nil {
		return nil, cofre.Message{}, err
	}
	if !has {
		return nil, cofre.Say("drill.no_amcheck", "the structure of tables and indexes: this machine does not have the extension amcheck of PostgreSQL {{.major}}", "major", s.Major), nil
	}
	out, _, exit, err := tool(ctx, s.BinDir, "pg_amcheck", "-h", s.Socket, "-p", strconv.Itoa(s.Port), "-U", s.User(), "--maintenance-db", "template1",
		"--all", "--install-missing", "--heapallindexed", "-j", strconv.Itoa(max(jobs, 1)))
	if errors.Is(err, cofre.ErrNotFound) {
		return nil, cofre.Say("drill.no_pg_amcheck", "the structure of tables and indexes: PostgreSQL {{.major}} of this machine has no pg_amcheck", "major", s.Major), nil
	}
	if err != nil {
		return nil, cofre.Message{}, err
	}
	damaged = readStructure(out)
	if exit != nil && (exit.Exit != 2 || len(damaged) == 0) {
		return damaged, cofre.Message{}, exit
	}
	return damaged, cofre.Message{}, nil
}

// readStructure reads what pg_amcheck has printed: what a fault is of at the beginning of a line, and below it, indented, what is said.
//
// Source: PostgreSQL, src/bin/pg_amcheck/pg_amcheck.c, verify_heap_slot_handler and verify_btree_slot_handler.
func readStructure(out []byte) (damaged []Fault) {
	for line := range bytes.Lines(out) {
		text := strings.ToValidUTF8(strings.TrimRight(string(line), "\n"), "\ufffd")
		switch {
		case strings.TrimSpace(text) == "":
		case !strings.HasPrefix(text, " "):
			if len(damaged) == maxFaults {
				return damaged
			}
			damaged = append(damaged, Fault{Object: strings.TrimSuffix(text, ":")})
		case len(damaged) > 0 && damaged[len(damaged)-1].Said.IsZero():
			damaged[len(damaged)-1].Said = cofre.Verbatim(strings.TrimPrefix(strings.TrimSpace(text), "ERROR:  "))
		}
	}
	return damaged
}

func available(ctx context.Context, s *throwaway.Server) (has bool, err error) {
	conn, err := postgres.Connect(ctx, s.Config("template1"))
	if err != nil {
		return false, err
	}
	defer postgres.Close(ctx, conn)
	err = conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_catalog.pg_available_extensions WHERE name = 'amcheck')").Scan(&has)
	return has, postgres.Explain(err)
}

// tool runs a program of the server's as its user, and returns what it printed, and how it ended if not well.
//
// Errors: cofre.ErrNotFound if it is not there; that it cannot be run; ctx's.
func tool(ctx context.Context, binDir, name string, args ...string) (out, said []byte, exit *cofre.ToolError, err error) {
	path := filepath.Join(binDir, name)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil, cofre.Fail(cofre.Say("drill.no_tool", "there is no {{.path}}", "path", path), cofre.ErrNotFound)
	}
	as, err := throwaway.Account()
	if err != nil {
		return nil, nil, nil, err
	}
	var stdout, stderr bounded
	err = process.Run(ctx, process.Command{Path: path, Args: args, Env: process.BaseEnv(), Dir: "/", Stdout: &stdout, Stderr: &stderr, Credential: as})
	if ctx.Err() == nil && errors.As(err, &exit) {
		err = nil
	}
	return stdout.Bytes(), stderr.Bytes(), exit, err
}

// bounded keeps the beginning and the end of what is written: of a cluster of which everything is damaged nobody reads it all.
type bounded struct {
	bytes.Buffer
	tail process.Tail
	cut  bool
}

func (b *bounded) Write(p []byte) (int, error) {
	const most = 1 << 20 // bytes
	if b.Len()+len(p) <= most {
		b.Buffer.Write(p)
	} else {
		b.cut = true
	}
	_, _ = b.tail.Write(p)
	return len(p), nil
}

// Bytes are what was kept.
func (b *bounded) Bytes() []byte {
	if !b.cut {
		return b.Buffer.Bytes()
	}
	return append(b.Buffer.Bytes(), "\n"+b.tail.String()...)
}
