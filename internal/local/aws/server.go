package aws

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"gravity/internal/local/aws/clock"
	"gravity/internal/local/aws/faults"
	"gravity/internal/local/aws/instance"
	"gravity/internal/local/aws/objects"
	"gravity/internal/local/aws/platform"
	"gravity/internal/local/aws/service"
)

// Pace says how long the platform takes for what it does; see DemoPace, RealPace and TestPace.
type Pace = platform.Pace

// RealPace is the pace that AWS documents: an immutable update of two instances takes a quarter of an hour.
func RealPace() Pace { return platform.AWSPace() }

// DemoPace is for people who watch: an immutable update of two instances takes half a minute.
func DemoPace() Pace { return platform.DemoPace() }

// TestPace is for tests: an immutable update takes a fraction of a second.
func TestPace() Pace { return platform.TestPace() }

// Options say where a stand-in runs and how it behaves. Only DataDir is required.
type Options struct {
	DataDir string // state, bundles and instances' disks; a stand-in started on it again goes on
	Addr    string // of the AWS endpoint; 127.0.0.1:0 when empty
	Pace    Pace   // DemoPace when zero
	Faults  Faults
	Seed    uint64 // of everything random; a random one when 0
	// NewLabelWhileUpdating shows an update's version label from its beginning. AWS was seen to do
	// both; without it the old label stays until the update is done.
	NewLabelWhileUpdating bool

	// What clients must sign with. Made-up values when empty.
	AccessKeyID     string
	SecretAccessKey string
	Region          string

	Log    *slog.Logger    // discards when nil
	Clock  clock.Clock     // the machine's when nil
	Runner instance.Runner // real processes when nil

	services []service.Registration
}

const (
	defaultAddr        = "127.0.0.1:0"
	defaultRegion      = "us-east-1"
	defaultAccessKeyID = "LOCALSTANDIN"
	defaultSecret      = "local-stand-in"
	account            = "000000000000"
)

// Server is a running stand-in.
type Server struct {
	options  Options
	listener net.Listener
	http     *http.Server
	platform *platform.Platform
	objects  http.Handler
	services map[string]service.Service // that answer calls, by the name that clients sign for

	faults   *faults.Injector
	adminAPI http.Handler

	mu    sync.Mutex
	calls map[string]int

	stopContext func() bool
	closeOnce   sync.Once
	closeError  error
}

// Start starts a stand-in, which ends with the context or by Close.
func Start(ctx context.Context, o Options) (*Server, error) {
	if o.DataDir == "" {
		return nil, errors.New("start the AWS stand-in: no data folder given")
	}
	if err := os.MkdirAll(o.DataDir, 0o755); err != nil {
		return nil, fmt.Errorf("start the AWS stand-in: %w", err)
	}
	root, err := filepath.Abs(o.DataDir)
	if err != nil {
		return nil, fmt.Errorf("start the AWS stand-in: %w", err)
	}
	o = o.withDefaults(root)
	if err := o.Faults.Check(); err != nil {
		return nil, fmt.Errorf("start the AWS stand-in: %w", err)
	}
	listener, err := net.Listen("tcp", o.Addr)
	if err != nil {
		return nil, fmt.Errorf("start the AWS stand-in: %w", err)
	}
	s := &Server{options: o, listener: listener, calls: map[string]int{},
		faults: faults.NewInjector(o.Clock, o.Seed, o.Faults)}
	s.adminAPI = s.admin()
	if err := s.open(root); err != nil {
		return nil, errors.Join(fmt.Errorf("start the AWS stand-in: %w", err), listener.Close())
	}
	s.http = &http.Server{Handler: unhurried{s}, ReadHeaderTimeout: time.Minute}
	go func() { _ = s.http.Serve(listener) }() // returns when Close is called
	s.stopContext = context.AfterFunc(ctx, func() { _ = s.Close() })
	return s, nil
}

func (s *Server) open(root string) error {
	o := s.options
	store, err := objects.Open(filepath.Join(root, "objects"), o.Clock.Now)
	if err != nil {
		return err
	}
	s.objects = store.Handler(o.Log)
	s.platform, err = platform.Open(platform.Options{
		DataDir: root, Pace: o.Pace, Clock: o.Clock, Log: o.Log, Objects: store, Runner: o.Runner,
		Presign: s.presign,
		Faults:  s.faults, Region: o.Region, Account: account, Seed: o.Seed,
		NewLabelWhileUpdating: o.NewLabelWhileUpdating,
	})
	if err != nil {
		return err
	}
	return s.openServices(root)
}

func (o Options) withDefaults(root string) Options {
	fallback := func(value *string, other string) {
		if *value == "" {
			*value = other
		}
	}
	fallback(&o.Addr, defaultAddr)
	fallback(&o.Region, defaultRegion)
	fallback(&o.AccessKeyID, defaultAccessKeyID)
	fallback(&o.SecretAccessKey, defaultSecret)
	if o.Pace == (Pace{}) {
		o.Pace = DemoPace()
	}
	if o.Seed == 0 {
		o.Seed = rand.Uint64()
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Clock == nil {
		o.Clock = clock.Real()
	}
	o.services = append(furtherServices(), o.services...)
	if o.Runner == nil {
		sum := sha256.Sum256([]byte(root))
		o.Runner = instance.NewProcesses(o.Clock, o.Log, hex.EncodeToString(sum[:8]))
	}
	return o
}

// URL is the endpoint, for AWS_ENDPOINT_URL.
func (s *Server) URL() string { return "http://" + s.listener.Addr().String() }

// Config is a configuration for AWS SDK clients of the stand-in. S3 clients have to be made with
// s3.Options.UsePathStyle set, as for every endpoint without names of its own for buckets.
func (s *Server) Config() aws.Config {
	return aws.Config{
		Region:       s.options.Region,
		BaseEndpoint: aws.String(s.URL()),
		Credentials:  credentials.NewStaticCredentialsProvider(s.options.AccessKeyID, s.options.SecretAccessKey, ""),
	}
}

// Calls counts the calls received by operation: Beanstalk's by name, S3's as "S3 PUT" and so on.
func (s *Server) Calls() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	counted := make(map[string]int, len(s.calls))
	for name, count := range s.calls {
		counted[name] = count
	}
	return counted
}

func (s *Server) count(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[name]++
}

// Close ends every instance and listener. The state stays on disk.
func (s *Server) Close() error {
	s.closeOnce.Do(func() {
		s.stopContext()
		s.closeError = errors.Join(s.http.Close(), s.closeServices())
	})
	return s.closeError
}
