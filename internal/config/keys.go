package config

import (
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // time zones are checked and used on machines that have no database of their own
	"unicode"

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
	clockPattern    = regexp.MustCompile(`^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$`)
	durationPattern = regexp.MustCompile(`^([0-9]+(\.[0-9]+)?(h|m|s|ms|us|ns))+$`)
)

const nameSays = "1 to 40 of a-z, 0-9 and -, beginning and ending with a letter or digit"

// rules has one entry for each key, named by the type it is in.
var rules = map[string]rule{
	"File.pipelines": {required: true, about: "What is delivered: one pipeline for each deployable part of a repository."},

	"File.stacks": {about: "The CloudFormation stacks that the pipelines stand on; starter provision makes and changes them."},

	"Pipeline.name": {required: true, pattern: namePattern, says: nameSays,
		about: "Names the pipeline in run IDs and version labels. Renaming it starts a new history."},
	"Pipeline.repository": {required: true,
		about: "Clone URL: https://host/owner/name, ssh://git@host/owner/name or git@host:owner/name. Never with credentials. http:// only on this machine."},
	"Pipeline.path": {check: checkTreePath,
		about: "The part of the repository that is tested and bundled, relative to its root."},
	"Pipeline.application": {required: true, pattern: regexp.MustCompile(`^[^/\x00-\x1f\x7f]{1,100}$`), says: "1 to 100 characters without /",
		about: "The Elastic Beanstalk application."},
	"Pipeline.bucket": {pattern: regexp.MustCompile(`^([a-z0-9][a-z0-9.-]{1,61}[a-z0-9]|\$\{[A-Za-z][A-Za-z0-9-]*\.[A-Za-z0-9]+\})$`),
		says:  "an S3 bucket's name (3 to 63 of a-z, 0-9, . and -), or a stack's output such as ${gravity-site.Bucket}",
		about: "S3 bucket for the bundles, or the output of a stack: ${stack.Output}. Without it: the bucket that Beanstalk keeps in each region."},
	"Pipeline.checkout": {about: "What comes in beside the repository's own files."},
	"Pipeline.sandbox":  {about: "Bounds what the build and test commands may use and reach."},
	"Pipeline.cache":    {about: "Keeps what the commands' tools download and compile from one run to the next, on the workers and in S3."},
	"Pipeline.build":    {about: "Runs before the test and may add files to the bundle."},
	"Pipeline.test":     {about: "Decides whether there is a version at all. Without it every revision passes."},
	"Pipeline.keep": {min: 5, max: 900,
		about: "How many versions of this pipeline the application holds. Older ones are removed, but never one that an environment is on or could return to."},
	"Pipeline.trigger": {about: "What at GitHub starts a run, and which pushes are left out. Without it every push to a stage's branch or tag starts one."},
	"Pipeline.notify":  {about: "Who is told what becomes of runs. Telling never slows or fails a run."},
	"Pipeline.stages": {required: true,
		about: "The environments that a version passes through, in the order of promotion."},

	"Stack.name": {required: true, pattern: regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]{0,127}$`), says: "1 to 128 letters, digits and -, beginning with a letter",
		about: "The stack's name in CloudFormation."},
	"Stack.template": {required: true, check: checkTemplate,
		about: "pipeline, environment, alarms or hardened-image, which come with Gravity, or a file beside this one: shop.yaml."},
	"Stack.parameters": {about: "The template's parameters. ${stack.Output} stands for the output of another stack."},
	"Stack.role": {pattern: regexp.MustCompile(`^(arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]+|\$\{[A-Za-z][A-Za-z0-9-]*\.[A-Za-z0-9]+\})$`),
		says:  "the ARN of a role, or a stack's output such as ${gravity-site.ProvisionRoleArn}",
		about: "The role that CloudFormation takes for this stack. Without it: the worker's own permissions."},
	"Stack.after":    {about: "Stacks that come first although no parameter refers to them."},
	"Stack.approval": {about: "Asks a person before a change is carried out. approval: {} asks with the default timeout; leave the key out to ask nobody."},
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

	"Test.run": {required: true, check: checkCommand,
		about: "Shell command, run with /bin/sh -c in the pipeline's path with a clean environment."},
	"Test.timeout": {about: "Ends one attempt and everything it started."},
	"Test.reports": {check: checkFilePattern,
		about: "Patterns of the JUnit XML files that the command writes, such as build/junit/**/*.xml. Failed tests are then named."},
	"Test.retries": {min: 0, max: 5, about: "How often a command that failed runs again. What passes only then is reported as flaky."},
	"Test.matrix":  {about: "Runs the command once for each combination of these variables' values, side by side on as many workers as are free."},

	"Axis.variable": {required: true, pattern: regexp.MustCompile(`^[A-Z][A-Z0-9_]{0,39}$`), says: "1 to 40 of A-Z, 0-9 and _, beginning with a letter", check: checkVariable,
		about: "Environment variable that the command sees."},
	"Axis.values": {required: true, pattern: regexp.MustCompile(`^[^\x00-\x20\x7f][^\x00-\x1f\x7f]{0,99}$`), says: "1 to 100 characters on one line",
		about: "Values that it takes."},

	"Checkout.submodules": {about: "Brings in the submodules, each held to the same rules as the repository."},
	"Checkout.lfs":        {about: "Brings in the files that Git LFS keeps elsewhere, instead of their pointers. The worker needs git-lfs."},

	"Sandbox.memory":    {min: 16, max: 1 << 20, about: "Memory of a command and everything it starts, in megabytes. Without it: what the worker allows."},
	"Sandbox.processes": {min: 8, max: 100_000, about: "Processes and threads of a command. Without it: what the worker allows."},
	"Sandbox.file-size": {min: 1, max: 1 << 20, about: "The largest file that a command may write, in megabytes."},
	"Sandbox.output":    {min: 1, max: 1024, about: "Ends a command that prints more, in megabytes."},
	"Sandbox.network": {enum: []string{string(delivery.NetworkFull), string(delivery.NetworkNone)},
		about: "What a command may reach. none: 127.0.0.1 alone."},
	"Sandbox.container": {pattern: regexp.MustCompile(`^[a-z0-9][A-Za-z0-9._:/@-]{0,254}$`), says: "the name of an image, such as golang:1.26",
		about: "Image of the container that the commands run in. Without it they run on the worker itself."},

	"Cache.files": {required: true, check: checkFilePattern,
		about: "Patterns of the lock files whose content decides which cache is found, such as go.sum or package-lock.json."},

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
	"Stage.drift": {enum: []string{string(delivery.DriftStop), string(delivery.DriftAdopt), string(delivery.DriftOverwrite)},
		about: "When somebody deployed or changed the configuration by hand. stop: leave it and fail. adopt: take it as intended, and as the version to return to. overwrite: deploy over it."},
	"Stage.deadline": {about: "Bounds the update and its proof of health; past it the environment is taken back to its last good version."},
	"Stage.patience": {about: "How long to wait while somebody else's update holds the environment."},
	"Stage.health":   {about: "When a deployment is good."},
	"Stage.bake":     {about: "How long after a good deployment alarms and checks go on watching, and can still take it back. The next stage begins after it."},
	"Stage.cname": {pattern: regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]{2,61}[A-Za-z0-9]$`),
		says:  "4 to 63 letters, digits and -, beginning and ending with a letter or digit",
		about: "With blue-green: the prefix of the address that users have, which moves from environment to environment. Without it: the environment's name."},

	"Gate.approval": {about: "Asks a person. approval: {} asks with the default timeout; leave the key out to ask nobody."},

	"Gate.windows": {about: "When deployments may start."},
	"Gate.alarms":  {check: checkAlarm, about: "CloudWatch alarms that must be quiet."},
	"Gate.checks":  {check: checkLine, about: "GitHub checks and commit statuses that must be green on the revision."},
	"Gate.rest":    {about: "The shortest time between the end of the previous stage and this deployment."},
	"Gate.timeout": {about: "When the gate, its approval aside, has not opened in this time, the run ends as rejected."},

	"Approval.count": {min: 1, max: 10, about: "How many different people must approve. One rejection ends the run."},
	"Approval.users": {pattern: regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.@-]{0,99}$`), says: "a login",
		about: "Who may answer, by login."},
	"Approval.teams": {pattern: regexp.MustCompile(`^[A-Za-z0-9-]+/[A-Za-z0-9_.-]+$`), says: "organization/team",
		about: "GitHub teams whose members may answer; membership is looked up at the moment of the answer."},
	"Approval.four-eyes": {about: "The author of the revision cannot approve it."},
	"Approval.timeout":   {about: "When nobody's answer becomes one."},
	"Approval.otherwise": {enum: []string{string(delivery.OtherwiseReject), string(delivery.OtherwiseApprove)},
		about: "What nobody's answer means at the timeout."},

	"Windows.time-zone": {check: checkTimeZone, about: "A name of the IANA database, such as Europe/Berlin."},
	"Windows.open":      {required: true, about: "The windows; one of them has to be open."},
	"Windows.holidays":  {check: checkDay, about: "Days on which no window is open, as 2026-12-24."},

	"Window.days": {enum: delivery.Weekdays(), about: "Days of the week."},
	"Window.from": {required: true, pattern: clockPattern, says: "a time of the day such as 09:00", about: "When it opens."},
	"Window.to":   {required: true, pattern: clockPattern, says: "a time of the day such as 16:30, or 24:00", about: "When it closes."},

	"Health.accept": {enum: []string{"NoData", "Unknown", "Pending", "Ok", "Info", "Warning", "Degraded", "Severe", "Suspended"},
		about: "Enhanced health statuses that count as healthy."},
	"Health.steady":   {about: "How long the health must stay acceptable without a break."},
	"Health.settle":   {about: "How long after the update the environment may take to become steady."},
	"Health.requests": {about: "What users may notice: the share of errors and the latency, as enhanced health measures them over the last ten seconds."},
	"Health.compare":  {about: "How much worse than the old version the new one may be while a traffic-splitting update evaluates it."},
	"Health.alarms":   {check: checkAlarm, about: "CloudWatch alarms that must not be in alarm after the update, nor during the bake."},
	"Health.probe":    {about: "A command that a good deployment passes."},

	"Requests.errors":  {min: 0, max: 100, about: "The highest share of answers with a status of 500 and above, in percent."},
	"Requests.latency": {about: "The longest time within which the percentile of the requests may be answered."},
	"Requests.percentile": {enum: []string{"P10", "P50", "P75", "P85", "P90", "P95", "P99", "P999"},
		about: "Of the latency."},
	"Requests.least": {min: 1, max: 1_000_000, about: "Below this number of requests nothing is said about them."},

	"Comparison.errors":  {min: 0, max: 100, about: "By how many percentage points more requests may fail than on the old version."},
	"Comparison.latency": {min: 1, max: 1000, about: "How many times as long as on the old version the 99th percentile may take."},
	"Comparison.least":   {min: 1, max: 1_000_000, about: "Below this number of requests on either side nothing is said about them."},

	"Probe.run": {required: true, check: checkCommand,
		about: "Shell command, run on a worker with /bin/sh -c and a clean environment in which GRAVITY_URL, GRAVITY_VERSION and GRAVITY_REVISION stand. Exit code 0 passes."},
	"Probe.timeout": {about: "Ends the command and everything it started."},

	"Health.check": {about: "An HTTP request that a good deployment answers as expected. Recommended."},

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

// checkFilePattern keeps patterns of files inside the pipeline's path.
func checkFilePattern(value string) string {
	if !fs.ValidPath(value) || strings.ContainsAny(value, "\\\x00\n") || !doublestar.ValidatePattern(value) {
		return `must be a pattern of files below the pipeline's path, such as build/junit/**/*.xml`
	}
	return ""
}

// checkVariable refuses the names that Gravity sets itself, and those that change which programs run.
func checkVariable(value string) string {
	if strings.HasPrefix(value, "GRAVITY_") || slices.Contains([]string{"PATH", "HOME", "TMPDIR", "PWD", "CI"}, value) || strings.HasPrefix(value, "LD_") {
		return "is set by Gravity itself; choose another"
	}
	return ""
}

func checkTemplate(value string) string {
	if templateName.MatchString(value) {
		return ""
	}
	if strings.HasSuffix(value, ".yaml") {
		if checkTreePath(value) != "" {
			return "must be a file in the folder of this one, or below it"
		}
		return ""
	}
	return "must be the name of a template that comes with Gravity, or a file that ends in .yaml"
}

var templateName = regexp.MustCompile(`^[a-z][a-z-]*$`)

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

func checkTimeZone(value string) string {
	if _, err := time.LoadLocation(value); err != nil || value == "Local" {
		return "is no time zone of the IANA database; write one such as Europe/Berlin or UTC"
	}
	return ""
}

func checkDay(value string) string {
	if _, err := time.Parse(time.DateOnly, value); err != nil {
		return "is no day; write it as 2026-12-24"
	}
	return ""
}

// checkAlarm keeps to what CloudWatch takes for the name of an alarm.
func checkAlarm(value string) string {
	if len(value) > 255 {
		return "is longer than the 255 characters that CloudWatch allows"
	}
	return checkLine(value)
}

func checkLine(value string) string {
	if len(value) > 255 || strings.TrimSpace(value) != value || strings.ContainsFunc(value, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return "is no name: at most 255 characters that can be seen, without spaces at its ends"
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
