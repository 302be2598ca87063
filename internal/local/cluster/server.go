package cluster

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/types/known/durationpb"

	"gravity/internal/local/child"
	"gravity/internal/local/temporal"
)

// retention is how long closed workflows stay readable.
const retention = 3 * 24 * time.Hour

// server is Temporal's, all services in one process.
type server struct {
	options      Options
	binary       string
	database     *database
	ports        ports
	certificates *certificates // nil without TLS
	authority    *authority    // nil without authorization
	process      *child.Process
}

// newServer chooses ports and writes the settings.
func newServer(options Options, binaries Binaries, d *database) (*server, error) {
	s := &server{options: options, binary: binaries.Temporal, database: d}
	var err error
	if s.ports, err = choosePorts(s.portsFile(), options.services()); err != nil {
		return nil, err
	}
	if options.encrypted() {
		if s.certificates, err = makeCertificates(filepath.Join(options.Directory, "tls"), options.TLS); err != nil {
			return nil, err
		}
	}
	if options.Authorization {
		if s.authority, err = newAuthority(filepath.Join(options.Directory, "jwks.json")); err != nil {
			return nil, err
		}
	}
	return s, s.writeSettings()
}

func (s *server) address() string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.ports["frontend"].GRPC))
}

func (s *server) clientOptions() (client.Options, error) {
	options := client.Options{
		HostPort: s.address(), Namespace: s.options.Namespace, Logger: log.NewStructuredLogger(s.options.Log),
	}
	if s.authority != nil {
		options.Credentials = client.NewAPIKeyDynamicCredentials(func(context.Context) (string, error) {
			return s.authority.token(time.Now().Add(time.Minute), everything)
		})
	}
	if s.certificates == nil {
		return options, nil
	}
	var err error
	options.ConnectionOptions.TLS, err = s.certificates.client()
	return options, err
}

func (s *server) start(ctx context.Context) error {
	s.options.Progress("starting Temporal's server")
	if err := s.renewPorts(); err != nil {
		return fmt.Errorf("start Temporal's server: %w", err)
	}
	arguments := []string{"--config-file", s.settingsFile(), "--allow-no-auth", "start"}
	for _, service := range s.options.services() {
		arguments = append(arguments, "--service", service)
	}
	process, err := child.Start(child.Command{
		Name: "temporal-server", Path: s.binary, Environment: child.Environment(), Log: s.options.Log,
		Arguments: arguments,
	})
	if err != nil {
		return fmt.Errorf("start Temporal's server: %w", err)
	}
	s.process = process
	if err := s.awaitReady(ctx); err != nil {
		return errors.Join(err, s.kill())
	}
	return nil
}

// awaitReady returns when every service answers and the namespace is as it was asked for.
func (s *server) awaitReady(ctx context.Context) error {
	options, err := s.clientOptions()
	if err != nil {
		return err
	}
	connection, err := client.NewLazyClient(options)
	if err != nil {
		return fmt.Errorf("make a client for Temporal at %s: %w", s.address(), err)
	}
	defer connection.Close()
	err = await(ctx, s.process, "Temporal's server", s.options.Progress, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		if err := s.register(ctx, connection); err != nil {
			return err
		}
		if err := temporal.Ask(ctx, connection, s.options.Namespace); err != nil {
			return err
		}
		return s.askWorker(ctx, options.ConnectionOptions.TLS)
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return temporal.AddSearchAttributes(ctx, connection, s.options.Namespace, s.options.SearchAttributes)
}

func (s *server) register(ctx context.Context, connection client.Client) error {
	_, err := connection.WorkflowService().RegisterNamespace(ctx, &workflowservice.RegisterNamespaceRequest{
		Namespace: s.options.Namespace, WorkflowExecutionRetentionPeriod: durationpb.New(retention),
	})
	var exists *serviceerror.NamespaceAlreadyExists
	if err != nil && !errors.As(err, &exists) {
		return fmt.Errorf("register namespace %s: %w", s.options.Namespace, err)
	}
	return nil
}

// askWorker asks the service that runs Temporal's own workflows, which answers when it has begun all of them. One that is
// cut off from the database or the frontend before that ends the whole server.
func (s *server) askWorker(ctx context.Context, config *tls.Config) error {
	transport := insecure.NewCredentials()
	if config != nil {
		transport = credentials.NewTLS(config)
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(s.ports["worker"].GRPC))
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(transport))
	if err != nil {
		return fmt.Errorf("worker service: %w", err)
	}
	defer func() { _ = connection.Close() }()
	if _, err := grpc_health_v1.NewHealthClient(connection).Check(ctx, &grpc_health_v1.HealthCheckRequest{}); err != nil {
		return fmt.Errorf("worker service: %w", err)
	}
	return nil
}

func (s *server) kill() error {
	if s.process == nil {
		return nil
	}
	err := s.process.End(os.Kill, stopTimeout)
	s.process = nil
	return err
}

func (s *server) stop() error {
	if s.process == nil {
		return nil
	}
	err := s.process.End(os.Interrupt, stopTimeout)
	s.process = nil
	return err
}
