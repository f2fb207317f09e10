package bucket

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
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

// Differing says in which attribute got is not a, or "". An owner is compared by number: a is what a place made of what
// was captured (Store.Fit). Holes are no difference: bytes are read the same.
func (a *Attributes) Differing(got *Attributes) string {
	switch {
	case got == nil:
		return "no mode and owner"
	case a.Mode != got.Mode:
		return fmt.Sprintf("mode %s, not %s", got.Mode, a.Mode)
	case a.UID != got.UID || a.GID != got.GID:
		return fmt.Sprintf("owner %d:%d, not %d:%d", got.UID, got.GID, a.UID, a.GID)
	}
	for _, name := range slices.Sorted(maps.Keys(a.Xattrs)) {
		if !bytes.Equal(a.Xattrs[name], got.Xattrs[name]) {
			return "extended attribute " + name + " differs"
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got.Xattrs)) {
		// What is not the user's, a file system makes of itself: security.selinux.
		if _, ok := a.Xattrs[name]; !ok && strings.HasPrefix(name, "user.") {
			return "extended attribute " + name + " was not captured"
		}
	}
	return ""
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
