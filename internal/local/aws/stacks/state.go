package stacks

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
)

// stack is all that is known of one stack; it is one file on disk.
type stack struct {
	ID      string
	Name    string
	Current definition
	Status  types.StackStatus
	Reason  string
	Created time.Time
	Updated time.Time
	Deleted time.Time `json:",omitzero"`

	Resources  []*resource // in the order in which they were made
	Old        []*resource // replaced or removed, until the cleanup at the end of an update
	ChangeSets []*changeSet
	Executed   string  // the change set that it was last made or changed by
	Events     []event // oldest first
	Outputs    []output
	Work       *work      `json:",omitempty"`
	Stuck      *work      `json:",omitempty"` // a rollback that failed
	Detection  *detection `json:",omitempty"`
}

// definition is what a stack is made from.
type definition struct {
	Template   string
	Parameters map[string]string
	Tags       map[string]string
	Role       string
}

// resource is one resource of a stack.
type resource struct {
	Logical    string
	Physical   string
	Type       string
	Status     types.ResourceStatus
	Reason     string
	Properties map[string]any
	Attributes map[string]string
	Retain     bool // when the stack is deleted, or the resource removed from it
	KeepOld    bool // when it is replaced
	Updated    time.Time
	Drift      types.StackResourceDriftStatus
	Differs    []types.PropertyDifference
}

// changeSet is a definition to come, and what it would change.
type changeSet struct {
	ID          string
	Name        string
	Type        types.ChangeSetType
	Description string
	Definition  definition
	Status      types.ChangeSetStatus
	Execution   types.ExecutionStatus
	Reason      string
	Created     time.Time
	Changes     []types.Change
}

type event struct {
	ID       string
	Logical  string
	Physical string
	Type     string
	Status   types.ResourceStatus
	Reason   string
	At       time.Time
}

type output struct{ Name, Value, Description string }

// detection is the last look for drift.
type detection struct {
	ID      string
	Status  types.StackDriftDetectionStatus
	Drift   types.StackDriftStatus
	Reason  string
	Drifted int32
	At      time.Time
}

// phase is a part of an operation.
type phase string

const (
	creating     phase = "create"
	updating     phase = "update"
	cleaning     phase = "cleanup" // of what an update replaced or removed
	rollingBack  phase = "rollback"
	takingBack   phase = "update-rollback"
	deletingAll  phase = "delete"
	actionCreate       = "create"
	actionUpdate       = "update"
	actionDelete       = "delete"
)

// work is an operation under way.
type work struct {
	Phase phase
	Tasks []task
	// Before are the stack's definition and resources as they were, for the way back.
	Before  *definition          `json:",omitempty"`
	Earlier map[string]*resource `json:",omitempty"`
	Token   string
}

// task is one resource to be made, changed or deleted.
type task struct {
	Action  string
	Logical string
	// Physical names the resource that is deleted: after a replacement there are two of the same logical name.
	Physical string
	// Target is what a resource is to become when it is taken back.
	Target *resource `json:",omitempty"`
	// Begun is set before anything is called, so that what is found later is known to be our own.
	Begun bool
	At    time.Time // when it began
	Since time.Time // when its call was answered
}

func (s *stack) resource(logical string) *resource {
	for _, r := range s.Resources {
		if r.Logical == logical {
			return r
		}
	}
	return nil
}

func (s *stack) changeSet(name string) *changeSet {
	for _, c := range s.ChangeSets {
		if c.Name == name || c.ID == name {
			return c
		}
	}
	return nil
}

func (s *stack) gone() bool { return s.Status == types.StackStatusDeleteComplete }

// load reads every stack from the data folder.
func (s *Stacks) load() error {
	names, err := filepath.Glob(filepath.Join(s.ground.DataDir, "*.json"))
	if err != nil {
		return err
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			return fmt.Errorf("read a stack: %w", err)
		}
		var read stack
		if err := json.Unmarshal(data, &read); err != nil {
			return fmt.Errorf("read the stack in %s: %w", name, err)
		}
		s.stacks[read.ID] = &read
	}
	return nil
}

// save writes a stack whole or not at all.
func (s *Stacks) save(of *stack) error {
	data, err := json.Marshal(of)
	if err != nil {
		return err
	}
	path := s.path(of)
	if err := os.WriteFile(path+".new", data, 0o644); err != nil {
		return fmt.Errorf("write a stack: %w", err)
	}
	return os.Rename(path+".new", path)
}

// keep is save where nobody can be told but the log.
func (s *Stacks) keep(of *stack) {
	if err := s.save(of); err != nil {
		s.ground.Log.Error("a stack could not be written to disk", "stack", of.Name, "error", err)
	}
}

func (s *Stacks) path(of *stack) string {
	return filepath.Join(s.ground.DataDir, filepath.Base(of.ID)+".json")
}

// forget removes a stack that never came to be.
func (s *Stacks) forget(of *stack) error {
	delete(s.stacks, of.ID)
	if err := os.Remove(s.path(of)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
