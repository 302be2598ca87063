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
	"Pipeline.checkout": {about: "What comes in beside the repository's own files."},
	"Pipeline.sandbox":  {about: "Bounds what the build and test commands may use and reach."},
	"Pipeline.cache":    {about: "Keeps what the commands' tools download and compile from one run to the next, on the workers and in S3."},
	"Pipeline.build":    {about: "Runs before the test and may add files to the bundle."},
	"Pipeline.test":     {about: "Decides whether there is a version at all. Without it every revision passes."},
	"Pipeline.stages": {required: true,
		about: "The environments that a version passes through, in the order of promotion."},

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
