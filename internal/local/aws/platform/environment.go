package platform

import (
	"time"

	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"

	"gravity/internal/local/aws/balancer"
	"gravity/internal/local/aws/clock"
	"gravity/internal/local/aws/instance"
)

// Environment is one environment: what is kept of it on disk, and, in the unexported fields, what
// is true only while the stand-in runs. All of it is guarded by the platform's lock.
type Environment struct {
	ID            string
	Name          string
	Application   string
	Description   string
	Template      string
	SolutionStack string
	PlatformArn   string
	Tier          types.EnvironmentTier
	CNAMEPrefix   string
	Port          int // of the load balancer; it stays the same over restarts
	Status        types.EnvironmentStatus
	Created       time.Time
	Updated       time.Time // when an operation was accepted or ended; health does not touch it
	Terminated    time.Time `json:",omitzero"`

	Version        string // label that is deployed, or was last
	DeploymentID   int    // the newest one given out; failed deployments use one up too
	Expected       int    // the deployment that the instances are expected to be on
	Deployed       time.Time
	DeployTook     time.Duration
	Done           string   // what the last operation that deployed is called in causes of health
	Settings       Settings // set by call
	Extensions     Settings // from the deployed version's .ebextensions
	Group          string   // name of the permanent auto scaling group
	Tags           map[string]string
	Instances      []*Instance
	Update         *Update `json:",omitempty"`
	Logs           []Log   // that can still be retrieved
	LogsAsked      []LogRequest
	OperationsRole string

	front      *balancer.Front
	balancer   *balancer.Balancer
	timer      clock.Timer
	nextReport time.Time
	noReplace  time.Time // auto scaling launches no replacement before
	health     health
	saved      string                        // what is on disk
	stale      *types.EnvironmentDescription // what reads still show, by a fault
	staleUntil time.Time
}

// Instance is one instance of an environment.
type Instance struct {
	ID           string
	Group        string // name of its auto scaling group
	Zone         string
	Type         string
	Launched     time.Time
	Version      string // label of the application that it was told to run
	DeploymentID int
	InService    bool // registered with the load balancer
	Leaving      bool // being terminated

	application instance.Application
	connected   instance.Application // that the load balancer sends requests to
	target      *balancer.Target
	deployAt    time.Time // when the deployment on it began
	deployed    time.Time // when it was found to run
	okReports   int       // reports of Ok in a row
	badReports  int       // reports of anything worse in a row
	gone        bool      // nothing is left of it
	report      report
}

// Update is an operation under way on an environment: which plan it follows, and where it stands.
// It is all that is needed to go on after a restart.
type Update struct {
	RequestID      string
	Plan           string // name of the list of steps
	Step           string
	Entered        bool      // the step's beginning has happened
	Due            time.Time // when the step begins
	Began          time.Time
	Deadline       time.Time `json:",omitzero"` // of the present batch
	Version        string
	Settings       Settings // to be in force after it
	Extensions     Settings
	DeploymentID   int
	Deploys        bool // it brings a version or settings to instances
	Configures     bool // it changes settings
	Final          bool // past the point where it can be aborted
	Aborted        bool
	Failed         bool
	Old            []string // instances that were there when it began
	New            []string // instances that it launched
	Wanted         int      // how many instances there are to be at the end
	Batch          []string // instances of the present batch
	TemporaryGroup string
	Batches        int            // begun so far
	Weights        map[string]int `json:",omitempty"` // of the traffic, by group
	Partner        string         // ID of the environment that addresses are swapped with
	Before         revert         // what to go back to
}

// revert is what an update lays over, for the case that it is taken back.
type revert struct {
	Settings      Settings
	Extensions    Settings
	SolutionStack string
	PlatformArn   string
}

// present is what an update that begins now would have to go back to.
func (e *Environment) present() revert {
	return revert{Settings: e.Settings, Extensions: e.Extensions, SolutionStack: e.SolutionStack, PlatformArn: e.PlatformArn}
}

// failed tells whether the application on the instance has failed, and how.
func (i *Instance) failed() (bool, error) {
	if i.application == nil {
		return false, nil
	}
	state, err := i.application.State()
	return state == instance.Failed, err
}

func (i *Instance) running() bool {
	if i.application == nil {
		return false
	}
	state, _ := i.application.State()
	return state == instance.Running
}

// find returns the environment's instances with these IDs, in the order of the IDs.
func (e *Environment) find(ids []string) []*Instance {
	var found []*Instance
	for _, id := range ids {
		for _, i := range e.Instances {
			if i.ID == id {
				found = append(found, i)
			}
		}
	}
	return found
}

// staying are the instances that nobody has told to leave.
func (e *Environment) staying() []*Instance {
	var staying []*Instance
	for _, i := range e.Instances {
		if !i.Leaving {
			staying = append(staying, i)
		}
	}
	return staying
}

func instanceIDs(instances []*Instance) []string {
	ids := make([]string, 0, len(instances))
	for _, i := range instances {
		ids = append(ids, i.ID)
	}
	return ids
}
