package main

import (
	"context"
	"io"
	"time"

	"github.com/spf13/cobra"

	"gravity/internal/delivery"
	"gravity/internal/github"
)

// redeliverFlags say as whom GitHub is asked, and for which webhook.
type redeliverFlags struct {
	gitHub     gitHubFlags
	repository string
	hook       int64
	since      time.Duration
	dryRun     bool
}

// gitHubFlags say as whom GitHub is spoken with.
type gitHubFlags struct {
	url, tokenFile, appKeyFile string
	app                        int64
}

func (f *gitHubFlags) add(command *cobra.Command) {
	command.Flags().StringVar(&f.url, "github-url", github.DefaultURL, "GitHub's API")
	command.Flags().StringVar(&f.tokenFile, "github-token-file", "", "file with a token that may administrate the repository's webhooks")
	command.Flags().Int64Var(&f.app, "github-app", 0, "number of a GitHub App, instead of a token")
	command.Flags().StringVar(&f.appKeyFile, "github-app-key-file", "", "file with the App's private key")
}

func (f *gitHubFlags) client() (*github.Client, error) {
	options := github.Options{URL: f.url, AppID: f.app}
	switch {
	case f.app != 0 && f.appKeyFile != "" && f.tokenFile == "":
		lines, err := secretText(f.appKeyFile)
		if err != nil {
			return nil, err
		}
		options.AppKey = lines
	case f.app == 0 && f.appKeyFile == "" && f.tokenFile != "":
		options.Token = func() (string, error) { return firstLine(f.tokenFile) }
	default:
		return nil, wrongUse("say as whom GitHub is asked: with --github-token-file, or with --github-app and --github-app-key-file")
	}
	return github.New(options)
}

func newRedeliver(g *globals) *cobra.Command {
	var flags redeliverFlags
	command := &cobra.Command{
		Use:   "redeliver",
		Short: "Ask GitHub to send again what never got through",
		Long: `Ask GitHub to send again the webhook deliveries of which no attempt got through. GitHub itself sends
nothing again; it keeps deliveries for three days. What comes twice starts nothing twice.

For a repository's webhook: --repository, --hook, whose number stands in the address of the webhook's
page, and a token. For a GitHub App's own webhook: the App alone.`,
		Example: `  starter redeliver --repository https://github.com/example/site --hook 123456 --github-token-file token
  starter redeliver --github-app 7 --github-app-key-file key.pem --since 2h`,
		Args: exactly(),
		RunE: func(command *cobra.Command, _ []string) error { return g.redeliver(command.Context(), flags) },
	}
	flags.gitHub.add(command)
	command.Flags().StringVar(&flags.repository, "repository", "", "clone URL of the repository whose webhook it is")
	command.Flags().Int64Var(&flags.hook, "hook", 0, "the number of the repository's webhook")
	command.Flags().DurationVar(&flags.since, "since", 72*time.Hour, "how far back to look")
	command.Flags().BoolVar(&flags.dryRun, "dry-run", false, "only list them")
	return command
}

// redelivered is the JSON answer of redeliver.
type redelivered struct {
	Failed []github.FailedDelivery `json:"failed"`
	// Asked are the IDs of those that GitHub was asked for again.
	Asked []int64 `json:"asked"`
}

func (g *globals) redeliver(ctx context.Context, flags redeliverFlags) error {
	if flags.since <= 0 {
		return wrongUse("--since is %s: it is how far back to look", flags.since)
	}
	if (flags.repository == "") != (flags.hook == 0) {
		return wrongUse("--repository and --hook belong together: give both, or neither for a GitHub App's own webhook")
	}
	client, err := flags.gitHub.client()
	if err != nil {
		return err
	}
	hook := github.Hook{Repository: flags.repository, ID: flags.hook}
	failed, err := client.Failed(ctx, hook, time.Now().Add(-flags.since))
	if err != nil {
		return err
	}
	answer := redelivered{Failed: failed, Asked: []int64{}}
	if answer.Failed == nil {
		answer.Failed = []github.FailedDelivery{}
	}
	var stopped error
	for _, each := range failed {
		if flags.dryRun {
			break
		}
		if stopped = client.Redeliver(ctx, hook, each.ID); stopped != nil {
			break
		}
		answer.Asked = append(answer.Asked, each.ID)
	}
	shown := g.show(answer, func(w io.Writer) {
		for _, each := range failed {
			printf(w, "%s  %-14s %s  %s\n", each.At.UTC().Format(time.DateTime), clean(each.Event), clean(each.GUID), clean(each.Status))
		}
		printf(w, "%d failed, %d asked for again\n", len(failed), len(answer.Asked))
	})
	if stopped != nil {
		return delivery.Errorf(delivery.TypeOf(stopped), "%w; what was asked for so far is on its way, run it again for the rest", stopped)
	}
	return shown
}
