package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// An entry ends with who wrote it: a signature of a note about the bytes before, as the last member of its JSON. A checkpoint says which entries there were; whoever
// comes next signs one over an entry whose writer was killed, and cannot know who made that: anybody may who may write to the store.
const (
	signatureBegins = `,"signature":"`
	signatureEnds   = `"}`
	// signedText is no text of a checkpoint: its second line is no number.
	signedText = "cofre journal entry 1\nsha256 %s\n"
	noteMark   = "\n\u2014 " // begins the line of a signature
)

// signEntry puts the signature of its writer behind an entry.
func signEntry(text []byte, s note.Signer) ([]byte, error) {
	signed, err := note.Sign(&note.Note{Text: aboutEntry(text)}, s)
	if err != nil {
		return nil, err
	}
	_, line, _ := strings.Cut(strings.TrimSuffix(string(signed), "\n"), noteMark)
	return []byte(strings.TrimSuffix(string(text), "}") + signatureBegins + line + signatureEnds), nil
}

func aboutEntry(text []byte) string {
	sum := sha256.Sum256(text)
	return fmt.Sprintf(signedText, hex.EncodeToString(sum[:]))
}

// wrote reports whether an entry has the signature of an admitted key. One that a version before signatures has written has none.
func (j *Journal) wrote(text []byte) bool {
	body, ok := bytes.CutSuffix(text, []byte(signatureEnds))
	at := bytes.LastIndex(body, []byte(signatureBegins))
	if !ok || at < 0 {
		return false
	}
	line := string(body[at+len(signatureBegins):])
	entry := append(bytes.Clone(body[:at]), '}')
	_, err := note.Open([]byte(aboutEntry(entry)+noteMark+line+"\n"), j.keys)
	return err == nil
}
