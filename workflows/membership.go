package workflows

import (
	"strings"

	"go.temporal.io/sdk/workflow"

	"gravity/activities"
	"gravity/internal/delivery"
)

// belongs asks, at the moment of the answer, whether somebody is in one of the teams that may answer:
// who left a team yesterday approves nothing today.
func (a *approval) belongs(ctx workflow.Context, login string) error {
	var github *activities.GitHub
	for _, team := range a.rule.Teams {
		var found activities.Membership
		err := workflow.ExecuteActivity(answerOptions(ctx, "is "+login+" in "+team), github.IsMember, activities.IsMemberInput{
			Team: team, Login: login,
		}).Get(ctx, &found)
		if err != nil {
			return delivery.Errorf(delivery.Unavailable, "whether %s is in %s could not be found out (%s); try again", login, team, sentence(err))
		}
		if found.Member {
			return nil
		}
	}
	return delivery.Errorf(delivery.InvalidInput, "%s is in none of the teams that may answer at the gate of %s: %s",
		login, a.stage, strings.Join(a.rule.Teams, ", "))
}
