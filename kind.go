package cofre

// Kind says what a source is, and so what its component can restore.
type Kind string

// The kinds of source. Database is the logical dump of one database; Cluster is PostgreSQL's own word: the
// whole data directory, base backup plus WAL.
const (
	KindDatabase Kind = "database"
	KindCluster  Kind = "cluster"
	KindStorage  Kind = "storage"
	KindConfig   Kind = "config"
)

// Kinds lists every kind in the order in which a backup captures them.
func Kinds() []Kind { return []Kind{KindDatabase, KindCluster, KindStorage, KindConfig} }

// ParseKind reads a kind as a person types it.
//
// Errors: one that names the word and the words that are known.
func ParseKind(s string) (Kind, error) {
	for _, k := range Kinds() {
		if string(k) == s {
			return k, nil
		}
	}
	return "", WithHint(Fail(Say("kind.unknown", `unknown kind of source "{{.kind}}"`, "kind", s)), Say("kind.use", "use one of {{.kinds}}", "kinds", "database, cluster, storage, config"))
}
