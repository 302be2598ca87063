package config

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"gravity/internal/delivery"
)

func withStacks(stacks string) []byte { return []byte(minimal("") + stacks) }

func TestStacksAreReadWithTheirReferences(t *testing.T) {
	file, err := Parse("gravity.yaml", withStacks(`
stacks:
  - name: gravity-site
    template: pipeline
    parameters: {ApplicationName: site}
  - name: gravity-site-live
    template: stacks/live.yaml
    parameters: {ArtifactBucket: "${gravity-site.Bucket}"}
    role: ${gravity-site.ProvisionRoleArn}
    approval: {}
`))
	require.NoError(t, err)
	require.Len(t, file.Stacks, 2)
	require.Equal(t, []string{"gravity-site"}, file.Stacks[1].Needs())
	require.Equal(t, delivery.Duration(72*time.Hour), file.Stacks[1].Approval.Timeout)
}

func TestWhatIsWrongWithStacksIsReported(t *testing.T) {
	for text, says := range map[string]string{
		"stacks:\n  - {name: a, template: pipeline}\n  - {name: a, template: alarms}\n":                                        `stack "a" is there twice`,
		"stacks:\n  - {name: a, template: pipeline, after: [b]}\n":                                                             `stack "a" is to come after "b", which is not in the file`,
		"stacks:\n  - {name: a, template: pipeline, parameters: {X: '${b.Y}'}}\n  - {name: b, template: alarms, after: [a]}\n": "stack a needs itself, by way of others",
		"stacks:\n  - {name: a, template: ../secret.yaml}\n":                                                                   "must be a file in the folder of this one",
		"stacks:\n  - {name: a, template: pipeline, parameters: {X: 2}}\n":                                                     `"X" must be a text, not a number; put it in quotes`,
		"stacks:\n  - {name: a, template: pipeline, role: admin}\n":                                                            "it must be the ARN of a role",
		"stacks:\n  - {name: a, template: pipeline, approval: {four-eyes: true}}\n":                                            "the change of a stack has no revision whose author",
		"stacks:\n  - {name: 1a, template: pipeline}\n":                                                                        "beginning with a letter",
	} {
		_, err := Parse("gravity.yaml", withStacks(text))
		require.ErrorContains(t, err, says, text)
	}
}
