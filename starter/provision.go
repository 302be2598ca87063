package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"gravity/cloudformation"
	"gravity/internal/config"
	"gravity/internal/delivery"
	"gravity/internal/stacks/template"
	"gravity/worker/runs"
	"gravity/workflows"
)

const provisionPrefix = "provision/"

func newProvision(g *globals) *cobra.Command {
	plan := false
	command := &cobra.Command{
		Use:   "provision [STACK...]",
		Short: "Bring the CloudFormation stacks of gravity.yaml to what it says",
		Long: `Bring the CloudFormation stacks of gravity.yaml to what it says, in the order in which they need each other: work
out what would change, show it in words, wait for an approval where the stack asks for one, carry it out, and
follow it. A creation that fails is removed again, an update that fails is rolled back. A second call while one goes
on follows that one; interrupted, it goes on.

A stack that waits is answered with starter approve ` + provisionPrefix + `NAME, or starter reject. With --plan
nothing is changed. From then on, drift is looked for on a schedule, and shown in starter status.`,
		Example: `  starter provision --plan
  starter provision
  starter provision gravity-site-staging`,
		Args: cobra.ArbitraryArgs,
		RunE: func(command *cobra.Command, arguments []string) error {
			input, scope, err := g.stacks(arguments)
			if err != nil {
				return err
			}
			input.Plan = plan
			return g.provision(command.Context(), scope, input)
		},
	}
	command.Flags().BoolVar(&plan, "plan", false, "show what would change, and change nothing")
	return command
}

func newDestroy(g *globals) *cobra.Command {
	all, confirmed := false, ""
	command := &cobra.Command{
		Use:   "destroy STACK... | --all",
		Short: "Delete CloudFormation stacks of gravity.yaml, and everything in them",
		Long: `Delete CloudFormation stacks of gravity.yaml, the last one first, and everything in them: their buckets are emptied.
What a template says to retain is kept, and told. It asks for the names of the stacks; where nobody can be asked, they
are given with --confirm, separated by spaces.`,
		Example: `  starter destroy gravity-site-staging
  starter destroy --all --confirm "gravity-site gravity-site-staging"`,
		Args: cobra.ArbitraryArgs,
		RunE: func(command *cobra.Command, arguments []string) error {
			if all == (len(arguments) > 0) {
				return wrongUse("name the stacks that are to be deleted, or say --all")
			}
			input, scope, err := g.stacks(arguments)
			if err != nil {
				return err
			}
			if err := g.confirm(input.Stacks, confirmed, command.InOrStdin()); err != nil {
				return err
			}
			input.Destroy = true
			return g.provision(command.Context(), scope, input)
		},
	}
	command.Flags().BoolVar(&all, "all", false, "every stack of the file")
	command.Flags().StringVar(&confirmed, "confirm", "", "the names of the stacks, where nobody can be asked")
	return command
}

// confirm has the names typed of what is to be deleted.
func (g *globals) confirm(chosen []delivery.Stack, confirmed string, in io.Reader) error {
	var names []string
	for _, stack := range chosen {
		names = append(names, stack.Name)
	}
	wanted := strings.Join(names, " ")
	if file, ok := in.(*os.File); confirmed == "" && ok && isTerminal(file) {
		printf(g.stderr, "This deletes %s and everything in them. Type the names to go on: ", wanted)
		line, err := bufio.NewReader(io.LimitReader(in, maxToConfirm)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("reading the answer: %w", err)
		}
		confirmed = strings.TrimSpace(line)
	}
	if confirmed != wanted {
		return wrongUse("nothing was deleted: confirm with --confirm %q", wanted)
	}
	return nil
}

// maxToConfirm bounds what is read as an answer, in bytes.
const maxToConfirm = 64 << 10

// stacks are those of the file that are meant, in order and with their templates, and the scope that
// one provisioning at a time has.
func (g *globals) stacks(names []string) (input workflows.ProvisionInput, scope string, err error) {
	file, err := g.load()
	if err != nil {
		return input, "", err
	}
	if len(file.Stacks) == 0 {
		return input, "", wrongUse("%s has no stacks; docs/configuration.md explains the key", file.Path)
	}
	ordered, err := delivery.InOrder(file.Stacks)
	if err != nil {
		return input, "", err
	}
	for _, name := range names {
		if !slices.ContainsFunc(ordered, func(stack delivery.Stack) bool { return stack.Name == name }) {
			return input, "", wrongUse("%s has no stack %q", file.Path, name)
		}
	}
	size := 0
	for _, stack := range ordered {
		if len(names) > 0 && !slices.Contains(names, stack.Name) {
			continue
		}
		if stack.Body, err = body(file, stack); err != nil {
			return input, "", err
		}
		size += len(stack.Body)
		input.Stacks = append(input.Stacks, stack)
	}
	if size > maxTemplates {
		return input, "", wrongUse("the templates are %d bytes together, more than the %d that one provisioning carries: name some of the stacks", size, maxTemplates)
	}
	for _, pipeline := range file.Pipelines {
		for _, stage := range pipeline.Stages {
			input.Environments = append(input.Environments, delivery.EnvironmentName{Application: pipeline.Application, Environment: stage.Environment})
		}
	}
	return input, scopeOf(file), nil
}

// scopeOf names what is provisioned one at a time: the stacks of one file.
func scopeOf(file config.File) string { return file.Stacks[0].Name }

// maxTemplates keeps a provisioning within what Temporal takes, 2 MB.
const maxTemplates = 1 << 20

// body is a stack's template: one of Gravity's own, or a file beside gravity.yaml.
func body(file config.File, stack delivery.Stack) (string, error) {
	read := cloudformation.Template
	if strings.HasSuffix(stack.Template, ".yaml") {
		read = func(name string) ([]byte, error) { return os.ReadFile(filepath.Join(filepath.Dir(file.Path), name)) }
	}
	text, err := read(stack.Template)
	if err != nil {
		return "", wrongUse("stack %s: %w", stack.Name, err)
	}
	parsed, err := template.Parse(text)
	if err != nil {
		return "", wrongUse("stack %s: %w", stack.Name, err)
	}
	for name := range stack.Parameters {
		if _, known := parsed.Parameters[name]; !known {
			return "", wrongUse("stack %s: the template %s has no parameter %s; it has %s", stack.Name, stack.Template, name,
				strings.Join(template.Sorted(parsed.Parameters), ", "))
		}
	}
	return string(text), nil
}

// provision starts a provisioning, or finds the one that goes on, and follows it to its end.
func (g *globals) provision(ctx context.Context, scope string, input workflows.ProvisionInput) error {
	c, err := g.connect(ctx)
	if err != nil {
		return err
	}
	view, err := g.provisioned(ctx, c, scope, input)
	if err != nil {
		return err
	}
	return provisionVerdict(view)
}

func (g *globals) provisioned(ctx context.Context, c client.Client, scope string, input workflows.ProvisionInput) (provisionView, error) {
	id, existing, err := startProvision(ctx, c, scope, input)
	if err != nil {
		return provisionView{}, err
	}
	if existing {
		printf(g.stderr, "%s goes on already; this follows it\n", id)
	}
	view, err := g.followProvision(ctx, c, id, input.Destroy)
	if err != nil || input.Plan {
		return view, err
	}
	if input.Destroy && view.State == workflows.ProvisionSucceeded {
		if err := g.forget(ctx, c, input.Stacks, view); err != nil {
			return view, err
		}
	}
	return view, g.watch(ctx, c, scope, input)
}

// startProvision starts the provisioning of a scope unless one goes on.
func startProvision(ctx context.Context, c client.Client, scope string, input workflows.ProvisionInput) (id string, existing bool, err error) {
	id = delivery.ProvisionID(scope)
	if input.Plan {
		id += "/plan"
	}
	_, err = c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: id, TaskQueue: workflows.Queue, StaticSummary: provisionSummary(input),
		WorkflowIDReusePolicy:                    enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		WorkflowIDConflictPolicy:                 enums.WORKFLOW_ID_CONFLICT_POLICY_FAIL,
		WorkflowExecutionErrorWhenAlreadyStarted: true,
		TypedSearchAttributes:                    temporal.NewSearchAttributes(workflows.StateAttribute.ValueSet(string(workflows.ProvisionPending))),
	}, workflows.ProvisionWorkflow, input)
	var started *serviceerror.WorkflowExecutionAlreadyStarted
	if errors.As(err, &started) {
		return id, true, nil
	}
	if err != nil {
		return id, false, runs.StartError(id, err)
	}
	return id, false, nil
}

func provisionSummary(input workflows.ProvisionInput) string {
	verb := "provision"
	switch {
	case input.Plan:
		verb = "plan"
	case input.Destroy:
		verb = "destroy"
	}
	var names []string
	for _, stack := range input.Stacks {
		names = append(names, stack.Name)
	}
	return delivery.Clip(verb+" "+strings.Join(names, ", "), runs.MaxSummary)
}

// provisionVerdict is the error of a provisioning that did not end well.
func provisionVerdict(view provisionView) error {
	switch view.State {
	case workflows.ProvisionSucceeded, workflows.ProvisionPlanned:
		return nil
	default:
		return &failedRelease{verdict: "provisioning ended as " + string(view.State) + ": " + view.Detail}
	}
}

// forget ends the queues of environments that went with their stacks: one that is made anew under the same name
// is not on the version that the old one was left on.
func (g *globals) forget(ctx context.Context, c client.Client, stacks []delivery.Stack, view provisionView) error {
	gone := map[string]bool{}
	for i, stack := range stacks {
		gone[delivery.EnvironmentID(stack.Parameters["ApplicationName"], stack.Parameters["EnvironmentName"])] = stack.Template == "environment"
		if result := view.Stacks[i].Result; result != nil {
			gone[delivery.EnvironmentID(result.Outputs["Application"], result.Outputs["Environment"])] = result.Outputs["Environment"] != ""
		}
	}
	for _, id := range sortedKeys(gone) {
		if !gone[id] {
			continue
		}
		err := c.TerminateWorkflow(ctx, id, "", "its environment was destroyed by "+person())
		var missing *serviceerror.NotFound
		if err != nil && !errors.As(err, &missing) {
			return g.explain(err, "ending the queue "+id)
		}
	}
	return nil
}
