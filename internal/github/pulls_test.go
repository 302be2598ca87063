package github

import (
	"testing"

	"github.com/stretchr/testify/require"

	"gravity/internal/delivery"
	local "gravity/internal/local/github"
)

func TestAPullRequestIsAsItIsNow(t *testing.T) {
	server, client := standIn(t)
	server.Change(full, func(r *local.Repository) {
		r.Pulls[1] = local.Pull{HeadRef: "feature/x", HeadSHA: sha, HeadRepository: full, BaseRef: "main"}
		r.Pulls[2] = local.Pull{HeadRef: "main", HeadSHA: sha, HeadRepository: "mallory/hello", BaseRef: "main", Closed: true, MergeSHA: "m"}
		r.Pulls[3] = local.Pull{HeadRef: "gone", HeadSHA: sha, BaseRef: "main", Closed: true}
	})
	for number, want := range map[int]PullRequest{
		1: {Number: 1, HeadSHA: sha, HeadRef: "feature/x", BaseRef: "main", Open: true},
		2: {Number: 2, HeadSHA: sha, HeadRef: "main", BaseRef: "main", Fork: true, Merged: true, MergeSHA: "m"},
		3: {Number: 3, HeadSHA: sha, HeadRef: "gone", BaseRef: "main", Fork: true}, // its repository was deleted
	} {
		found, err := client.PullRequest(t.Context(), server.CloneURL(full), number)
		require.NoError(t, err)
		require.Equal(t, want, found)
	}
	_, err := client.PullRequest(t.Context(), server.CloneURL(full), 9)
	require.Equal(t, delivery.AccessDenied, delivery.TypeOf(err))
}

func TestATagStandsForItsCommitAlsoWhenItIsAnObjectOfItsOwn(t *testing.T) {
	server, client := standIn(t)
	server.Change(full, func(r *local.Repository) {
		r.Branches["main"], r.Tags["v1"] = "b", sha
		r.Annotated["v2"] = sha
	})
	for ref, want := range map[string]string{"refs/tags/v1": sha, "refs/tags/v2": sha, "refs/heads/main": "b"} {
		found, err := client.Resolve(t.Context(), server.CloneURL(full), ref)
		require.NoError(t, err)
		require.Equal(t, want, found)
	}
	_, err := client.Resolve(t.Context(), server.CloneURL(full), "refs/tags/v9")
	require.Error(t, err)
}

func TestACommandIsAnsweredOnceHoweverOftenTheStepIsTried(t *testing.T) {
	server, client := standIn(t)
	server.SetFaults(local.Faults{LoseEvery: 3}) // the comment is made, and its answer lost
	reply := func() error {
		return client.Reply(t.Context(), server.CloneURL(full), 12, 987, false, "Not done: the pull request comes from a fork.")
	}
	require.Equal(t, delivery.Unavailable, delivery.TypeOf(reply()))
	server.SetFaults(local.Faults{})
	require.NoError(t, reply())
	server.Read(full, func(r *local.Repository) {
		require.Len(t, r.Comments, 1)
		require.Contains(t, r.Comments[0].GetBody(), "comes from a fork")
		require.Equal(t, "-1", r.Reactions[0].Content)
	})
}
