package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"

	"guichet/models/id"
)

// Directory is a storage in a directory of the file system. Each content is a file, whose name is the id. What is being written is in a directory below, and locked
// for as long as the process lives that writes it: so others can tell what is left of one that was killed.
type Directory struct{ path string }

var _ Storage = (*Directory)(nil)

// OpenDirectory returns the storage in a directory, which is made if it is not there. Nobody else on this machine may look into it then.
func OpenDirectory(path string) (*Directory, error) {
	d := &Directory{path}
	return d, os.MkdirAll(d.incoming(""), 0o700)
}

func (d *Directory) committed(name string) string { return filepath.Join(d.path, name) }

func (d *Directory) incoming(name string) string { return filepath.Join(d.path, "incoming", name) }

// flushEvery is how many bytes are written before they are brought to disk. All at the end would make others wait for the disk as long as that takes, the
// databases with their commits among them.
const flushEvery = 16 << 20

// createTries is how often a content is begun anew whose file was taken for one that was left behind, in the moment before it is locked.
const createTries = 100

// Create is part of Storage.
func (d *Directory) Create(_ context.Context, content id.ID) (Incoming, error) {
	path := d.incoming(content.String())
	for range createTries {
		lock := flock.New(path)
		locked, err := lock.TryLock() // makes the file
		if err != nil {
			return nil, err
		}
		if !locked {
			_ = lock.Close()
			continue
		}
		file, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err == nil {
			return &incoming{directory: d, name: content.String(), file: file, lock: lock}, nil
		}
		_ = lock.Close()
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return nil, fmt.Errorf("files: the content %s cannot be begun", content)
}

// incoming is a file that is being written.
type incoming struct {
	directory *Directory
	name      string
	file      *os.File
	lock      *flock.Flock
	unflushed int
	ended     bool
}

func (i *incoming) Write(p []byte) (int, error) {
	n, err := i.file.Write(p)
	if i.unflushed += n; err == nil && i.unflushed >= flushEvery {
		i.unflushed = 0
		err = i.file.Sync()
	}
	return n, err
}

// Commit is part of Incoming.
func (i *incoming) Commit() error {
	if err := errors.Join(i.file.Sync(), i.file.Close()); err != nil {
		return err
	}
	if err := os.Rename(i.directory.incoming(i.name), i.directory.committed(i.name)); err != nil {
		return err
	}
	i.ended = true
	return errors.Join(syncDirectory(i.directory.path), i.lock.Close())
}

// syncDirectory brings to disk which files a directory has.
func syncDirectory(path string) error {
	directory, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(directory.Sync(), directory.Close())
}

// Abort is part of Incoming. What it cannot remove is removed when this process has ended.
func (i *incoming) Abort() {
	if i.ended {
		return
	}
	i.ended = true
	_ = i.file.Close()
	if err := os.Remove(i.directory.incoming(i.name)); err != nil {
		slog.Warn("what was uploaded in part is left for later", "content", i.name, "error", err)
	}
	_ = i.lock.Close()
}

// Open is part of Storage.
func (d *Directory) Open(_ context.Context, content id.ID) (io.ReadSeekCloser, error) {
	file, err := os.Open(d.committed(content.String()))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNoContent
	}
	return file, err
}

// Remove is part of Storage.
func (d *Directory) Remove(_ context.Context, content id.ID) error {
	err := os.Remove(d.committed(content.String()))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Before is part of Storage.
func (d *Directory) Before(_ context.Context, at time.Time) ([]id.ID, error) {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return nil, err
	}
	var before []id.ID
	for _, entry := range entries {
		content, err := id.Parse(entry.Name())
		if err != nil || !entry.Type().IsRegular() {
			continue // not one of ours
		}
		info, err := entry.Info()
		switch {
		case errors.Is(err, fs.ErrNotExist): // removed meanwhile
		case err != nil:
			return nil, err
		case info.ModTime().Before(at):
			before = append(before, content)
		}
	}
	return before, nil
}

// Clean is part of Storage.
func (d *Directory) Clean(context.Context) error {
	entries, err := os.ReadDir(d.incoming(""))
	if err != nil {
		return err
	}
	var errs []error
	for _, entry := range entries {
		errs = append(errs, clean(d.incoming(entry.Name())))
	}
	return errors.Join(errs...)
}

// clean removes a file that nobody has locked.
func clean(path string) error {
	lock := flock.New(path, flock.SetFlag(os.O_RDWR)) // which does not make it
	locked, err := lock.TryLock()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil || !locked:
		return err
	}
	err = os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) { // committed since it was opened
		err = nil
	}
	return errors.Join(err, lock.Close())
}
