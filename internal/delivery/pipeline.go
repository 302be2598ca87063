package delivery

import (
	"path"
	"time"
)

// Pipeline is a repository, how to test and bundle it, and the stages that its versions pass
// through in order. A run carries its whole pipeline as input, so that a change of gravity.yaml
// never reaches a run that is under way.
type Pipeline struct {
	// Name identifies the pipeline in run IDs and version labels: 1 to 40 of a-z, 0-9 and "-".
	Name string `json:"name" yaml:"name"`
	// Repository is the clone URL: https://, ssh:// or git@host:path. Never with credentials.
	Repository string `json:"repository" yaml:"repository"`
	// Path is the part of the repository that is tested and bundled. Default: all of it, ".".
	Path string `json:"path,omitempty" yaml:"path,omitempty"`
	// Application is the Beanstalk application.
	Application string `json:"application" yaml:"application"`
	// Bucket is the S3 bucket for bundles. Default: the storage bucket that Beanstalk keeps in
	// every region (CreateStorageLocation).
	Bucket string `json:"bucket,omitempty" yaml:"bucket,omitempty"`
	// Build runs before the test and may add files to the bundle. Optional.
	Build *Command `json:"build,omitempty" yaml:"build,omitempty"`
	// Test decides whether there is a version at all. Without one every revision passes.
	Test *Command `json:"test,omitempty" yaml:"test,omitempty"`
	// Trigger says what at GitHub starts a run. Default: every push.
	Trigger Trigger `json:"trigger,omitzero" yaml:"trigger,omitempty"`
	// Notify lists who is told what becomes of runs. Default: nobody.
	Notify []Receiver `json:"notify,omitempty" yaml:"notify,omitempty"`
	// Stages in the order of promotion.
	Stages []Stage `json:"stages" yaml:"stages"`
}

// Command is a shell command of the project, run in Pipeline.Path with a clean environment.
type Command struct {
	// Run is passed to /bin/sh -c.
	Run string `json:"run" yaml:"run"`
	// Timeout ends the command and all its descendants. Default 10m.
	Timeout Duration `json:"timeout,omitempty" yaml:"timeout,omitempty"`
}

// Stage is one Beanstalk environment of a pipeline, with its gate and its rules.
type Stage struct {
	// Name is what people say: staging, production.
	Name string `json:"name" yaml:"name"`
	// Environment is the Beanstalk environment's name.
	Environment string `json:"environment" yaml:"environment"`
	// Branches that reach this stage, as path.Match patterns. Default: main.
	Branches []string `json:"branches,omitempty" yaml:"branches,omitempty"`
	// Tags that reach this stage, as path.Match patterns. Default: none.
	Tags []string `json:"tags,omitempty" yaml:"tags,omitempty"`
	// Requests are branches that do not reach this stage by being pushed, but by somebody who may write to
	// the repository asking for it at GitHub. Default: none.
	Requests []string `json:"requests,omitempty" yaml:"requests,omitempty"`
	// Gate is what must be true before the deployment is requested. Default: nothing.
	Gate Gate `json:"gate,omitzero" yaml:"gate,omitempty"`
	// Strategy is how instances are replaced. Default: immutable.
	Strategy Strategy `json:"strategy,omitempty" yaml:"strategy,omitempty"`
	// Queue is what happens to requests that wait for the environment. Default: latest.
	Queue QueuePolicy `json:"queue,omitempty" yaml:"queue,omitempty"`
	// Drift is what to do when somebody deployed by hand. Default: stop.
	Drift DriftPolicy `json:"drift,omitempty" yaml:"drift,omitempty"`
	// Deadline bounds the update and its proof of health. Default 1h: an immutable update of three
	// small instances has been seen to take 18 minutes.
	Deadline Duration `json:"deadline,omitempty" yaml:"deadline,omitempty"`
	// Patience is how long a deployment waits while somebody else's update holds the environment. Default 1h.
	Patience Duration `json:"patience,omitempty" yaml:"patience,omitempty"`
	// Health decides when a deployment is good.
	Health Health `json:"health,omitzero" yaml:"health,omitempty"`
}

// Serves reports whether pushes to the branch reach this stage.
func (s Stage) Serves(branch string) bool {
	for _, pattern := range s.Branches {
		if matched, err := path.Match(pattern, branch); err == nil && matched {
			return true
		}
	}
	return false
}

// StagesFor lists the stages that a push to the branch passes through, in order.
func (p Pipeline) StagesFor(branch string) []Stage {
	var stages []Stage
	for _, stage := range p.Stages {
		if stage.Serves(branch) {
			stages = append(stages, stage)
		}
	}
	return stages
}

// Gate is what must be true before a stage's deployment is requested.
type Gate struct {
	// Approval asks a person. Absent: nobody is asked.
	Approval *Approval `json:"approval,omitempty" yaml:"approval,omitempty"`
}

// Approval is the rule of one person's answer.
type Approval struct {
	// Timeout ends the run as rejected when nobody answered. Default 72h.
	Timeout Duration `json:"timeout,omitempty" yaml:"timeout,omitempty"`
}

// Strategy is how an environment's instances move to another version.
type Strategy string

const (
	// Immutable launches new instances beside the old ones and ends the old ones only after the new
	// ones were healthy.
	Immutable Strategy = "immutable"
	// TrafficSplitting launches as many new instances as there are old ones, and gives them a share
	// of the requests for a time of evaluation first.
	TrafficSplitting Strategy = "traffic-splitting"
	// Rolling brings the version to the instances in batches, of which each is out of service meanwhile.
	Rolling Strategy = "rolling"
	// RollingWithAdditionalBatch is Rolling with one batch of new instances more, so that none is missed.
	RollingWithAdditionalBatch Strategy = "rolling-with-additional-batch"
	// AllAtOnce brings the version to all instances at the same time; users notice.
	AllAtOnce Strategy = "all-at-once"
)

// Strategies lists them, from the safest to the quickest.
func Strategies() []Strategy {
	return []Strategy{Immutable, TrafficSplitting, RollingWithAdditionalBatch, Rolling, AllAtOnce}
}

// Policy is the strategy in Beanstalk's own spelling, as the option DeploymentPolicy has it; empty
// for a strategy that there is not.
func (s Strategy) Policy() string {
	switch s {
	case Immutable:
		return "Immutable"
	case TrafficSplitting:
		return "TrafficSplitting"
	case Rolling:
		return "Rolling"
	case RollingWithAdditionalBatch:
		return "RollingWithAdditionalBatch"
	case AllAtOnce:
		return "AllAtOnce"
	default:
		return ""
	}
}

// QueuePolicy decides what becomes of requests that wait for an environment.
type QueuePolicy string

const (
	// QueueLatest lets a newer request of the same pipeline and stage replace those that wait.
	QueueLatest QueuePolicy = "latest"
	// QueueAll serves every request, first come, first served.
	QueueAll QueuePolicy = "all"
)

// DriftPolicy decides what a deployment does when the environment is not on the version that was
// last deployed there.
type DriftPolicy string

const (
	// DriftStop leaves the environment as found and fails the deployment.
	DriftStop DriftPolicy = "stop"
	// DriftOverwrite deploys over what was found.
	DriftOverwrite DriftPolicy = "overwrite"
)

// Health says when a deployment is good. The environment must be Ready on the wanted version, all
// instances must run it, its enhanced health must stay within Accept for Steady, and Check must pass.
type Health struct {
	// Accept lists the enhanced health statuses that count as healthy. Default: Ok, Info.
	Accept []string `json:"accept,omitempty" yaml:"accept,omitempty"`
	// Steady is how long the health must stay acceptable without a break. Default 30s.
	Steady Duration `json:"steady,omitempty" yaml:"steady,omitempty"`
	// Settle is how long after the update the environment may take to become steady. Default 5m:
	// Beanstalk's health lags behind its status.
	Settle Duration `json:"settle,omitempty" yaml:"settle,omitempty"`
	// Check is a request to the public address. Optional, and recommended.
	Check *Check `json:"check,omitempty" yaml:"check,omitempty"`
}

// Check is an HTTP request that a good deployment answers as expected.
type Check struct {
	// URL overrides the environment's own address (http://CNAME), for a domain of the team's own.
	URL string `json:"url,omitempty" yaml:"url,omitempty"`
	// Path is requested with GET. Default "/".
	Path string `json:"path,omitempty" yaml:"path,omitempty"`
	// Status is the one accepted status code. Default 200.
	Status int `json:"status,omitempty" yaml:"status,omitempty"`
	// Contains must occur in the first 64 KiB of the body; ${version} and ${revision} stand for the
	// version label and the full hash.
	Contains string `json:"contains,omitempty" yaml:"contains,omitempty"`
	// Times is how many requests in a row must pass, so that more than one instance is asked. Default 3.
	Times int `json:"times,omitempty" yaml:"times,omitempty"`
	// Timeout of one request. Default 5s.
	Timeout Duration `json:"timeout,omitempty" yaml:"timeout,omitempty"`
}

// Defaults of a gravity.yaml that says nothing else.
const (
	DefaultCommandTimeout  = Duration(10 * time.Minute)
	DefaultDeadline        = Duration(time.Hour)
	DefaultPatience        = Duration(time.Hour)
	DefaultApprovalTimeout = Duration(72 * time.Hour)
	DefaultSteady          = Duration(30 * time.Second)
	DefaultSettle          = Duration(5 * time.Minute)
	DefaultCheckTimeout    = Duration(5 * time.Second)
	DefaultCheckTimes      = 3
)

// WithDefaults fills in what a pipeline leaves out. Config loading applies it once, so that workflows read
// complete values only.
func (p Pipeline) WithDefaults() Pipeline {
	if p.Path == "" {
		p.Path = "."
	}
	p.Build = p.Build.withDefaults()
	p.Test = p.Test.withDefaults()
	p.Trigger = p.Trigger.withDefaults()
	if len(p.Notify) > 0 {
		receivers := make([]Receiver, len(p.Notify))
		for i, receiver := range p.Notify {
			receivers[i] = receiver.withDefaults()
		}
		p.Notify = receivers
	}
	stages := make([]Stage, len(p.Stages))
	for i, stage := range p.Stages {
		stages[i] = stage.withDefaults()
	}
	p.Stages = stages
	return p
}

func (c *Command) withDefaults() *Command {
	if c == nil {
		return nil
	}
	filled := *c
	orElse(&filled.Timeout, DefaultCommandTimeout)
	return &filled
}

func (s Stage) withDefaults() Stage {
	if len(s.Branches) == 0 && len(s.Tags) == 0 {
		s.Branches = []string{"main"}
	}
	if s.Gate.Approval != nil {
		approval := *s.Gate.Approval
		orElse(&approval.Timeout, DefaultApprovalTimeout)
		s.Gate.Approval = &approval
	}
	orElse(&s.Strategy, Immutable)
	orElse(&s.Queue, QueueLatest)
	orElse(&s.Drift, DriftStop)
	orElse(&s.Deadline, DefaultDeadline)
	orElse(&s.Patience, DefaultPatience)
	if len(s.Health.Accept) == 0 {
		s.Health.Accept = []string{"Ok", "Info"}
	}
	orElse(&s.Health.Steady, DefaultSteady)
	orElse(&s.Health.Settle, DefaultSettle)
	if s.Health.Check != nil {
		check := *s.Health.Check
		orElse(&check.Path, "/")
		orElse(&check.Status, 200)
		orElse(&check.Times, DefaultCheckTimes)
		orElse(&check.Timeout, DefaultCheckTimeout)
		s.Health.Check = &check
	}
	return s
}

func orElse[T comparable](value *T, fallback T) {
	var zero T
	if *value == zero {
		*value = fallback
	}
}
