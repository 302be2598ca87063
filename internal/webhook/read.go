package webhook

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/google/go-github/v60/github"
)

// single are the headers that decide something. One that is there twice means that somebody between
// GitHub and here, or instead of GitHub, wants two readers to read two things.
var single = []string{
	github.SHA256SignatureHeader, github.EventTypeHeader, github.DeliveryIDHeader, "Content-Type", "Content-Encoding",
}

// wrongHeaders refuses before anything is read of the body.
func wrongHeaders(request *http.Request) *Answer {
	for _, name := range single {
		if len(request.Header.Values(name)) > 1 {
			answer := refused(http.StatusBadRequest, "the header "+name+" is there twice")
			return &answer
		}
	}
	if encoding := request.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		answer := refused(http.StatusUnsupportedMediaType, "the body is compressed, and GitHub compresses none")
		return &answer
	}
	if request.ContentLength > maxBody {
		answer := tooLarge()
		return &answer
	}
	return nil
}

func tooLarge() Answer {
	return refused(http.StatusRequestEntityTooLarge, "the body is over 25 MB, more than GitHub sends")
}

// Bodies bounds the memory that bodies take together: each is held whole, up to 25 MB, before its
// signature can be known. A sender takes only what it has sent, so that many slow ones take little.
type Bodies struct {
	mutex sync.Mutex
	free  int64
}

// DefaultBodies is room for five of the largest bodies, or for thousands of usual ones.
const DefaultBodies = 128 << 20

// NewBodies makes a bound, in bytes.
func NewBodies(most int64) *Bodies { return &Bodies{free: most} }

var sharedBodies = NewBodies(DefaultBodies)

func (r *Receiver) bodies() *Bodies {
	if r.Bodies != nil {
		return r.Bodies
	}
	return sharedBodies
}

func (b *Bodies) take(size int64) bool {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	if size > b.free {
		return false
	}
	b.free -= size
	return true
}

func (b *Bodies) give(size int64) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.free += size
}

var errFull = errors.New("the bodies of others take all the memory that there is for them")

// firstRead is what a body is given at first, in bytes: most events fit.
const firstRead = 16 << 10

// read reads a body to its end. Its memory counts until release is called, which must be done in any case.
func (b *Bodies) read(w http.ResponseWriter, request *http.Request) (body []byte, release func(), err error) {
	reader := http.MaxBytesReader(w, request.Body, maxBody)
	taken := int64(0)
	release = func() { b.give(taken) }
	for {
		if len(body) == cap(body) {
			size := max(firstRead, 2*cap(body))
			if known := int(request.ContentLength); known > 0 && len(body) == 0 {
				size = min(size, known+1)
			}
			if !b.take(int64(size - cap(body))) {
				return nil, release, errFull
			}
			taken += int64(size - cap(body))
			body = append(make([]byte, 0, size), body...)
		}
		n, err := reader.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		if errors.Is(err, io.EOF) {
			return body, release, nil
		}
		if err != nil {
			return nil, release, err
		}
	}
}

// unreadable is the answer to a body that could not be read whole.
func unreadable(err error) Answer {
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		return tooLarge()
	case errors.Is(err, errFull):
		return refused(http.StatusServiceUnavailable, "too much at once; deliver it again")
	default:
		return refused(http.StatusBadRequest, "the body ended early, or came too slowly")
	}
}

// payload finds the JSON in a signed body, in either of the forms that GitHub sends.
func payload(request *http.Request, body []byte) ([]byte, *Answer) {
	wrong := func(code int, reason string) ([]byte, *Answer) {
		answer := refused(code, reason)
		return nil, &answer
	}
	mediaType, parameters, err := mime.ParseMediaType(request.Header.Get("Content-Type"))
	if err != nil {
		return wrong(http.StatusUnsupportedMediaType, "the request has no Content-Type; choose application/json at the webhook")
	}
	if charset := parameters["charset"]; charset != "" && !strings.EqualFold(charset, "utf-8") {
		return wrong(http.StatusUnsupportedMediaType, "the body is not said to be UTF-8, which is what GitHub sends")
	}
	switch mediaType {
	case "application/json":
	case "application/x-www-form-urlencoded":
		form, err := url.ParseQuery(string(body))
		if err != nil || len(form["payload"]) != 1 {
			return wrong(http.StatusBadRequest, "the form has not one payload")
		}
		body = []byte(form["payload"][0])
	default:
		return wrong(http.StatusUnsupportedMediaType, "the body is neither JSON nor a form; choose application/json at the webhook")
	}
	if !utf8.Valid(body) {
		return wrong(http.StatusBadRequest, "the body is not UTF-8")
	}
	return body, nil
}
