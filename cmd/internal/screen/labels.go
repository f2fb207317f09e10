package screen

import (
	"strings"

	"github.com/trustlayer/cofre"
)

// factLabel is the label of a fact for people: known are those that sources record in plain values. Any other is shown by its name in
// JSON.
func factLabel(key string) cofre.Message {
	if label, ok := factLabels()[key]; ok {
		return label
	}
	return cofre.Verbatim(strings.ReplaceAll(key, "_", " "))
}

func factLabels() map[string]cofre.Message {
	return map[string]cofre.Message{
		"all_buckets":        cofre.Say("label.all_buckets", "all buckets"),
		"bad_page_count":     cofre.Say("label.bad_page_count", "bad pages"),
		"bytes":              cofre.Say("label.bytes", "bytes"),
		"configuration":      cofre.Say("label.configuration", "configuration"),
		"data_checksums":     cofre.Say("label.data_checksums", "data checksums"),
		"data_directory":     cofre.Say("label.data_directory", "data directory"),
		"directories":        cofre.Say("label.directories", "directories"),
		"excluded":           cofre.Say("label.excluded", "excluded"),
		"files":              cofre.Say("label.files", "files"),
		"foreign_wal":        cofre.Say("label.foreign_wal", "foreign WAL"),
		"format":             cofre.Say("label.format", "format"),
		"from_standby":       cofre.Say("label.from_standby", "from a standby"),
		"host":               cofre.Say("label.host", "host"),
		"inventory":          cofre.Say("label.inventory", "inventory"),
		"links":              cofre.Say("label.links", "links"),
		"major":              cofre.Say("label.major", "major version"),
		"method":             cofre.Say("label.method", "method"),
		"missing":            cofre.Say("label.missing", "missing"),
		"objects":            cofre.Say("label.objects", "objects"),
		"own_wal_only":       cofre.Say("label.own_wal_only", "its own WAL only"),
		"read_bytes":         cofre.Say("label.read_bytes", "bytes read"),
		"read_objects":       cofre.Say("label.read_objects", "objects read"),
		"reused":             cofre.Say("label.reused", "files not read again"),
		"reused_objects":     cofre.Say("label.reused_objects", "objects not read again"),
		"server_version":     cofre.Say("label.server", "server"),
		"skipped":            cofre.Say("label.skipped", "skipped"),
		"start_lsn":          cofre.Say("label.start_lsn", "start LSN"),
		"started_at":         cofre.Say("label.started_at", "started"),
		"stop_lsn":           cofre.Say("label.stop_lsn", "stop LSN"),
		"stop_timeline":      cofre.Say("label.stop_timeline", "timeline at the end"),
		"stopped_at":         cofre.Say("label.stopped_at", "stopped"),
		"store":              cofre.Say("label.store", "store"),
		"superseded":         cofre.Say("label.superseded", "superseded"),
		"superuser":          cofre.Say("label.superuser", "superuser"),
		"suspect":            cofre.Say("label.suspect", "suspect"),
		"system_identifier":  cofre.Say("label.system_identifier", "system"),
		"taken_at":           cofre.Say("label.taken_at", "inventory taken"),
		"timeline":           cofre.Say("label.timeline", "timeline"),
		"unmatched_patterns": cofre.Say("label.unmatched_patterns", "patterns without a match"),
		"unreadable":         cofre.Say("label.unreadable", "unreadable"),
		"url":                cofre.Say("label.url", "address"),
		"vanished":           cofre.Say("label.vanished", "deleted meanwhile"),
		"virtual":            cofre.Say("label.virtual", "of other programs"),
		"wal_included":       cofre.Say("label.wal_included", "WAL included"),
		"wal_segment_size":   cofre.Say("label.wal_segment_size", "WAL segment size"),
	}
}
