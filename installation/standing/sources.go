package standing

import (
	"net"
	"net/url"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/installation/sources"
	"github.com/trustlayer/cofre/status"
)

// configured are the sources of a configuration, with their schedules.
func configured(cfg *config.Config) []status.Configured {
	var all []status.Configured
	for _, kind := range sources.Configured(cfg) {
		c := status.Configured{ID: sources.ID(cfg, kind)}
		s := schedule(cfg, kind)
		if !s.IsZero() {
			c.Schedule, c.Next = s.String(), func(t time.Time) time.Time { return s.Next(t.In(cfg.Location())) }
		}
		if d := cfg.Serve.Drill.Schedule; !d.IsZero() {
			c.NextDrill = func(t time.Time) time.Time { return d.Next(t.In(cfg.Location())) }
		}
		switch kind {
		case cofre.KindCluster:
			c.Archives = cfg.Cluster.WAL != ""
		case cofre.KindDatabase:
			if cfg.Cluster != nil && sameServer(cfg.Database.URL, cfg.Cluster.URL) {
				c.Within = sources.ID(cfg, cofre.KindCluster)
			}
		}
		all = append(all, c)
	}
	return all
}

func schedule(cfg *config.Config, kind cofre.Kind) config.Schedule {
	switch kind {
	case cofre.KindDatabase:
		return cfg.Database.Schedule
	case cofre.KindCluster:
		return cfg.Cluster.Schedule
	case cofre.KindStorage:
		return cfg.Storage.Schedule
	}
	return cfg.Files.Schedule
}

// sameServer reports whether two addresses of databases name one server.
func sameServer(a, b string) bool {
	return a != "" && serverOf(a) == serverOf(b)
}

func serverOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	host, port := u.Hostname(), u.Port()
	if h := u.Query().Get("host"); h != "" {
		host = h
	}
	if p := u.Query().Get("port"); p != "" {
		port = p
	}
	if port == "" {
		port = "5432"
	}
	return net.JoinHostPort(host, port)
}
