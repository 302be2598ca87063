package delivery

import "strings"

// Command is a shell command of the project, run in Pipeline.Path with a clean environment.
type Command struct {
	// Run is passed to /bin/sh -c.
	Run string `json:"run" yaml:"run"`
	// Timeout ends the command and all its descendants. Default 10m.
	Timeout Duration `json:"timeout,omitempty" yaml:"timeout,omitempty"`
}

// Test is the command that decides whether there is a version, and what is made of its outcome.
type Test struct {
	// Run is passed to /bin/sh -c.
	Run string `json:"run" yaml:"run"`
	// Timeout ends one attempt and all its descendants. Default 10m.
	Timeout Duration `json:"timeout,omitempty" yaml:"timeout,omitempty"`
	// Reports are patterns of JUnit XML files that the command writes, relative to Pipeline.Path.
	// Failed tests are then named. Optional.
	Reports []string `json:"reports,omitempty" yaml:"reports,omitempty"`
	// Retries is how often a command that failed runs again. What passes only then is reported as
	// flaky. Default 0.
	Retries int `json:"retries,omitempty" yaml:"retries,omitempty"`
	// Matrix runs the command once for each combination of its variables' values, side by side on
	// as many workers as are free. Optional.
	Matrix []Axis `json:"matrix,omitempty" yaml:"matrix,omitempty"`
}

// Command is one attempt of the test.
func (t Test) Command() Command { return Command{Run: t.Run, Timeout: t.Timeout} }

// Axis is an environment variable and the values that it takes in a matrix.
type Axis struct {
	Variable string   `json:"variable" yaml:"variable"`
	Values   []string `json:"values" yaml:"values"`
}

// MaxJobs is how many combinations a matrix may have.
const MaxJobs = 32

// Job is one combination of a matrix.
type Job struct {
	// Name is the combination as people read it, such as "SHARD=1 RACE=on"; empty without a matrix.
	Name string `json:"name,omitempty"`
	// Variables are set for the command, in the order of the axes.
	Variables []Variable `json:"variables,omitempty"`
}

// Variable is an environment variable with its value.
type Variable struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Jobs lists the combinations of the matrix, the last axis changing fastest; without one, a single
// job that has no name.
func (t Test) Jobs() []Job {
	jobs := []Job{{}}
	for _, axis := range t.Matrix {
		var wider []Job
		for _, job := range jobs {
			for _, value := range axis.Values {
				variables := append(job.Variables[:len(job.Variables):len(job.Variables)], Variable{axis.Variable, value})
				name := strings.TrimSpace(job.Name + " " + axis.Variable + "=" + value)
				wider = append(wider, Job{Name: name, Variables: variables})
			}
		}
		jobs = wider
	}
	return jobs
}

// Checkout says what comes in beside the repository's own files.
type Checkout struct {
	// Submodules brings in the submodules, each held to the same rules as the repository.
	Submodules bool `json:"submodules,omitempty" yaml:"submodules,omitempty"`
	// LFS brings in the files that Git LFS keeps elsewhere, instead of their pointers.
	LFS bool `json:"lfs,omitempty" yaml:"lfs,omitempty"`
}

// Sandbox bounds what a project's commands may use and reach. Zero is the worker's own bound.
type Sandbox struct {
	// Memory of a command and all it starts, in megabytes.
	Memory int `json:"memory,omitempty" yaml:"memory,omitempty"`
	// Processes of a command, threads among them.
	Processes int `json:"processes,omitempty" yaml:"processes,omitempty"`
	// FileSize is the largest file that may be written, in megabytes.
	FileSize int `json:"fileSize,omitempty" yaml:"file-size,omitempty"`
	// Output ends a command that prints more, in megabytes. Default 64.
	Output int `json:"output,omitempty" yaml:"output,omitempty"`
	// Network is what may be reached. Default: full.
	Network Network `json:"network,omitempty" yaml:"network,omitempty"`
	// Container is the image of the container to run in. Default: on the worker itself.
	Container string `json:"container,omitempty" yaml:"container,omitempty"`
}

// Network is what a command may reach.
type Network string

const (
	// NetworkFull is whatever the worker reaches.
	NetworkFull Network = "full"
	// NetworkNone is 127.0.0.1 alone.
	NetworkNone Network = "none"
)

// Cache keeps what tools download and compile. It is found again by the content of the lock files.
type Cache struct {
	// Files are patterns of the files whose content decides, such as go.sum, relative to Pipeline.Path.
	Files []string `json:"files" yaml:"files"`
}

func (c *Command) withDefaults() *Command {
	if c == nil {
		return nil
	}
	filled := *c
	orElse(&filled.Timeout, DefaultCommandTimeout)
	return &filled
}

func (t *Test) withDefaults() *Test {
	if t == nil {
		return nil
	}
	filled := *t
	orElse(&filled.Timeout, DefaultCommandTimeout)
	return &filled
}

func (s Sandbox) withDefaults() Sandbox {
	orElse(&s.Output, DefaultOutput)
	orElse(&s.Network, NetworkFull)
	return s
}
