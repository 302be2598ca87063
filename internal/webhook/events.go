package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"gravity/internal/delivery"
)

// handlers has one entry for each of GitHub's events that means something here.
var handlers = map[string]func(*Receiver, context.Context, []byte, *delivered) Answer{
	"ping":          func(*Receiver, context.Context, []byte, *delivered) Answer { return ignored("pong") },
	"push":          handler((*Receiver).push),
	"release":       handler((*Receiver).release),
	"workflow_run":  handler((*Receiver).workflowRun),
	"check_suite":   handler((*Receiver).checkSuite),
	"check_run":     handler((*Receiver).checkRun),
	"deployment":    handler((*Receiver).deployment),
	"issue_comment": handler((*Receiver).comment),
}

// event is what every payload can say of itself.
type event interface {
	// about names the repository and the ref, for the log.
	about() (repository, ref string)
	// at is when it happened, zero when the payload does not say.
	at() time.Time
}

// handler reads a payload into its type, refuses what is too old, and gives it on. The types have
// only what decides something. go-github's have all of it, and refuse a whole event over a part that
// nobody needs here: custom properties with several values, for one.
func handler[E event](handle func(*Receiver, context.Context, E) Answer) func(*Receiver, context.Context, []byte, *delivered) Answer {
	return func(r *Receiver, ctx context.Context, payload []byte, delivered *delivered) Answer {
		if foreign := r.foreign(payload, delivered); foreign != nil {
			return *foreign
		}
		var event E
		if err := json.Unmarshal(payload, &event); err != nil {
			return refused(http.StatusBadRequest, fmt.Sprintf("the body is no %s as GitHub describes it", delivered.event))
		}
		delivered.repository, delivered.ref = event.about()
		if at := event.at(); !at.IsZero() && r.now().Sub(at) > maxAge {
			return refused(http.StatusGone, fmt.Sprintf("the event is of %s; GitHub delivers none again after three days", at.UTC().Format(time.DateTime)))
		}
		return handle(r, ctx, event)
	}
}

// foreign looks, before a payload is read whole, whether its repository is any pipeline's: a webhook of a
// whole organization brings mostly those that are not.
func (r *Receiver) foreign(payload []byte, delivered *delivered) *Answer {
	found := gjson.GetBytes(payload, "repository")
	about := repository{
		FullName: found.Get("full_name").String(), CloneURL: found.Get("clone_url").String(), Fork: found.Get("fork").Bool(),
	}
	if about.CloneURL == "" || len(r.Matching(about.CloneURL)) > 0 {
		return nil
	}
	delivered.repository = about.name()
	_, answer := r.serving(about, "")
	return answer
}

var deliveryID = regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`)

// receive reads a request whose signature is right.
func (r *Receiver) receive(request *http.Request, body []byte, delivered *delivered) Answer {
	if !deliveryID.MatchString(delivered.id) {
		return refused(http.StatusBadRequest, "the request has no X-GitHub-Delivery that is an ID")
	}
	handle, known := handlers[delivered.event]
	if !known {
		return ignored("this event means nothing here, and can be left out at the webhook")
	}
	payload, wrong := payload(request, body)
	if wrong != nil {
		return *wrong
	}
	// A sender that hangs up must not leave half the runs unstarted.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(request.Context()), startTimeout)
	defer cancel()
	return handle(r, ctx, payload, delivered)
}

// known is the event's name for metrics: one that anybody could invent is "other".
func known(delivered delivered) string {
	if _, known := handlers[delivered.event]; known && delivered.signed {
		return delivered.event
	}
	return "other"
}

// repository is the part of every payload that says which repository it is about.
type repository struct {
	FullName string `json:"full_name"`
	CloneURL string `json:"clone_url"`
	Fork     bool   `json:"fork"`
	PushedAt moment `json:"pushed_at"`
}

func (r repository) name() string {
	if r.FullName != "" {
		return r.FullName
	}
	return r.CloneURL
}

// moment is a time in any of the ways in which GitHub writes one: text, seconds, or null.
type moment struct{ time.Time }

// UnmarshalJSON implements json.Unmarshaler.
func (m *moment) UnmarshalJSON(data []byte) error {
	if bytes.HasPrefix(data, []byte(`"`)) || bytes.Equal(data, []byte("null")) {
		return json.Unmarshal(data, &m.Time)
	}
	seconds, err := strconv.ParseInt(string(data), 10, 64)
	if err != nil {
		return fmt.Errorf("%q is no time", data)
	}
	m.Time = time.Unix(seconds, 0)
	return nil
}

type user struct {
	Login string `json:"login"`
	Type  string `json:"type"`
}

func (u user) bot() bool { return u.Type == "Bot" || strings.HasSuffix(u.Login, "[bot]") }

// serving finds the pipelines of a repository that an event may start, or says why there are none.
func (r *Receiver) serving(from repository, on string) ([]delivery.Pipeline, *Answer) {
	if from.CloneURL == "" {
		answer := refused(http.StatusBadRequest, "the event names no repository")
		return nil, &answer
	}
	pipelines := r.Matching(from.CloneURL)
	nothing := func(format string, arguments ...any) ([]delivery.Pipeline, *Answer) {
		answer := ignored(fmt.Sprintf(format, arguments...))
		return nil, &answer
	}
	switch {
	case len(pipelines) == 0 && from.Fork:
		return nothing("%.100q is a fork; only the repositories that gravity.yaml names are deployed", from.name())
	case len(pipelines) == 0:
		return nothing("no pipeline in gravity.yaml has repository %.100q", from.name())
	case on == "":
		return pipelines, nil
	}
	var serving []delivery.Pipeline
	for _, pipeline := range pipelines {
		if pipeline.Starts(on) {
			serving = append(serving, pipeline)
		}
	}
	if len(serving) == 0 {
		return nothing("no pipeline of %.100q is started by this: on in its trigger says by what", from.name())
	}
	return serving, nil
}

var hash = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)

// isCommit reports whether a text is a full commit hash, and not the one that stands for none.
func isCommit(sha string) bool { return hash.MatchString(sha) && strings.Trim(sha, "0") != "" }
