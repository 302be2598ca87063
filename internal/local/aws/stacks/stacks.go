package stacks

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	eb "github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"gravity/internal/local/aws/clock"
	"gravity/internal/local/aws/query"
	"gravity/internal/local/aws/service"
	"gravity/internal/local/aws/stacks/specification"
)

// Name is what CloudFormation's clients sign for.
const Name = "cloudformation"

// Stacks is CloudFormation.
type Stacks struct {
	*query.API
	ground    service.Ground
	published specification.Specification
	beanstalk *eb.Client
	buckets   *s3.Client
	ctx       context.Context // of calls that go on while no request waits for them
	stop      context.CancelFunc

	mu     sync.Mutex
	closed bool
	random *rand.Rand
	stacks map[string]*stack // by ID
	timers map[string]clock.Timer
	calls  sync.WaitGroup
}

// Registration puts CloudFormation onto the endpoint.
func Registration() service.Registration {
	return service.Registration{Name: Name, Open: func(ground service.Ground) (service.Service, error) { return open(ground) }}
}

func open(ground service.Ground) (*Stacks, error) {
	published, err := specification.Load()
	if err != nil {
		return nil, err
	}
	s := &Stacks{
		ground: ground, published: published, stacks: map[string]*stack{}, timers: map[string]clock.Timer{},
		beanstalk: eb.NewFromConfig(ground.Client),
		buckets:   s3.NewFromConfig(ground.Client, func(o *s3.Options) { o.UsePathStyle = true }),
		random:    rand.New(rand.NewPCG(ground.Seed, uint64(ground.Clock.Now().UnixNano()))), //nolint:gosec // names, no secrets
	}
	s.API = &query.API{Service: "AWSCloudFormation", Namespace: "http://cloudformation.amazonaws.com/doc/2010-05-15/", Version: "2010-05-15",
		Operations: s.operations(), Limits: limits()}
	s.ctx, s.stop = context.WithCancel(context.Background())
	if err := s.load(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, of := range s.stacks {
		if of.Work != nil {
			s.wake(of, ground.Step)
		}
		if of.Detection != nil && of.Detection.Status == detecting {
			s.detectLater(of)
		}
	}
	return s, nil
}

// Close lets calls under way end; what they were part of goes on with the next start.
func (s *Stacks) Close() error {
	s.mu.Lock()
	s.closed = true
	for _, timer := range s.timers {
		timer.Stop()
	}
	s.mu.Unlock()
	s.stop()
	s.calls.Wait()
	return nil
}

// wake has a stack's operation go on after a while.
func (s *Stacks) wake(of *stack, after time.Duration) {
	if s.closed {
		return
	}
	s.timers[of.ID] = s.ground.Clock.AfterFunc(after, func() { s.turn(of) })
}

// elsewhere runs what calls other services, without the lock, and then then with it.
func (s *Stacks) elsewhere(call func(ctx context.Context) error, then func(error)) {
	done := s.ground.Clock.Busy()
	s.calls.Add(1)
	go func() {
		defer s.calls.Done()
		defer done()
		err := call(s.ctx)
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.closed {
			then(err)
		}
	}()
}

// now is the time as it goes over the wire: to the millisecond.
func (s *Stacks) now() time.Time { return s.ground.Clock.Now().Truncate(time.Millisecond) }

// documented is a duration of AWS at the stand-in's pace.
func (s *Stacks) documented(d time.Duration) time.Duration {
	const step = 10 * time.Second // a step of AWS's own pace
	return time.Duration(float64(d) * float64(s.ground.Step) / float64(step))
}

const (
	capitals    = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	hexadecimal = "0123456789abcdef"
)

func (s *Stacks) identifier(n int, alphabet string) string {
	text := make([]byte, n)
	for i := range text {
		text[i] = alphabet[s.random.IntN(len(alphabet))]
	}
	return string(text)
}

// uuid makes up what ends the ARNs of stacks, change sets and keys.
func (s *Stacks) uuid() string {
	text := s.identifier(32, hexadecimal)
	return strings.Join([]string{text[:8], text[8:12], text[12:16], text[16:20], text[20:]}, "-")
}

func (s *Stacks) arn(kind string) string {
	return fmt.Sprintf("arn:aws:cloudformation:%s:%s:%s/%s", s.ground.Region, s.ground.Account, kind, s.uuid())
}

func refuse(format string, arguments ...any) *service.Fault {
	return &service.Fault{Code: "ValidationError", Message: fmt.Sprintf(format, arguments...), Status: http.StatusBadRequest}
}

// find is a stack by name or ID. One that was deleted is found by its ID alone.
func (s *Stacks) find(nameOrID *string) (*stack, error) {
	wanted := ""
	if nameOrID != nil {
		wanted = *nameOrID
	}
	for _, of := range s.stacks {
		if of.ID == wanted || of.Name == wanted && !of.gone() {
			return of, nil
		}
	}
	return nil, refuse("Stack with id %s does not exist", wanted)
}
