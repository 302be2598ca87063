package workflows

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestARecordedAnswerComesBackWhole(t *testing.T) {
	recorded := RecordedAnswer{Answer: Answer{By: "ana", Reason: "go", Stage: "live"}, Verb: "approve", At: time.Unix(1700000000, 0).UTC()}
	data, err := json.Marshal(recorded)
	require.NoError(t, err)
	var read RecordedAnswer
	require.NoError(t, json.Unmarshal(data, &read))
	assert.Equal(t, recorded, read)
}

func TestTextFromOutsideBecomesNoMarkdown(t *testing.T) {
	status := RunStatus{State: StateAborted, Detail: "a | b\n<b>c</b> `d`", Answers: []RecordedAnswer{
		{Verb: "abort", Answer: Answer{By: "*eve*", Reason: `![x](http://example.com/x.png) \[y](z)`}},
	}}
	table := status.table("default")
	assert.Contains(t, table, `a \| b &lt;b>c&lt;/b> 'd'`)
	assert.Contains(t, table, `- abort by \*eve\*: !\[x\](http://example.com/x.png) \\\[y\](z)`)
}

func TestTheTableSaysTheVersionOnceAndLeadsToTheQueues(t *testing.T) {
	table := RunStatus{
		State: StateFailed, Build: StateSucceeded, Application: "site", Version: "site-2",
		Stages: []StageStatus{
			{Stage: "staging", Environment: "site-staging", State: StateSucceeded, Detail: "healthy on site-2"},
			{Stage: "production", Environment: "site-production", State: StateFailed, Detail: "rolled back; healthy on site-1"},
		},
	}.table("team.a1b2c")
	assert.Contains(t, table, "| build | | succeeded | site-2 |")
	assert.Contains(t, table, "| staging | [site-staging](/namespaces/team.a1b2c/workflows/environment%2Fsite%2Fsite-staging) | succeeded | healthy |")
	assert.Contains(t, table, "| failed | rolled back; healthy on site-1 |")
}
