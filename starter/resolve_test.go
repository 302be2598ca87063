package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gravity/internal/delivery"
	"gravity/workflows"
)

const (
	shaA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	shaB = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

func listedRun(pipeline, sha string, started int, ended bool) listed {
	run := listed{RunID: delivery.RunID(pipeline, sha), Pipeline: pipeline, Revision: sha, State: workflows.StateDeploying,
		StartedAt: time.Unix(int64(started), 0), Message: "change " + sha[:1]}
	if ended {
		run.State, run.EndedAt = workflows.StateSucceeded, time.Unix(int64(started+1), 0)
	}
	return run
}

func TestARunIsPickedOnlyWhereItIsClearWhichOneIsMeant(t *testing.T) {
	oldGoing, newGoing := listedRun("site", shaA, 1, false), listedRun("site", shaB, 2, false)
	oldEnded, newEnded := listedRun("site", shaA, 1, true), listedRun("site", shaB, 2, true)
	for name, c := range map[string]struct {
		runs     []listed
		argument string
		prefer   choice
		want     string // the revision, or
		refused  string
	}{
		"nothing named and one goes on":                   {[]listed{newGoing}, "", current, shaB, ""},
		"nothing named and none goes on":                  {nil, "", current, "", "no run is going on"},
		"nothing named and several go on":                 {[]listed{oldGoing, newGoing}, "", newest, "", "site/bbbbbbbbbbbb  deploying  change b"},
		"an unknown run":                                  {nil, "site/abc", newest, "", "there is no run site/abc"},
		"a pipeline, to look at":                          {[]listed{oldGoing, newEnded}, "site", newest, shaB, ""},
		"a pipeline, to answer, and one goes on":          {[]listed{oldGoing, newEnded}, "site", current, shaA, ""},
		"a pipeline, to answer, and several go on":        {[]listed{oldGoing, newGoing}, "site", current, "", "several runs are going on"},
		"a pipeline, to answer, and none goes on":         {[]listed{oldEnded, newEnded}, "site", current, shaB, ""},
		"digits that fit several":                         {[]listed{oldEnded, newEnded}, "site/a", newest, "", "these digits fit several runs"},
		"a pipeline with a slash counts as the pipeline":  {[]listed{oldEnded, newEnded}, "run/site/", newest, shaB, ""},
		"digits that fit one of which the pipeline is on": {[]listed{newGoing}, "run/site/bb", current, shaB, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := pick(c.runs, c.argument, c.prefer)
			if c.refused != "" {
				require.ErrorContains(t, err, c.refused)
				assert.Equal(t, delivery.InvalidInput, delivery.TypeOf(err))
				return
			}
			require.NoError(t, err)
			assert.Equal(t, c.want, got.Revision)
		})
	}
}

func TestAnArgumentThatNamesNoRunNeverReachesAQuery(t *testing.T) {
	for _, argument := range []string{"site' OR 'a'='a", "Site", "site/XYZ", "a/b/c", "run/", "environment/site/x"} {
		_, err := newGlobals(nil, nil).resolveRun(t.Context(), nil, argument, newest) // a nil client would panic
		assert.ErrorContains(t, err, "names no run", argument)
	}
}

func stagePipeline(name, application string, stages ...delivery.Stage) delivery.Pipeline {
	return delivery.Pipeline{Name: name, Application: application, Repository: "https://github.com/example/" + name, Stages: stages}.WithDefaults()
}

func TestAnEnvironmentIsFoundByEveryNameThatIsClear(t *testing.T) {
	known := places([]delivery.Pipeline{
		stagePipeline("site", "site", delivery.Stage{Name: "staging", Environment: "web-staging"}, delivery.Stage{Name: "live", Environment: "web"}),
		stagePipeline("shop", "shop", delivery.Stage{Name: "live", Environment: "web"}),
	}, []string{"environment/site/web", "environment/old/app"})
	require.Len(t, known, 4)

	for argument, want := range map[string]string{
		"web-staging": "environment/site/web-staging", "site/staging": "environment/site/web-staging",
		"shop/live": "environment/shop/web", "shop/web": "environment/shop/web", "app": "environment/old/app", "old/app": "environment/old/app",
	} {
		got, err := pickPlace(known, argument)
		require.NoError(t, err, argument)
		assert.Equal(t, want, got.id(), argument)
	}
	staging, err := pickPlace(known, "web-staging")
	require.NoError(t, err)
	assert.Equal(t, "staging", staging.stage.Name, "each place keeps its own stage")
	assert.Equal(t, delivery.DefaultDeadline, staging.stage.Deadline)

	_, err = pickPlace(known, "web")
	assert.ErrorContains(t, err, `"web" fits several environments: site/web, shop/web`)
	_, err = pickPlace(known, "wbe")
	assert.ErrorContains(t, err, "there is site/web-staging, site/web, shop/web, old/app")
	_, err = pickPlace(nil, "web")
	assert.ErrorContains(t, err, "in gravity.yaml or in Temporal")
}

func deployedRecord(label, request string, outcome delivery.Outcome) workflows.DeploymentRecord {
	version := delivery.Version{Application: "site", Label: label, Revision: delivery.Revision{SHA: label + "00000"}}
	return workflows.DeploymentRecord{Version: version, Result: delivery.Result{RequestID: request, Outcome: outcome}}
}

func TestARollbackGoesBackAndNeverForthAgain(t *testing.T) {
	const good, bad = delivery.OutcomeDeployed, delivery.OutcomeRolledBack
	version := func(label string) *delivery.Version { return &delivery.Version{Label: label} }
	for name, c := range map[string]struct {
		status workflows.EnvironmentStatus
		want   string // "" is a refusal
	}{
		"to the version before": {workflows.EnvironmentStatus{LeftOn: "v2", Good: version("v2"), Recent: []workflows.DeploymentRecord{
			deployedRecord("v1", "r1", good), deployedRecord("v2", "r2", good)}}, "v1"},
		"past one that failed": {workflows.EnvironmentStatus{LeftOn: "v3", Good: version("v3"), Recent: []workflows.DeploymentRecord{
			deployedRecord("v1", "r1", good), deployedRecord("v2", "r2", bad), deployedRecord("v3", "r3", good)}}, "v1"},
		"a second time to the one before that": {workflows.EnvironmentStatus{LeftOn: "v2", Good: version("v2"), Recent: []workflows.DeploymentRecord{
			deployedRecord("v1", "r1", good), deployedRecord("v2", "r2", good), deployedRecord("v3", "r3", good), deployedRecord("v2", "rollback/1", good)}}, "v1"},
		"not forth to what was left": {workflows.EnvironmentStatus{LeftOn: "v1", Good: version("v1"), Recent: []workflows.DeploymentRecord{
			deployedRecord("v1", "r1", good), deployedRecord("v2", "r2", good), deployedRecord("v1", "rollback/1", good)}}, ""},
		"to the last good one where the environment is not on it": {workflows.EnvironmentStatus{LeftOn: "v3", Good: version("v2"), Recent: []workflows.DeploymentRecord{
			deployedRecord("v1", "r1", good), deployedRecord("v2", "r2", good), deployedRecord("v3", "r3", delivery.OutcomeNeedsAttention)}}, "v2"},
		"to the last good one after a thaw": {workflows.EnvironmentStatus{LeftOn: "", Good: version("v2")}, "v2"},
		"nowhere when nothing is on record": {workflows.EnvironmentStatus{Environment: "web"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			existing := []delivery.Version{{Label: "v1"}, {Label: "v2"}, {Label: "v3"}}
			got, err := target(c.status, existing, "")
			if c.want == "" {
				assert.ErrorContains(t, err, "name one with --to")
				return
			}
			require.NoError(t, err)
			assert.Equal(t, c.want, got.Label)
		})
	}
}

func TestAVersionIsNamedByItsLabelOrItsHash(t *testing.T) {
	existing := []delivery.Version{deployedRecord("abcd1", "", "").Version, deployedRecord("abcd2", "", "").Version}
	status := workflows.EnvironmentStatus{Environment: "web"}
	for to, want := range map[string]string{"abcd1": "abcd1", "abcd10": "abcd1", "abcd2000": "abcd2"} {
		got, err := target(status, existing, to)
		require.NoError(t, err)
		assert.Equal(t, want, got.Label, to)
	}
	_, err := target(status, existing, "abcd")
	assert.ErrorContains(t, err, "give more digits")
	_, err = target(status, existing, "site-2024-other")
	assert.ErrorContains(t, err, `"site-2024-other" was never proven good on web, or no longer exists; there is abcd1, abcd2`)
}

func TestARollbackPassesOverVersionsThatNoLongerExist(t *testing.T) {
	status := workflows.EnvironmentStatus{LeftOn: "v3", Recent: []workflows.DeploymentRecord{
		deployedRecord("v1", "r1", delivery.OutcomeDeployed), deployedRecord("v2", "r2", delivery.OutcomeDeployed), deployedRecord("v3", "r3", delivery.OutcomeDeployed),
	}}
	got, err := target(status, []delivery.Version{{Label: "v1"}, {Label: "v3"}}, "")
	require.NoError(t, err)
	assert.Equal(t, "v1", got.Label)
}

func TestARollbackIsAskedByTheStagesRulesAndIsNotStoppedByDrift(t *testing.T) {
	stage := delivery.Stage{Name: "live", Environment: "web", Drift: delivery.DriftStop, Queue: delivery.QueueAll}
	request := rollbackRequest(place{"site", "web", "site", &stage}, delivery.Version{Label: "v1"}, workflows.Answer{By: "ana", Reason: "broken"})
	assert.True(t, request.Rollback)
	assert.Regexp(t, `^rollback/[0-9a-f-]{36}$`, request.ID)
	assert.Equal(t, delivery.DriftOverwrite, request.Stage.Drift)
	assert.Equal(t, delivery.QueueAll, request.Stage.Queue)
	assert.Equal(t, delivery.DriftStop, stage.Drift, "the file's own stage is as it was")
	assert.Equal(t, []string{"ana", "broken", "site"}, []string{request.By, request.Reason, request.Pipeline})
}
