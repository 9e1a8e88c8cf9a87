package testbed

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"time"
)

const pingTimeout = time.Second // then it is asked again

// RedisServer is a private Redis.
type RedisServer struct{ server }

// StartRedis starts a Redis without data and returns when it answers. It syncs its append-only file before each answer, unless the options say otherwise.
func StartRedis(ctx context.Context, options Options) (*RedisServer, error) {
	programs, err := Find()
	if err != nil {
		return nil, err
	}
	place, err := reserve()
	if err != nil {
		return nil, err
	}
	s := &RedisServer{server{name: "Redis", place: place}}
	s.command = func() *exec.Cmd {
		return exec.Command(programs.Redis, append(s.settings(options.Relaxed), options.Args...)...) //nolint:noctx // ends by Close
	}
	s.ready = s.ping
	if err := os.Mkdir(s.data(), 0o700); err != nil {
		return nil, abandon(s, err)
	}
	if err := s.start(ctx); err != nil {
		return nil, abandon(s, err)
	}
	return s, nil
}

// settings of the command line. "save" off: the append-only file is the only thing on disk, so that nobody is spared by a snapshot.
func (s *RedisServer) settings(relaxed bool) []string {
	settings := []string{"--bind", "127.0.0.1", "--port", strconv.Itoa(s.place.port), "--dir", s.data(), "--daemonize", "no", "--save", ""}
	if relaxed {
		return append(settings, "--appendonly", "no")
	}
	return append(settings, "--appendonly", "yes", "--appendfsync", "always")
}

// URL of its database 0.
func (s *RedisServer) URL() string { return fmt.Sprintf("redis://%s/0", address(s.place.port)) }

// Wipe kills Redis, removes all of its data, starts it again on the same port, and returns when it answers.
func (s *RedisServer) Wipe(ctx context.Context) error { return s.wipe(ctx) }

// ping fails while Redis is not there, and also while it loads its append-only file. It speaks to Redis itself: a client would log each refusal.
func (s *RedisServer) ping(ctx context.Context) error {
	var dialer net.Dialer
	connection, err := dialer.DialContext(ctx, "tcp4", address(s.place.port))
	if err != nil {
		return err
	}
	defer connection.Close() //nolint:errcheck // only asked a question
	if err := connection.SetDeadline(time.Now().Add(pingTimeout)); err != nil {
		return err
	}
	if _, err := connection.Write([]byte("PING\r\n")); err != nil {
		return err
	}
	answer, err := bufio.NewReader(connection).ReadString('\n')
	if err == nil && answer != "+PONG\r\n" {
		err = fmt.Errorf("redis answered PING with %q", answer)
	}
	return err
}
