package activities

import (
	"context"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk"
	"github.com/aws/aws-sdk-go-v2/service/elasticbeanstalk/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"gravity/internal/delivery"
)

// pairPlatform is a platform with a second environment, whose changes are accepted and done at once.
type pairPlatform struct {
	*platform
	other *types.EnvironmentDescription
	tags  []types.Tag
	sent  []string
}

func newPair() *pairPlatform {
	p := &pairPlatform{platform: newPlatform()}
	p.environment.CNAME, p.environment.EnvironmentArn = aws.String("shop-production.example.com"), aws.String("arn:e-1")
	return p
}

func (p *pairPlatform) steps() *Beanstalk { return &Beanstalk{Client: p.over(p)} }

func (p *pairPlatform) change(operation string, change func()) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent = append(p.sent, operation)
	if p.refuse != nil {
		return p.refuse
	}
	change()
	return nil
}

func (p *pairPlatform) DescribeEnvironments(context.Context, *sdk.DescribeEnvironmentsInput, ...func(*sdk.Options)) (*sdk.DescribeEnvironmentsOutput, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	environments := []types.EnvironmentDescription{p.environment}
	if p.other != nil {
		environments = append(environments, *p.other)
	}
	return &sdk.DescribeEnvironmentsOutput{Environments: environments}, nil
}

func (p *pairPlatform) ListTagsForResource(_ context.Context, in *sdk.ListTagsForResourceInput, _ ...func(*sdk.Options)) (*sdk.ListTagsForResourceOutput, error) {
	if aws.ToString(in.ResourceArn) == "arn:e-1" {
		return &sdk.ListTagsForResourceOutput{}, nil
	}
	return &sdk.ListTagsForResourceOutput{ResourceTags: p.tags}, nil
}

func (p *pairPlatform) CreateConfigurationTemplate(context.Context, *sdk.CreateConfigurationTemplateInput, ...func(*sdk.Options)) (*sdk.CreateConfigurationTemplateOutput, error) {
	return &sdk.CreateConfigurationTemplateOutput{}, p.change("save", func() {})
}

func (p *pairPlatform) DeleteConfigurationTemplate(context.Context, *sdk.DeleteConfigurationTemplateInput, ...func(*sdk.Options)) (*sdk.DeleteConfigurationTemplateOutput, error) {
	return &sdk.DeleteConfigurationTemplateOutput{}, p.change("forget", func() {})
}

func (p *pairPlatform) CreateEnvironment(_ context.Context, in *sdk.CreateEnvironmentInput, _ ...func(*sdk.Options)) (*sdk.CreateEnvironmentOutput, error) {
	var out sdk.CreateEnvironmentOutput
	err := p.change("create", func() {
		made := p.environment
		made.EnvironmentName, made.EnvironmentId, made.EnvironmentArn = in.EnvironmentName, aws.String("e-2"), aws.String("arn:e-2")
		made.VersionLabel, made.CNAME = in.VersionLabel, aws.String("beside.example.com")
		p.other, p.tags = &made, in.Tags
		out.EnvironmentId, out.CNAME, out.DateUpdated = made.EnvironmentId, made.CNAME, made.DateUpdated
	})
	return &out, err
}

func (p *pairPlatform) SwapEnvironmentCNAMEs(context.Context, *sdk.SwapEnvironmentCNAMEsInput, ...func(*sdk.Options)) (*sdk.SwapEnvironmentCNAMEsOutput, error) {
	return &sdk.SwapEnvironmentCNAMEsOutput{}, p.change("swap", func() {
		p.environment.CNAME, p.other.CNAME = p.other.CNAME, p.environment.CNAME
	})
}

func (p *pairPlatform) TerminateEnvironment(_ context.Context, in *sdk.TerminateEnvironmentInput, _ ...func(*sdk.Options)) (*sdk.TerminateEnvironmentOutput, error) {
	return &sdk.TerminateEnvironmentOutput{}, p.change("end "+aws.ToString(in.EnvironmentId), func() {
		if aws.ToString(in.EnvironmentId) == "e-2" {
			p.other = nil
			return
		}
		p.environment.Status = types.EnvironmentStatusTerminating
	})
}

// do runs a step, as a later attempt where an earlier one had announced something.
func (p *pairPlatform) do(t *testing.T, announced string, step func(*Beanstalk) any, input, answer any) error {
	t.Helper()
	b := p.steps()
	steps := newSteps(t, b)
	if announced != "" {
		steps.SetHeartbeatDetails(announced)
	}
	encoded, err := steps.ExecuteActivity(step(b), input)
	if err != nil || answer == nil {
		return err
	}
	return encoded.Get(answer)
}

var pairMark = Mark{Environment: "shop-production", Deployment: "deployment/shop/shop-production/7", Request: "production/r-7"}

func TestAPairGoesFromOneEnvironmentToTheOtherAndNoStepIsTakenTwice(t *testing.T) {
	p := newPair()
	later := time.Now().Add(time.Hour)
	var live, made, swapped delivery.Observation
	var settled Pair
	var retired Retired
	for attempt, announced := range []string{"", "an earlier attempt sent it"} {
		// Each step a second time, as when its answer was lost on the way to Temporal.
		if attempt == 0 {
			require.NoError(t, p.do(t, announced, func(b *Beanstalk) any { return b.AwaitLive }, AwaitLiveInput{
				Application: "shop", Environment: "shop-production", CNAME: "shop-production", Until: later,
			}, &live))
		}
		require.NoError(t, p.do(t, announced, func(b *Beanstalk) any { return b.MakeBeside }, MakeBesideInput{
			Live: live, Name: "shop-production-green", Version: "v2", Mark: pairMark, Until: later,
		}, &made))
	}
	for _, announced := range []string{"", "an earlier attempt sent it"} {
		require.NoError(t, p.do(t, announced, func(b *Beanstalk) any { return b.Swap }, SwapInput{From: live, To: made, Until: later}, &swapped))
	}
	require.NoError(t, p.do(t, "", func(b *Beanstalk) any { return b.SettlePair }, SettlePairInput{Pair: Pair{Old: live, New: made}, Until: later}, &settled))
	require.NoError(t, p.do(t, "", func(b *Beanstalk) any { return b.Drain }, DrainInput{Name: live.Name, Swapped: time.Now()}, nil))
	for _, announced := range []string{"", "an earlier attempt sent it"} {
		require.NoError(t, p.do(t, announced, func(b *Beanstalk) any { return b.Retire }, RetireInput{
			Application: "shop", Name: live.Name, ID: live.ID, Mark: pairMark, Public: live.Address, Swapped: time.Now(), Until: later,
		}, &retired))
	}
	assert.Equal(t, "e-1", live.ID)
	assert.Equal(t, "e-2", made.ID)
	assert.Equal(t, "beside.example.com", made.Address)
	assert.Equal(t, "e-2 shop-production.example.com", swapped.ID+" "+swapped.Address)
	assert.Equal(t, "beside.example.com", settled.Old.Address)
	assert.True(t, retired.Ended)
	assert.Equal(t, []string{"save", "create", "swap", "end e-1", "forget", "forget"}, p.sent)
}

func TestTheStepsOfAPairFailWithTheirTypes(t *testing.T) {
	later := time.Now().Add(time.Hour)
	p := newPair()
	p.refuse = refused("TooManyEnvironmentsException", "You have reached the limit of 200 environments.")
	err := p.do(t, "", func(b *Beanstalk) any { return b.MakeBeside }, MakeBesideInput{Live: found(), Name: "shop-production-green", Version: "v2", Mark: pairMark, Until: later}, nil)
	assert.Equal(t, delivery.InvalidInput, typeOf(t, err))
	assert.ErrorContains(t, err, "limit of 200")

	p = newPair()
	p.other = &types.EnvironmentDescription{
		ApplicationName: aws.String("shop"), EnvironmentName: aws.String("shop-production-green"), EnvironmentId: aws.String("e-2"), Status: types.EnvironmentStatusReady,
	}
	err = p.do(t, "", func(b *Beanstalk) any { return b.MakeBeside }, MakeBesideInput{Live: found(), Name: "shop-production-green", Version: "v2", Mark: pairMark, Until: later}, nil)
	assert.Equal(t, delivery.Drift, typeOf(t, err))
	assert.Empty(t, p.sent)
}

func TestThePrecheckOfAPairAsksForNoPolicyButForACopyableEnvironment(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*pairPlatform)
		fails  delivery.ErrorType
	}{
		"any policy will do": {change: func(p *pairPlatform) { p.policy = "AllAtOnce" }},
		"no worker": {change: func(p *pairPlatform) {
			p.environment.Tier = &types.EnvironmentTier{Name: aws.String("Worker")}
		}, fails: delivery.InvalidInput},
	} {
		p := newPair()
		c.change(p)
		v1 := version("v1")
		err := p.do(t, "", func(b *Beanstalk) any { return b.Precheck }, PrecheckInput{
			Found: found(), Wanted: version("v2"), Good: &v1, Strategy: delivery.BlueGreen, Accept: []string{"Ok"},
		}, nil)
		if c.fails == "" {
			require.NoError(t, err, name)
			continue
		}
		require.Equal(t, c.fails, typeOf(t, err), name)
	}
}
