package files

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"guichet/models/id"
)

func newDirectory(t testing.TB) *Directory {
	t.Helper()
	d, err := OpenDirectory(filepath.Join(t.TempDir(), "files"))
	ok(t, err)
	return d
}

// entries are all files below.
func (d *Directory) entries(t testing.TB) []string {
	t.Helper()
	var names []string
	ok(t, filepath.WalkDir(d.path, func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			names = append(names, path)
		}
		return err
	}))
	return names
}

// keep stores a content.
func keep(t testing.TB, s Storage, text string) id.ID {
	t.Helper()
	content := ids.Next()
	in, err := s.Create(t.Context(), content)
	ok(t, err)
	_, err = io.WriteString(in, text)
	ok(t, err)
	ok(t, in.Commit())
	in.Abort() // which changes nothing
	return content
}

func TestDirectory(t *testing.T) {
	t.Parallel()
	d := newDirectory(t)
	info, err := os.Stat(d.path)
	ok(t, err)
	if info.Mode().Perm() != 0o700 {
		t.Errorf("others may look: %v", info.Mode())
	}
	content := ids.Next()
	in, err := d.Create(t.Context(), content)
	ok(t, err)
	for range 3 { // more than is flushed at once
		_, err = in.Write(make([]byte, flushEvery-1))
		ok(t, err)
	}
	if _, err := d.Open(t.Context(), content); !errors.Is(err, ErrNoContent) {
		t.Errorf("half a content can be read: %v", err)
	}
	ok(t, in.Commit())
	reading, err := d.Open(t.Context(), content)
	ok(t, err)
	ok(t, d.Remove(t.Context(), content))
	ok(t, d.Remove(t.Context(), content))
	if n, err := io.Copy(io.Discard, reading); n != 3*(flushEvery-1) || err != nil { // to its end, though it is gone
		t.Errorf("read %d, %v", n, err)
	}
	ok(t, reading.Close())
	if _, err := d.Open(t.Context(), content); !errors.Is(err, ErrNoContent) {
		t.Errorf("what was removed can be read: %v", err)
	}
	aborted, err := d.Create(t.Context(), ids.Next())
	ok(t, err)
	_, err = io.WriteString(aborted, "x")
	ok(t, err)
	aborted.Abort()
	aborted.Abort()
	if left := d.entries(t); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// What is written is left alone, and what nobody writes any more is removed.
func TestDirectoryClean(t *testing.T) {
	t.Parallel()
	d := newDirectory(t)
	left := d.incoming(ids.Next().String()) // of a process that was killed
	ok(t, os.WriteFile(left, []byte("half"), 0o600))
	content := ids.Next()
	in, err := d.Create(t.Context(), content)
	ok(t, err)
	kept := keep(t, d, "whole")
	for range 3 {
		ok(t, d.Clean(t.Context()))
	}
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("what was left is there: %v", err)
	}
	_, err = io.WriteString(in, "still writing")
	ok(t, err)
	ok(t, in.Commit())
	for _, c := range []id.ID{content, kept} {
		reading, err := d.Open(t.Context(), c)
		ok(t, err)
		ok(t, reading.Close())
	}
}

// While it is cleaned all the time, contents can be begun and committed.
func TestDirectoryCleanRaces(t *testing.T) {
	t.Parallel()
	d := newDirectory(t)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				if err := d.Clean(t.Context()); err != nil {
					t.Error(err)
				}
			}
		}
	}()
	for range 300 {
		content := keep(t, d, "whole")
		reading, err := d.Open(t.Context(), content)
		ok(t, err)
		text, err := io.ReadAll(reading)
		if ok(t, err); string(text) != "whole" {
			t.Fatalf("%q", text)
		}
		ok(t, reading.Close())
	}
	close(stop)
	<-stopped
}

func TestDirectoryBefore(t *testing.T) {
	t.Parallel()
	d := newDirectory(t)
	old, young := keep(t, d, "old"), keep(t, d, "young")
	ok(t, os.WriteFile(filepath.Join(d.path, "README"), nil, 0o600)) // not one of ours
	past := time.Now().Add(-time.Hour)
	ok(t, os.Chtimes(d.committed(old.String()), past, past))
	found, err := d.Before(t.Context(), time.Now().Add(-time.Minute))
	if ok(t, err); len(found) != 1 || found[0] != old {
		t.Errorf("%v, want %v and not %v", found, old, young)
	}
	if left := strings.Join(d.entries(t), " "); !strings.Contains(left, young.String()) {
		t.Errorf("left: %s", left)
	}
}
