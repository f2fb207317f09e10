package restoring

import (
	"cmp"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/bucket"
)

// untagged gathers the objects whose tags will not be as they were: they were not captured, or the target has none.
type untagged struct {
	unread, lost   int
	unknown        int
	unreadO, lostO bucket.Object // the first of each
}

func (u *untagged) add(o bucket.Object, keeps bool) {
	switch {
	case o.TagsUnread != "":
		if u.unread++; u.unreadO.Name == "" || cmp.Compare(o.Path(), u.unreadO.Path()) < 0 {
			u.unreadO = o
		}
	case o.Tags == nil:
		u.unknown++
	case len(o.Tags) > 0 && !keeps:
		if u.lost++; u.lostO.Name == "" || cmp.Compare(o.Path(), u.lostO.Path()) < 0 {
			u.lostO = o
		}
	}
}

// leave names them, once for all objects.
func (u *untagged) leave(t *Target) {
	if u.unread > 0 {
		t.leave(tagsOf(u.unread, u.unreadO), asCaptured(), cofre.Say("bucket.tags_unknown", "they are in no capture: {{.cause}}", "cause", cofre.Verbatim(u.unreadO.TagsUnread)))
	}
	if u.lost > 0 {
		t.leave(tagsOf(u.lost, u.lostO), asCaptured(), cofre.Say("bucket.tags_lost", "{{.kind}} cannot hold them", "kind", t.desc.Kind))
	}
}

// note says that tags were not captured of a store that has some.
func (u *untagged) note(plan *cofre.Plan, kind string) {
	if kind == "s3" && u.unknown > 0 {
		plan.Note(cofre.SayN("bucket.tags_not_in_point", u.unknown, "the point does not know whether 1 object had tags: the key might not read them, or the version of before captured none", "the point does not know whether {{.n}} objects had tags: the key might not read them, or the version of before captured none"))
	}
}

func tagsOf(n int, first bucket.Object) cofre.Message {
	return cofre.SayN("bucket.tags_of", n, "tags of 1 object, {{.first}}", "tags of {{.n}} objects, the first {{.first}}", "first", first.Path())
}
