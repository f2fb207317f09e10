package screen

import (
	"path/filepath"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/installation"
	"github.com/trustlayer/cofre/internal/shell"
	"github.com/trustlayer/cofre/postgres/logical"
	"github.com/trustlayer/cofre/postgres/logical/export"
)

// ShowExported shows what was written of a recovery point, and what reads it. err is how the export ended, and is returned.
func (s *Screen) ShowExported(o installation.ExportOptions, point cofre.PointID, err error) error {
	return s.answer(map[string]string{"point": string(point), "format": string(o.Format), "written": o.To}, err, func() {
		if s.Quiet {
			return
		}
		s.Line(s.Out, cofre.Say("export.written", "wrote {{.path}}, from recovery point {{.point}}", "path", o.To, "point", point))
		if o.Format == export.FormatDirectory {
			s.Next(cofre.Verbatim("pg_restore -d DATABASE -j 2 " + shell.Quote(filepath.Join(o.To, logical.ArchiveDir))))
		}
	})
}
