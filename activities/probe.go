package activities

import (
	"cmp"
	"context"
	"os"
	"strings"
	"time"

	"gravity/internal/delivery"
	"gravity/internal/runner"
)

// Probes runs the commands by which stages ask their deployed applications. They belong to whoever operates
// Gravity; they get a clean environment all the same, since nothing of a worker's is of use to them.
type Probes struct {
	// Directory is where each command gets an empty folder of its own. Default: the system's for temporary files.
	Directory string
	// Beat is how often a running command shows that it lives. Default 3 s.
	Beat time.Duration
}

// ProbeInput is a stage's probe of a version at an environment's address.
type ProbeInput struct {
	Probe delivery.Probe `json:"probe"`
	// Check is the stage's, if it has one: its URL is where the application is asked.
	Check *delivery.Check `json:"check,omitempty"`
	// Address is the environment's public host.
	Address string           `json:"address"`
	Version delivery.Version `json:"version"`
}

// Probe runs the command, once, and fails when the command does.
func (p *Probes) Probe(ctx context.Context, input ProbeInput) error {
	latest := &lastLine{}
	defer keepAlive(ctx, cmp.Or(p.Beat, defaultBeat), latest)()
	return toTemporal(p.run(ctx, input, latest))
}

func (p *Probes) run(ctx context.Context, input ProbeInput, latest *lastLine) error {
	folder, err := os.MkdirTemp(p.Directory, "probe-")
	if err != nil {
		return delivery.Errorf(delivery.Unavailable, "making a folder for the probe: %w", err)
	}
	defer func() { _ = os.RemoveAll(folder) }()
	result, err := runner.Run(ctx, runner.Command{
		Line: input.Probe.Run, Dir: folder, Scratch: p.Directory, Timeout: input.Probe.Timeout.Std(),
		Grace: probeGrace,
		Variables: map[string]string{
			"GRAVITY_URL":      siteURL(input.Check, input.Address),
			"GRAVITY_VERSION":  input.Version.Label,
			"GRAVITY_REVISION": input.Version.Revision.SHA,
		},
	}, latest)
	switch {
	case err != nil:
		return err
	case result.Passed():
		return nil
	default:
		return delivery.Errorf(delivery.CheckFailed, "the probe %s%s", result.Reason(), endOf(result.Tail))
	}
}

// probeGrace is how long a probe may clean up when it is ended: it has changed nothing, and a rollback may
// be waiting.
const probeGrace = 500 * time.Millisecond

// probeLines is how many lines of a failed probe's output its error repeats.
const probeLines = 5

func endOf(tail string) string {
	var lines []string
	for line := range strings.SplitSeq(tail, "\n") {
		if strings.TrimSpace(line) != "" {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	if len(lines) == 0 {
		return ""
	}
	return ": " + delivery.Clip(strings.Join(lines[max(0, len(lines)-probeLines):], " | "), 3*maxLine)
}

// siteURL is where a stage's users find the application: at a domain of the team's own, if its check
// names one, or at the environment's address.
func siteURL(check *delivery.Check, address string) string {
	if check != nil && check.URL != "" {
		return strings.TrimSuffix(check.URL, "/")
	}
	return "http://" + address
}
