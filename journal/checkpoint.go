package journal

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/trustlayer/cofre"
)

// Checkpoint says what the journal was when it had Size entries.
type Checkpoint struct {
	Origin string // whose journal it is: the name of the key that signs it
	Size   int64
	Root   tlog.Hash
}

// String is the one line that is printed, copied and given back with --since: origin, size and root, separated by blanks.
func (c Checkpoint) String() string { return fmt.Sprintf("%s %d %s", c.Origin, c.Size, c.Root) }

// ParseCheckpoint reads what a person kept: the line of String, or a whole signed note, whose signature is not looked at.
//
// Errors: cofre.ErrConfig.
func ParseCheckpoint(text string) (Checkpoint, error) {
	fields := strings.Fields(text)
	if len(fields) > 3 {
		// As a backup prints it, behind the word for what it is of.
		if _, err := strconv.ParseInt(fields[1], 10, 64); err != nil {
			fields = fields[1:]
		}
	}
	if len(fields) < 3 {
		return Checkpoint{}, notACheckpoint(text, errors.New("it has fewer than three words"))
	}
	size, err := strconv.ParseInt(fields[1], 10, 64)
	if err == nil && size < 0 {
		err = errors.New("its size is negative")
	}
	if err != nil {
		return Checkpoint{}, notACheckpoint(text, err)
	}
	root, err := tlog.ParseHash(fields[2])
	if err != nil {
		return Checkpoint{}, notACheckpoint(text, err)
	}
	return Checkpoint{fields[0], size, root}, nil
}

func notACheckpoint(text string, err error) error {
	if len(text) > 80 {
		text = text[:80] + "…"
	}
	return cofre.WithHint(fmt.Errorf("checkpoint %q: %w: %w", text, err, cofre.ErrConfig),
		cofre.Say("journal.checkpoint_form", "give the whole line as it was printed: name, number and root"))
}

// The words that begin the extension lines: of the compact range, and of the nodes that the newest leaf completed.
const (
	rangeLine = "cofre-range"
	nodesLine = "cofre-nodes"
)

// compact are the roots of the perfect trees that a tree is made of, from left to right, largest first. From them and a new leaf the next
// root is computed without reading anything else.
type compact struct {
	size  int64
	roots []tlog.Hash
	// nodes are the roots of the perfect trees that end at size, from the leaf upwards, without the largest, which is the last of roots.
	// So each node of the tree is in one checkpoint, by its place, and any proof is made of a few of them.
	nodes []tlog.Hash
}

// add puts one more leaf at the end.
func (c *compact) add(leaf tlog.Hash) {
	c.nodes = nil
	for n := c.size; n&1 == 1; n >>= 1 {
		last := len(c.roots) - 1
		c.nodes = append(c.nodes, leaf)
		leaf = tlog.NodeHash(c.roots[last], leaf)
		c.roots = c.roots[:last]
	}
	c.roots = append(c.roots, leaf)
	c.size++
}

// node is the root of the perfect tree of 2^level leaves that ends at size.
func (c *compact) node(level int) (tlog.Hash, bool) {
	switch {
	case c.size == 0 || level > len(c.nodes):
		return tlog.Hash{}, false
	case level == len(c.nodes):
		return c.roots[len(c.roots)-1], true
	}
	return c.nodes[level], true
}

func (c *compact) clone() *compact {
	return &compact{c.size, slices.Clone(c.roots), slices.Clone(c.nodes)}
}

// root is that of the whole tree.
func (c *compact) root() tlog.Hash {
	if c.size == 0 {
		h, _ := tlog.TreeHash(0, nil) // of nothing, nothing is read
		return h
	}
	h := c.roots[len(c.roots)-1]
	for i := len(c.roots) - 2; i >= 0; i-- {
		h = tlog.NodeHash(c.roots[i], h)
	}
	return h
}

// sign writes a checkpoint as a signed note: the text of C2SP's tlog-checkpoint, whose extension lines are the compact range and the nodes.
func (c *compact) sign(s note.Signer) ([]byte, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%d\n%s\n", s.Name(), c.size, c.root())
	for _, line := range []struct {
		word   string
		hashes []tlog.Hash
	}{{rangeLine, c.roots}, {nodesLine, c.nodes}} {
		if len(line.hashes) == 0 {
			continue
		}
		b.WriteString(line.word)
		for _, h := range line.hashes {
			b.WriteString(" " + h.String())
		}
		b.WriteByte('\n')
	}
	return note.Sign(&note.Note{Text: b.String()}, s)
}

// openCheckpoint reads a signed note, and proves that the range is that of the root.
//
// Errors: cofre.ErrCorrupt.
func openCheckpoint(text []byte, keys note.Verifiers) (Checkpoint, *compact, error) {
	signed, err := note.Open(text, keys)
	if err != nil {
		return Checkpoint{}, nil, fmt.Errorf("%w: %w", cofre.ErrCorrupt, err)
	}
	return readCheckpoint(signed.Text)
}

// readCheckpoint reads what a note says, whoever signed it.
//
// Errors: cofre.ErrCorrupt.
func readCheckpoint(text string) (Checkpoint, *compact, error) {
	c, err := ParseCheckpoint(text)
	if err != nil {
		return Checkpoint{}, nil, fmt.Errorf("%w: %w", cofre.ErrCorrupt, err)
	}
	r := &compact{size: c.Size}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		var to *[]tlog.Hash
		switch words[0] {
		case rangeLine:
			to = &r.roots
		case nodesLine:
			to = &r.nodes
		default:
			continue
		}
		if *to, err = hashes(words[1:]); err != nil {
			return Checkpoint{}, nil, fmt.Errorf("%s of checkpoint %d: %w", words[0], c.Size, err)
		}
	}
	if c.Size == 0 || len(r.roots) != ones(c.Size) || len(r.nodes) != bits.TrailingZeros64(uint64(c.Size)) || r.root() != c.Root {
		return Checkpoint{}, nil, fmt.Errorf("the range of checkpoint %d is not that of its root: %w", c.Size, cofre.ErrCorrupt)
	}
	return c, r, nil
}

func hashes(words []string) ([]tlog.Hash, error) {
	var all []tlog.Hash
	for _, w := range words {
		raw, err := base64.StdEncoding.DecodeString(w)
		if err != nil || len(raw) != tlog.HashSize {
			return nil, fmt.Errorf("%q is no hash: %w", w, cofre.ErrCorrupt)
		}
		all = append(all, tlog.Hash(raw))
	}
	return all, nil
}
