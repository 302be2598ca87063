package delivery

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestARefReachesTheStagesThatTakeIt(t *testing.T) {
	pipeline := Pipeline{Stages: []Stage{
		{Name: "preview", Environment: "site-preview", Tags: []string{"nightly-*"}, Requests: []string{"*", "feature/*"}},
		{Name: "staging", Environment: "site-staging", Branches: []string{"main"}, Tags: []string{"v*"}},
		{Name: "production", Environment: "site", Tags: []string{"v*"}},
	}}.WithDefaults()
	for name, c := range map[string]struct {
		ref, until string
		reached    []string
	}{
		"a branch": {"refs/heads/main", "", []string{"staging"}},
		"a tag":    {"refs/tags/v1", "", []string{"staging", "production"}},
		"a stage for tags takes no main of its own": {"refs/tags/nightly-1", "", []string{"preview"}},
		"another branch":                     {"refs/heads/feature/x", "", nil},
		"another branch on request":          {"refs/heads/feature/x", "preview", []string{"preview"}},
		"a stage that takes no requests":     {"refs/heads/feature/x", "production", nil},
		"a request passes the stages before": {"refs/tags/v1", "production", []string{"staging", "production"}},
		"a request ends there":               {"refs/tags/v1", "staging", []string{"staging"}},
		"a stage that there is not":          {"refs/heads/main", "moon", nil},
		"a ref of another kind":              {"refs/pull/7/head", "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			var names []string
			for _, stage := range pipeline.Reached(c.ref, c.until) {
				names = append(names, stage.Name)
			}
			require.Equal(t, c.reached, names)
		})
	}
}

func TestARefIsABranchOrATag(t *testing.T) {
	require.Equal(t, "v1", Revision{Ref: "refs/tags/v1"}.Tag())
	require.Empty(t, Revision{Ref: "refs/heads/v1"}.Tag())
	require.Equal(t, "a/b", Revision{Ref: "refs/heads/a/b"}.RefName())
	require.Equal(t, "v1", Revision{Ref: "refs/tags/v1"}.RefName())
}
