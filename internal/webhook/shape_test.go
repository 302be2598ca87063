package webhook

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-github/v60/github"
	"github.com/stretchr/testify/require"
)

// examples reads GitHub's own payloads from the npm package @octokit/webhooks-examples, which .ci/run
// puts into the user's cache folder.
func examples(t *testing.T) map[string][]map[string]any {
	t.Helper()
	cache, err := os.UserCacheDir()
	require.NoError(t, err)
	path := filepath.Join(cache, "gravity", "npm", "webhooks-examples", "package", "api.github.com", "index.json")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Skipf("GitHub's example payloads are not here: %v; .ci/run fetches them", err)
	}
	var events []struct {
		Name     string           `json:"name"`
		Examples []map[string]any `json:"examples"`
	}
	require.NoError(t, json.Unmarshal(data, &events))
	byName := map[string][]map[string]any{}
	for _, event := range events {
		byName[event.Name] = event.Examples
	}
	return byName
}

// paths lists every field of a document, with its kind. Lists are looked into by their first element.
func paths(at string, value any, into map[string]string) {
	switch value := value.(type) {
	case map[string]any:
		for name, inner := range value {
			paths(at+"."+name, inner, into)
		}
	case []any:
		into[at] = "list"
		if len(value) > 0 {
			paths(at+"[]", value[0], into)
		}
	case string:
		into[at] = "text"
	case float64:
		into[at] = "number"
	case bool:
		into[at] = "boolean"
	case nil:
		into[at] = "null"
	}
}

// TestTheSamplesHaveGitHubsShapeFieldForField compares with an example of GitHub's own whose fields ours has
// all of, in the same kinds.
func TestTheSamplesHaveGitHubsShapeFieldForField(t *testing.T) {
	theirs := examples(t)
	for event := range handlers {
		t.Run(event, func(t *testing.T) {
			var ours map[string]any
			require.NoError(t, json.Unmarshal(sample(t, event+".json", nil), &ours))
			have := map[string]string{}
			paths("", ours, have)
			best, lacking := -1, []string{}
			for _, example := range theirs[event] {
				if example["action"] != ours["action"] {
					continue
				}
				want, missing := map[string]string{}, []string{}
				paths("", example, want)
				for field, kind := range want {
					if got, there := have[field]; !there || got != kind && got != "null" && kind != "null" {
						missing = append(missing, field+" ("+kind+")")
					}
				}
				if best < 0 || len(missing) < best {
					best, lacking = len(missing), missing
				}
			}
			require.Zero(t, best, "the nearest of GitHub's examples has what the sample lacks: %v", lacking)
		})
	}
}

// TestTheSamplesAreReadByGitHubsLibrary holds that our reading and go-github's agree on what both read.
func TestTheSamplesAreReadByGitHubsLibrary(t *testing.T) {
	parsed := func(event string, replace map[string]any) any {
		found, err := github.ParseWebHook(event, sample(t, event+".json", replace))
		require.NoError(t, err, event)
		return found
	}
	ours := func(event string, into any) {
		require.NoError(t, json.Unmarshal(sample(t, event+".json", nil), into))
	}
	var ourRelease release
	ours("release", &ourRelease)
	theirRelease := parsed("release", nil).(*github.ReleaseEvent)
	require.Equal(t, theirRelease.GetRelease().GetTagName(), ourRelease.Release.TagName)
	require.True(t, theirRelease.GetRelease().GetPublishedAt().Equal(github.Timestamp{Time: ourRelease.at()}))

	var ourRun workflowRun
	ours("workflow_run", &ourRun)
	theirRun := parsed("workflow_run", nil).(*github.WorkflowRunEvent)
	require.Equal(t, theirRun.GetWorkflowRun().GetHeadSHA(), ourRun.WorkflowRun.HeadSHA)
	require.Equal(t, theirRun.GetWorkflowRun().GetHeadRepository().GetFullName(), ourRun.WorkflowRun.HeadRepository.FullName)

	var ourSuite checkSuite
	ours("check_suite", &ourSuite)
	require.Equal(t, parsed("check_suite", nil).(*github.CheckSuiteEvent).GetCheckSuite().GetHeadBranch(), *ourSuite.CheckSuite.HeadBranch)

	var ourCheck checkRun
	ours("check_run", &ourCheck)
	require.Equal(t, parsed("check_run", nil).(*github.CheckRunEvent).GetCheckRun().GetExternalID(), ourCheck.CheckRun.ExternalID)

	var ourDeployment deployment
	ours("deployment", &ourDeployment)
	require.Equal(t, parsed("deployment", nil).(*github.DeploymentEvent).GetDeployment().GetSHA(), ourDeployment.Deployment.SHA)

	var ourComment comment
	ours("issue_comment", &ourComment)
	theirComment := parsed("issue_comment", nil).(*github.IssueCommentEvent)
	require.Equal(t, theirComment.GetComment().GetBody(), ourComment.Comment.Body)
	require.Equal(t, theirComment.GetIssue().IsPullRequest(), ourComment.Issue.PullRequest != nil)
}
