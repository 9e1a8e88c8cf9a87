package main

import (
	"io"
	"strings"
	"testing"
)

// What cannot be meant is refused before anything is opened, and the error names the setting.
func TestSettingsRefused(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		args, environment []string
		want              string // in the error; empty for none
	}{
		"nothing":                     {nil, nil, ""},
		"all of them":                 {[]string{"serve"}, []string{"GUICHET_LISTEN=127.0.0.1:0", "GUICHET_HOLD=24h", "GUICHET_LANE_DEPTH=100000", "GUICHET_SESSION_IDLE=1s", "GUICHET_LOCK_FOR=1s", "GUICHET_LOG_LEVEL=warn"}, ""},
		"a flag wins":                 {[]string{"serve", "--hold=1s"}, []string{"GUICHET_HOLD=never"}, ""},
		"one that there is not":       {nil, []string{"GUICHET_HOLDS=1m"}, "GUICHET_HOLDS"},
		"one store of two":            {nil, []string{"GUICHET_MYSQL_DSN=u:p@tcp(h:1)/d"}, "GUICHET_REDIS_URL"},
		"the other of two":            {nil, []string{"GUICHET_REDIS_URL=redis://h:1"}, "GUICHET_MYSQL_DSN"},
		"no database":                 {nil, []string{"GUICHET_MYSQL_DSN=u:p@tcp(h:1)/", "GUICHET_REDIS_URL=redis://h:1"}, "GUICHET_MYSQL_DSN"},
		"not a URL":                   {nil, []string{"GUICHET_MYSQL_DSN=u:p@tcp(h:1)/d", "GUICHET_REDIS_URL=h:1"}, "GUICHET_REDIS_URL"},
		"not an address":              {nil, []string{"GUICHET_LISTEN=8080"}, "GUICHET_LISTEN"},
		"not a level":                 {nil, []string{"GUICHET_LOG_LEVEL=loud"}, "log-level"},
		"a short password":            {nil, []string{"GUICHET_ADMIN_PASSWORD=1234567"}, "GUICHET_ADMIN_PASSWORD"},
		"no line":                     {nil, []string{"GUICHET_LANE_DEPTH=0"}, "GUICHET_LANE_DEPTH"},
		"too long a line":             {nil, []string{"GUICHET_LANE_DEPTH=100001"}, "GUICHET_LANE_DEPTH"},
		"no lanes":                    {nil, []string{"GUICHET_EXCHANGE_LANES=0"}, "GUICHET_EXCHANGE_LANES"},
		"too many lanes":              {nil, []string{"GUICHET_EXCHANGE_LANES=65"}, "GUICHET_EXCHANGE_LANES"},
		"a hold too short":            {nil, []string{"GUICHET_HOLD=999ms"}, "GUICHET_HOLD"},
		"a hold too long":             {nil, []string{"GUICHET_HOLD=24h1s"}, "GUICHET_HOLD"},
		"a hold in parts":             {nil, []string{"GUICHET_HOLD=1500ms"}, "GUICHET_HOLD"},
		"a hold without a unit":       {nil, []string{"GUICHET_HOLD=10"}, "hold"},
		"a grace too short":           {nil, []string{"GUICHET_PRESENCE_GRACE=999ms"}, "GUICHET_PRESENCE_GRACE"},
		"a grace too long":            {[]string{"worker"}, []string{"GUICHET_PRESENCE_GRACE=1h1s"}, "GUICHET_PRESENCE_GRACE"},
		"a grace of its own":          {[]string{"worker"}, []string{"GUICHET_PRESENCE_GRACE=1h"}, ""},
		"a file of nothing":           {nil, []string{"GUICHET_FILE_LIMIT=0"}, "GUICHET_FILE_LIMIT"},
		"a quota in units":            {nil, []string{"GUICHET_FILE_QUOTA=10GB"}, "file-quota"},
		"a quota of more than all":    {nil, []string{"GUICHET_FILE_QUOTA=9007199254740993"}, "GUICHET_FILE_QUOTA"},
		"a demo for everybody":        {[]string{"--demo", "--listen=0.0.0.0:8080"}, nil, "loopback"},
		"profiles for everybody":      {nil, []string{"GUICHET_PPROF_LISTEN=0.0.0.0:6060"}, "GUICHET_PPROF_LISTEN"},
		"a command that there is not": {[]string{"served"}, nil, "served"},
	} {
		t.Run(name, func(t *testing.T) {
			run, err := parse(tt.args, tt.environment, io.Discard, io.Discard)
			switch {
			case tt.want == "" && (err != nil || run == nil):
				t.Errorf("refused: %v", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("the error is %v; it should name %s", err, tt.want)
			}
		})
	}
}
