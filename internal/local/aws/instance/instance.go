// Package instance runs an application the way a Beanstalk instance does: it fetches the source
// bundle, unpacks it, builds it, runs its hooks and the processes of its Procfile, and ends all of
// that, with every descendant, when it is told to.
package instance

import (
	"os"

	"gravity/internal/local/aws/balancer"
)

// State is where an application on an instance stands.
type State string

// The states of an application, in the order in which it goes through them.
const (
	Deploying State = "deploying" // unpacking, building, running hooks
	Running   State = "running"   // its processes were started; whether they serve is for checks to find out
	Failed    State = "failed"    // the deployment failed, or a process ended that should not have
	Stopped   State = "stopped"
)

// Spec says what to run.
type Spec struct {
	ID         string // of the instance
	Version    string // label, for the log
	Folder     string // the instance's disk; the application gets a folder of its own in it
	Properties map[string]string
	// Bundle opens the source bundle. The application closes it.
	Bundle func() (*os.File, error)
}

// Application is one version that runs on one instance.
type Application interface {
	// State is where it stands, and after a failure why.
	State() (State, error)
	// Backend is how a load balancer reaches it, once it runs.
	Backend() balancer.Backend
	// Crash ends it the way that nobody asked for.
	Crash()
	// Stop ends it; stopped is called when no process of it is left.
	Stop(stopped func())
}

// Runner starts applications. The function changed is called, in a goroutine of its own, after
// each change of the application's state that nobody asked for.
type Runner interface {
	Run(spec Spec, changed func()) Application
}
