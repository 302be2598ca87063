package workflows

import (
	"fmt"
	"slices"
	"strings"

	"go.temporal.io/sdk/workflow"

	"gravity/internal/delivery"
)

// approval is a stage's question to people, while the run waits for their answer.
type approval struct {
	stage    string
	what     string // such as "the gate of production"
	rule     delivery.Approval
	revision delivery.Revision
	approved []Answer // by different people
	rejected *Answer
}

func (a *approval) answered() bool { return len(a.approved) >= a.rule.Count || a.rejected != nil }

// passApproval waits for people. Nobody's answer is an answer too: what it means at the timeout is the
// stage's to say, and by default the run ends as rejected, so that a forgotten run never deploys an
// old version weeks later.
func (r *run) passApproval(ctx workflow.Context, status *StageStatus, stage delivery.Stage) error {
	if stage.Gate.Approval == nil {
		return nil
	}
	asked := &approval{stage: stage.Name, what: "the gate of " + stage.Name, rule: *stage.Gate.Approval, revision: r.status.Revision}
	asked.rule.Count = max(1, asked.rule.Count)
	timeout := asked.rule.Timeout.Std()
	r.approval = asked
	defer func() { r.approval = nil }()
	r.until = workflow.Now(ctx).Add(timeout)
	r.enter(ctx, status, StateWaiting, r.wanted())

	inTime, err := awaitWithin(ctx, timeout, stage.Name+" waits for an approval", asked.answered)
	switch {
	case err != nil:
		return err
	case asked.rejected != nil:
		return &delivery.Error{Type: delivery.Rejected, Message: asked.rejected.because(
			fmt.Sprintf("%s: rejected by %s", stage.Name, asked.rejected.who()))}
	case !inTime && asked.rule.Otherwise == delivery.OtherwiseApprove:
		r.record(ctx, ApproveUpdate, Answer{By: "Gravity", Stage: stage.Name, Reason: "nobody answered within " + asked.rule.Timeout.String()})
	case !inTime:
		return delivery.Errorf(delivery.Rejected, "%s: nobody approved within %s%s", stage.Name, asked.rule.Timeout, asked.soFar())
	}
	status.Approved = workflow.Now(ctx)
	return nil
}

// wanted says what the run waits for.
func (r *run) wanted() string {
	asked := r.approval
	what := "for an approval"
	if asked.rule.Count > 1 {
		what = fmt.Sprintf("for %d approvals%s", asked.rule.Count, asked.soFar())
	}
	if may := slices.Concat(asked.rule.Users, asked.rule.Teams); len(may) > 0 {
		what += " by " + strings.Join(may, " or ")
	}
	return what + ", until " + r.until.UTC().Format("2 Jan 15:04 MST")
}

func (a *approval) soFar() string {
	if len(a.approved) == 0 {
		return ""
	}
	names := make([]string, len(a.approved))
	for i, answer := range a.approved {
		names[i] = answer.who()
	}
	return fmt.Sprintf(" (%d so far, by %s)", len(names), strings.Join(names, " and "))
}

func (r *run) asked() *approval { return r.approval }

func (r *run) answered(ctx workflow.Context, verb string, answer Answer) {
	r.record(ctx, verb, answer)
	r.note(ctx, r.approval.stage+": "+r.wanted())
}

// mayAnswer says why an answer cannot be taken now, as far as it can be told without asking anybody.
func (r *run) mayAnswer(verb string, answer Answer) error {
	switch {
	case r.status.State.Ended():
		return delivery.Errorf(delivery.InvalidInput, "the run has ended: %s", r.status.State)
	case r.approval == nil:
		return delivery.Errorf(delivery.InvalidInput, "the run waits for no approval now: it is %s", r.status.State)
	case answer.Stage != "" && answer.Stage != r.approval.stage:
		return delivery.Errorf(delivery.InvalidInput, "the run waits at the gate of %s, not of %s", r.approval.stage, answer.Stage)
	case r.approval.answered():
		return delivery.Errorf(delivery.InvalidInput, "%s has its answer already", r.approval.what)
	case answer.Revision != "" && !strings.HasPrefix(r.status.Revision.SHA, strings.ToLower(answer.Revision)):
		return delivery.Errorf(delivery.InvalidInput, "this is the run of revision %s, not of %s", r.status.Revision.Short(), answer.Revision)
	case verb == ApproveUpdate:
		return r.approval.mayApprove(answer)
	default:
		return r.approval.mayBe(answer.By)
	}
}

func (a *approval) mayApprove(answer Answer) error {
	if err := a.mayBe(answer.By); err != nil {
		return err
	}
	if a.rule.FourEyes && a.revision.Involves(answer.By) {
		return delivery.Errorf(delivery.InvalidInput, "%s had a hand in %s, and the gate of %s asks for somebody else's eyes",
			answer.By, a.revision.Short(), a.stage)
	}
	if slices.ContainsFunc(a.approved, func(earlier Answer) bool { return answer.By != "" && strings.EqualFold(earlier.By, answer.By) }) {
		return delivery.Errorf(delivery.InvalidInput, "%s has approved already; %s wants %d different people", answer.By, a.stage, a.rule.Count)
	}
	return nil
}

// mayBe says why nobody of that name may answer, as far as the rule alone tells.
func (a *approval) mayBe(login string) error {
	switch {
	case !a.rule.Restricted():
		return nil
	case login == "":
		return delivery.Errorf(delivery.InvalidInput, `the gate of %s wants to know who answers; send {"by": "your login"}`, a.stage)
	case len(a.rule.Teams) == 0 && !a.names(login):
		return delivery.Errorf(delivery.InvalidInput, "%s may not answer at the gate of %s; ask %s", login, a.stage, strings.Join(a.rule.Users, " or "))
	default:
		return nil
	}
}

// names reports whether a login needs no look into the teams: the rule names it, or names nobody.
func (a *approval) names(login string) bool {
	named := slices.ContainsFunc(a.rule.Users, func(user string) bool { return strings.EqualFold(user, login) })
	return named || len(a.rule.Users) == 0 && len(a.rule.Teams) == 0
}
