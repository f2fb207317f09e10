package bucket

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/trustlayer/cofre"
)

// Attributes are what a file system says of a file that is an object, or of a folder on its path, besides its time.
type Attributes struct {
	Mode  string `json:"mode"` // permissions, set-id and sticky bits, in octal: 0640
	UID   uint32 `json:"uid"`
	GID   uint32 `json:"gid"`
	User  string `json:"user,omitempty"` // the name of UID where it was captured
	Group string `json:"group,omitempty"`
	// Xattrs are the extended attributes, POSIX access lists and those of Supabase's file backend among them.
	Xattrs map[string][]byte `json:"xattrs,omitempty"`
	Sparse bool              `json:"sparse,omitempty"` // had holes
}

// Differing says in which attribute got is not a, or nothing. An owner is compared by number: a is what a place made of what
// was captured (Store.Fit). Holes are no difference: bytes are read the same.
func (a *Attributes) Differing(got *Attributes) cofre.Message {
	switch {
	case got == nil:
		return cofre.Say("bucket.no_attributes", "no mode and owner")
	case a.Mode != got.Mode:
		return differs(cofre.Say("bucket.mode", "mode"), got.Mode, a.Mode)
	case a.UID != got.UID || a.GID != got.GID:
		return differs(cofre.Say("bucket.owner", "owner"), fmt.Sprintf("%d:%d", got.UID, got.GID), fmt.Sprintf("%d:%d", a.UID, a.GID))
	}
	for _, name := range slices.Sorted(maps.Keys(a.Xattrs)) {
		if !bytes.Equal(a.Xattrs[name], got.Xattrs[name]) {
			return cofre.Say("bucket.xattr_differs", "extended attribute {{.name}} differs", "name", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got.Xattrs)) {
		// What is not the user's, a file system makes of itself: security.selinux.
		if _, ok := a.Xattrs[name]; !ok && strings.HasPrefix(name, "user.") {
			return cofre.Say("bucket.xattr_new", "extended attribute {{.name}} was not captured", "name", name)
		}
	}
	return cofre.Message{}
}

// Folder is a folder of a store whose objects are files: a bucket itself if Name is empty, the store's own folder if Bucket
// is empty too.
type Folder struct {
	Bucket     string      `json:"bucket"`
	Name       string      `json:"name,omitempty"`
	ModifiedAt time.Time   `json:"modified_at,omitzero"`
	Attributes *Attributes `json:"attributes"`
}

// Path is the folder as a person names it.
func (f Folder) Path() string {
	if f.Bucket == "" {
		return "of the buckets itself"
	}
	return f.Bucket + "/" + f.Name
}
