package delivery

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Stack is a CloudFormation stack that Gravity makes and changes: what an environment stands on.
type Stack struct {
	// Name in CloudFormation: 1 to 128 letters, digits and -.
	Name string `json:"name" yaml:"name"`
	// Template is one of Gravity's own by name (pipeline, environment, alarms, hardened-image), or a file
	// beside gravity.yaml. In a workflow's input, it is the template's text instead, in Body.
	Template string `json:"template" yaml:"template"`
	// Body is the text of the template; never in gravity.yaml.
	Body string `json:"body,omitempty" yaml:"-"`
	// Parameters of the template. ${stack.Output} stands for an output of another stack of the file.
	Parameters map[string]string `json:"parameters,omitempty" yaml:"parameters,omitempty"`
	// Role is the ARN of the role that CloudFormation takes, or an output of another stack. Default: the
	// caller's own permissions.
	Role string `json:"role,omitempty" yaml:"role,omitempty"`
	// After names stacks that come first although no parameter refers to them.
	After []string `json:"after,omitempty" yaml:"after,omitempty"`
	// Approval asks a person before a change is carried out. Absent: nobody is asked.
	Approval *Approval `json:"approval,omitempty" yaml:"approval,omitempty"`
}

// WithDefaults fills in what a stack leaves out.
func (s Stack) WithDefaults() Stack {
	s.Approval = s.Approval.withDefaults()
	return s
}

// outputReference is how a parameter refers to another stack's output.
var outputReference = regexp.MustCompile(`\$\{([A-Za-z][A-Za-z0-9-]*)\.([A-Za-z0-9]+)\}`)

// Needs are the stacks that have to be there first, sorted.
func (s Stack) Needs() []string {
	needed := slices.Clone(s.After)
	texts := []string{s.Role}
	for _, text := range s.Parameters {
		texts = append(texts, text)
	}
	for _, text := range texts {
		for _, match := range outputReference.FindAllStringSubmatch(text, -1) {
			needed = append(needed, match[1])
		}
	}
	slices.Sort(needed)
	return slices.Compact(needed)
}

// Refer fills outputs of other stacks into a text. The error names the first that there is not.
func Refer(text string, output func(stack, name string) (string, error)) (string, error) {
	var failed error
	filled := outputReference.ReplaceAllStringFunc(text, func(match string) string {
		parts := outputReference.FindStringSubmatch(match)
		value, err := output(parts[1], parts[2])
		if err != nil && failed == nil {
			failed = err
		}
		return value
	})
	return filled, failed
}

// InOrder sorts stacks so that each comes after those that it needs; the order of the file decides among the rest.
// Stacks that it does not know are taken to be there. The error names a circle.
func InOrder(stacks []Stack) ([]Stack, error) {
	byName := map[string]Stack{}
	for _, stack := range stacks {
		byName[stack.Name] = stack
	}
	var ordered []Stack
	state := map[string]int{} // 1: being looked at, 2: in its place
	var visit func(Stack) error
	visit = func(stack Stack) error {
		switch state[stack.Name] {
		case 2:
			return nil
		case 1:
			return Errorf(InvalidInput, "stack %s needs itself, by way of others: take one reference of the circle away", stack.Name)
		}
		state[stack.Name] = 1
		for _, name := range stack.Needs() {
			if needed, known := byName[name]; known {
				if err := visit(needed); err != nil {
					return err
				}
			}
		}
		state[stack.Name] = 2
		ordered = append(ordered, stack)
		return nil
	}
	for _, stack := range stacks {
		if err := visit(stack); err != nil {
			return nil, err
		}
	}
	return ordered, nil
}

// StackPlan is a change set: what would change in a stack, in words.
type StackPlan struct {
	Stack     string `json:"stack"`
	StackID   string `json:"stackId,omitempty"`
	ChangeSet string `json:"changeSet,omitempty"`
	Create    bool   `json:"create,omitempty"`
	// Role is what CloudFormation takes for the stack.
	Role    string        `json:"role,omitempty"`
	Changes []StackChange `json:"changes,omitempty"`
	// Environments are the Beanstalk environments that the stack has already, by name.
	Environments []string `json:"environments,omitempty"`
	// Unknown says why the changes cannot be told yet: a stack that it needs is not there.
	Unknown string `json:"unknown,omitempty"`
}

// Empty reports whether the stack is as it is to be.
func (p StackPlan) Empty() bool { return len(p.Changes) == 0 && p.Unknown == "" }

// Grave reports whether something would be replaced, or lost.
func (p StackPlan) Grave() bool {
	return slices.ContainsFunc(p.Changes, func(c StackChange) bool { return c.Replaces || c.Loss != "" })
}

// StackChange is what happens to one resource.
type StackChange struct {
	// Text is the sentence for people.
	Text     string `json:"text"`
	Resource string `json:"resource"`
	Type     string `json:"type"`
	// Replaces is set where another resource takes its place, or may.
	Replaces bool `json:"replaces,omitempty"`
	// Loss says which data goes with it.
	Loss string `json:"loss,omitempty"`
}

// StackResult is how an operation on a stack ended.
type StackResult struct {
	Stack   string            `json:"stack"`
	Status  string            `json:"status,omitempty"`
	Outputs map[string]string `json:"outputs,omitempty"`
	// Kept are resources that a deletion left, as their template says.
	Kept []string `json:"kept,omitempty"`
	// Took is how long it went on.
	Took Duration `json:"took,omitempty"`
}

// StackEvent is one line of what happens in a stack.
type StackEvent struct {
	At       time.Time `json:"at"`
	Resource string    `json:"resource"`
	Type     string    `json:"type"`
	Status   string    `json:"status"`
	Reason   string    `json:"reason,omitempty"`
}

func (e StackEvent) String() string {
	text := fmt.Sprintf("%s %s", e.Resource, strings.ToLower(strings.ReplaceAll(e.Status, "_", " ")))
	if e.Reason != "" {
		text += ": " + e.Reason
	}
	return text
}

// StackDrift is what somebody changed by hand.
type StackDrift struct {
	Stack string `json:"stack"`
	// Status is CloudFormation's: IN_SYNC, DRIFTED, or NOT_CHECKED with Problem.
	Status      string    `json:"status"`
	Differences []string  `json:"differences,omitempty"`
	Problem     string    `json:"problem,omitempty"`
	At          time.Time `json:"at,omitzero"`
}

// ProvisionID is the workflow ID of a provisioning of stacks; there is one at a time for an account and region.
func ProvisionID(scope string) string { return "provision/" + scope }
