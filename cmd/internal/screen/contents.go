package screen

import (
	"fmt"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/files"
	"github.com/trustlayer/cofre/internal/words"
	"github.com/trustlayer/cofre/postgres/logical"
)

// ShowTables shows every table of a database with its rows and checksum.
func (s *Screen) ShowTables(f *logical.Facts) {
	fmt.Fprintln(s.Out, "\n"+s.Text(cofre.Say("show.tables_of", "tables of {{.database}}", "database", f.Database.Name)))
	var rows [][]string
	for _, t := range f.Tables {
		rows = append(rows, []string{"  " + t.Schema + "." + t.Name, s.Count(t.Rows), words.Size(t.Bytes), t.Checksum})
	}
	Columns(s.Out, []string{"  " + s.Text(cofre.Say("heading.table", "TABLE")), s.Text(cofre.Say("heading.rows", "ROWS")), s.Text(cofre.Say("heading.bytes", "BYTES")), s.Text(cofre.Say("heading.checksum", "CHECKSUM"))}, rows, 1, 2)
}

// ShowFiles shows every file of a configuration.
func (s *Screen) ShowFiles(name string, facts []files.Fact) {
	fmt.Fprintln(s.Out, "\n"+s.Text(cofre.Say("show.files_of", "files of {{.name}}", "name", name)))
	var rows [][]string
	for _, f := range facts {
		if f.Parent {
			continue
		}
		path := string(f.Path)
		if f.Type == files.TypeLink {
			path += " -> " + string(f.Link)
		}
		rows = append(rows, []string{"  " + f.Mode.String(), fmt.Sprintf("%s:%s", owner(f.User, f.UID), owner(f.Group, f.GID)), words.Size(f.Size), s.Clock(f.ModTime), path})
	}
	Columns(s.Out, []string{"  " + s.Text(cofre.Say("heading.mode", "MODE")), s.Text(cofre.Say("heading.owner", "OWNER")), s.Text(cofre.Say("heading.size", "SIZE")), s.Text(cofre.Say("heading.changed", "CHANGED")), s.Text(cofre.Say("heading.path", "PATH"))}, rows, 2)
}

func owner(name string, id uint32) string {
	if name != "" {
		return name
	}
	return fmt.Sprint(id)
}
