package aws

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"gravity/internal/local/aws/alarms"
	"gravity/internal/local/aws/service"
	"gravity/internal/local/aws/stacks"
)

// furtherServices are the services of the endpoint beside Elastic Beanstalk and S3.
func furtherServices() []service.Registration {
	return []service.Registration{alarms.Registration(), stacks.Registration()}
}

// openServices opens every service that answers calls, by the name that its clients sign for.
func (s *Server) openServices(root string) error {
	s.services = map[string]service.Service{beanstalkName: newBeanstalk(s.platform)}
	for _, further := range s.options.services {
		folder := filepath.Join(root, further.Name)
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return fmt.Errorf("make the data folder of %s: %w", further.Name, err)
		}
		opened, err := further.Open(service.Ground{
			DataDir: folder, Clock: s.platform.Clock(), Step: s.options.Pace.Step, Log: s.options.Log.With("service", further.Name),
			Region: s.options.Region, Account: account, Seed: s.options.Seed, Client: s.Config(), Faults: s.faults,
		})
		if err != nil {
			return errors.Join(fmt.Errorf("open %s: %w", further.Name, err), s.closeServices())
		}
		s.services[further.Name] = opened
	}
	return nil
}

// closeServices closes the further services before the platform, which they call.
func (s *Server) closeServices() error {
	var problems []error
	for name, opened := range s.services {
		if name != beanstalkName {
			problems = append(problems, opened.Close())
		}
	}
	return errors.Join(append(problems, s.services[beanstalkName].Close())...)
}
