package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"gravity/internal/local/aws"
)

// standIns runs AWS and the git host alone, for a Temporal, a receiver and workers that run elsewhere and see
// this machine's loopback as their own: containers that share its network, for one. What those need to know
// lies in the directory.
func (f *upFlags) standIns(ctx context.Context, options stackOptions, faults aws.Faults, p *progress) error {
	s := &stack{options: options}
	defer func() {
		p.doing("ending every part")
		s.Close()
		p.doing("")
	}()
	if err := os.Remove(s.configPath()); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("removing the pipelines of the last start: %w", err)
	}
	for _, start := range []func(context.Context) error{
		s.startPlatform, s.startGit, s.tellWorkersOfThePlatform, s.tellGitOfTheReceiver, s.configure, s.createEnvironments,
		s.writeConfiguration, // the last: whoever waits for the file finds everything there
	} {
		if err := start(ctx); err != nil {
			return interruptedOr(ctx, err)
		}
	}
	if err := s.platform.SetFaults(faults); err != nil {
		return err
	}
	p.doing("")
	p.say("The stand-ins are up: AWS at %s, and the repository %s", s.platform.URL(), s.git.CloneURL(siteRepository))
	for _, site := range s.sites() {
		p.say("  %s  %s", site.Environment, site.URL)
	}
	<-ctx.Done() // an interrupt is how this command is meant to end
	return nil
}

// awsConfigName is the file with which the AWS SDKs and AWS's command line find the stand-in, as AWS_CONFIG_FILE.
const awsConfigName = "aws-config"

func (s *stack) tellWorkersOfThePlatform(ctx context.Context) error {
	settings := s.platform.Config()
	signed, err := settings.Credentials.Retrieve(ctx)
	if err != nil {
		return fmt.Errorf("reading the stand-in's credentials: %w", err)
	}
	text := fmt.Sprintf("[default]\nregion = %s\nendpoint_url = %s\naws_access_key_id = %s\naws_secret_access_key = %s\n",
		settings.Region, s.platform.URL(), signed.AccessKeyID, signed.SecretAccessKey)
	return os.WriteFile(filepath.Join(s.options.Directory, awsConfigName), []byte(text), 0o600)
}

// tellGitOfTheReceiver names the receiver that is to come, and leaves the secret with which it knows the host.
func (s *stack) tellGitOfTheReceiver(context.Context) error {
	secret, err := keptSecret(s.secretPath())
	if err != nil {
		return err
	}
	s.git.SetWebhook("http://"+loopback(s.options.ReceiverPort)+webhookPath, secret)
	return nil
}
