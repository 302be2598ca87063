package activities

import "context"

type GitHub struct{}
type IsMemberInput struct{ Team, Login string }
type Membership struct{ Member bool }

func (g *GitHub) IsMember(ctx context.Context, input IsMemberInput) (Membership, error) {
	return Membership{}, nil
}
