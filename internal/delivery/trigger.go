package delivery

import (
	"path"
	"slices"
	"strings"
)

// Trigger says what at GitHub starts a run of a pipeline, and which pushes are left out.
type Trigger struct {
	// On lists the events that start a run. Default: push.
	On []string `json:"on,omitempty" yaml:"on,omitempty"`
	// Checks are those that have to be green where On has checks, by the names that GitHub shows.
	Checks []string `json:"checks,omitempty" yaml:"checks,omitempty"`
	// Paths are patterns of changed files: a push that changes none of them starts nothing. Those with
	// ! in front take files out again. Default: every push counts.
	Paths []string `json:"paths,omitempty" yaml:"paths,omitempty"`
	// Skip are markers: a push whose last commit's message has one starts nothing. Default: those of GitHub's own Actions.
	Skip []string `json:"skip,omitempty" yaml:"skip,omitempty"`
	// Bots says what becomes of the pushes of bots. Default: they count.
	Bots BotPolicy `json:"bots,omitempty" yaml:"bots,omitempty"`
}

// Events that can start a run by themselves. Commands in comments and a check that is asked for again are
// requests by people, and need no entry.
const (
	OnPush       = "push"       // a branch or a tag was pushed
	OnRelease    = "release"    // a release was published
	OnChecks     = "checks"     // the checks of a commit became green
	OnDeployment = "deployment" // somebody created a deployment at GitHub
)

// BotPolicy decides about the pushes of bots.
type BotPolicy string

const (
	// BotsDeploy lets a bot's push start a run as anybody's.
	BotsDeploy BotPolicy = "deploy"
	// BotsIgnore leaves it out.
	BotsIgnore BotPolicy = "ignore"
)

// DefaultSkip are the markers that GitHub's own Actions obey.
var DefaultSkip = []string{"[skip ci]", "[ci skip]", "[no ci]", "[skip actions]", "[actions skip]"}

func (t Trigger) withDefaults() Trigger {
	if len(t.On) == 0 {
		t.On = []string{OnPush}
	}
	if len(t.Skip) == 0 {
		t.Skip = slices.Clone(DefaultSkip)
	}
	orElse(&t.Bots, BotsDeploy)
	return t
}

// Starts reports whether an event starts runs of the pipeline.
func (p Pipeline) Starts(on string) bool {
	if len(p.Trigger.On) == 0 {
		return on == OnPush // a pipeline of before there was a choice
	}
	return slices.Contains(p.Trigger.On, on)
}

const (
	branchPrefix = "refs/heads/"
	tagPrefix    = "refs/tags/"
)

// Tag is the tag's name of Ref, or "" when Ref is no tag.
func (r Revision) Tag() string {
	if tag, ok := strings.CutPrefix(r.Ref, tagPrefix); ok {
		return tag
	}
	return ""
}

// RefName is the name of a branch or tag as people say it.
func (r Revision) RefName() string {
	return strings.TrimPrefix(strings.TrimPrefix(r.Ref, branchPrefix), tagPrefix)
}

// Reached lists the stages that a run of a ref passes through, in order: those whose branches or tags name
// it. With until, a run that somebody asked for ends after the stage of that name, which takes what
// its requests name as well; it is empty when that stage does not take the ref.
func (p Pipeline) Reached(ref, until string) []Stage {
	var reached []Stage
	for _, stage := range p.Stages {
		wanted := until != "" && stage.Name == until
		if stage.reachedBy(ref) || wanted && stage.takesRequest(ref) {
			reached = append(reached, stage)
		} else if wanted {
			return nil
		}
		if wanted {
			return reached
		}
	}
	if until != "" {
		return nil // there is no such stage
	}
	return reached
}

func (s Stage) reachedBy(ref string) bool {
	if branch, ok := strings.CutPrefix(ref, branchPrefix); ok {
		return s.Serves(branch)
	}
	tag, ok := strings.CutPrefix(ref, tagPrefix)
	return ok && matchesAny(s.Tags, tag)
}

func (s Stage) takesRequest(ref string) bool {
	branch, ok := strings.CutPrefix(ref, branchPrefix)
	return ok && matchesAny(s.Requests, branch)
}

func matchesAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		matched, err := path.Match(pattern, name)
		return err == nil && matched
	})
}

// Named finds a stage by its name or by its environment's.
func (p Pipeline) Named(name string) (Stage, bool) {
	for _, stage := range p.Stages {
		if stage.Name == name || stage.Environment == name {
			return stage, true
		}
	}
	return Stage{}, false
}
