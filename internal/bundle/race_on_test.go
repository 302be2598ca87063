//go:build race

package bundle

// raceEnabled says that the race detector watches.
const raceEnabled = true
