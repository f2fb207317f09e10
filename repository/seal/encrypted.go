package seal

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
)

// Encrypt returns head, a nonce, and text encrypted with AES-256-GCM; head is authenticated, too.
//
// Errors: that the key is none.
func Encrypt(key []byte, head string, text []byte) ([]byte, error) {
	aead, err := gcm(key)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, aead.NonceSize())
	_, _ = rand.Read(nonce) // never fails
	return aead.Seal(append([]byte(head), nonce...), nonce, text, []byte(head)), nil
}

var errNotEncrypted = errors.New("it does not begin as it must")

// Decrypt returns what Encrypt was given.
//
// Errors: that b is not what Encrypt returned.
func Decrypt(key []byte, head string, b []byte) ([]byte, error) {
	aead, err := gcm(key)
	if err != nil {
		return nil, err
	}
	rest, ok := bytes.CutPrefix(b, []byte(head))
	if !ok || len(rest) < aead.NonceSize() {
		return nil, errNotEncrypted
	}
	return aead.Open(nil, rest[:aead.NonceSize()], rest[aead.NonceSize():], []byte(head))
}

func gcm(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
