package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"gravity/internal/delivery"
	"gravity/internal/source"
	"gravity/internal/webhook"
	"gravity/workflows"
)

// deployFlags say which revision a run is started for.
type deployFlags struct {
	revision  string
	branch    string
	tokenFile string
	again     bool
	wait      bool
	// jumpQueue makes it a hotfix, for the reason in hotfix.
	jumpQueue bool
	hotfix    workflows.Answer
}

func newDeploy(g *globals) *cobra.Command {
	var flags deployFlags
	command := &cobra.Command{
		Use:   "deploy PIPELINE",
		Short: "Start the run of a revision, as a push would",
		Example: `  starter deploy site                       # the head of main
  starter deploy site --branch release/7
  starter deploy site --revision 4f2a91c --wait
  starter deploy site --jump-queue --reason "checkout fails for guests"`,
		Args: exactly("PIPELINE"),
		RunE: func(command *cobra.Command, arguments []string) error {
			if flags.jumpQueue && flags.hotfix.Reason == "" {
				return wrongUse("say with --reason why this goes before what others wait for: it is kept on record")
			}
			return g.deploy(command.Context(), arguments[0], flags)
		},
	}
	command.Flags().StringVar(&flags.revision, "revision", "", "a hash, as long as it is clear, a branch or a tag (default: the branch's head)")
	command.Flags().StringVar(&flags.branch, "branch", "", "the branch whose stages the revision passes (default: the revision's own, or main)")
	command.Flags().StringVar(&flags.tokenFile, "git-token-file", "", "file with a token for a private repository")
	command.Flags().BoolVar(&flags.again, "again", false, "run a revision again that had its run")
	command.Flags().BoolVar(&flags.wait, "wait", false, "watch the run until it ends; the exit code is its verdict")
	command.Flags().BoolVar(&flags.jumpQueue, "jump-queue", false, "go before everything that waits for the environments, but rollbacks; needs --reason")
	personFlags(command, &flags.hotfix)
	return command
}

// deployed is the JSON answer of deploy.
type deployed struct {
	RunID    string            `json:"run"`
	Existing bool              `json:"existing"`
	Revision delivery.Revision `json:"revision"`
}

func (g *globals) deploy(ctx context.Context, name string, flags deployFlags) error {
	file, err := g.load()
	if err != nil {
		return err
	}
	pipeline, err := file.Pipeline(name)
	if err != nil {
		return err
	}
	c, err := g.connect(ctx)
	if err != nil {
		return err
	}
	revision, err := g.revision(ctx, pipeline, flags)
	if err != nil {
		return err
	}
	if len(pipeline.StagesFor(revision.Branch())) == 0 {
		return wrongUse("no stage of pipeline %s names branch %q: add it to a stage's branches, or choose another with --branch", name, revision.Branch())
	}
	input := workflows.PipelineInput{Pipeline: pipeline, Revision: revision}
	if flags.jumpQueue {
		input.Hotfix = &flags.hotfix
	}
	started, err := startInput(ctx, c, input, flags.again)
	if err != nil {
		return err
	}
	if flags.wait {
		if !g.json() {
			printf(g.stdout, "%s\n", announced(started, revision))
		}
		view, err := g.followRun(ctx, c, started.RunID)
		if err != nil {
			return err
		}
		return verdict(view)
	}
	return g.show(deployed{started.RunID, started.Existing, revision}, func(w io.Writer) {
		advice := "starter watch " + shortID(started.RunID)
		if started.Existing {
			advice = "starter status " + shortID(started.RunID) + ", or deploy it once more with --again"
		}
		printf(w, "%s\n%s\n", announced(started, revision), advice)
	})
}

// announced says which run it is, and whether it is a new one.
func announced(started webhook.Started, revision delivery.Revision) string {
	verb := "started"
	if started.Existing {
		verb = "this revision has its run already:"
	}
	return verb + " " + started.RunID + "  " + clean(revision.Message)
}

var hash = regexp.MustCompile(`^[0-9a-f]{40}$`)

// revision finds the commit that is meant, and the branch that says which stages it passes.
func (g *globals) revision(ctx context.Context, pipeline delivery.Pipeline, flags deployFlags) (delivery.Revision, error) {
	wanted, branch := flags.revision, strings.TrimPrefix(flags.branch, "refs/heads/")
	if wanted == "" {
		wanted = "refs/heads/" + orElse(branch, "main")
	}
	cache, err := mirrors(flags.tokenFile)
	if err != nil {
		return delivery.Revision{}, err
	}
	revision, err := cache.Resolve(ctx, pipeline.Repository, wanted)
	switch {
	case err != nil && hash.MatchString(wanted) && outOfReach(err):
		// The worker may have the access that is missing here, and looks at everything itself.
		printf(g.stderr, "going on without the commit's message: %s\n", cleanLines(err.Error()))
		revision = delivery.Revision{SHA: wanted, Ref: "refs/heads/" + orElse(branch, "main")}
	case err != nil:
		return delivery.Revision{}, err
	}
	if branch != "" {
		revision.Ref = "refs/heads/" + branch
	}
	if revision.Branch() == "" {
		return delivery.Revision{}, wrongUse("%s is no branch: say with --branch whose stages the revision passes", revision.Ref)
	}
	return revision, nil
}

func outOfReach(err error) bool {
	kind := delivery.TypeOf(err)
	return kind == delivery.AccessDenied || kind == delivery.Unavailable || kind == delivery.Throttled
}

// mirrors is this user's own cache of repositories.
func mirrors(tokenFile string) (*source.Cache, error) {
	folder, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("there is no cache folder for a mirror of the repository: %w; set HOME", err)
	}
	cache := &source.Cache{
		Root: filepath.Join(folder, "gravity", "mirrors"),
		// Whoever types the command may read this machine's disk anyway.
		AllowLocal: true,
	}
	if tokenFile != "" {
		cache.Credentials = func(context.Context, string) (username, token string, err error) {
			token, err = firstLine(tokenFile)
			return "x-access-token", token, err
		}
	}
	return cache, nil
}
