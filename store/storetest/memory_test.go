package storetest_test

import (
	"context"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/store/storetest"
)

// A stand-in keeps the contract, or what is tested on it means nothing.
func TestMemory(t *testing.T) {
	storetest.Run(t, func(*testing.T) cofre.Store { return storetest.NewMemory(time.Now) })
}

func TestThrough(t *testing.T) {
	storetest.Run(t, func(*testing.T) cofre.Store {
		return &storetest.Through{Store: storetest.NewMemory(time.Now), Do: func(_ context.Context, _ storetest.Verb, _ string, do func() error) error { return do() }}
	})
}
