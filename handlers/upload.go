package handlers

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"log/slog"
	"math"
	"mime"
	"mime/multipart"
	"net/http"
	"net/textproto"

	"guichet/api"
	"guichet/models/files"
	"guichet/models/operation"
	"guichet/models/problem"
)

// VisitUploadFileResponse writes the answer.
func (a decidedAnswer) VisitUploadFileResponse(w http.ResponseWriter) error { return a.write(w) }

// UploadFile stores a content while it arrives, and then has the lane decide whether it becomes a file. What would be refused then is refused as early as it is known.
func (s *Server) UploadFile(ctx context.Context, request api.UploadFileRequestObject) (api.UploadFileResponseObject, error) {
	room, err := s.speaking(ctx, request.Id)
	if room, err = s.unlessRepeated(ctx, request.Id, room, err); err != nil {
		return nil, err
	}
	user := sessionOf(ctx).UserID
	if !s.uploads.enter(user) {
		return nil, problem.Newf(problem.TooManyRequests, "You are uploading %d files at once already.", mostUploads).After(retryLater)
	}
	defer s.uploads.leave(user)
	u := upload{Server: s, form: request.Body, arrival: callOf(ctx).arrival}
	u.command = files.UploadCommand{Room: room, Content: s.IDs.Next(), Username: sessionOf(ctx).Username, Quota: s.FileQuota}
	if err := u.receive(ctx); err != nil {
		return nil, err
	}
	callOf(ctx).hashFile(u.command.Name, u.command.SHA256)
	answer, err := u.submit(ctx, request.Id)
	if u.isLeftOver(&answer, err) {
		if err := s.Files.Remove(context.WithoutCancel(ctx), u.command.Content); err != nil {
			slog.WarnContext(ctx, "a content that nobody needs is left for later", "content", u.command.Content, "error", err)
		}
	}
	return answer, err
}

// submit has the lane decide. Whoever was banned or muted while the file arrived is refused, as if they had asked now; who has only left is not: to send a file may
// take longer than the grace period.
func (u *upload) submit(ctx context.Context, room string) (decidedAnswer, error) {
	_, err := u.speaking(ctx, room)
	if _, err = u.unlessRepeated(ctx, room, u.command.Room, err); err != nil {
		if refusal, is := errors.AsType[*problem.Problem](err); !is || refusal.Code != problem.NotAMember {
			u.refused = true
			return decidedAnswer{}, err
		}
	}
	return u.decide(ctx, files.Lane, files.KindUpload, u.command, http.StatusCreated)
}

// upload is a file on its way.
type upload struct {
	*Server
	form    *multipart.Reader
	arrival *arrival
	command files.UploadCommand // as far as it is known
	key     string              // of the file's name
	part    *multipart.Part
	room    int64 // bytes that are left of the user's quota
	used    int64 // bytes of the quota that are not
	refused bool  // before the lane has heard of it
}

// isLeftOver says whether no operation names the content: it was for a key that was used before, or not journaled. Where that is not known it stays until it is swept.
// The lane itself removes what it refuses.
func (u *upload) isLeftOver(answer *decidedAnswer, err error) bool {
	if u.refused {
		return true
	}
	if refused, is := errors.AsType[*problem.Problem](err); is {
		return refused.Code == problem.LaneFull || refused.Code == problem.IdempotencyKeyReused
	}
	return err == nil && (answer.repeated || answer.decided != nil && answer.decided.repeated)
}

// receive reads the form and stores the content.
func (u *upload) receive(ctx context.Context) error {
	if err := u.open(); err != nil {
		return err
	}
	if err := u.look(ctx); err != nil {
		return err
	}
	incoming, err := u.Files.Create(ctx, u.command.Content)
	if err != nil {
		return errNotStored.Because(err)
	}
	defer incoming.Abort()
	if err := u.store(incoming); err != nil {
		return err
	}
	if err := u.close(); err != nil {
		return err
	}
	if err := incoming.Commit(); err != nil {
		return errNotStored.Because(err)
	}
	return nil
}

// errNotStored is for what only who runs the machine can mend, such as a disk that is full.
var errNotStored = problem.New(problem.Unavailable, "Files cannot be stored at the moment; please try again later.").After(retryLater)

// fileField says what is wrong with the one field of the form.
func fileField(message string) error {
	return invalid([]problem.Field{{Pointer: "/file", Message: message}})
}

// open reads the form up to the content of its file. The form's own reader would cut a name down to what follows its last slash: the name is read here, so that such
// a one is refused. https://www.rfc-editor.org/rfc/rfc7578#section-4.2
func (u *upload) open() (err error) {
	u.part, err = u.form.NextRawPart()
	var unreadable textproto.ProtocolError
	switch {
	case err == io.EOF: //nolint:errorlint // wrapped, it is that of a form that ended too early
		return fileField("is required")
	case errors.As(err, &unreadable):
		return fileField("must have a name, and headers, without control characters")
	case err != nil:
		return u.arrival.problem(err)
	}
	disposition, parameters, err := mime.ParseMediaType(u.part.Header.Get("Content-Disposition"))
	given, named := parameters["filename"]
	switch {
	case err != nil || disposition != "form-data":
		return fileField("must have a Content-Disposition that can be read")
	case parameters["name"] != "file":
		return fileField("must be the only field of the form")
	case !named:
		return fileField("must have a filename")
	}
	if u.command.Name, u.key, err = files.Name(given); err != nil {
		return fileField(err.Error())
	}
	return nil
}

// look refuses what is refused already: the name is taken, or the quota is used up. But whoever has sent the file before, with the same key, is to be given the same
// answer again.
func (u *upload) look(ctx context.Context) error {
	tx, user := u.DB.Read(ctx), sessionOf(ctx).UserID
	there, err := files.Get(tx, u.command.Room, u.key)
	if err != nil && !errors.Is(err, files.ErrUnknownFile) {
		return err
	}
	if u.used, err = files.Used(tx, user); err != nil {
		return err
	}
	// After what it has brought about.
	repeated, err := u.isRepeated(ctx)
	if err != nil {
		return err
	}
	u.room = max(u.FileQuota-u.used, 0)
	switch least := u.arrival.announced - formRoom; {
	case repeated:
		u.room = math.MaxInt64
	case there != nil:
		u.Clock.Witness(there.Lamport)
		return files.Exists(there.Name)
	case least > u.FileLimit:
		return u.tooLarge()
	case least > u.room:
		return files.OverQuota(u.used, u.FileQuota)
	}
	return nil
}

// isRepeated says whether the Idempotency-Key was used before.
func (u *upload) isRepeated(ctx context.Context) (bool, error) {
	key := callOf(ctx).idempotencyKey()
	if key == nil {
		return false, nil
	}
	answers, err := operation.FindAnswers(u.DB.Read(ctx), []operation.Key{*key})
	return len(answers) > 0, err
}

func (u *upload) tooLarge() error {
	return problem.Newf(problem.PayloadTooLarge, "The file is over %d bytes.", u.FileLimit)
}

// sniffed is how many bytes of a file say of which type it is.
const sniffed = 512

// store stores the content while it arrives. It reads no further than one byte beyond what the file may have.
func (u *upload) store(into io.Writer) error {
	most := min(u.FileLimit, u.room)
	u.arrival.allow(most + formRoom)
	hash, buffer := sha256.New(), make([]byte, arrivalBuffer)
	for ended := false; !ended; {
		n, err := fill(buffer[:min(int64(len(buffer)), most-u.command.Size+1)], u.part)
		if ended = errors.Is(err, io.EOF); err != nil && !ended {
			return u.arrival.problem(err)
		}
		if u.command.Size == 0 {
			u.command.ContentType = http.DetectContentType(buffer[:min(n, sniffed)])
		}
		switch u.command.Size += int64(n); {
		case u.command.Size > u.FileLimit:
			return u.tooLarge()
		case u.command.Size > u.room:
			return files.OverQuota(u.used, u.FileQuota)
		}
		hash.Write(buffer[:n])
		if _, err := into.Write(buffer[:n]); err != nil {
			return errNotStored.Because(err)
		}
	}
	u.command.SHA256 = files.Digest(hash.Sum(nil))
	return nil
}

// fill reads until the buffer is full. io.EOF is the end of the content, and no other: one that is cut off ends with io.ErrUnexpectedEOF.
func fill(buffer []byte, from io.Reader) (n int, err error) {
	for n < len(buffer) && err == nil {
		var more int
		more, err = from.Read(buffer[n:])
		n += more
	}
	return n, err
}

// close reads the form to its end.
func (u *upload) close() error {
	u.arrival.allow(formRoom)
	switch _, err := u.form.NextRawPart(); {
	case err == nil:
		return fileField("must be the only field of the form")
	case err != io.EOF: // as above
		return u.arrival.problem(err)
	}
	if err := u.arrival.finish(); err != nil {
		return u.arrival.problem(err)
	}
	return nil
}
