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
	table := status.table()
	assert.Contains(t, table, `a \| b &lt;b>c&lt;/b> 'd'`)
	assert.Contains(t, table, `- abort by \*eve\*: !\[x\](http://example.com/x.png) \\\[y\](z)`)
}
