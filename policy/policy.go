package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/config"
)

// Terms are what a policy says. Their JSON is what is signed: fields are added at the end, and left out if they say nothing, so that a later version reads what an
// earlier one has signed as the same.
type Terms struct {
	Installation string     `json:"installation"`
	Class        string     `json:"class,omitempty"`
	Responsible  string     `json:"responsible,omitempty"`
	Elsewhere    string     `json:"elsewhere,omitempty"` // how backups come to another place, if not by cofre
	Review       string     `json:"review"`              // after how long it is to be signed anew, such as 365d
	Timezone     string     `json:"timezone,omitempty"`
	Sources      []Source   `json:"sources"`
	Places       []Place    `json:"places"` // the repository first
	Objectives   Objectives `json:"objectives"`
	Verification Proof      `json:"verification"`
	Drills       Proof      `json:"drills"`
}

// Source is one thing that is backed up.
type Source struct {
	Kind     cofre.Kind     `json:"kind"`
	Schedule string         `json:"schedule,omitempty"` // empty: nothing says when
	Window   string         `json:"window,omitempty"`   // within which a backup is to end
	WAL      string         `json:"wal,omitempty"`      // how it reaches the repository; empty: it does not
	Keep     map[string]int `json:"keep"`               // rules by their keys; everything is 1 if nothing expires
}

// Place is where backups are.
type Place struct {
	URL  string `json:"url"`
	Copy bool   `json:"copy,omitempty"` // of the first
}

// Objectives are how much may be lost, and how long a recovery may take; empty: nobody says.
type Objectives struct {
	RPO string `json:"rpo,omitempty"`
	RTO string `json:"rto,omitempty"`
}

// Proof is when something is proven.
type Proof struct {
	Schedule string `json:"schedule,omitempty"` // empty: never by itself
	Window   string `json:"window,omitempty"`   // within which everything has been read back once
}

// Of are the terms of a configuration.
func Of(cfg *config.Config) Terms {
	t := Terms{
		Installation: cfg.Name, Class: cfg.Policy.Class, Responsible: cfg.Policy.Responsible, Elsewhere: cfg.Policy.Elsewhere, Review: said(cfg.Policy.ReviewEvery()), Timezone: cfg.Timezone,
		Sources: []Source{}, Objectives: Objectives{RPO: said(cfg.Objectives.RPO), RTO: said(cfg.Objectives.RTO)},
		Verification: Proof{Schedule: cfg.Serve.Verify.Or(config.UsualVerify).String(), Window: said(cfg.Verify.Window)}, Drills: Proof{Schedule: cfg.Serve.Drill.Schedule.String()},
	}
	add := func(kind cofre.Kind, s config.Schedule, window config.Duration, wal string, keep config.Keep) {
		t.Sources = append(t.Sources, Source{Kind: kind, Schedule: s.String(), Window: said(window), WAL: wal, Keep: rules(keep)})
	}
	if d := cfg.Database; d != nil {
		add(cofre.KindDatabase, d.Schedule, d.Window, "", d.Keep)
	}
	if c := cfg.Cluster; c != nil {
		add(cofre.KindCluster, c.Schedule, c.Window, c.WAL, c.Keep)
	}
	if s := cfg.Storage; s != nil {
		add(cofre.KindStorage, s.Schedule, s.Window, "", s.Keep)
	}
	if f := cfg.Files; f != nil {
		add(cofre.KindConfig, f.Schedule, f.Window, "", f.Keep)
	}
	for _, r := range cfg.Repositories() {
		t.Places = append(t.Places, Place{URL: r.URL, Copy: cfg.CopyOf(r) != ""})
	}
	return t
}

func said(d config.Duration) string {
	if d.Duration == 0 {
		return ""
	}
	text := d.String() // 1h30m0s
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-2]
		}
	}
	return text
}

// rules are what keeps backups, by the keys of the configuration. What no rule says is left out.
func rules(k config.Keep) map[string]int {
	all := map[string]int{"days": k.Days, "last": k.Last, "hourly": k.Hourly, "daily": k.Daily, "weekly": k.Weekly, "monthly": k.Monthly, "yearly": k.Yearly, "verified": k.Verified}
	if k.Everything {
		all["everything"] = 1
	}
	for name, n := range all {
		if n == 0 {
			delete(all, name)
		}
	}
	return all
}

// Digest is the SHA-256 of the terms as JSON, in hexadecimal. Those that say the same have the same.
func (t Terms) Digest() string {
	text, err := json.Marshal(t)
	if err != nil {
		panic(fmt.Sprintf("policy: internal error: %v", err)) // texts and numbers
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// Signed is a policy that somebody has signed.
type Signed struct {
	Number int       `json:"number"` // 1 is the first of the installation
	At     time.Time `json:"at"`
	By     string    `json:"by"`
	Note   string    `json:"note,omitempty"`
	Entry  int64     `json:"entry"` // of the journal, which has it
	Digest string    `json:"digest"`
	// Terms are nil if they cannot be read: only what holds the password reads them.
	Terms *Terms `json:"terms,omitempty"`
}

// Due is until when a signed policy is to be signed anew.
func (s Signed) Due(review time.Duration) time.Time { return s.At.Add(review) }
