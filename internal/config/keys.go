package config

import (
	"fmt"
	"net/url"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"gravity/internal/delivery"
)

// rule is what a key of gravity.yaml means and takes. The decoder checks by it and the JSON Schema
// is written from it, so that an editor and Gravity never disagree. What a key defaults to is not
// here: delivery.Pipeline.WithDefaults decides that.
type rule struct {
	about    string
	required bool
	// pattern must match a text; says is the pattern in words. It keeps to what Go's regular
	// expressions and JavaScript's, which editors use, have in common.
	pattern *regexp.Regexp
	says    string
	enum    []string
	// min and max bound a number; both zero: unbounded.
	min, max int
	// check finds what a pattern cannot; it answers with what is wrong, or "".
	check func(string) string
}

var (
	namePattern     = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$`)
	durationPattern = regexp.MustCompile(`^([0-9]+(\.[0-9]+)?(h|m|s|ms|us|ns))+$`)
)

const nameSays = "1 to 40 of a-z, 0-9 and -, beginning and ending with a letter or digit"

// rules has one entry for each key, named by the type it is in.
var rules = map[string]rule{
	"File.pipelines": {required: true, about: "What is delivered: one pipeline for each deployable part of a repository."},

	"Pipeline.name": {required: true, pattern: namePattern, says: nameSays,
		about: "Names the pipeline in run IDs and version labels. Renaming it starts a new history."},
	"Pipeline.repository": {required: true,
		about: "Clone URL: https://host/owner/name, ssh://git@host/owner/name or git@host:owner/name. Never with credentials. http:// only on this machine."},
	"Pipeline.path": {check: checkTreePath,
		about: "The part of the repository that is tested and bundled, relative to its root."},
	"Pipeline.application": {required: true, pattern: regexp.MustCompile(`^[^/\x00-\x1f\x7f]{1,100}$`), says: "1 to 100 characters without /",
		about: "The Elastic Beanstalk application."},
	"Pipeline.bucket": {pattern: regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`), says: "an S3 bucket's name: 3 to 63 of a-z, 0-9, . and -",
		about: "S3 bucket for the bundles. Without it: the bucket that Beanstalk keeps in each region."},
	"Pipeline.build":   {about: "Runs before the test and may add files to the bundle."},
	"Pipeline.test":    {about: "Decides whether there is a version at all. Without it every revision passes."},
	"Pipeline.trigger": {about: "What at GitHub starts a run, and which pushes are left out. Without it every push to a stage's branch or tag starts one."},
	"Pipeline.notify":  {about: "Who is told what becomes of runs. Telling never slows or fails a run."},
	"Pipeline.stages": {required: true,
		about: "The environments that a version passes through, in the order of promotion."},

	"Trigger.on": {enum: []string{delivery.OnPush, delivery.OnRelease, delivery.OnChecks, delivery.OnDeployment},
		about: "Events that start a run. push: of a branch or tag. release: one was published. checks: the commit's checks became green. deployment: somebody created one at GitHub."},
	"Trigger.checks": {check: checkName,
		about: "With on: [checks], the names of the checks that have to be green. Without it: all that the commit has."},
	"Trigger.paths": {check: checkPathPattern,
		about: "A push that changes no file like these starts nothing. ** stands for any folders; a pattern with ! in front takes files out."},
	"Trigger.skip": {check: checkName,
		about: "A push whose last commit's message has one of these markers starts nothing."},
	"Trigger.bots": {enum: []string{string(delivery.BotsDeploy), string(delivery.BotsIgnore)},
		about: "Whether the push of a bot starts a run."},

	"Receiver.to": {required: true, enum: []string{delivery.ToGitHub, delivery.ToSlack, delivery.ToWebhook, delivery.ToSNS},
		about: "github: statuses, deployments, a check and a comment at the commit. slack: messages. webhook: signed CloudEvents. sns: messages to a topic."},
	"Receiver.target": {check: checkName,
		about: "Where: the ID of a Slack channel, an https:// address, or the ARN of an SNS topic. Left out for github."},
	"Receiver.on": {enum: []string{delivery.MomentStarted, delivery.MomentWaiting, delivery.MomentSucceeded, delivery.MomentFailed},
		about: "The moments to tell of. failed is every end but success. Left out for github, which is told of every change."},

	"Command.run": {required: true, check: checkCommand,
		about: "Shell command, run with /bin/sh -c in the pipeline's path with a clean environment."},
	"Command.timeout": {about: "Ends the command and everything it started."},

	"Stage.name": {required: true, pattern: namePattern, says: nameSays,
		about: "What people say: staging, production."},
	"Stage.environment": {required: true, pattern: regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]{2,38}[A-Za-z0-9]$`),
		says:  "4 to 40 letters, digits and -, beginning and ending with a letter or digit",
		about: "The Elastic Beanstalk environment."},
	"Stage.branches": {check: checkBranch,
		about: "Branches whose pushes reach this stage. * stands for any characters but /, so release/* is every branch under release/."},
	"Stage.tags": {check: checkBranch,
		about: "Tags whose pushes or releases reach this stage, as patterns like those of branches. A stage with tags and no branches takes tags alone."},
	"Stage.requests": {check: checkBranch,
		about: "Branches that reach this stage only when somebody who may write to the repository asks for it at GitHub, by the comment /deploy or by a deployment."},
	"Stage.gate": {about: "What must be true before the deployment is asked for."},
	"Stage.strategy": {enum: texts(delivery.Strategies()),
		about: "How instances move to the new version: the environment's own deployment policy, which has to agree. immutable: new instances beside the old ones, which end only when the new ones are healthy."},
	"Stage.queue": {enum: []string{string(delivery.QueueLatest), string(delivery.QueueAll)},
		about: "Requests that wait for the environment. latest: a newer one of the same pipeline replaces them. all: first come, first served."},
	"Stage.drift": {enum: []string{string(delivery.DriftStop), string(delivery.DriftOverwrite)},
		about: "When somebody deployed by hand. stop: leave it and fail. overwrite: deploy over it."},
	"Stage.deadline": {about: "Bounds the update and its proof of health; past it the environment is taken back to its last good version."},
	"Stage.patience": {about: "How long to wait while somebody else's update holds the environment."},
	"Stage.health":   {about: "When a deployment is good."},

	"Gate.approval": {about: "Asks a person. approval: {} asks with the default timeout; leave the key out to ask nobody."},

	"Approval.timeout": {about: "Without an answer in this time the run ends as rejected."},

	"Health.accept": {enum: []string{"NoData", "Unknown", "Pending", "Ok", "Info", "Warning", "Degraded", "Severe", "Suspended"},
		about: "Enhanced health statuses that count as healthy."},
	"Health.steady": {about: "How long the health must stay acceptable without a break."},
	"Health.settle": {about: "How long after the update the environment may take to become steady."},
	"Health.check":  {about: "An HTTP request that a good deployment answers as expected. Recommended."},

	"Check.url": {check: checkURL,
		about: "Address to ask instead of the environment's own: https://www.example.com, without a path."},
	"Check.path": {pattern: regexp.MustCompile(`^/[^\s#]*$`), says: "a path that begins with /, without spaces or #", check: checkPath,
		about: "Requested with GET."},
	"Check.status": {min: 100, max: 599, about: "The one status code that passes."},
	"Check.contains": {check: checkContains,
		about: "Must occur in the first 64 KiB of the body. ${version} and ${revision} stand for the version label and the full hash."},
	"Check.times":   {min: 1, max: 20, about: "How many requests in a row must pass, so that more than one instance is asked."},
	"Check.timeout": {about: "Of one request."},
}

// fields lists a struct's keys in the order of its fields.
func fields(t reflect.Type) []field {
	var found []field
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
		if name != "" && name != "-" {
			found = append(found, field{name: name, index: i, rule: rules[t.Name()+"."+name], of: t.Field(i).Type})
		}
	}
	return found
}

type field struct {
	name  string
	index int
	rule  rule
	of    reflect.Type
}

func names(of []field) []string {
	all := make([]string, len(of))
	for i, f := range of {
		all[i] = f.name
	}
	return all
}

// owners lists the keys under which a key of this name may stand, for one that stands elsewhere.
func owners(name string, t reflect.Type) []string {
	var found []string
	for _, f := range fields(t) {
		inner := f.of
		for inner.Kind() == reflect.Pointer || inner.Kind() == reflect.Slice {
			inner = inner.Elem()
		}
		if inner.Kind() != reflect.Struct {
			continue
		}
		if slices.Contains(names(fields(inner)), name) {
			found = append(found, f.name)
		}
		found = append(found, owners(name, inner)...)
	}
	slices.Sort(found)
	return slices.Compact(found)
}

func checkTreePath(value string) string {
	if value == "." || (path.Clean(value) == value && !path.IsAbs(value) && value != ".." && !strings.HasPrefix(value, "../") && !strings.ContainsAny(value, "\\\x00\n")) {
		return ""
	}
	return `must be a folder inside the repository, such as "." or services/shop`
}

func checkCommand(value string) string {
	if strings.TrimSpace(value) == "" {
		return "is blank; write the command, or remove the block"
	}
	if strings.ContainsRune(value, 0) {
		return "contains a NUL character, which no shell takes"
	}
	return ""
}

func checkBranch(value string) string {
	if _, err := path.Match(value, ""); err != nil {
		return `is no pattern: a [ is not closed, or a \ stands at the end`
	}
	if strings.HasPrefix(value, "refs/") {
		return "is a ref; write the branch's name alone, such as main"
	}
	return ""
}

func checkName(value string) string {
	if strings.TrimSpace(value) == "" || len(value) > 200 {
		return "must be a text of 1 to 200 characters"
	}
	return ""
}

func checkPathPattern(value string) string {
	pattern := strings.TrimPrefix(value, "!")
	if pattern == "" || !doublestar.ValidatePattern(pattern) {
		return `is no pattern: a [ or { is not closed, or a \ stands at the end`
	}
	if strings.HasPrefix(pattern, "/") || strings.HasPrefix(pattern, "./") {
		return "begins at the repository's root without saying so: write docs/**, not /docs/**"
	}
	return ""
}

func checkURL(value string) string {
	parsed, err := url.Parse(value)
	switch {
	case err != nil || (parsed.Scheme != "http" && parsed.Scheme != "https") || parsed.Hostname() == "":
		return "must be an address such as https://www.example.com"
	case parsed.User != nil:
		return "must not carry credentials"
	case strings.Trim(parsed.Path, "/") != "" || parsed.RawQuery != "" || parsed.Fragment != "":
		return "must be the address alone; what is requested there goes into path"
	}
	return ""
}

func checkPath(value string) string {
	if _, err := url.ParseRequestURI(value); err != nil {
		return "is no path that can be requested"
	}
	return ""
}

var placeholder = regexp.MustCompile(`\$\{([^}]*)\}`)

// checkContains refuses a misspelt placeholder: it would be looked for as it stands, never found,
// and take every deployment back.
func checkContains(value string) string {
	known := []string{"version", "revision"}
	for _, match := range placeholder.FindAllStringSubmatch(value, -1) {
		if !slices.Contains(known, match[1]) {
			return fmt.Sprintf("has a placeholder %q that stands for nothing; there are ${version} and ${revision}", clipped(match[0]))
		}
	}
	return ""
}

// texts are the values of an enumeration.
func texts[T ~string](values []T) []string {
	var texts []string
	for _, value := range values {
		texts = append(texts, string(value))
	}
	return texts
}
