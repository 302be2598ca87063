package webhook

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"unicode"

	"gravity/internal/delivery"
)

// push is the part of GitHub's push payload that decides something. go-github's PushEvent has all
// of it, and refuses a whole push over a part that nobody needs here: custom properties with
// several values, for one.
type push struct {
	Ref        string      `json:"ref"`
	After      string      `json:"after"`
	Deleted    bool        `json:"deleted"`
	Repository repository  `json:"repository"`
	HeadCommit *headCommit `json:"head_commit"`
}

type repository struct {
	FullName string `json:"full_name"`
	CloneURL string `json:"clone_url"`
	Fork     bool   `json:"fork"`
}

type headCommit struct {
	ID      string `json:"id"`
	Message string `json:"message"`
	Author  struct {
		Name string `json:"name"`
	} `json:"author"`
}

func (r repository) name() string {
	if r.FullName != "" {
		return r.FullName
	}
	return r.CloneURL
}

// push starts the runs of a push.
func (r *Receiver) push(ctx context.Context, push push, deliveryID string) Answer {
	branch, isBranch := strings.CutPrefix(push.Ref, "refs/heads/")
	switch {
	case push.Ref == "" || push.Repository.CloneURL == "":
		return refused(http.StatusBadRequest, "the push names no ref or no repository")
	case !isBranch:
		return ignored(fmt.Sprintf("%.100q is not a branch; only branches are deployed", push.Ref))
	case push.Deleted:
		return ignored(fmt.Sprintf("branch %.100q was deleted", branch))
	}
	revision, err := push.revision()
	if err != nil {
		return refused(http.StatusBadRequest, err.Error())
	}
	pipelines := r.Matching(push.Repository.CloneURL)
	if len(pipelines) == 0 && push.Repository.Fork {
		return ignored(fmt.Sprintf("%.100q is a fork; only the repositories that gravity.yaml names are deployed", push.Repository.name()))
	}
	if len(pipelines) == 0 {
		return ignored(fmt.Sprintf("no pipeline in gravity.yaml has repository %.100q", push.Repository.name()))
	}
	var serving []delivery.Pipeline
	for _, pipeline := range pipelines {
		if len(pipeline.StagesFor(branch)) > 0 {
			serving = append(serving, pipeline)
		}
	}
	if len(serving) == 0 {
		return ignored(fmt.Sprintf("no stage in gravity.yaml names branch %.100q", branch))
	}
	return r.start(ctx, serving, revision, deliveryID)
}

var hash = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)

// revision checks and reads the pushed commit. The commit's time stays zero: it is part of the
// version label, so it comes from the repository itself, by the checkout.
func (p push) revision() (delivery.Revision, error) {
	if !hash.MatchString(p.After) || strings.Trim(p.After, "0") == "" {
		return delivery.Revision{}, errors.New(`the push has no full commit hash in "after"`)
	}
	revision := delivery.Revision{SHA: p.After, Ref: p.Ref}
	if strings.ContainsFunc(p.Ref, unicode.IsControl) || len(p.Ref) > 1024 {
		return delivery.Revision{}, errors.New("the pushed ref is no name that git allows")
	}
	if p.HeadCommit == nil {
		return revision, nil
	}
	if p.HeadCommit.ID != p.After {
		return delivery.Revision{}, errors.New(`the push's "head_commit" is not its "after"`)
	}
	revision.Message = delivery.FirstLine(p.HeadCommit.Message)
	revision.Author = delivery.FirstLine(p.HeadCommit.Author.Name)
	return revision, nil
}

// start starts one run for each pipeline. One that cannot be started does not keep the others from
// it: when the push is delivered again, they are found and only the missing one starts.
func (r *Receiver) start(ctx context.Context, pipelines []delivery.Pipeline, revision delivery.Revision, deliveryID string) Answer {
	// A sender that hangs up must not leave half the runs unstarted.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), startTimeout)
	defer cancel()
	answer := Answer{Status: StatusExisting, code: http.StatusOK}
	var failures []error
	for _, pipeline := range pipelines {
		started, err := r.Start(ctx, pipeline, revision, deliveryID)
		if err != nil {
			failures = append(failures, fmt.Errorf("pipeline %s: %w", pipeline.Name, err))
			continue
		}
		run := Run{Pipeline: pipeline.Name, Run: started.RunID}
		if r.RunURL != nil {
			run.URL = r.RunURL(started.RunID)
		}
		answer.Runs = append(answer.Runs, run)
		if !started.Existing {
			answer.Status = StatusStarted
		}
	}
	if answer.Status == StatusExisting {
		answer.Reason = "the revision has its run already; `starter deploy` with --again runs it once more"
	}
	if len(failures) > 0 {
		answer.Status, answer.err = StatusError, errors.Join(failures...)
		answer.code, answer.Reason = verdict(failures)
	}
	return answer
}

// verdict is the status code and the public reason of runs that could not be started. The reason
// names no inner address or credential: only what carries a type was written for people.
func verdict(failures []error) (code int, reason string) {
	code = http.StatusInternalServerError
	var reasons []string
	for _, failure := range failures {
		var typed *delivery.Error
		isTyped := errors.As(failure, &typed)
		switch {
		case isTyped && typed.Type.Retryable(), errors.Is(failure, context.DeadlineExceeded):
			code = http.StatusServiceUnavailable
			reasons = append(reasons, "a run cannot be started at the moment; deliver it again")
		case isTyped:
			reasons = append(reasons, typed.Message)
		default:
			reasons = append(reasons, "a run could not be started; the receiver's log says why")
		}
	}
	return code, strings.Join(reasons, "; ")
}
