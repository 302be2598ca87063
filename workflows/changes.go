package workflows

// The change IDs of workflow.GetVersion, each saying what changed. A workflow that began before a change goes
// on without it.
const (
	// changeTelling: a run whose pipeline has receivers starts a Telling workflow and keeps it informed.
	changeTelling = "telling"
)
