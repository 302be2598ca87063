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
	// Checkout says what comes in beside the repository's own files. Default: nothing.
	Checkout Checkout `json:"checkout,omitzero" yaml:"checkout,omitempty"`
	// Sandbox bounds what the build and test commands may use and reach.
	Sandbox Sandbox `json:"sandbox,omitzero" yaml:"sandbox,omitempty"`
	// Cache keeps what the commands' tools download and compile from one run to the next. Optional.
	Cache *Cache `json:"cache,omitempty" yaml:"cache,omitempty"`
	// Build runs before the test and may add files to the bundle. Optional.
	Build *Command `json:"build,omitempty" yaml:"build,omitempty"`
	// Test decides whether there is a version at all. Without one every revision passes.
	Test *Test `json:"test,omitempty" yaml:"test,omitempty"`
	// Keep is how many versions of this pipeline the application holds; older ones are removed, but
	// never one that an environment is on, or could return to. Default 50; Beanstalk's usual quota is
	// 1,000 versions a region, over all applications.
	Keep int `json:"keep,omitempty" yaml:"keep,omitempty"`
	// Trigger says what at GitHub starts a run. Default: every push.
	Trigger Trigger `json:"trigger,omitzero" yaml:"trigger,omitempty"`
	// Notify lists who is told what becomes of runs. Default: nobody.
	Notify []Receiver `json:"notify,omitempty" yaml:"notify,omitempty"`
	// Stages in the order of promotion.
	Stages []Stage `json:"stages" yaml:"stages"`
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
	// Bake is how long after a good deployment the stage's alarms and checks go on watching, and can
	// still take it back. The next stage begins after it. Default: no bake.
	Bake Duration `json:"bake,omitempty" yaml:"bake,omitempty"`
	// CNAME is the prefix of the address that users have, which blue-green moves from the old
	// environment to the new one. Default: the environment's name. Other strategies don't read it.
	CNAME string `json:"cname,omitempty" yaml:"cname,omitempty"`
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
	// DriftAdopt takes what was found as intended: it is the version to return to, if it is healthy.
	DriftAdopt DriftPolicy = "adopt"
	// DriftOverwrite deploys over what was found, and returns to the version that Gravity deployed last.
	DriftOverwrite DriftPolicy = "overwrite"
)

// Defaults of a gravity.yaml that says nothing else.
const (
	DefaultCommandTimeout  = Duration(10 * time.Minute)
	DefaultOutput          = 64 // megabytes
	DefaultDeadline        = Duration(time.Hour)
	DefaultPatience        = Duration(time.Hour)
	DefaultApprovalTimeout = Duration(72 * time.Hour)
	DefaultGateTimeout     = Duration(7 * 24 * time.Hour)
	DefaultSteady          = Duration(30 * time.Second)
	DefaultSettle          = Duration(5 * time.Minute)
	DefaultCheckTimeout    = Duration(5 * time.Second)
	DefaultCheckTimes      = 3
	DefaultProbeTimeout    = Duration(time.Minute)
	DefaultKeep            = 50
)

// WithDefaults fills in what a pipeline leaves out. Config loading applies it once, so that workflows read
// complete values only.
func (p Pipeline) WithDefaults() Pipeline {
	if p.Path == "" {
		p.Path = "."
	}
	orElse(&p.Keep, DefaultKeep)
	p.Sandbox = p.Sandbox.withDefaults()
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

func (s Stage) withDefaults() Stage {
	if len(s.Branches) == 0 && len(s.Tags) == 0 {
		s.Branches = []string{"main"}
	}
	s.Gate = s.Gate.withDefaults()
	orElse(&s.Strategy, Immutable)
	orElse(&s.Queue, QueueLatest)
	orElse(&s.Drift, DriftStop)
	orElse(&s.Deadline, DefaultDeadline)
	orElse(&s.Patience, DefaultPatience)
	orElse(&s.CNAME, s.Environment)
	s.Health = s.Health.withDefaults()
	return s
}

func orElse[T comparable](value *T, fallback T) {
	var zero T
	if *value == zero {
		*value = fallback
	}
}
