package events

import (
	"context"
	"fmt"
	"sync"

	"github.com/redis/go-redis/v9"
)

// promises are the settings of a Redis that has on disk what it has answered, and evicts nothing. Replication is another matter: it adds to this, and does not
// replace it, as a replica may not have heard yet of what was answered.
var promises = []struct{ setting, value string }{
	{"appendonly", "yes"},
	{"appendfsync", "always"},
	{"no-appendfsync-on-rewrite", "no"},
}

// Durable says whether Redis promises to have on disk what it has answered, on every master, and if not, why. What cannot be asked promises nothing.
func Durable(ctx context.Context, client redis.UniversalClient) (durable bool, why string) {
	cluster, isCluster := client.(*redis.ClusterClient)
	if !isCluster {
		why = broken(ctx, client)
		return why == "", why
	}
	var mu sync.Mutex
	err := cluster.ForEachMaster(ctx, func(ctx context.Context, master *redis.Client) error {
		if said := broken(ctx, master); said != "" {
			mu.Lock()
			defer mu.Unlock()
			why = master.Options().Addr + ": " + said
		}
		return nil
	})
	if err != nil {
		why = fmt.Sprintf("the cluster cannot be asked: %v", err)
	}
	return why == "", why
}

// broken says which promise a Redis does not make; empty: it makes all.
func broken(ctx context.Context, client redis.Cmdable) string {
	for _, promise := range promises {
		settings, err := client.ConfigGet(ctx, promise.setting).Result()
		if err != nil {
			return fmt.Sprintf("CONFIG GET %s: %v", promise.setting, err)
		}
		if settings[promise.setting] != promise.value {
			return fmt.Sprintf("%s is %q, not %q", promise.setting, settings[promise.setting], promise.value)
		}
	}
	settings, err := client.ConfigGet(ctx, "maxmemory*").Result()
	if err != nil {
		return fmt.Sprintf("CONFIG GET maxmemory*: %v", err)
	}
	switch policy := settings["maxmemory-policy"]; policy {
	case "allkeys-lru", "allkeys-lfu", "allkeys-random":
		if settings["maxmemory"] != "0" {
			return "maxmemory-policy is " + policy + ", which drops what is kept here"
		}
	}
	return ""
}
