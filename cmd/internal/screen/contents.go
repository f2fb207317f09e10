package screen

import (
	"fmt"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/files"
	"github.com/trustlayer/cofre/installation"
	"github.com/trustlayer/cofre/postgres/logical"
)

// ShowContent shows a recovery point and, of its databases and configuration, what was read besides.
//
// Errors: with --json, those of edge.App.Document.
func (s *Screen) ShowContent(shown *installation.Content) error {
	return s.answer(shown, nil, func() {
		p := shown.Point.RecoveryPoint
		s.showPoint(shown.Point)
		for _, c := range p.Components {
			if facts := shown.Databases[c.Name]; facts != nil && c.Kind == cofre.KindDatabase {
				s.showTables(facts)
			}
			if facts := shown.Files[c.Name]; facts != nil && c.Kind == cofre.KindConfig {
				s.showFiles(c.Name, facts)
			}
		}
	})
}

// showTables shows every table of a database with its rows and checksum.
func (s *Screen) showTables(f *logical.Facts) {
	fmt.Fprintln(s.Out, "\n"+s.Text(cofre.Say("show.tables_of", "tables of {{.database}}", "database", f.Database.Name)))
	var rows [][]string
	for _, t := range f.Tables {
		rows = append(rows, []string{"  " + t.Schema + "." + t.Name, s.Count(t.Rows), s.Size(t.Bytes), t.RowSum.String()})
	}
	Columns(s.Out, []string{"  " + s.Text(cofre.Say("heading.table", "TABLE")), s.Text(cofre.Say("heading.rows", "ROWS")), s.Text(cofre.Say("heading.bytes", "BYTES")), s.Text(cofre.Say("heading.checksum", "CHECKSUM"))}, rows, 1, 2)
}

// showFiles shows every file of a configuration.
func (s *Screen) showFiles(name string, facts []files.Fact) {
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
		rows = append(rows, []string{"  " + f.Mode.String(), fmt.Sprintf("%s:%s", owner(f.User, f.UID), owner(f.Group, f.GID)), s.Size(f.Size), s.Clock(f.ModTime), path})
	}
	Columns(s.Out, []string{"  " + s.Text(cofre.Say("heading.mode", "MODE")), s.Text(cofre.Say("heading.owner", "OWNER")), s.Text(cofre.Say("heading.size", "SIZE")), s.Text(cofre.Say("heading.changed", "CHANGED")), s.Text(cofre.Say("heading.path", "PATH"))}, rows, 2)
}

func owner(name string, id uint32) string {
	if name != "" {
		return name
	}
	return fmt.Sprint(id)
}
