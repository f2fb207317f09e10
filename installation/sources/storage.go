package sources

import (
	"cmp"
	"context"
	"fmt"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/bucket"
	"github.com/trustlayer/cofre/bucket/dir"
	"github.com/trustlayer/cofre/bucket/s3"
	"github.com/trustlayer/cofre/bucket/supabase"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/internal/s3client"
)

// StorageName names the only storage source of a configuration.
const StorageName = "storage"

func storageSource(ctx context.Context, cfg *config.Config, o Options) (cofre.Source, error) {
	store, err := Store(ctx, cfg)
	if err != nil {
		return nil, err
	}
	state, err := cfg.StateFolder()
	if err != nil {
		return nil, err
	}
	c := bucket.Config{
		Source: ID(cfg, cofre.KindStorage),
		Store:  store, Buckets: cfg.Storage.Buckets, Jobs: cmp.Or(o.Jobs, cfg.Storage.Jobs), StateDir: state,
		AllowEmpty: o.AllowEmpty,
	}
	rows, ok, err := RowsOf(cfg)
	if err != nil {
		return nil, err
	}
	if ok {
		c.Inventory = rows
	}
	return bucket.NewSource(c), nil
}

// Store opens the configured buckets: Supabase Storage, S3 or a folder.
//
// Errors: cofre.ErrConfig if no storage is configured; those of the store.
func Store(ctx context.Context, cfg *config.Config) (bucket.Store, error) {
	s := cfg.Storage
	switch {
	case s == nil:
		return nil, cofre.WithHint(cofre.Fail(cofre.Say("sources.no_storage", "no storage"), cofre.ErrConfig), cfg.Adding(cofre.KindStorage))
	case s.Supabase != nil:
		key, err := s.Supabase.ServiceRoleKey.Read()
		if err != nil {
			return nil, fmt.Errorf("read storage.supabase.service_role_key: %w: %w", cofre.ErrConfig, err)
		}
		return supabase.Open(ctx, supabase.Config{URL: s.Supabase.URL, Key: key, CA: s.Supabase.CA})
	case s.S3 != nil:
		return openS3(s.S3)
	case s.Folder != nil:
		return dir.Open(s.Folder.Path)
	}
	return nil, fmt.Errorf("storage: none of supabase, s3 and folder is set: %w", cofre.ErrConfig)
}

// Target opens the same for a restore, which makes a folder that is not there.
//
// Errors: those of Store.
func Target(ctx context.Context, cfg *config.Config) (bucket.Store, error) {
	if s := cfg.Storage; s != nil && s.Supabase == nil && s.S3 == nil && s.Folder != nil {
		return dir.OpenNew(s.Folder.Path)
	}
	return Store(ctx, cfg)
}

func openS3(s *config.S3) (bucket.Store, error) {
	c := s3client.Config{Endpoint: s.Endpoint, Region: s.Region, CA: s.CA}
	if err := config.ReadSecrets("storage.s3.credentials", s.Credentials.Into(&c.AccessKey, &c.SecretKey, &c.SessionToken)...); err != nil {
		return nil, err
	}
	return s3.Open(c)
}
