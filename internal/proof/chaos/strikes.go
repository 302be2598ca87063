package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"gravity/internal/proof/lab"
)

// strike is what is killed at once, after a pause, and for how long it stays away.
type strike struct {
	after, away      time.Duration
	worker           int // -1 where none is
	server, database bool
}

// schedule draws strikes from a seed: the first three kill one of each, and of those that follow three in five a worker,
// one Temporal, and one its database where there is one; and one in four kills a worker beside.
func schedule(seed uint64, workers int, between time.Duration, databases bool) func() strike {
	dice := rand.New(rand.NewPCG(seed, 0))
	first := []int{0, 3, 4}
	dice.Shuffle(len(first), func(i, j int) { first[i], first[j] = first[j], first[i] })
	return func() strike {
		s := strike{
			after: time.Duration(dice.Int64N(int64(2 * between))), away: time.Duration(dice.Int64N(int64(between))), worker: -1,
		}
		victim, beside, which := dice.IntN(5), dice.IntN(4) == 0, dice.IntN(workers)
		if len(first) > 0 {
			victim, first = first[0], first[1:]
		}
		s.server = victim == 3 || victim == 4 && !databases
		s.database = victim == 4 && databases
		if victim < 3 || beside {
			s.worker = which
		}
		return s
	}
}

// strikeOn strikes until it is over. Whatever was killed is there again then.
func (s *storm) strikeOn(ctx, over context.Context) error {
	database, _ := s.Lab.Temporal.(lab.Database)
	next := schedule(s.Seed, s.Workers, s.Between, database != nil)
	for {
		blow := next()
		select {
		case <-over.Done():
			return nil
		case <-time.After(blow.after):
		}
		if err := s.strike(ctx, blow, database); err != nil {
			return err
		}
	}
}

func (s *storm) strike(ctx context.Context, blow strike, database lab.Database) error {
	if blow.database {
		s.killed("PostgreSQL")
		if err := database.KillDatabase(); err != nil {
			return fmt.Errorf("killing the database: %w", err)
		}
	}
	if blow.server {
		s.killed("Temporal")
		if err := s.Lab.Temporal.Kill(); err != nil {
			return fmt.Errorf("killing Temporal: %w", err)
		}
	}
	if blow.worker >= 0 {
		s.killed("worker")
		s.workers[blow.worker].Kill()
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(blow.away):
	}
	return s.bringBack(ctx, blow, database)
}

func (s *storm) bringBack(ctx context.Context, blow strike, database lab.Database) (err error) {
	if blow.database {
		if err := database.StartDatabase(ctx); err != nil {
			return fmt.Errorf("starting the database again: %w", err)
		}
	}
	if blow.server {
		if err := s.Lab.Temporal.Restart(ctx); err != nil {
			return fmt.Errorf("starting Temporal again: %w", err)
		}
	}
	if blow.worker >= 0 {
		s.workers[blow.worker], err = s.Lab.StartWorker(s.worker())
	}
	return err
}

func (s *storm) killed(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.report.Kills[what]++
	s.Say("killed: %s", what)
}
