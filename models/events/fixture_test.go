package events

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"guichet/models/id"
	"guichet/models/problem"
	"guichet/models/testbed"
)

func TestMain(m *testing.M) { testbed.Main(m) }

var (
	ids   = id.NewGenerator()
	began = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
)

const hold = 10 * time.Minute

// onAllRedises runs a test on miniredis, on Redis, and on a Redis that is a cluster, where a script fails that touches a key of another slot.
func onAllRedises(t *testing.T, test func(t *testing.T, seats *Seats)) {
	t.Helper()
	t.Parallel()
	run := func(name string, connect func(t *testing.T) redis.UniversalClient) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := connect(t)
			client.AddHook(tagged{t})
			t.Cleanup(func() { _ = client.Close() })
			test(t, NewSeats(client))
		})
	}
	run("miniredis", func(t *testing.T) redis.UniversalClient { return connectMini(t) })
	run("redis", func(t *testing.T) redis.UniversalClient { return connectRedis(t, testbed.Redis(t)) })
	run("cluster", func(t *testing.T) redis.UniversalClient { return startCluster(t) })
}

// readTimeout of clients is for slow machines.
const readTimeout = time.Minute

// connectMini connects to a Redis within this process, whose answer about a hall of 100,000 seats takes seconds where the race detector looks on.
func connectMini(tb testing.TB) *redis.Client {
	return redis.NewClient(&redis.Options{Addr: miniredis.RunT(tb).Addr(), ContextTimeoutEnabled: true, ReadTimeout: readTimeout})
}

func connectRedis(tb testing.TB, url string) *redis.Client {
	options, err := redis.ParseURL(url)
	must(tb, err)
	options.ContextTimeoutEnabled, options.ReadTimeout = true, readTimeout
	return redis.NewClient(options)
}

// startCluster starts a cluster of one.
func startCluster(t *testing.T) redis.UniversalClient {
	bus := testbed.PrivateRedis(t, testbed.Options{Relaxed: true}) // its port is given to nobody else
	must(t, bus.Kill())
	server := testbed.PrivateRedis(t, testbed.Options{Args: []string{"--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(bus.Port()), "--cluster-announce-ip", "127.0.0.1"}})
	options, err := redis.ParseURL(server.URL())
	must(t, err)
	node := redis.NewClient(options)
	defer node.Close() //nolint:errcheck // only sets the cluster up
	must(t, node.ClusterAddSlotsRange(t.Context(), 0, 16383).Err())
	eventually(t, func() bool {
		return strings.Contains(node.ClusterInfo(t.Context()).Val(), "cluster_state:ok")
	})
	return redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{options.Addr}, ContextTimeoutEnabled: true, ReadTimeout: readTimeout})
}

// tagged checks that the keys of each script bear the same hash tag.
type tagged struct{ t *testing.T }

func (h tagged) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h tagged) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (h tagged) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if strings.HasPrefix(cmd.Name(), "eval") {
			n := cmd.Args()[2].(int)
			tag := ""
			for _, key := range cmd.Args()[3 : 3+n] {
				_, after, _ := strings.Cut(key.(string), "{")
				of, _, closed := strings.Cut(after, "}")
				if !closed || tag != "" && of != tag {
					h.t.Errorf("%s has the key %s beside the tag %q", cmd.Name(), key, tag)
				}
				tag = of
			}
		}
		return next(ctx, cmd)
	}
}

// eventually waits for a condition.
func eventually(t testing.TB, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("not in a minute")
		}
	}
}

// hallOf makes a hall from sections written "A 3x10 500": name, rows, seats in a row, price.
func hallOf(t testing.TB, sections ...string) *Hall {
	t.Helper()
	var list []Section
	for _, text := range sections {
		var s Section
		_, err := fmt.Sscanf(text, "%s %dx%d %d", &s.Name, &s.Rows, &s.SeatsPerRow, &s.Price)
		must(t, err)
		list = append(list, s)
	}
	hall, err := NewHall(ids.Next(), list)
	must(t, err)
	return hall
}

// load loads an event of which nothing is sold.
func load(t testing.TB, seats *Seats, hall *Hall, snapshot Snapshot) {
	t.Helper()
	if snapshot.Now.IsZero() {
		snapshot.Now = began
	}
	if snapshot.StartsAt.IsZero() {
		snapshot.StartsAt = began.Add(1000 * time.Hour)
	}
	if snapshot.MaxPerUser == 0 {
		snapshot.MaxPerUser = 10
	}
	must(t, seats.Load(t.Context(), hall, func(context.Context) (Snapshot, error) { return snapshot, nil }))
}

// wants is a Want for the seats with these names.
func wants(t testing.TB, hall *Hall, user id.ID, names ...string) Want {
	t.Helper()
	numbers, err := hall.Seats(names)
	must(t, err)
	return Want{ID: ids.Next(), UserID: user, Account: "ACC1", Seats: numbers, Now: began, HoldFor: hold, Stamp: 7}
}

func best(user id.ID, section string, quantity int) Want {
	return Want{ID: ids.Next(), UserID: user, Account: "ACC1", Section: section, Quantity: quantity, Now: began, HoldFor: hold, Stamp: 7}
}

func reserve(t testing.TB, seats *Seats, hall *Hall, want Want) Reservation {
	t.Helper()
	made, err := seats.Reserve(t.Context(), hall, want)
	must(t, err)
	return made.Reservation
}

func mapText(t testing.TB, seats *Seats, hall *Hall) string {
	t.Helper()
	m, err := seats.Map(t.Context(), hall)
	must(t, err)
	return m.Text
}

func wantMap(t testing.TB, seats *Seats, hall *Hall, want string) {
	t.Helper()
	if got := mapText(t, seats, hall); got != want {
		t.Fatalf("the map is %s; want %s", got, want)
	}
}

// usersOf reads how many seats each user has.
func usersOf(ctx context.Context, t fataler, seats *Seats, hall *Hall) map[string]string {
	users, err := seats.client.HGetAll(ctx, hall.keys.users()).Result()
	must(t, err)
	return users
}

// refused says whether an error is the problem with a code.
func refused(err error, code problem.Code) bool {
	p, is := err.(*problem.Problem) //nolint:errorlint // refusals are not wrapped
	return is && p.Code == code
}

// pointers are those of a refusal's fields.
func pointers(err error) (list []string) {
	for _, field := range err.(*problem.Problem).Fields { //nolint:errorlint // see refused
		list = append(list, field.Pointer)
	}
	return list
}

// wipe removes all that Redis has of an event.
func wipe(ctx context.Context, t fataler, seats *Seats, hall *Hall) {
	must(t, seats.client.Del(ctx, hall.keys.all(hall.keys.loading())...).Err())
}

// together runs n calls at once and returns what they returned.
func together[T any](n int, call func(k int) T) []T {
	results := make([]T, n)
	var ready, done sync.WaitGroup
	start := make(chan struct{})
	for k := range n {
		ready.Add(1)
		done.Go(func() {
			ready.Done()
			<-start
			results[k] = call(k)
		})
	}
	ready.Wait()
	close(start)
	done.Wait()
	return results
}

// fataler is a testing.TB or a *rapid.T.
type fataler interface {
	Helper()
	Fatal(args ...any)
}

func must(t fataler, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
