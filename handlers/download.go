package handlers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"guichet/api"
	"guichet/models/files"
	"guichet/models/id"
	"guichet/models/problem"
)

// DownloadFile answers with a content, or the parts of it that are asked for, as it is read from the storage.
func (s *Server) DownloadFile(ctx context.Context, request api.DownloadFileRequestObject) (api.DownloadFileResponseObject, error) {
	callOf(ctx).file = true
	room, err := s.admitted(ctx, request.Id)
	if err != nil {
		return nil, err
	}
	found, content, err := s.openFile(ctx, room, request.Name)
	if err != nil {
		return nil, err
	}
	conditions := &http.Request{Method: http.MethodGet, Header: http.Header{}}
	if request.Params.Range != nil {
		conditions.Header.Set("Range", rangeOf(*request.Params.Range, found.Size))
	}
	if request.Params.IfRange != nil {
		conditions.Header.Set("If-Range", *request.Params.IfRange)
	}
	if request.Params.IfNoneMatch != nil {
		conditions.Header.Set("If-None-Match", *request.Params.IfNoneMatch)
	}
	return download{found, content, conditions, s.FilePatience}, nil
}

// rangeOf is a Range header as http.ServeContent reads it well. A unit other than bytes is none that this server knows, and to be ignored; the last zero bytes of a file
// are no part of it, and an empty one has no parts: RFC 9110, sections 14.1.2 and 14.2.
func rangeOf(header string, size int64) string {
	const unit = "bytes="
	if len(header) < len(unit) || !strings.EqualFold(header[:len(unit)], unit) || size == 0 {
		return ""
	}
	parts := strings.Split(header[len(unit):], ",")
	parts = slices.DeleteFunc(parts, func(part string) bool {
		last, found := strings.CutPrefix(strings.TrimSpace(part), "-")
		return found && last != "" && strings.Trim(last, "0") == ""
	})
	if len(parts) == 0 {
		return fmt.Sprintf("%s%d-", unit, size) // which it does not have either
	}
	return unit + strings.Join(parts, ",")
}

// openFile finds a file and opens its content. Between the two it may be deleted, and another may have its name.
func (s *Server) openFile(ctx context.Context, room id.ID, name string) (*files.File, io.ReadSeekCloser, error) {
	var before id.ID
	for {
		found, err := s.file(ctx, room, name)
		if err != nil {
			return nil, nil, err
		}
		content, err := s.Files.Open(ctx, found.Content)
		if err == nil || !errors.Is(err, files.ErrNoContent) || found.ID == before {
			return found, content, err
		}
		before = found.ID
	}
}

// download answers with a content.
type download struct {
	file       *files.File
	content    io.ReadSeekCloser
	conditions *http.Request // its headers say what is asked for
	patience   time.Duration
}

// VisitDownloadFileResponse writes the answer. Whatever the content is, a browser must take it for a file to be saved, and not for a page of ours.
func (d download) VisitDownloadFileResponse(w http.ResponseWriter) error {
	defer func() { _ = d.content.Close() }() // it was only read
	header := w.Header()
	header.Set("Content-Type", d.file.ContentType)
	header.Set("Content-Disposition", attachment(d.file.Name))
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	header.Set("Cache-Control", "private, no-cache") // another file may have the name tomorrow
	header.Set("ETag", `"`+d.file.SHA256.String()+`"`)
	to := newReceiver(w, d.patience)
	defer to.taken()
	parts := partsWriter{ResponseWriter: to}
	http.ServeContent(&parts, d.conditions, "", d.file.At, d.content)
	if !parts.none {
		return nil
	}
	header.Del("Content-Disposition")
	header.Set("Content-Range", fmt.Sprintf("bytes */%d", d.file.Size))
	return problem.Newf(problem.RangeNotSatisfiable, "The file has %d bytes.", d.file.Size)
}

// partsWriter keeps back the answer that the file has no such part: it is to be a problem.
type partsWriter struct {
	http.ResponseWriter
	none bool
}

// WriteHeader is part of http.ResponseWriter.
func (p *partsWriter) WriteHeader(status int) {
	if p.none = status == http.StatusRequestedRangeNotSatisfiable; !p.none {
		p.ResponseWriter.WriteHeader(status)
	}
}

func (p *partsWriter) Write(b []byte) (int, error) {
	if p.none {
		return len(b), nil
	}
	return p.ResponseWriter.Write(b)
}

// attachment is the Content-Disposition of a file: its name as it is (RFC 8187), and one of plain characters for who does not read that (RFC 6266, appendix D).
func attachment(name string) string {
	var plain, encoded strings.Builder
	for _, r := range name {
		if isPlain(r) || r == ' ' {
			plain.WriteRune(r)
		} else {
			plain.WriteByte('_')
		}
	}
	for i := range len(name) {
		if b := name[i]; isPlain(rune(b)) {
			encoded.WriteByte(b)
		} else {
			fmt.Fprintf(&encoded, "%%%02X", b)
		}
	}
	return `attachment; filename="` + plain.String() + `"; filename*=UTF-8''` + encoded.String()
}

// isPlain says whether a character means nothing but itself, in quotes and in an encoded name.
func isPlain(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-._~!#$&+^`", r)
}
