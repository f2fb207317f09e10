package screen

import "cmp"

// answer says how a command ended: with --json by its one document, otherwise by what show draws. It returns the error of the
// command, or that its document could not be written.
func (s *Screen) answer(doc any, err error, show func()) error {
	if s.JSON {
		return cmp.Or(s.Document(doc), err)
	}
	show()
	return err
}
