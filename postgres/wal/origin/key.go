package origin

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/durable"
	"github.com/trustlayer/cofre/internal/inside"
)

// Public is the public half of a key.
type Public struct{ key ed25519.PublicKey }

// ParsePublic reads what Public.String writes.
//
// Errors: cofre.ErrCorrupt.
func ParsePublic(text string) (Public, error) {
	b, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil || len(b) != ed25519.PublicKeySize {
		return Public{}, fmt.Errorf("read a key of WAL's origin: %w", cofre.ErrCorrupt)
	}
	return Public{b}, nil
}

// String writes the key in unpadded base64.
func (p Public) String() string { return base64.RawStdEncoding.EncodeToString(p.key) }

// Fingerprint is what two people compare: the SHA-256 of the key, as OpenSSH writes one.
func (p Public) Fingerprint() string {
	sum := sha256.Sum256(p.key)
	return "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])
}

// ID names the key in headers and objects.
func (p Public) ID() string {
	sum := sha256.Sum256(p.key)
	return hex.EncodeToString(sum[:8])
}

// message is what is signed of an object: its name, which has system, timeline and file in it, and what its header states of the content and of
// the segment before.
func message(object, statement string) []byte {
	return []byte("github.com/trustlayer/cofre 2026-11 WAL origin\n" + object + "\n" + statement)
}

// Key signs what a host archives. It is a secret, and prints as one.
type Key struct{ private ed25519.PrivateKey }

// String never prints the key.
func (*Key) String() string { return "[redacted]" }

// Format never prints the key, under any verb.
func (*Key) Format(f fmt.State, _ rune) { fmt.Fprint(f, "[redacted]") }

// Public is its public half.
func (k *Key) Public() Public { return Public{k.private.Public().(ed25519.PublicKey)} }

// Sign returns what the header of an object says of its origin: the arguments of the line.
func (k *Key) Sign(object, statement string) []string {
	return []string{k.Public().ID(), base64.RawStdEncoding.EncodeToString(ed25519.Sign(k.private, message(object, statement)))}
}

// derive makes a key out of a secret that only the password of the repository opens.
func derive(secret, what string) []byte {
	b, err := hkdf.Key(sha256.New, []byte(secret), nil, "github.com/trustlayer/cofre 2026-11 WAL origin "+what, 32)
	if err != nil {
		panic("origin: internal error: " + err.Error()) // the length is constant
	}
	return b
}

// Own is the key of whoever has the password of a repository, for what they store there themselves. It is believed without a record.
func Own(secret string) *Key { return &Key{ed25519.NewKeyFromSeed(derive(secret, "own key"))} }

// keyLine begins the one line of a key file that is no comment.
const keyLine = "COFRE-WAL-ORIGIN-1 "

// Host is the key of the archiving user on this host, kept in a folder: made there, readable by that user alone, when it is needed first.
//
// Errors: those of the file system; cofre.ErrCorrupt if the file holds no key; cofre.ErrRefused if others may read it.
func Host(folder string) (*Key, error) {
	file := filepath.Join(folder, fmt.Sprintf("key-%d", os.Geteuid()))
	k, err := load(file)
	if !os.IsNotExist(err) {
		return k, err
	}
	seed := make([]byte, ed25519.SeedSize)
	_, _ = rand.Read(seed) // never fails
	text := "# signs the WAL that this user archives; public half beside it\n" + keyLine + base64.RawStdEncoding.EncodeToString(seed) + "\n"
	if err := createOnce(file, text, 0o600); err != nil {
		return nil, err
	}
	if k, err = load(file); err != nil { // another call may have been faster
		return nil, err
	}
	host, _ := os.Hostname() // a name for people
	_ = createOnce(file+".pub", fmt.Sprintf("# %s\n%s %s\n", k.Public().Fingerprint(), k.Public(), strings.ReplaceAll(host, "\n", "")), 0o644)
	return k, nil
}

// createOnce creates a file whole and durable, unless it is there.
func createOnce(file, text string, mode os.FileMode) error {
	d, err := inside.MakeAs(filepath.Dir(file), 0o755)
	if err != nil {
		return err
	}
	defer d.Close() // only searched
	f, err := durable.Create(d.At(filepath.Base(file)), mode)
	if err != nil {
		return err
	}
	if _, err := f.WriteString(text); err != nil {
		return errors.Join(err, f.Discard())
	}
	if err := f.PublishNew(); !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

func load(file string) (*Key, error) {
	info, err := os.Lstat(file)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("the key in %s may be read by others: %w", file, cofre.ErrRefused)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != os.Geteuid() && st.Uid != 0 {
		return nil, fmt.Errorf("the key in %s is another user's: %w", file, cofre.ErrRefused)
	}
	b, err := inside.ReadFile(file)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(b)) {
		text, ok := strings.CutPrefix(strings.TrimSpace(line), keyLine)
		seed, err := base64.RawStdEncoding.DecodeString(text)
		if ok && err == nil && len(seed) == ed25519.SeedSize {
			return &Key{ed25519.NewKeyFromSeed(seed)}, nil
		}
	}
	return nil, fmt.Errorf("no key is in %s: %w", file, cofre.ErrCorrupt)
}

// Publics are the public halves that lie in a folder of Host, with the names of their hosts.
func Publics(folder string) []Request {
	files, _ := filepath.Glob(filepath.Join(folder, "key-*.pub"))
	var all []Request
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(b)) {
			text, host, _ := strings.Cut(strings.TrimSpace(line), " ")
			if p, err := ParsePublic(text); err == nil {
				all = append(all, Request{Key: p.String(), Host: host, public: p})
			}
		}
	}
	return all
}
