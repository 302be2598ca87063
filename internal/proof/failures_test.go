package proof

import (
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/workflow"

	"gravity/internal/delivery"
	"gravity/internal/local/aws"
	"gravity/internal/local/aws/faults"
	"gravity/internal/proof/lab"
	"gravity/workflows"
)

// suffer makes something go wrong at the stand-in.
func suffer(f func(*story) aws.Faults) func(*story, workflow.Context) {
	return func(s *story, _ workflow.Context) { s.suffer(f(s)) }
}

// of makes a fault of the new version's instances.
func of(kind faults.Kind) func(*story) aws.Faults {
	return func(s *story) aws.Faults {
		return aws.Faults{Instances: []faults.Instance{{Kind: kind, Version: s.new.Label}}}
	}
}

// passing is trouble with AWS that is over after some time.
func passing(f aws.Faults, length time.Duration) func(*story, workflow.Context) {
	return func(s *story, _ workflow.Context) {
		s.suffer(f)
		time.AfterFunc(length, func() { s.suffer(aws.Faults{}) })
	}
}

// abort is what `starter abort` sends.
func abort(_ *story, ctx workflow.Context) {
	workflow.SignalExternalWorkflow(ctx, deploymentID, "", workflows.AbortSignal, workflows.Answer{By: "ana", Reason: "wrong day"})
}

// cancel is what Temporal's own command and web UI send.
func cancel(_ *story, ctx workflow.Context) {
	workflow.RequestCancelExternalWorkflow(ctx, deploymentID, "")
}

var deploymentID = delivery.DeploymentID(lab.Application, environment, 1)

func somebodyDeploys(label string) func(*story, workflow.Context) {
	return func(s *story, _ workflow.Context) {
		require.NoError(s, s.region.Server.ManualChange(environment, label))
	}
}

// drifted is an environment that somebody has brought to another version by hand.
func drifted(policy delivery.DriftPolicy) func(*story) {
	return func(s *story) {
		s.stage.Drift = policy
		require.NoError(s, s.region.Server.ManualChange(environment, byHand))
		for s.region.WhyNotWell(environment, byHand) != "" {
			time.Sleep(tick)
		}
		require.NoError(s, s.region.Settled(environment))
	}
}

// swapsByHand moves the users' address back to where it was.
func swapsByHand(s *story, _ workflow.Context) {
	s.unfaulted(func() { require.NoError(s, s.region.Swap(environment, s.updated())) })
}

func terminate(s *story, _ workflow.Context) {
	require.NoError(s, s.region.Terminate(environment))
}

// oldFallsIll makes the old version no better than the new one.
func oldFallsIll(s *story, _ workflow.Context) {
	s.suffer(aws.Faults{Instances: []faults.Instance{
		{Kind: faults.Broken, Version: s.new.Label}, {Kind: faults.Hang, Version: s.old.Label},
	}})
}

// illBefore is an environment whose proven version has fallen ill since.
func illBefore(s *story) {
	s.suffer(aws.Faults{Instances: []faults.Instance{{Kind: faults.Hang, Version: s.old.Label}}})
	for s.region.WhyNotWell(environment, s.old.Label) == "" {
		time.Sleep(tick)
	}
}

func failures() []failure {
	all := []moment{atStart, halfWay, inHealth, inCheck}
	ofPair := []moment{atSwap, inSwap, inPublic, inRetire}
	takesBackUnnoticed := always(takenBack)
	return []failure{
		{name: "nothing", version: "good", moments: []moment{before}, promise: always(deployed)},
		{name: "fails its health check", version: "sick", moments: []moment{before}, promise: takesBackUnnoticed},
		{name: "never serves", version: "stuck", moments: []moment{before}, promise: takesBackUnnoticed},
		{name: "fails to deploy", version: "failing", moments: []moment{before}, promise: takesBackUnnoticed},
		{name: "never boots", version: "good", moments: []moment{before}, happen: suffer(of(faults.NeverBoots)),
			promise: func(strategy delivery.Strategy, _ moment) promise {
				if inPlace(strategy) && strategy != delivery.RollingWithAdditionalBatch {
					return deployed // they boot nothing
				}
				return takenBack
			}},
		{name: "is healthy to the balancer and broken to users", version: "good", moments: []moment{before}, happen: suffer(of(faults.Broken)),
			promise: always(takenBack.noticed())},
		{name: "crashes", version: "good", moments: all, pairMoments: []moment{inSwap, inPublic}, happen: suffer(of(faults.Crash)), promise: always(takenBack.noticed())},
		{name: "hangs", version: "good", moments: all, pairMoments: []moment{inSwap, inPublic}, happen: suffer(of(faults.Hang)), promise: always(takenBack.noticed())},
		{name: "breaks", version: "good", moments: all, pairMoments: []moment{inSwap, inPublic}, happen: suffer(of(faults.Broken)), promise: always(takenBack.noticed())},
		{name: "update never ends", version: "good", moments: []moment{before, atStart, halfWay}, pairMoments: []moment{atSwap},
			happen: suffer(func(*story) aws.Faults { return aws.Faults{NeverEnd: []string{environment}} }),
			promise: func(strategy delivery.Strategy, at moment) promise {
				if at == halfWay && inPlace(strategy) {
					return attention // part of the fleet has the new version, and the way back, an update as well, does not end either
				}
				return takenBack
			},
			// Its only update of what is there is the swap: users keep the old environment, which takes no other change.
			pair: onPair(attention.on(oldLabel).begun(lab.Changes{Made: 1}))},
		{name: "aborted by a person", version: "good", moments: all, pairMoments: ofPair, happen: abort, promise: takesBackUnnoticed},
		{name: "aborted by a person", version: "sick", moments: []moment{inRollback}, happen: abort, promise: takesBackUnnoticed},
		{name: "cancelled through Temporal", version: "good", moments: all, pairMoments: ofPair, happen: cancel, promise: takesBackUnnoticed},
		{name: "cancelled through Temporal", version: "sick", moments: []moment{inRollback}, happen: cancel, promise: takesBackUnnoticed},
		{name: "busy with an update to the same version", version: "good", moments: []moment{before}, happen: somebodyDeploys(oldLabel),
			promise: always(deployed.after(2)), // one of them is somebody else's
			pair:    onPair(deployed.begun(lab.Changes{Made: 1, Swapped: 1, Ended: 1, Updated: 1}))},
		{name: "busy with an update to another version", version: "good", moments: []moment{before}, happen: somebodyDeploys(byHand),
			promise: always(untouched.on(byHand).after(1)),
			pair:    onPair(untouched.on(byHand).begun(lab.Changes{Updated: 1}))},
		{name: "busy for ever", version: "good", moments: []moment{before}, happen: func(s *story, ctx workflow.Context) {
			suffer(func(*story) aws.Faults { return aws.Faults{NeverEnd: []string{environment}} })(s, ctx)
			somebodyDeploys(byHand)(s, ctx)
		}, promise: always(untouched.after(1)), pair: onPair(untouched.begun(lab.Changes{Updated: 1}))},
		{name: "drifted, to stop at", version: "good", moments: []moment{before}, prepare: drifted(delivery.DriftStop), promise: always(untouched.on(byHand))},
		{name: "drifted, to adopt", version: "good", moments: []moment{before}, prepare: drifted(delivery.DriftAdopt), promise: always(deployed)},
		{name: "drifted, to overwrite", version: "good", moments: []moment{before}, prepare: drifted(delivery.DriftOverwrite), promise: always(deployed)},
		{name: "drifted, to adopt, and fails its health check", version: "sick", moments: []moment{before}, prepare: drifted(delivery.DriftAdopt),
			promise: always(takenBack.on(byHand))},
		{name: "somebody deploys by hand", version: "good", moments: []moment{inHealth}, happen: somebodyDeploys(byHand),
			promise: always(takenBack.after(2, 3)),
			pair:    onPair(untouched.on(byHand).begun(lab.Changes{Made: 1, Ended: 1, Updated: 1}))}, // on the live one
		{name: "swap takes an hour", version: "good", pairMoments: []moment{atSwap},
			happen: passing(aws.Faults{NeverEnd: []string{environment}}, time.Hour),
			pair:   onPair(takenBack.begun(lab.Changes{Made: 1, Swapped: 2, Ended: 1}))}, // it came after it was given up
		{name: "somebody deploys by hand beside", version: "good", pairMoments: []moment{inHealth},
			happen: func(s *story, _ workflow.Context) {
				require.NoError(s, s.region.Server.ManualChange(s.updated(), byHand))
			},
			pair: onPair(takenBack.begun(lab.Changes{Made: 1, Ended: 1, Updated: 1}))},
		{name: "somebody swaps back by hand", version: "good", pairMoments: []moment{inRetire}, happen: swapsByHand,
			pair: onPair(takenBack.begun(lab.Changes{Made: 1, Swapped: 2, Ended: 1}))},
		{name: "somebody ends the new environment", version: "good", pairMoments: []moment{inHealth},
			happen: func(s *story, _ workflow.Context) { require.NoError(s, s.region.Terminate(s.updated())) },
			pair:   onPair(takenBack.begun(lab.Changes{Made: 1, Ended: 1}))},
		{name: "somebody ends the new environment", version: "good", pairMoments: []moment{inPublic},
			happen: func(s *story, _ workflow.Context) { require.NoError(s, s.region.Terminate(s.updated())) },
			pair:   onPair(attention.on("").noticed().begun(lab.Changes{Made: 1, Swapped: 1, Ended: 1}))},
		{name: "breaks, and the old version falls ill", version: "good", pairMoments: []moment{inPublic}, happen: oldFallsIll,
			pair: onPair(attention.noticed().begun(lab.Changes{Made: 1, Swapped: 1}))},
		{name: "terminated", version: "good", moments: []moment{before, inHealth}, happen: terminate,
			promise: func(_ delivery.Strategy, at moment) promise {
				if at == before {
					return untouched.on("").after(0).noticed()
				}
				return attention.on("").noticed()
			},
			pair: func(at moment) promise {
				if at == before {
					return untouched.on("").noticed().begun(lab.Changes{Ended: 1})
				}
				// What is left of the pair is the new one, and ending it would leave nothing.
				return attention.on("").noticed().begun(lab.Changes{Made: 1, Ended: 1})
			}},
		{name: "half of the calls throttled", version: "good", moments: append([]moment{before}, all...), pairMoments: ofPair,
			happen: passing(aws.Faults{ThrottleCalls: 0.5}, 10*time.Minute), promise: always(deployed)},
		{name: "half of the calls throttled", version: "sick", moments: []moment{inRollback},
			happen: passing(aws.Faults{ThrottleCalls: 0.5}, 10*time.Minute), promise: takesBackUnnoticed},
		{name: "the API is away for ten minutes", version: "good", moments: []moment{before, atStart, halfWay}, pairMoments: ofPair,
			happen: passing(aws.Faults{FailCalls: 1}, 10*time.Minute), promise: always(deployed)},
		{name: "the API is away for ten minutes", version: "sick", moments: []moment{inRollback},
			happen: passing(aws.Faults{FailCalls: 1}, 10*time.Minute), promise: takesBackUnnoticed},
		{name: "answers are lost", version: "good", moments: []moment{before, atStart, halfWay}, pairMoments: ofPair,
			happen: passing(aws.Faults{LoseAnswers: 0.4}, 10*time.Minute), promise: always(deployed)},
		{name: "answers are lost", version: "sick", moments: []moment{before, inRollback},
			happen: passing(aws.Faults{LoseAnswers: 0.4}, 30*time.Minute), promise: takesBackUnnoticed},
		{name: "connections break", version: "good", moments: []moment{before, halfWay}, pairMoments: ofPair,
			happen: passing(aws.Faults{DropCalls: 0.4}, 10*time.Minute), promise: always(deployed)},
		{name: "answers are late", version: "good", moments: []moment{before},
			happen: passing(aws.Faults{SlowCalls: 0.5, Delay: faults.Duration(4 * time.Second)}, 30*time.Minute), promise: always(deployed)},
		{name: "reads lag behind", version: "good", moments: []moment{before},
			happen: passing(aws.Faults{StaleReads: faults.Duration(4 * time.Second)}, time.Hour), promise: always(deployed)},
		{name: "reads lag behind", version: "sick", moments: []moment{before},
			happen: passing(aws.Faults{StaleReads: faults.Duration(4 * time.Second)}, 3*time.Hour), promise: takesBackUnnoticed},
		{name: "the old version is ill", version: "good", moments: []moment{before}, prepare: illBefore, promise: always(deployed.noticed())},
		{name: "the old version is ill, and the new one too", version: "sick", moments: []moment{before}, prepare: illBefore,
			promise: always(attention.noticed())},
		{name: "the rollback fails too", version: "good", moments: []moment{inRollback}, prepare: func(s *story) {
			s.suffer(of(faults.Broken)(s))
		}, happen: oldFallsIll, promise: always(attention.noticed())},
	}
}
