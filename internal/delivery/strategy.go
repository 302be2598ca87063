package delivery

// Strategy is how an environment's instances move to another version.
type Strategy string

const (
	// Immutable launches new instances beside the old ones and ends the old ones only after the new
	// ones were healthy.
	Immutable Strategy = "immutable"
	// TrafficSplitting launches as many new instances as there are old ones, and gives them a share
	// of the requests for a time of evaluation first.
	TrafficSplitting Strategy = "traffic-splitting"
	// Rolling brings the version to the instances in batches, of which each is out of service meanwhile.
	Rolling Strategy = "rolling"
	// RollingWithAdditionalBatch is Rolling with one batch of new instances more, so that none is missed.
	RollingWithAdditionalBatch Strategy = "rolling-with-additional-batch"
	// BlueGreen makes a second environment beside the first, proves it there, and swaps their
	// addresses. The old environment is kept for the bake: the way back is another swap.
	BlueGreen Strategy = "blue-green"
	// AllAtOnce brings the version to all instances at the same time; users notice.
	AllAtOnce Strategy = "all-at-once"
)

// Strategies lists them, from the safest to the quickest.
func Strategies() []Strategy {
	return []Strategy{Immutable, BlueGreen, TrafficSplitting, RollingWithAdditionalBatch, Rolling, AllAtOnce}
}

// Policy is the strategy in Beanstalk's own spelling, as the option DeploymentPolicy has it; empty
// for blue-green, which is no policy of one environment, and for a strategy that there is not.
func (s Strategy) Policy() string {
	switch s {
	case Immutable:
		return "Immutable"
	case TrafficSplitting:
		return "TrafficSplitting"
	case Rolling:
		return "Rolling"
	case RollingWithAdditionalBatch:
		return "RollingWithAdditionalBatch"
	case AllAtOnce:
		return "AllAtOnce"
	default:
		return ""
	}
}
