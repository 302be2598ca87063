package config

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"gravity/internal/delivery"
)

func TestEveryProblemIsReportedAtOnceWithItsPlace(t *testing.T) {
	_, err := Parse("gravity.yaml", []byte(`pipelines:
  - name: Site
    repository: http://github.com/example/site
    applications: site
    test:
      run: go test ./...
      timeout: 5 minutes
    stages:
      - name: staging
        environment: ab
        stratgy: immutable
        health:
          accept: [Ok, Fine]
          steady: 2h
          check:
            path: health
            status: 20
            times: many
            times: 2
      - name: staging
        environment: site-production
        check:
          path: /
    stages: []
name: x
`))
	var problems Problems
	require.ErrorAs(t, err, &problems)
	require.Equal(t, delivery.InvalidInput, delivery.TypeOf(err))
	require.Equal(t, strings.TrimSpace(`
gravity.yaml:2:5: "name" cannot be "Site"; it must be 1 to 40 of a-z, 0-9 and -, beginning and ending with a letter or digit
gravity.yaml:2:5: entry 1 of "pipelines" has no "application", which is required
gravity.yaml:3:5: "repository" is not encrypted, so what is deployed could be changed on the way; use https://
gravity.yaml:4:5: unknown key "applications"; did you mean "application"?
gravity.yaml:7:7: "timeout": "5 minutes" is not a duration; write it as 90s, 30m or 1h30m
gravity.yaml:10:9: "environment" cannot be "ab"; it must be 4 to 40 letters, digits and -, beginning and ending with a letter or digit
gravity.yaml:11:9: unknown key "stratgy"; did you mean "strategy"?
gravity.yaml:13:24: entry 2 of "accept" cannot be "Fine"; there is NoData, Unknown, Pending, Ok, Info, Warning, Degraded, Severe, Suspended
gravity.yaml:14:11: "steady" (2h) is longer than the stage's "deadline" (1h); no deployment could prove itself in time
gravity.yaml:14:11: "steady" (2h) is longer than "settle" (5m), the time in which the environment must become steady
gravity.yaml:16:13: "path" cannot be "health"; it must be a path that begins with /, without spaces or #
gravity.yaml:17:13: "status" cannot be 20; it must be a number from 100 to 599
gravity.yaml:18:13: "times" must be a whole number, not a text
gravity.yaml:19:13: key "times" is there twice; the first is on line 18
gravity.yaml:20:9: stage "staging" is there twice; the first is on line 9
gravity.yaml:22:9: unknown key "check"; it belongs under health
gravity.yaml:24:5: key "stages" is there twice; the first is on line 8
gravity.yaml:25:1: unknown key "name"; it belongs under pipelines, stacks, stages`), err.Error())
	require.Equal(t, "pipelines[0].stages[0].health.check.path", problems[10].Key)
}

func TestWhatIsWrongIsSaidSoThatItCanBeMended(t *testing.T) {
	for name, c := range map[string]struct{ stage, pipeline, says string }{
		"an approval left blank would ask nobody":    {stage: "        gate:\n          approval:\n", says: `9:11: "approval" has no value`},
		"no branches at all would become main":       {stage: "        branches: []\n", says: `8:9: "branches" is an empty list`},
		"an empty branch":                            {stage: "        branches: ['']\n", says: `8:20: entry 1 of "branches" is empty`},
		"a branch pattern that is none":              {stage: "        branches: ['release/[']\n", says: "is no pattern"},
		"a full ref as branch":                       {stage: "        branches: [refs/heads/main]\n", says: "write the branch's name alone"},
		"one branch without a list":                  {stage: "        branches: main\n", says: `"branches" must be a list`},
		"zero time would become the default":         {stage: "        deadline: 0s\n", says: `"deadline" must be more than 0s`},
		"a time without a unit":                      {stage: "        deadline: 30\n", says: `"deadline" has no unit: 30 is not a duration`},
		"a negative time":                            {stage: "        deadline: -5m\n", says: `"-5m" is not a duration`},
		"a time past all counting":                   {stage: "        deadline: 9999999999h\n", says: "is not a duration"},
		"a report pattern that climbs":               {pipeline: "    test: {run: x, reports: ['../*.xml']}\n", says: "below the pipeline's path"},
		"more retries than anyone needs":             {pipeline: "    test: {run: x, retries: 9}\n", says: `"retries" cannot be 9; it must be a number from 0 to 5`},
		"a build cannot be retried":                  {pipeline: "    build: {run: x, retries: 1}\n", says: `unknown key "retries"; it belongs under test`},
		"a variable that is Gravity's":               {pipeline: "    test: {run: x, matrix: [{variable: GRAVITY_VERSION, values: [a]}]}\n", says: "is set by Gravity itself"},
		"a variable that is the loader's":            {pipeline: "    test: {run: x, matrix: [{variable: LD_PRELOAD, values: [a]}]}\n", says: "is set by Gravity itself"},
		"a variable that no shell takes":             {pipeline: "    test: {run: x, matrix: [{variable: a-b, values: [a]}]}\n", says: "1 to 40 of A-Z, 0-9 and _"},
		"an axis without values":                     {pipeline: "    test: {run: x, matrix: [{variable: A, values: []}]}\n", says: `"values" is an empty list`},
		"an axis twice":                              {pipeline: "    test: {run: x, matrix: [{variable: A, values: [a]}, {variable: A, values: [b]}]}\n", says: `variable "A" is there twice`},
		"a value twice would be the same job":        {pipeline: "    test: {run: x, matrix: [{variable: A, values: [a, a]}]}\n", says: `value "a" is there twice`},
		"a matrix that nobody gets through":          {pipeline: "    test: {run: x, matrix: [{variable: A, values: [a, b, c, d, e, f]}, {variable: B, values: [a, b, c, d, e, f]}]}\n", says: "more than 32 combinations"},
		"a switch that is neither on nor off":        {pipeline: "    checkout: {lfs: 'yes'}\n", says: `"lfs" must be true or false, not a text`},
		"a network that there is not":                {pipeline: "    sandbox: {network: 'off'}\n", says: `"network" cannot be "off"; there is full, none`},
		"an image that docker would take for a flag": {pipeline: "    sandbox: {container: --privileged}\n", says: "the name of an image"},
		"hardly any memory":                          {pipeline: "    sandbox: {memory: 1}\n", says: "a number from 16"},
		"a cache that nothing decides about":         {pipeline: "    cache: {files: []}\n", says: `"files" is an empty list`},
		"a lock file elsewhere":                      {pipeline: "    cache: {files: [/etc/passwd]}\n", says: "below the pipeline's path"},
		"a strategy that there is not":               {stage: "        strategy: imutable\n", says: `"strategy" cannot be "imutable"; did you mean "immutable"?`},
		"a queue policy that there is not":           {stage: "        queue: lifo\n", says: `"queue" cannot be "lifo"; there is latest, all`},
		"a drift policy that there is not":           {stage: "        drift: ignore\n", says: `"drift" cannot be "ignore"; there is stop, adopt, overwrite`},
		"a misspelt placeholder":                     {stage: "        health:\n          check:\n            contains: v${versio}\n", says: "stands for nothing"},
		"an address with a path":                     {stage: "        health:\n          check:\n            url: https://example.com/health\n", says: "goes into path"},
		"an address that is none":                    {stage: "        health:\n          check:\n            url: example.com\n", says: "must be an address such as"},
		"a password in an address":                   {stage: "        health:\n          check:\n            url: https://a:b@example.com\n", says: "must not carry credentials"},
		"too many requests":                          {stage: "        health:\n          check:\n            times: 21\n", says: `"times" cannot be 21; it must be a number from 1 to 20`},
		"a number past all counting":                 {stage: "        health:\n          check:\n            times: 99999999999999999999\n", says: `"times"`},
		"a list where a block belongs":               {stage: "        health: [1]\n", says: `"health" must be a block of keys (accept, steady, settle, requests, compare, alarms, check, probe), not a list`},
		"a block where a text belongs":               {stage: "        queue: {a: 1}\n", says: `"queue" must be a text, not a block of keys`},
		"a number where a text belongs":              {pipeline: "    bucket: 123456\n", says: `"bucket" must be a text, not a number; put it in quotes`},
		"true where a text belongs":                  {pipeline: "    path: true\n", says: `"path" must be a text, not true or false`},
		"a bucket that S3 would refuse":              {pipeline: "    bucket: My_Bucket\n", says: "an S3 bucket's name"},
		"a path out of the repository":               {pipeline: "    path: ../other\n", says: "must be a folder inside the repository"},
		"an absolute path":                           {pipeline: "    path: /etc\n", says: "must be a folder inside the repository"},
		"a blank command":                            {pipeline: "    test:\n      run: ' '\n", says: `"run" " " is blank`},
		"a test without a command":                   {pipeline: "    test: {timeout: 5m}\n", says: `5:5: "test" has no "run", which is required`},
		"a key that is no text":                      {pipeline: "    [a]: b\n", says: "gravity.yaml:"},
		"an anchor":                                  {pipeline: "    path: &a x\n    bucket: *a\n", says: "anchors, aliases and merge keys"},
		"a merge key":                                {pipeline: "    <<: {path: x}\n", says: "anchors, aliases and merge keys"},
		"a tag":                                      {pipeline: "    path: !!str x\n", says: "tags (!) are not taken here"},
		"a second document":                          {stage: "---\na: b\n", says: "2 YAML documents"},
		"no YAML at all":                             {stage: "  ] x: [\n", says: "not valid YAML"},
		"a terminal's commands in a key are escaped": {pipeline: "    \"a\\eb\": x\n", says: `unknown key "a\x1bb"`},
		"the same environment in two stages": {stage: "      - name: production\n        environment: site-staging\n",
			says: `9:9: environment "site-staging" of application "site" is deployed to by stage "staging" of pipeline "site" already, on line 7`},
		"an environment that is another's pair": {stage: "        strategy: blue-green\n      - name: production\n        environment: site-staging-green\n",
			says: `10:9: environment "site-staging-green" of application "site" is deployed to by stage "staging" of pipeline "site" already, on line 7`},
		"the same environment in two pipelines": {stage: strings.Replace(strings.TrimPrefix(minimal(""), "pipelines:\n"), "name: site\n", "name: shop\n", 1),
			says: `13:9: environment "site-staging" of application "site" is deployed to by stage "staging" of pipeline "site" already`},
		"the same pipeline twice": {stage: strings.Replace(strings.TrimPrefix(minimal(""), "pipelines:\n"), "site-staging", "site-other", 1),
			says: `8:5: pipeline "site" is there twice; the first is on line 2`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("gravity.yaml", []byte(minimal(c.stage, c.pipeline)))
			require.ErrorContains(t, err, c.says)
			require.Equal(t, delivery.InvalidInput, delivery.TypeOf(err))
		})
	}
}

func TestAFileThatIsNoGravityYAMLIsRefusedWithASentence(t *testing.T) {
	for name, c := range map[string]struct{ text, says string }{
		"empty":           {"", `the file is empty`},
		"comments only":   {"# nothing\n", "the file is empty"},
		"a list":          {"- a\n- b\n", "the file must be a block of keys (pipelines, stacks), not a list"},
		"a text":          {"hello", "the file must be a block of keys (pipelines, stacks), not a text"},
		"no pipeline":     {"pipelines: []\n", `"pipelines" is an empty list`},
		"a binary":        {"pipelines:\n  - \xff", "gravity.yaml:2:5: this is not UTF-8 text"},
		"a blank entry":   {"pipelines:\n  -\n", `entry 1 of "pipelines" has no value`},
		"a tab as indent": {"pipelines:\n\t- name: x\n", "gravity.yaml:"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("gravity.yaml", []byte(c.text))
			require.ErrorContains(t, err, c.says)
		})
	}
}

func TestAFileMadeToExhaustTheReaderIsRefused(t *testing.T) {
	deep := func(level string) string { return strings.Repeat(level, maxFileSize/4/len(level)) }
	var indented strings.Builder
	for i := 0; indented.Len() < maxFileSize/4; i++ {
		indented.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	for name, c := range map[string]struct{ text, says string }{
		"open lists":           {deep("["), "nested more than 32 deep"},
		"open blocks":          {deep("{a: "), "nested more than 32 deep"},
		"lists in lists":       {deep("- "), "nested more than 32 deep"},
		"keys":                 {deep("a: b\n"), "more than 20000 keys"},
		"indented blocks":      {indented.String(), `unknown key "a"`},
		"tags":                 {deep("!a "), "tags (!) are not taken here"},
		"anchors":              {deep("&a "), "anchors, aliases and merge keys"},
		"complex keys":         {deep("? "), `"?" at the beginning is not taken here`},
		"an open quote":        {`a: "` + deep("x\n"), "not valid YAML"},
		"a very long word":     {deep("x"), "must be a block of keys"},
		"ever more characters": {strings.Repeat("x", maxFileSize+1), "no gravity.yaml is that large"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("gravity.yaml", []byte(c.text))
			require.ErrorContains(t, err, c.says)
			require.Less(t, len(err.Error()), 20_000)
		})
	}
}

func TestALocalRepositoryIsTakenOnlyWhenAskedFor(t *testing.T) {
	text := []byte(strings.Replace(minimal(""), "https://github.com/example/site", "/srv/git/site.git", 1))
	_, err := Parse("gravity.yaml", text)
	require.ErrorContains(t, err, "only for local use")
	_, err = Parse("gravity.yaml", text, LocalRepositories())
	require.NoError(t, err)
}

func TestProblemsStayReadableWhenThereAreThousands(t *testing.T) {
	problems := make(Problems, 1000)
	require.Contains(t, problems.Error(), "and 950 more")
	require.True(t, errors.As(error(problems), new(*delivery.Error)))
}
