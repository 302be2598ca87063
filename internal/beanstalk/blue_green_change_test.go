package beanstalk

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"
	"github.com/stretchr/testify/require"

	"gravity/internal/delivery"
)

func swapInput(from, to string) *elasticbeanstalk.SwapEnvironmentCNAMEsInput {
	return &elasticbeanstalk.SwapEnvironmentCNAMEsInput{SourceEnvironmentId: aws.String(from), DestinationEnvironmentId: aws.String(to)}
}

func (t *twins) beside() Beside {
	return Beside{Live: t.see("shop-production"), Name: "shop-production-green", Version: "v2", Mark: shopMark}
}

// attempts tries like Temporal does: again while an error is worth it. Each attempt after one that announced knows of it.
func attempts(t *testing.T, try func(before bool, announce func()) error) error {
	t.Helper()
	announced := false
	for range 10 {
		err := try(announced, func() { announced = true })
		var typed *delivery.Error
		if err == nil || !errors.As(err, &typed) || !typed.Retryable() {
			return err
		}
	}
	t.Fatal("it never came to an end")
	return nil
}

func (t *twins) make(test *testing.T) (delivery.Observation, error) {
	b := t.beside()
	var made delivery.Observation
	err := attempts(test, func(before bool, announce func()) (err error) {
		made, err = t.client().MakeBeside(limited(test), b, before, inTime(), announce, ignored)
		return err
	})
	return made, err
}

func TestTheNewEnvironmentIsAsTheLiveOneButForItsNameItsAddressAndItsVersion(t *testing.T) {
	p := pairOfShop(false)
	live := p.named("shop-production")
	live.Description, live.OperationsRole = aws.String("the shop"), aws.String("arn:role")
	live.tags = map[string]string{
		"team": "shop", "elasticbeanstalk:environment-name": "shop-production", "aws:x": "y", "Name": "shop-production",
		"gravity:environment": "shop-production", "gravity:request": "production/r-6",
	}
	made, err := p.make(t)
	require.NoError(t, err)
	require.Equal(t, "e-9", made.ID)
	require.Len(t, p.created, 1)
	created := p.created[0]
	require.Equal(t, "v2", *created.VersionLabel)
	require.Equal(t, "e-1", p.templates[*created.TemplateName])
	require.Equal(t, "the shop", *created.Description)
	require.Equal(t, "arn:role", *created.OperationsRole)
	require.Equal(t, live.Tier, created.Tier)
	require.Equal(t, map[string]string{
		"team": "shop", "gravity:environment": "shop-production", "gravity:deployment": shopMark.Deployment, "gravity:request": "production/r-7",
	}, tagsOf(created.Tags))
	require.Regexp(t, `^shop-production-green-[0-9a-f]{10}$`, *created.CNAMEPrefix, "never the name itself, which users may know it by")
	require.Equal(t, aws.ToString(created.CNAMEPrefix)+".eu-west-1.elasticbeanstalk.com", made.Address)
}

func TestTheNewEnvironmentIsMadeOnceWhateverAnswersAreLost(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		for name, change := range map[string]func(*twins){
			"all is well":                      func(*twins) {},
			"the answer to it is lost":         func(p *twins) { p.lose["CreateEnvironment"] = 1 },
			"and it does not show at once":     func(p *twins) { p.lose["CreateEnvironment"], p.lag = 1, 2 },
			"the saved configuration's answer": func(p *twins) { p.lose["CreateConfigurationTemplate"] = 1 },
			"it is throttled":                  func(p *twins) { p.refuse["CreateEnvironment"] = []error{errThrottled, errThrottled} },
			"looks fail":                       func(p *twins) { p.refuse["DescribeEnvironments"] = []error{errThrottled, errLost} },
			"tags cannot be read":              func(p *twins) { p.refuse["ListTagsForResource"] = []error{errThrottled} },
		} {
			p := pairOfShop(false)
			b := p.see("shop-production")
			change(p)
			var made delivery.Observation
			err := attempts(t, func(before bool, announce func()) (err error) {
				made, err = p.client().MakeBeside(limited(t), Beside{Live: b, Name: "shop-production-green", Version: "v2", Mark: shopMark}, before, inTime(), announce, ignored)
				return err
			})
			require.NoError(t, err, name)
			require.Equal(t, "e-9", made.ID, name)
			require.Len(t, p.created, 1, name)
			if name != "it is throttled" {
				require.Equal(t, 1, p.count("CreateEnvironment"), name)
			}
		}
	})
}

func TestWhatAnEarlierAttemptMadeIsAdopted(t *testing.T) {
	p := pairOfShop(true)
	made, err := p.make(t)
	require.NoError(t, err)
	require.Equal(t, "e-2", made.ID)
	require.Zero(t, p.count("CreateEnvironment"))
	require.Zero(t, p.count("TerminateEnvironment"))
}

func TestWhatAnEarlierDeploymentLeftIsEndedFirst(t *testing.T) {
	p := pairOfShop(true)
	p.named("shop-production-green").tags[tagRequest] = "production/r-6"
	made, err := p.make(t)
	require.NoError(t, err)
	require.Equal(t, "e-9", made.ID)
	require.Equal(t, 1, p.count("TerminateEnvironment"))
	require.Equal(t, 1, p.count("CreateEnvironment"))
}

func TestAnEnvironmentThatIsBeingEndedIsWaitedFor(t *testing.T) {
	p := pairOfShop(true)
	green := p.named("shop-production-green")
	green.tags = nil
	p.begin(green, types.EnvironmentStatusTerminating, func() { green.Status = types.EnvironmentStatusTerminated })
	made, err := p.make(t)
	require.NoError(t, err)
	require.Equal(t, "e-9", made.ID)
	require.Zero(t, p.count("TerminateEnvironment"))
}

func TestSomebodyElsesEnvironmentIsLeftAloneAndNamed(t *testing.T) {
	for says, change := range map[string]func(*twin){
		"Gravity did not make it":        func(e *twin) { e.tags = map[string]string{"team": "shop"} },
		"Gravity did not make":           func(e *twin) { e.tags[tagEnvironment], e.tags[tagRequest] = "another", "another/1" },
		`belongs to application "other"`: func(e *twin) { e.ApplicationName = aws.String("other") },
	} {
		p := pairOfShop(true)
		change(p.named("shop-production-green"))
		_, err := p.make(t)
		require.Equal(t, delivery.Drift, delivery.TypeOf(err))
		require.ErrorContains(t, err, says)
		require.ErrorContains(t, err, "shop-production-green")
		require.Zero(t, p.count("CreateEnvironment")+p.count("TerminateEnvironment"))
	}
}

func (t *twins) swap(test *testing.T) (delivery.Observation, error) {
	s := Swap{From: t.see("shop-production"), To: t.see("shop-production-green")}
	var live delivery.Observation
	err := attempts(test, func(before bool, announce func()) (err error) {
		live, err = t.client().Swap(limited(test), s, before, inTime(), announce, ignored)
		return err
	})
	return live, err
}

func TestAddressesAreSwappedOnceWhateverAnswersAreLost(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		for name, change := range map[string]func(*twins){
			"all is well":                     func(*twins) {},
			"the answer is lost":              func(p *twins) { p.lose["SwapEnvironmentCNAMEs"] = 1 },
			"and nothing shows at once":       func(p *twins) { p.lose["SwapEnvironmentCNAMEs"], p.lag = 1, 3 },
			"looks lag behind":                func(p *twins) { p.lag = 4 },
			"looks fail":                      func(p *twins) { p.refuse["DescribeEnvironments"] = []error{errThrottled, errLost, errThrottled} },
			"the swap ends in the first look": func(p *twins) { p.takes = 1 },
		} {
			p := pairOfShop(true)
			s := Swap{From: p.see("shop-production"), To: p.see("shop-production-green")}
			change(p)
			live, err := p.client().Swap(limited(t), s, false, inTime(), unsaid, ignored)
			require.NoError(t, err, name)
			require.Equal(t, "e-2", live.ID, name)
			require.Equal(t, s.From.Address, live.Address, name)
			require.Equal(t, 1, p.count("SwapEnvironmentCNAMEs"), name)
		}
	})
}

func TestASwapThatWasNotTakenIsSentAgain(t *testing.T) {
	for name, refused := range map[string]error{"throttled": errThrottled, "lost on its way": errLost, "must be ready": errMustBeReady} {
		p := pairOfShop(true)
		p.refuse["SwapEnvironmentCNAMEs"] = []error{refused}
		live, err := p.swap(t)
		require.NoError(t, err, name)
		require.Equal(t, "e-2", live.ID, name)
		require.Equal(t, 2, p.count("SwapEnvironmentCNAMEs"), name)
	}
}

func TestASwapOfAnEarlierAttemptIsFoundAndNotUndone(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		for name, lag := range map[string]int{"done": 0, "under way": 0, "not to be seen yet": 2} {
			p := pairOfShop(true)
			p.lag, p.takes = lag, 2
			if name == "done" {
				p.takes = 1
			}
			s := Swap{From: p.see("shop-production"), To: p.see("shop-production-green")}
			_, err := p.SwapEnvironmentCNAMEs(t.Context(), swapInput("e-1", "e-2"))
			require.NoError(t, err)
			live, err := p.client().Swap(limited(t), s, true, inTime(), unsaid, ignored)
			require.NoError(t, err, name)
			require.Equal(t, s.From.Address, live.Address, name)
			require.Equal(t, 1, p.count("SwapEnvironmentCNAMEs"), name)
		}
	})
}

func TestNoSwapWhereSomethingElseHappened(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		for says, c := range map[string]struct {
			change func(*twins)
			kind   delivery.ErrorType
		}{
			"shop-production was changed by somebody meanwhile": {func(p *twins) {
				p.named("shop-production").VersionLabel, p.named("shop-production").DateUpdated = aws.String("by-hand"), aws.Time(monday.Add(time.Hour))
			}, delivery.Drift},
			"somebody swapped it by hand":          {func(p *twins) { p.named("shop-production").CNAME = aws.String("elsewhere") }, delivery.Drift},
			"shop-production-green is terminated":  {func(p *twins) { p.named("shop-production-green").EnvironmentId = aws.String("e-3") }, delivery.UpdateFailed},
			"shop-production-green is terminating": {func(p *twins) { p.named("shop-production-green").Status = types.EnvironmentStatusTerminating }, delivery.UpdateFailed},
		} {
			p := pairOfShop(true)
			s := Swap{From: p.see("shop-production"), To: p.see("shop-production-green")}
			c.change(p)
			_, err := p.client().Swap(limited(t), s, false, inTime(), unsaid, ignored)
			require.Equal(t, c.kind, delivery.TypeOf(err), says)
			require.ErrorContains(t, err, says)
			require.Zero(t, p.count("SwapEnvironmentCNAMEs"), says)
		}
	})
}

func TestASwapThatThePlatformDoesNotCarryOutIsAFailureAndNotRepeated(t *testing.T) {
	p := pairOfShop(true)
	p.ignoreSwap = true
	_, err := p.swap(t)
	require.Equal(t, delivery.UpdateFailed, delivery.TypeOf(err))
	require.Equal(t, 1, p.count("SwapEnvironmentCNAMEs"))
}

func TestASwapWaitsForBothAndNotForEver(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := pairOfShop(true)
		p.named("shop-production-green").Status = types.EnvironmentStatusUpdating
		s := Swap{From: p.see("shop-production"), To: p.see("shop-production-green")}
		_, err := p.client().Swap(limited(t), s, false, time.Now(), unsaid, ignored)
		require.Equal(t, delivery.EnvironmentBusy, delivery.TypeOf(err))
		require.Zero(t, p.count("SwapEnvironmentCNAMEs"))
	})
}

func TestAnAbortThatAnnouncingTellsOfKeepsTheSwapFromBeingSent(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := pairOfShop(true)
		ctx, cancel := context.WithCancel(t.Context())
		_, err := p.client().Swap(ctx, Swap{From: p.see("shop-production"), To: p.see("shop-production-green")}, false, inTime(), cancel, ignored)
		require.ErrorIs(t, err, context.Canceled)
		require.Zero(t, p.count("SwapEnvironmentCNAMEs"))
	})
}

func retirement(id string) Retirement {
	return Retirement{Application: "shop", Name: "shop-production-green", ID: id, Mark: shopMark, Public: "shop-production.eu-west-1.elasticbeanstalk.com"}
}

func (t *twins) retire(test *testing.T, r Retirement) (bool, error) {
	var ended bool
	err := attempts(test, func(before bool, announce func()) (err error) {
		ended, err = t.client().Retire(limited(test), r, before, inTime(), announce, ignored)
		return err
	})
	return ended, err
}

func TestAnEnvironmentIsEndedOnceWhateverAnswersAreLost(t *testing.T) {
	for name, change := range map[string]func(*twins){
		"all is well":               func(*twins) {},
		"the answer is lost":        func(p *twins) { p.lose["TerminateEnvironment"] = 1 },
		"and nothing shows at once": func(p *twins) { p.lose["TerminateEnvironment"], p.lag = 1, 3 },
		"the saved configuration's": func(p *twins) { p.lose["DeleteConfigurationTemplate"] = 1 },
		"looks fail":                func(p *twins) { p.refuse["DescribeEnvironments"] = []error{errThrottled, errLost} },
		"it still launches":         func(p *twins) { p.begin(p.named("shop-production-green"), types.EnvironmentStatusLaunching, func() {}) },
	} {
		for _, id := range []string{"e-2", ""} {
			p := pairOfShop(true)
			p.templates[shopMark.template()] = "e-1"
			change(p)
			ended, err := p.retire(t, retirement(id))
			require.NoError(t, err, name)
			require.True(t, ended, name)
			require.Equal(t, 1, p.count("TerminateEnvironment"), name)
			require.Empty(t, p.templates, name)
		}
	}
}

func TestAnEndIsToldWhenItShows(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := pairOfShop(true)
		p.lag = 3
		ended, err := p.retire(t, retirement("e-2"))
		require.NoError(t, err)
		require.True(t, ended)
		now, err := p.client().lookAt(t.Context(), Pair{Old: p.see("shop-production"), New: p.see("shop-production-green")})
		require.NoError(t, err)
		require.True(t, ending(now.New), "whoever looks next does not find it standing: it is %s", now.New.Status)
		require.Equal(t, 1, p.count("TerminateEnvironment"))
	})
}

func TestOnlyOursIsEnded(t *testing.T) {
	for name, change := range map[string]func(*twins){
		"there is none":                  func(p *twins) { p.named("shop-production-green").Status = types.EnvironmentStatusTerminated },
		"it was made by somebody":        func(p *twins) { p.named("shop-production-green").tags = nil },
		"it was made by another request": func(p *twins) { p.named("shop-production-green").tags[tagRequest] = "production/r-6" },
		"it is another application's":    func(p *twins) { p.named("shop-production-green").ApplicationName = aws.String("other") },
	} {
		p := pairOfShop(true)
		change(p)
		ended, err := p.retire(t, retirement(""))
		require.NoError(t, err, name)
		require.False(t, ended, name)
		require.Zero(t, p.count("TerminateEnvironment"), name)
	}
	p := pairOfShop(true)
	ended, err := p.retire(t, retirement("e-7"))
	require.NoError(t, err)
	require.False(t, ended, "made anew under the same name")
	require.Zero(t, p.count("TerminateEnvironment"))
}

func TestTheEnvironmentThatUsersHaveIsNeverEnded(t *testing.T) {
	p := pairOfShop(true)
	r := retirement("e-2")
	r.Public = p.see("shop-production-green").Address
	_, err := p.retire(t, r)
	require.Equal(t, delivery.Drift, delivery.TypeOf(err))
	require.Zero(t, p.count("TerminateEnvironment"))
}

func TestAnAbortWhileTheLastUsersLeaveKeepsTheEnvironment(t *testing.T) {
	p := pairOfShop(true)
	pace := quick
	pace.Drain = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	r := retirement("e-2")
	r.Swapped = time.Now()
	_, err := NewFromAPI(p, pace).Retire(ctx, r, false, inTime(), unsaid, func(Progress) { cancel() })
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, p.count("TerminateEnvironment"))
	require.True(t, p.see("shop-production-green").Ready())
}

func TestAnAbortInTheMomentInWhichTheEndIsSentLeavesNothingOpen(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := pairOfShop(true)
		ctx, cancel := context.WithCancel(t.Context())
		p.ending = func(sending context.Context) {
			cancel()
			require.NoError(t, sending.Err())
		}
		ended, err := p.client().Retire(ctx, retirement("e-2"), false, inTime(), unsaid, ignored)
		require.NoError(t, err)
		require.True(t, ended)
		require.Equal(t, 1, p.count("DeleteConfigurationTemplate"))
	})
}
