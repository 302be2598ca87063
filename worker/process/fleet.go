package process

const (
	// PlatformRate bounds how many steps that call AWS begin a second in the whole fleet. A step makes one to four calls
	// at once, and what follows of a long one goes through the watcher that a worker's waits share. AWS publishes
	// no rates, and shares them with the console and all other tools of the account. docs/fleet.md says what ten
	// cost where a whole region is deployed to; a single deployment never notices them: Temporal lets as many steps
	// as the rate begin at once after a quiet moment.
	PlatformRate = 10
	// WorkflowCache is how many workflows stay in memory between their tasks; docs/fleet.md has what one takes. It is
	// filled by the first runs that wait: however many follow, a worker takes no more than a hundred megabytes for them.
	WorkflowCache = 1000
)
