package activities

import (
	"context"
	"sync"
	"time"

	"gravity/internal/alarms"
	"gravity/internal/beanstalk"
	"gravity/internal/delivery"
)

// Bake watches environments that were proven good, for as long as their stages want.
type Bake struct {
	Platform *beanstalk.Client
	Alarms   *alarms.Client
	Site     *Site
	Probes   *Probes
	// Calm is the time between two checks, or two probes, while they pass, and Hurry while they don't.
	// Attentive is the time between two readings of the alarms, which all bakes share.
	Calm, Hurry, Attentive time.Duration
}

// BakeInput says what to watch, and until when. The end was set when the bake began, so that a worker
// that takes it over goes on with it.
type BakeInput struct {
	Application   string `json:"application"`
	Environment   string `json:"environment"`
	EnvironmentID string `json:"environmentId"`
	// Address is the environment's public host.
	Address string           `json:"address"`
	Version delivery.Version `json:"version"`
	Health  delivery.Health  `json:"health"`
	Until   time.Time        `json:"until"`
	// Patience is how much longer an update that somebody else began may take.
	Patience delivery.Duration `json:"patience"`
}

// Bake watches by all of the stage's rules, those of the platform and its own, until the end of the bake or
// until one of them is broken for good. One activity, however long it takes.
func (b *Bake) Bake(ctx context.Context, input BakeInput) (delivery.Proof, error) {
	return handOver(ctx, func(ctx context.Context) (delivery.Proof, error) { return b.watch(ctx, input) })
}

func (b *Bake) watch(ctx context.Context, input BakeInput) (delivery.Proof, error) {
	asking, stop := context.WithCancel(ctx)
	defer stop()
	seen := &witnesses{said: map[string]beanstalk.Complaint{}, changed: make(chan struct{}, 1)}
	var asked sync.WaitGroup
	defer asked.Wait() // nothing is left running
	defer stop()
	for _, ask := range b.questions(input) {
		asked.Go(func() { b.repeat(asking, seen, ask) })
	}
	proof, err := b.Platform.Bake(ctx, beanstalk.BakeWatch{
		Application: input.Application, Environment: input.Environment, EnvironmentID: input.EnvironmentID, Version: input.Version.Label,
		Health: input.Health, Until: input.Until, Patience: input.Patience.Std(),
		Also: seen.complaint, Changed: seen.changed,
	}, heartbeat(ctx))
	return proof, toTemporal(err)
}

// question is one of the stage's own rules.
type question struct {
	name string
	calm time.Duration
	ask  func(context.Context) (beanstalk.Complaint, error)
}

func (b *Bake) questions(input BakeInput) []question {
	var questions []question
	health := input.Health
	if len(health.Alarms) > 0 {
		questions = append(questions, question{"alarms", b.Attentive, func(ctx context.Context) (beanstalk.Complaint, error) {
			text, err := b.Alarms.Raised(ctx, health.Alarms)
			// An alarm has waited for as long as its team wants it to.
			return raised(text, true), err
		}})
	}
	if health.Check != nil {
		questions = append(questions, question{"check", b.Calm, func(ctx context.Context) (beanstalk.Complaint, error) {
			return failing(b.Site.check(ctx, CheckInput{Check: *health.Check, Address: input.Address, Version: input.Version}, func(string) {}))
		}})
	}
	if health.Probe != nil {
		questions = append(questions, question{"probe", b.Calm, func(ctx context.Context) (beanstalk.Complaint, error) {
			return failing(b.Probes.run(ctx, ProbeInput{Probe: *health.Probe, Check: health.Check, Address: input.Address, Version: input.Version}, &lastLine{}))
		}})
	}
	return questions
}

// raised is the complaint of an alarm; none when no alarm is.
func raised(text string, final bool) beanstalk.Complaint {
	if text == "" {
		return beanstalk.Complaint{}
	}
	return beanstalk.Complaint{Text: text, Cause: delivery.AlarmRaised, Final: final}
}

// failing tells a check that failed from one that could not be made.
func failing(err error) (beanstalk.Complaint, error) {
	if delivery.TypeOf(err) == delivery.CheckFailed {
		return beanstalk.Complaint{Text: err.Error(), Cause: delivery.CheckFailed}, nil
	}
	return beanstalk.Complaint{}, err
}

// repeat asks a question over and over. An answer that could not be had leaves the last one in force.
func (b *Bake) repeat(ctx context.Context, seen *witnesses, q question) {
	for {
		complaint, err := q.ask(ctx)
		pause := q.calm
		if err == nil && complaint.Text != "" {
			pause = b.Hurry
		}
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			seen.says(q.name, complaint)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// witnesses keep what the stage's own rules said last.
type witnesses struct {
	// changed is told of what was not said before.
	changed chan struct{}

	mu   sync.Mutex
	said map[string]beanstalk.Complaint
}

func (w *witnesses) says(name string, complaint beanstalk.Complaint) {
	w.mu.Lock()
	defer w.mu.Unlock()
	news := complaint != w.said[name]
	w.said[name] = complaint
	if news {
		select {
		case w.changed <- struct{}{}:
		default: // told already
		}
	}
}

// complaint is the gravest of the present ones.
func (w *witnesses) complaint() beanstalk.Complaint {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, name := range []string{"alarms", "check", "probe"} {
		if said := w.said[name]; said.Text != "" {
			return said
		}
	}
	return beanstalk.Complaint{}
}
