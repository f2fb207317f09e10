package bucket

import (
	"encoding/json"
	"strings"
)

// TrimETag takes the quotes and the weakness mark off an etag.
func TrimETag(etag string) string {
	return strings.Trim(strings.TrimPrefix(etag, "W/"), `"`)
}

// compactJSON gives equal values equal bytes as far as spaces go; jsonb has sorted its keys already.
func compactJSON(b []byte) json.RawMessage {
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		return json.RawMessage(b)
	}
	out, err := json.Marshal(v) // sorts the keys
	if err != nil {
		return json.RawMessage(b)
	}
	return out
}

// CanonicalMetadata returns user metadata with sorted keys and no spaces, and {} for none, so that equal
// metadata are equal bytes.
func CanonicalMetadata(m json.RawMessage) json.RawMessage {
	if len(m) == 0 || string(m) == "null" {
		return json.RawMessage("{}")
	}
	return compactJSON(m)
}

// MetadataStrings returns user metadata as the strings that S3 keeps: a value that is no string as its JSON text.
// Names are in lower case, as HTTP servers give them back.
func MetadataStrings(m json.RawMessage) map[string]string {
	var values map[string]json.RawMessage
	if json.Unmarshal(m, &values) != nil {
		return map[string]string{}
	}
	out := make(map[string]string, len(values))
	for k, v := range values {
		var s string
		if json.Unmarshal(v, &s) != nil {
			s = string(v)
		}
		out[strings.ToLower(k)] = s
	}
	return out
}
