package pinned

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"time"

	"gravity/internal/local/child"
)

// tellEvery is the pace of progress lines while a build takes long.
const tellEvery = 5 * time.Second

// build is one binary to be: which version, from where, to where.
type build struct {
	Program
	directory string // of the module that pins it
	version   string
	cache     string
	target    string
}

// fromSource answers with the cached binary of the pinned version, and builds it when there is none.
func (p Program) fromSource(ctx context.Context, tree, cache string, progress func(string)) (string, error) {
	b, err := p.plan(tree, cache)
	if err != nil {
		return "", err
	}
	if b.exists() {
		return b.target, nil
	}
	if err := os.MkdirAll(b.cache, 0o755); err != nil {
		return "", fmt.Errorf("create the cache folder: %w", err)
	}
	unlock, err := b.lock(ctx, progress)
	if err != nil {
		return "", err
	}
	defer unlock()
	if b.exists() { // whoever held the lock has built it
		return b.target, nil
	}
	if err := b.run(ctx, progress); err != nil {
		return "", err
	}
	return b.target, nil
}

// plan names the binary by all that it is made of, so that a raised version, or another set of
// dependencies under the same version, is another binary.
func (p Program) plan(tree, cache string) (*build, error) {
	pin := p.pin(tree)
	module, err := os.ReadFile(pin)
	if err != nil {
		return nil, fmt.Errorf("read which version of %s is pinned: %w", p.Title, err)
	}
	found := regexp.MustCompile(`(?m)^\s*(?:require\s+)?` + regexp.QuoteMeta(p.Module) + ` v(\S+)`).FindSubmatch(module)
	if found == nil {
		return nil, fmt.Errorf("%s does not require %s", pin, p.Module)
	}
	sums, err := os.ReadFile(filepath.Join(filepath.Dir(pin), "go.sum"))
	if err != nil {
		return nil, fmt.Errorf("read which version of %s is pinned: %w", p.Title, err)
	}
	digest := sha256.New()
	_, _ = fmt.Fprintf(digest, "%s %s\n%s\n%s", runtime.GOOS, runtime.GOARCH, module, sums)
	version := string(found[1])
	return &build{
		Program:   p,
		directory: filepath.Dir(pin),
		version:   version,
		cache:     cache,
		target:    filepath.Join(cache, p.Name+"-"+version+"-"+hex.EncodeToString(digest.Sum(nil))[:12]),
	}, nil
}

func (b *build) exists() bool {
	info, err := os.Stat(b.target)
	return err == nil && info.Mode().IsRegular()
}

// lock makes sure that one process builds while the others wait and say so.
func (b *build) lock(ctx context.Context, progress func(string)) (unlock func(), err error) {
	file, err := os.OpenFile(filepath.Join(b.cache, b.Name+".lock"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the lock of the build of %s: %w", b.Title, err)
	}
	try, tell := time.NewTicker(200*time.Millisecond), time.NewTicker(tellEvery)
	defer try.Stop()
	defer tell.Stop()
	for began := time.Now(); ; {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = file.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			_ = file.Close()
			return nil, fmt.Errorf("lock the build of %s: %w", b.Title, err)
		}
		select {
		case <-ctx.Done():
			_ = file.Close()
			return nil, fmt.Errorf("wait for another process that builds %s: %w", b.Title, context.Cause(ctx))
		case <-tell.C:
			progress(fmt.Sprintf("another process is building %s; waited %.0f s so far", b.Title, time.Since(began).Seconds()))
		case <-try.C:
		}
	}
}

// run builds to a temporary name, so that a build that was cut off leaves nothing that looks whole.
func (b *build) run(ctx context.Context, progress func(string)) error {
	unfinished := b.target + ".unfinished" // the lock is held: nobody else writes it
	command := b.command(unfinished)
	output := child.NewTail("go build", nil)
	command.Stdout, command.Stderr = output, output
	if err := command.Start(); err != nil {
		return fmt.Errorf("build %s: run go: %w", b.Title, err)
	}
	var failure error
	ended := make(chan struct{})
	go func() { failure = command.Wait(); close(ended) }()
	tell := time.NewTicker(tellEvery)
	defer tell.Stop()
	began := time.Now()
	progress(b.building(0))
	for {
		select {
		case <-tell.C:
			progress(b.building(time.Since(began)))
		case <-ctx.Done():
			_ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL) // go and the compilers that it runs
			<-ended
			return errors.Join(fmt.Errorf("build %s: %w", b.Title, context.Cause(ctx)), remove(unfinished))
		case <-ended:
			if failure != nil {
				output.Flush()
				return errors.Join(fmt.Errorf("build %s in %s: %w\n%s", b.Title, b.directory, failure, output), remove(unfinished))
			}
			if err := os.Rename(unfinished, b.target); err != nil {
				return fmt.Errorf("keep %s: %w", b.Title, err)
			}
			progress(fmt.Sprintf("built %s %s in %.0f s", b.Title, b.version, time.Since(began).Seconds()))
			return nil
		}
	}
}

// command to build with. Settings that a developer made for other work (GOFLAGS, GOOS, a workspace)
// must not change what is built; an empty GOFLAGS would let those of `go env -w` through.
func (b *build) command(target string) *exec.Cmd {
	flags := "-s -w"
	if b.Version != "" {
		flags += " -X " + b.Version + "=" + b.version
	}
	command := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", flags, "-o", target, b.Package)
	command.Dir = b.directory
	command.Env = append(os.Environ(), "PWD="+b.directory, "GOFLAGS=-mod=readonly", "GOWORK=off",
		"GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH, "CGO_ENABLED=0")
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return command
}

func (b *build) building(elapsed time.Duration) string {
	return strings.TrimSuffix(fmt.Sprintf("building %s, once: about %s; %.0f s so far", b.Title, b.Takes, elapsed.Seconds()), "; 0 s so far")
}

func remove(file string) error {
	if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("clean up: %w", err)
	}
	return nil
}
