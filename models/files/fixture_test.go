package files

import (
	"testing"
	"time"

	"guichet/models/chat"
	"guichet/models/id"
	"guichet/models/lamport"
	"guichet/models/problem"
	"guichet/models/testbed"
)

func TestMain(m *testing.M) { testbed.Main(m) }

var (
	ids  = id.NewGenerator()
	noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
)

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const quota = 100

var clock lamport.Clock

func causeOf(user id.ID) Cause {
	return Cause{OperationID: ids.Next(), UserID: user, Stamp: clock.Tick(), At: noon}
}

// named is an upload to the lobby.
func named(t testing.TB, name string, size int64) *Command {
	t.Helper()
	c := &Command{Kind: KindUpload, Upload: UploadCommand{Room: chat.Lobby, Name: name, Content: ids.Next(), Size: size, ContentType: "text/plain; charset=utf-8", Username: "ada", Quota: quota}}
	ok(t, c.check())
	return c
}

func deletion(t testing.TB, f *File, admin bool) *Command {
	t.Helper()
	c := &Command{Kind: KindDeletion, Deletion: DeletionCommand{Room: f.Room, Name: f.Name, File: f.ID, Uploader: f.UserID, Admin: admin}}
	ok(t, c.check())
	return c
}

// did wants something to have been done.
func did(t testing.TB, f *File, refusal *problem.Problem) *File {
	t.Helper()
	if refusal != nil || f == nil {
		t.Fatalf("%+v %v", f, refusal)
	}
	return f
}

// refused wants a refusal.
func refused(t testing.TB, f *File, refusal *problem.Problem, code problem.Code) {
	t.Helper()
	if f != nil || refusal == nil || refusal.Code != code {
		t.Errorf("%+v %v, want %s", f, refusal, code)
	}
}
