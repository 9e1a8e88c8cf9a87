package files

import (
	"context"
	"errors"
	"io"
	"time"

	"guichet/models/id"
)

// ErrNoContent says that the storage does not have a content.
var ErrNoContent = errors.New("files: the storage does not have the content")

// Storage keeps contents, under ids. All processes of a guichet share one.
type Storage interface {
	// Create begins a content.
	Create(ctx context.Context, content id.ID) (Incoming, error)
	// Open reads a content from its beginning, or returns ErrNoContent. What is removed meanwhile is read to its end all the same.
	Open(ctx context.Context, content id.ID) (io.ReadSeekCloser, error)
	// Remove removes a content, if it is there.
	Remove(ctx context.Context, content id.ID) error
	// Before names the contents that were committed before a time.
	Before(ctx context.Context, at time.Time) ([]id.ID, error)
	// Clean removes what was begun by a process that has died since.
	Clean(ctx context.Context) error
}

// Incoming is a content that is being written. Until it is committed nobody sees it, and if the process dies nothing is left of it.
type Incoming interface {
	io.Writer
	// Commit returns when the content is on disk and can be opened.
	Commit() error
	// Abort drops what was written, unless it is committed.
	Abort()
}
