package files

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"guichet/models/id"
	"guichet/models/problem"
)

func TestUploadsAndDeletions(t *testing.T) {
	t.Parallel()
	ada, eve := ids.Next(), ids.Next()
	c := NewCabinet(nil, nil)
	upload := func(user id.ID, name string, size int64) (*File, *problem.Problem) {
		return c.Upload(causeOf(user), named(t, name, size))
	}
	first, refusal := upload(ada, "Notes.txt", 60)
	did(t, first, refusal)
	if first.Name != "Notes.txt" || first.Key != "notes.txt" || first.UserID != ada || first.At != noon || first.Lamport == 0 {
		t.Errorf("%+v", first)
	}
	f, refusal := upload(eve, "NOTES.TXT", 1) // the name before the quota
	refused(t, f, refusal, problem.FileExists)
	f, refusal = upload(eve, "notes.txt", quota+1)
	refused(t, f, refusal, problem.FileExists)
	if len(c.Useless()) != 2 {
		t.Errorf("%d contents are useless, want those of both", len(c.Useless()))
	}

	// To the byte.
	f, refusal = upload(ada, "over", 41)
	refused(t, f, refusal, problem.QuotaExceeded)
	full, refusal := upload(ada, "full", 40)
	did(t, full, refusal)
	f, refusal = upload(ada, "one more", 1)
	refused(t, f, refusal, problem.QuotaExceeded)
	last, refusal := upload(ada, "nothing", 0)
	did(t, last, refusal)
	f, refusal = upload(eve, "hers", quota)
	did(t, f, refusal)
	if _, usage := c.All(); usage[ada].Bytes != quota || usage[eve].Bytes != quota || usage[ada].Lamport != last.Lamport {
		t.Errorf("%+v", usage)
	}

	// Who may delete, and what they get back.
	f, refusal = c.Delete(causeOf(eve), deletion(t, full, false))
	refused(t, f, refusal, problem.NotYourFile)
	did(t, full, nil)
	f, refusal = c.Delete(causeOf(ada), deletion(t, full, false))
	did(t, f, refusal)
	f, refusal = c.Delete(causeOf(ada), deletion(t, full, false))
	refused(t, f, refusal, problem.UnknownFile)
	f, refusal = c.Delete(causeOf(eve), deletion(t, first, true))
	did(t, f, refusal)
	if _, usage := c.All(); usage[ada].Bytes != 0 || usage[eve].Bytes != quota {
		t.Errorf("%+v", usage)
	}
	if useless := c.Useless(); !slices.Contains(useless, full.Content) || !slices.Contains(useless, first.Content) {
		t.Errorf("of what was deleted, contents stay: %v", useless)
	}

	// A file that has the name of one that was deleted is not what the deletion was about.
	again, refusal := upload(ada, "FULL", 1)
	did(t, again, refusal)
	f, refusal = c.Delete(causeOf(ada), deletion(t, full, false))
	refused(t, f, refusal, problem.UnknownFile)
}

// A quota that was made smaller takes nothing away.
func TestSmallerQuota(t *testing.T) {
	t.Parallel()
	ada := ids.Next()
	c := NewCabinet(nil, []Usage{{ada, quota + 1, 1}})
	f, refusal := c.Upload(causeOf(ada), named(t, "a", 0))
	refused(t, f, refusal, problem.QuotaExceeded)
}

// TestWhateverIsDone: usage is the sum of the sizes, names are unique, and a refusal changes nothing.
func TestWhateverIsDone(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	c := NewCabinet(nil, nil)
	users := []id.ID{ids.Next(), ids.Next(), ids.Next()}
	var ever []*File
	describe := func() string {
		files, usage := c.All()
		text, err := json.Marshal([]any{files, usage})
		ok(t, err)
		return string(text)
	}
	for range 5000 {
		before, user := describe(), users[r.IntN(3)]
		var f *File
		var refusal *problem.Problem
		if r.IntN(3) > 0 || len(ever) == 0 {
			name := fmt.Sprintf("%cß-%d", "aA"[r.IntN(2)], r.IntN(9))
			if r.IntN(2) == 0 {
				name = strings.ReplaceAll(name, "ß", "SS")
			}
			if f, refusal = c.Upload(causeOf(user), named(t, name, r.Int64N(quota/2))); refusal == nil {
				ever = append(ever, f)
			}
		} else {
			f, refusal = c.Delete(causeOf(user), deletion(t, ever[r.IntN(len(ever))], r.IntN(4) == 0))
		}
		if (f == nil) != (refusal != nil) || refusal != nil && describe() != before {
			t.Fatalf("%+v %v", f, refusal)
		}
		files, usage := c.All()
		sums, keys := map[id.ID]int64{}, map[string]bool{}
		for _, f := range files {
			sums[f.UserID] += f.Size
			keys[f.Key] = true
		}
		for user, u := range usage {
			if u.Bytes != sums[user] || u.Bytes > quota {
				t.Fatalf("%+v, want %d", u, sums[user])
			}
		}
		if len(keys) != len(files) {
			t.Fatalf("%d names of %d files", len(keys), len(files))
		}
	}
}

func TestCommandsThatCannotBe(t *testing.T) {
	t.Parallel()
	good, err := json.Marshal(named(t, "a", 1).Upload)
	ok(t, err)
	gone, err := json.Marshal(deletion(t, &File{ID: ids.Next(), Room: ids.Next(), Name: "a", UserID: ids.Next()}, false).Deletion)
	ok(t, err)
	for _, c := range []struct {
		kind, from, to string
		fine           bool
	}{
		{KindUpload, "", "", true}, {KindDeletion, "", "", true}, {"file_rename", "", "", false},
		{KindUpload, `"a"`, `"../a"`, false}, {KindUpload, `"a"`, `""`, false}, {KindUpload, `"a"`, `"e\u0301"`, false}, {KindUpload, `"size":1`, `"size":-1`, false},
		{KindUpload, `"size":1`, `"size":9007199254740993`, false}, {KindUpload, `"quota":100`, `"quota":-1`, false}, {KindUpload, `"username":"ada"`, `"username":""`, false},
		{KindUpload, `"sha256":"00`, `"sha256":"`, false}, {KindUpload, `"sha256":"00`, `"sha256":"zz`, false}, {KindUpload, `"room":"6c`, `"room":"zz`, false}, {KindUpload, `{`, ``, false},
		{KindUpload, `"text/plain; charset=utf-8"`, `""`, false}, {KindDeletion, `"file":`, `"fill":`, false}, {KindDeletion, `"uploader":`, `"uplifter":`, false}, {KindDeletion, `"room":`, `"rome":`, false},
	} {
		payload := good
		if c.kind == KindDeletion {
			payload = gone
		}
		if _, err := DecodeCommand(c.kind, []byte(strings.Replace(string(payload), c.from, c.to, 1))); (err == nil) != c.fine {
			t.Errorf("%s with %s for %s: %v", c.kind, c.to, c.from, err)
		}
	}
}
