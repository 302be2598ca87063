package temporal

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"time"

	"gravity/internal/local/child"
	"gravity/internal/local/pinned"
)

const (
	// lowestMajor and lowestMinor are the oldest server that will do: Gravity needs update-with-start
	// and worker deployment versions as they are since 1.29.
	lowestMajor, lowestMinor = 1, 29
	// versionTimeout bounds `temporal --version`.
	versionTimeout = 10 * time.Second
)

// development is the command line of Temporal with its development server.
var development = pinned.Program{
	Folder:  "temporal",
	Name:    "temporal",
	Module:  "github.com/temporalio/cli",
	Package: "github.com/temporalio/cli/cmd/temporal",
	Version: "github.com/temporalio/cli/temporalcli.Version",
	Title:   "Temporal's development server",
	Takes:   "3 minutes",
}

// Binary finds a Temporal CLI with a development server that is new enough: `temporal` in PATH, or
// else one that it builds from the version pinned in tools/temporal of this module's source tree.
// That takes about three minutes, happens once a version, and is told through progress (which may be
// nil); the result stays in the user's cache folder. Two processes never build at the same time.
func Binary(ctx context.Context, progress func(string)) (string, error) {
	if progress == nil {
		progress = func(string) {}
	}
	installed, installedErr := fromPath(ctx)
	if installedErr == nil {
		return installed, nil
	}
	if !errors.Is(installedErr, exec.ErrNotFound) {
		progress(installedErr.Error() + "; it is not used")
	}
	built, err := development.Binary(ctx, progress)
	if errors.Is(err, pinned.ErrNoSource) {
		return "", fmt.Errorf("no Temporal development server: %w; %w. "+
			"Install the Temporal CLI (https://docs.temporal.io/cli), or start from Gravity's source tree, which builds it", installedErr, err)
	}
	return built, err
}

// fromPath answers with exec.ErrNotFound when there is none.
func fromPath(ctx context.Context) (string, error) {
	path, err := exec.LookPath("temporal")
	if err != nil {
		return "", fmt.Errorf("temporal is not in PATH: %w", exec.ErrNotFound)
	}
	ctx, cancel := context.WithTimeout(ctx, versionTimeout)
	defer cancel()
	command := exec.CommandContext(ctx, path, "--version")
	command.Env = child.Environment()
	command.WaitDelay = time.Second
	output, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("%s --version: %w", path, err)
	}
	if err := newEnough(string(output)); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return path, nil
}

var (
	serverVersion = regexp.MustCompile(`\bServer (\d{1,6})\.(\d{1,6})\.`)
	uiVersion     = regexp.MustCompile(`\bUI \d`)
)

// newEnough reads what `temporal --version` prints, such as
// "temporal version 1.5.1 (Server 1.29.1, UI 2.42.1)".
func newEnough(output string) error {
	found := serverVersion.FindStringSubmatch(output)
	if found == nil || !uiVersion.MatchString(output) {
		return errors.New("it does not say that it has a server and a web UI")
	}
	major, _ := strconv.Atoi(found[1]) // digits only, so few that they fit
	minor, _ := strconv.Atoi(found[2])
	if major < lowestMajor || major == lowestMajor && minor < lowestMinor {
		return fmt.Errorf("its server is %d.%d, needed is %d.%d or later", major, minor, lowestMajor, lowestMinor)
	}
	return nil
}
